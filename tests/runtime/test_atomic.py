"""A file is replaced whole or not at all, with its permissions, and nothing is left beside it."""

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from runtime import atomic
from runtime.atomic import replace_file, sync_folder, temporary_file


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_a_file_has_the_new_content_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "küche.toml"
    for data in (b"first and longer", b"second", b""):
        replace_file(file, data)
        assert file.read_bytes() == data and list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("kept", [0o600, 0o640, 0o666, 0o444])
def test_a_file_keeps_its_permissions_whatever_the_umask(tmp_path: Path, kept: int) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"old")
    file.chmod(kept)
    replace_file(file, b"new")
    assert mode(file) == kept and file.read_bytes() == b"new"


def test_a_new_file_has_what_the_umask_allows_or_what_was_asked_for(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        replace_file(tmp_path / "a", b"")
        replace_file(tmp_path / "b", b"", mode=0o600)
    finally:
        os.umask(before)
    assert (mode(tmp_path / "a"), mode(tmp_path / "b")) == (0o640, 0o600)
    (tmp_path / "b").chmod(0o644)
    replace_file(tmp_path / "b", b"", mode=0o600)
    assert mode(tmp_path / "b") == 0o600


@pytest.mark.parametrize("broken", ["fsync", "write", "replace"])
def test_what_cannot_be_written_leaves_the_former_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if broken == "write":  # a limit on the size of files refuses as a full disk does
        program = (
            "import resource, signal, sys, pathlib; from runtime.atomic import replace_file\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\n"
            "try: replace_file(pathlib.Path(sys.argv[1]), b'x' * 100)\n"
            "except OSError as error: sys.exit(error.errno)"
        )
        ended = subprocess.run([sys.executable, "-c", program, str(file)], timeout=20, check=False)
        assert ended.returncode == errno.EFBIG
    else:
        monkeypatch.setattr(*((atomic.os, "fsync", full) if broken == "fsync" else (Path, "replace", full)))
        with pytest.raises(OSError, match="No space left"):
            replace_file(file, b"new")
    assert file.read_bytes() == b"old" and list(tmp_path.iterdir()) == [file]


def test_the_content_is_on_disk_before_the_name_and_the_name_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, rename = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    def replace(self: Path, target: Path) -> Path:
        done.append("rename")
        return rename(self, target)

    monkeypatch.setattr(atomic.os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    replace_file(tmp_path / "a", b"x")
    assert done == ["file", "rename", "folder"]


def test_a_process_killed_before_the_rename_leaves_the_former_file_and_one_that_the_doctor_finds(
    tmp_path: Path,
) -> None:
    file = tmp_path / "a.toml"
    file.write_bytes(b"old")
    program = (
        "import os, pathlib, signal, sys; from runtime.atomic import temporary_file\n"
        "with temporary_file(pathlib.Path(sys.argv[1]), b'new'): os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(file)], timeout=20, check=False)
    assert ended.returncode == -signal.SIGKILL and file.read_bytes() == b"old"
    (left,) = tmp_path.glob("*.part")
    assert left.read_bytes() == b"new"


def test_a_temporary_file_is_removed_unless_it_was_renamed(tmp_path: Path) -> None:
    file = tmp_path / "a"
    with temporary_file(file, b"one") as scratch:
        os.link(scratch, file)
    assert file.read_bytes() == b"one" and list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(("code", "raises"), [(errno.EINVAL, False), (errno.ENOTSUP, False), (errno.EIO, True)])
def test_a_folder_that_cannot_be_synced_is_an_error_only_where_the_disk_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, raises: bool
) -> None:
    def fsync(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(atomic.os, "fsync", fsync)
    if raises:
        with pytest.raises(OSError, match="Input/output"):
            sync_folder(tmp_path)
    else:
        sync_folder(tmp_path)
