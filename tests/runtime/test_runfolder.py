"""A run folder: made once, opened by its version, held by one launcher, with sockets that fit."""

import errno
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtime import locks, private_folder
from runtime.keys import KeysError, KeysFolder
from runtime.private_folder import SOCKET_BYTES
from runtime.runfolder import RunFolder, RunFolderError


@pytest.fixture(autouse=True)
def _runtime_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)


def test_a_created_folder_opens_again(tmp_path: Path) -> None:
    made = RunFolder.create(tmp_path / "a" / "run")
    assert made.blobs.is_dir() and made.adapters.is_dir() and made.logs.is_dir()
    assert RunFolder.open(made.path).log_file == made.path / "log.sqlite"


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    assert RunFolder.create(tmp_path).path == tmp_path.resolve()


def test_a_folder_that_holds_a_run_is_refused_and_resume_is_named(tmp_path: Path) -> None:
    RunFolder.create(tmp_path / "run")
    with pytest.raises(RunFolderError, match="--resume"):
        RunFolder.create(tmp_path / "run")


def test_a_folder_with_other_things_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunFolderError, match="not empty"):
        RunFolder.create(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_way_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunFolderError, match="cannot make"):
        RunFolder.create(tmp_path / "file" / "run")


@pytest.mark.parametrize("mark", ["selu run folder, format 99\n", "selu run folder, format 0\n", "", "\n\n"])
def test_another_version_is_refused_with_both_versions_named(tmp_path: Path, mark: str) -> None:
    run = RunFolder.create(tmp_path / "run")
    run.format_file.write_text(mark)
    with pytest.raises(RunFolderError, match=r"another version.*this one reads format 1"):
        RunFolder.open(run.path)


def test_a_missing_folder_and_one_that_is_no_run_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="does not exist"):
        RunFolder.open(tmp_path / "none")
    with pytest.raises(RunFolderError, match="not a run folder"):
        RunFolder.open(tmp_path)


def test_a_second_launcher_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run")
    refused = pytest.raises(RunFolderError, match=f"process {os.getpid()}")
    with run.locked(), refused, RunFolder(run.path).locked(wait_seconds=0):
        pass
    with run.locked(wait_seconds=0):
        pass


def test_a_child_that_inherited_the_lock_keeps_it_until_it_ends(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run")
    with run.locked() as lock:
        child = subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, pass_fds=[lock]
        )
    with child, pytest.raises(RunFolderError, match="in use"), run.locked(wait_seconds=0):
        pass
    with run.locked(wait_seconds=0):
        pass


def test_sockets_fit_however_deep_the_run_is(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / ("deep" * 30) / ("er" * 60))
    run.listen_at()
    for endpoint in (run.endpoint, run.fanout):
        path = endpoint.removeprefix("ipc://")
        assert len(os.fsencode(path)) <= SOCKET_BYTES
        assert Path(path).parent.stat().st_mode & 0o777 == 0o700
    run.stop_listening()
    assert not Path(path).parent.exists() and not run.sockets_link.is_symlink()


def test_another_shell_finds_the_sockets_where_the_launcher_made_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder.create(tmp_path / "run")
    run.listen_at()
    made = run.endpoint
    (tmp_path / "xdg").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "xdg"))
    assert RunFolder.open(run.path).endpoint == made
    run.stop_listening()


def test_a_socket_folder_that_is_not_a_folder_of_ours_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    run = RunFolder.create(tmp_path / "run")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    Path(run.endpoint.removeprefix("ipc://")).parent.symlink_to(elsewhere)
    with pytest.raises(RunFolderError, match="another user"):
        run.listen_at()


def test_two_runs_have_different_sockets(tmp_path: Path) -> None:
    assert RunFolder(tmp_path / "a").endpoint != RunFolder(tmp_path / "b").endpoint


def test_a_tcp_endpoint_is_recorded_for_all_who_look_and_the_fan_out_takes_the_next_port(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run")
    run.listen_at("tcp://127.0.0.1:5555")
    seen = RunFolder.open(run.path)
    assert (seen.endpoint, seen.fanout) == ("tcp://127.0.0.1:5555", "tcp://127.0.0.1:5556")


@pytest.mark.parametrize(
    "endpoint", ["tcp://0.0.0.0:5555", "tcp://*:5555", "tcp://10.0.0.1:5555", "tcp://127.0.0.1:80", "udp://x", "5555"]
)
def test_an_endpoint_that_others_could_reach_or_nobody_could_is_refused(tmp_path: Path, endpoint: str) -> None:
    with pytest.raises(RunFolderError, match=r"mesh\.endpoint"):
        RunFolder.create(tmp_path / "run").listen_at(endpoint)


def test_runs_that_are_started_together_get_a_folder_each(tmp_path: Path) -> None:
    at_once = 8
    barrier = threading.Barrier(at_once)

    def start(_: int) -> Path:
        barrier.wait(timeout=10)
        return RunFolder.create_numbered(tmp_path / "runs" / "now").path

    with ThreadPoolExecutor(at_once) as pool:
        made = set(pool.map(start, range(at_once)))
    assert {path.name for path in made} == {"now", *(f"now-{n}" for n in range(2, at_once + 1))}
    assert all(RunFolder.open(path).logs.is_dir() for path in made)


def test_of_launchers_that_want_the_same_folder_one_gets_it(tmp_path: Path) -> None:
    at_once = 8
    barrier = threading.Barrier(at_once)

    def start(_: int) -> str:
        barrier.wait(timeout=10)
        try:
            return RunFolder.create(tmp_path / "run").path.name
        except RunFolderError as error:
            return str(error)

    with ThreadPoolExecutor(at_once) as pool:
        said = list(pool.map(start, range(at_once)))
    assert said.count("run") == 1 and sum("already holds a run" in text for text in said) == at_once - 1


def test_home_and_links_in_a_path_are_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert RunFolder("~/x").path == tmp_path.resolve() / "x"
    assert RunFolder("~nobody-of-this-name/x").path == Path("~nobody-of-this-name/x").absolute()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "run")
    made = RunFolder.create(tmp_path / "link")
    assert made.path == tmp_path.resolve() / "elsewhere" / "run"
    assert RunFolder(tmp_path / "link").private == made.private


@pytest.mark.parametrize("name", ["loop/run", "x" * 300, "file/run", "a\0b"])
def test_a_place_where_no_folder_can_be_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").touch()
    for attempt in (RunFolder.check_new, RunFolder.create, RunFolder.create_numbered):
        with pytest.raises(RunFolderError):
            attempt(tmp_path / name)


def test_in_use_is_said_by_the_lock_alone(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run")
    run.listen_at()
    assert not run.in_use() and run.endpoints_file.exists()
    with run.locked():
        assert run.in_use()
    assert not run.in_use()
    run.stop_listening()


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    run = RunFolder.create(tmp_path / "run")

    def flock(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    with (
        pytest.raises(RunFolderError, match=r"file system cannot lock files .*use a folder on a local disk"),
        run.locked(),
    ):
        pass
    assert not run.in_use()
    with pytest.raises(KeysError, match="file system cannot lock files"):
        KeysFolder(tmp_path / "keys").create()


def test_a_file_system_without_links_keeps_the_place_of_the_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def symlink_to(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", symlink_to)
    run = RunFolder.create(tmp_path / "run")
    run.listen_at()
    run.keys.make("anna", "observer")
    seen = RunFolder.open(run.path)
    assert seen.private == run.private and seen.key_of("anna").exists() and seen.endpoint == run.endpoint
    run.stop_listening()
    assert run.private is None and not Path(seen.endpoint.removeprefix("ipc://")).parent.exists()


def test_a_runtime_folder_that_is_not_ours_or_not_there_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private_folder.tempfile, "gettempdir", lambda: str(tmp_path))
    for given in (str(tmp_path / "gone"), "relative/folder", "/proc/self"):
        monkeypatch.setenv("XDG_RUNTIME_DIR", given)
        run = RunFolder.create_numbered(tmp_path / "run")
        run.listen_at()
        assert run.private is not None and run.private.parent == tmp_path
        run.stop_listening()


def test_a_place_that_takes_no_sockets_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    monkeypatch.setattr(private_folder, "places", lambda name: [first, second])
    tried = private_folder._try_socket  # pyright: ignore[reportPrivateUsage]

    def no_sockets_in_the_first(path: Path) -> None:
        if path.parent == first:
            raise OSError(errno.EPERM, "Operation not permitted")
        tried(path)

    monkeypatch.setattr(private_folder, "_try_socket", no_sockets_in_the_first)
    assert private_folder.make("any") == second


def test_a_runtime_folder_with_spaces_in_its_name_is_found_again(
    tmp_path: Path, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (short_path / "my ü place").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_path / "my ü place"))
    run = RunFolder.create(tmp_path / "run")
    run.listen_at()
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert RunFolder.open(run.path).endpoint == run.endpoint
    assert run.endpoint.startswith(f"ipc://{short_path}/my ü place/")
    run.stop_listening()


@pytest.mark.parametrize("links", [True, False], ids=["links kept", "links followed"])
def test_a_copied_folder_never_meets_the_sockets_of_the_original(tmp_path: Path, links: bool) -> None:
    original = RunFolder.create(tmp_path / "run")
    original.listen_at()
    original.keys.make("anna", "observer")
    shutil.copytree(original.path, tmp_path / "copy", symlinks=links)
    copy = RunFolder.open(tmp_path / "copy")
    assert copy.private is None and not copy.key_of("anna").exists() and copy.endpoint != original.endpoint
    copy.stop_listening()
    assert original.key_of("anna").exists()
    copy.listen_at()
    assert copy.private not in (None, original.private)
    copy.stop_listening()
    original.stop_listening()


def test_a_private_folder_that_is_gone_is_made_again_in_its_place_or_in_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "first"))
    run = RunFolder.create(tmp_path / "run")
    run.listen_at()
    before = run.private
    assert before is not None
    shutil.rmtree(before)
    assert run.restore_private() == before and before.is_dir()
    shutil.rmtree(before.parent)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "second"))
    moved = run.restore_private()
    assert moved.parent == tmp_path / "second"
    assert RunFolder.open(run.path).endpoint == f"ipc://{moved}/hub"
    run.stop_listening()


def test_a_file_of_a_run_and_a_folder_of_runs_are_answered_with_the_run(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "runs" / "mine")
    run.summary_file.write_text("{}")
    trial = RunFolder.create(tmp_path / "out" / "trials" / "micro" / "selu" / "seed-0")
    for given, said in (
        (run.summary_file, f"is a file, not a run folder: give {run.path}$"),
        (run.path.parent, f"such as {run.path}$"),
        (tmp_path / "out", f"such as {trial.path}$"),
        (Path("/dev/null"), "is a file, not a run folder: give the folder"),
    ):
        with pytest.raises(RunFolderError, match=said):
            RunFolder.open(given)


def test_a_link_to_a_disk_that_is_away_gets_no_folder_in_its_place(tmp_path: Path) -> None:
    away = tmp_path / "disk"
    (tmp_path / "runs").symlink_to(away)
    for make in (RunFolder.create, RunFolder.create_numbered, RunFolder.check_new):
        with pytest.raises(RunFolderError, match=r"runs is a link to .*disk, which is not there: mount that disk"):
            make(tmp_path / "runs" / "mine")
    assert not away.exists()
    away.mkdir()
    assert RunFolder.create(tmp_path / "runs" / "mine").path == away / "mine"
