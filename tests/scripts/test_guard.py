"""The launcher's guard: what a run needs on the disk beside its log is there, is made again, or ends the run."""

import shutil
from pathlib import Path

import pytest

from runtime.access import Access
from runtime.keys import read_key
from runtime.runfolder import RunFolder
from scripts.launch.guard import Guard
from scripts.launch.show import Show


class Told(Show):
    def __init__(self) -> None:
        self.events: list[str] = []

    def event(self, text: str) -> None:
        self.events.append(text)


@pytest.fixture
def run(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_path))
    run = RunFolder.create(short_path / "run")
    run.listen_at()
    for name in ("actor-0", "critic-0"):
        run.keys.make(name, name[:-2])
    return run


@pytest.mark.parametrize("what", ["everything", "the folder's files", "one key", "the list"])
def test_keys_that_something_removed_are_made_again_as_they_were(run: RunFolder, what: str) -> None:
    guard, told = Guard(run, show := Told()), show.events
    before = {file.name: file.read_bytes() for file in run.keys.path.iterdir() if file.name != ".lock"}
    private = run.private
    assert private is not None and guard.look() == "" and told == []
    match what:
        case "everything":
            shutil.rmtree(private)
        case "the folder's files":
            for file in private.iterdir():
                file.unlink()
        case "one key":
            run.key_of("actor-0").unlink()
        case _:
            run.keys.allowed_file.unlink()
    assert guard.look() == ""
    assert len(told) == 1 and "made again" in told[0]
    assert {file.name: file.read_bytes() for file in run.keys.path.iterdir() if file.name != ".lock"} == before
    assert run.key_of("actor-0").stat().st_mode & 0o077 == 0
    assert guard.look() == "" and len(told) == 1


def test_a_key_that_was_revoked_stays_away_and_one_that_was_made_comes_back(run: RunFolder) -> None:
    guard = Guard(run, Told())
    run.keys.make("anna", "observer")
    ticket = read_key(run.key_of("anna")).proof
    run.keys.revoke("critic-0")
    guard.look()
    assert run.private is not None
    shutil.rmtree(run.private)
    guard.look()
    assert not run.key_of("critic-0").exists() and read_key(run.key_of("anna")).proof == ticket
    assert Access([run.keys.allowed_file]).lets_in(ticket)


def test_a_run_folder_that_is_gone_ends_the_run_with_a_sentence(run: RunFolder) -> None:
    guard = Guard(run, Told())
    run.stop_listening()
    shutil.rmtree(run.path)
    assert guard.look() == f"the run folder {run.path} is gone: it was deleted or moved while the run was in it"
