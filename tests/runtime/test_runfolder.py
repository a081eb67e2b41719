"""A run folder: made once, opened by its version, held by one launcher, with sockets that fit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.runfolder import SOCKET_BYTES, RunFolder, RunFolderError


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
    with pytest.raises(RunFolderError, match="somebody else"):
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
