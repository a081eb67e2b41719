"""`selu doctor RUN` finds what was done to a run folder, and --repair mends it without losing anything."""

import errno
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from protocols.codec import digest as digest_of
from protocols.messages import Adapter, Trajectory
from runtime.blobs import BlobStore
from runtime.log import Log, Mark
from runtime.runfolder import RunFolder
from scripts.selu import main
from tests.trainer.story import Story
from tests.upkeep.folder import make_run


@pytest.fixture
def told(tmp_path: Path) -> tuple[RunFolder, Story]:
    return make_run(tmp_path / "run")


Findings = dict[str, tuple[str, str]]
Doctor = Callable[..., tuple[int, Findings]]


@pytest.fixture
def doctor(told: tuple[RunFolder, Story], capsys: pytest.CaptureFixture[str]) -> Doctor:
    def look(*options: str) -> tuple[int, Findings]:
        code = main(["doctor", str(told[0].path), "--json", *options])
        findings: Findings = {}
        for row in json.loads(capsys.readouterr().out):
            known = findings.get(row["what"], (row["state"], ""))
            findings[row["what"]] = (row["state"], f"{known[1]}{row['found']}\n")
            assert row["state"] == "ok" or row["do"]
        return code, findings

    return look


def rows(run: RunFolder) -> list[tuple[object, ...]]:
    log = Log(run.log_file, readonly=True)
    found = [(record.offset, record.topic, record.id, record.envelope) for record in log.read()]
    log.close()
    return found


def frame(story: Story) -> str:
    return next(e.final_frame for e in story.events if isinstance(e, Trajectory) and e.final_frame)


def unpack(run: RunFolder, story: Story) -> Path:
    """An adapter as an engine reads it."""
    adapter = next(e for e in story.events if isinstance(e, Adapter))
    folder = run.adapters / f"{adapter.role}@{adapter.version}-{adapter.digest[:12]}"
    folder.mkdir()
    for name, digest in adapter.files.items():
        (folder / name).write_bytes(BlobStore(run.blobs).get(digest))
    return folder


def test_a_sound_folder_is_found_sound_and_repair_changes_nothing(
    told: tuple[RunFolder, Story], doctor: Doctor
) -> None:
    unpack(*told)
    code, findings = doctor()
    assert code == 0 and {state for state, _ in findings.values()} == {"ok"}
    assert "none lost" in findings["rounds"][1] and "1 unpacked" in findings["adapters"][1]
    before = {path: path.stat().st_mtime_ns for path in told[0].blobs.rglob("*")}
    code, findings = doctor("--repair")
    assert code == 0 and "repaired" not in findings
    assert before == {path: path.stat().st_mtime_ns for path in told[0].blobs.rglob("*")}


@pytest.mark.parametrize(
    ("statement", "what", "said"),
    [
        ("DELETE FROM messages WHERE topic = 'verdicts' AND id LIKE 'r2-00003/%'", "log", "of the offsets 1 to"),
        ("DELETE FROM messages WHERE topic = 'trajectories' AND id = 'r1-00002'", "rounds", "r1-00002"),
        ("UPDATE messages SET envelope = x'93' WHERE topic = 'relabels'", "messages", "on relabels"),
        (
            "UPDATE messages SET id = 'r9-00001' WHERE id = 'r1-00001' AND topic = 'trajectories'",
            "messages",
            "r9-00001",
        ),
        ("UPDATE messages SET topic = 'gossip' WHERE id = 'r1/collect'", "messages", "gossip"),
        ("INSERT INTO committed VALUES ('mine', 'gossip', 1)", "groups", "mine reads gossip"),
    ],
)
def test_a_log_that_was_tampered_with_is_found(
    told: tuple[RunFolder, Story], doctor: Doctor, statement: str, what: str, said: str
) -> None:
    with sqlite3.connect(told[0].log_file) as log:
        log.execute(statement)
    log.close()
    before = rows(told[0])
    code, findings = doctor("--repair")
    assert code == 1 and findings[what][0] == "fail" and said in findings[what][1]
    assert rows(told[0]) == before


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9])
def test_a_log_that_was_cut_short_is_found(told: tuple[RunFolder, Story], doctor: Doctor, kept: float) -> None:
    os.truncate(told[0].log_file, int(told[0].log_file.stat().st_size * kept))
    code, findings = doctor()
    assert code == 1 and findings["log"][0] == "fail"


def test_missing_frames_and_adapter_files_are_named(told: tuple[RunFolder, Story], doctor: Doctor) -> None:
    run, story = told
    adapter = next(e for e in story.events if isinstance(e, Adapter))
    blobs = BlobStore(run.blobs)
    for digest in (frame(story), *adapter.files.values()):
        blobs.path(digest).unlink()
    code, findings = doctor()
    assert code == 1 and findings["blobs"][0] == "fail"
    assert "2 missing" in findings["blobs"][1] and "(critic@1)" in findings["blobs"][1]
    assert f"{frame(story)[:12]} (a frame of round 1)" in findings["blobs"][1]


def test_a_damaged_blob_is_set_aside_and_can_be_written_again(told: tuple[RunFolder, Story], doctor: Doctor) -> None:
    run, story = told
    blobs, digest = BlobStore(run.blobs), frame(story)
    whole = blobs.get(digest)
    blobs.path(digest).write_bytes(whole[:-1])
    code, findings = doctor()
    assert code == 1 and digest in findings["digests"][1]
    code, findings = doctor("--repair")
    assert code == 1 and findings["digests"][0] == "ok" and "1 missing" in findings["blobs"][1]
    assert (run.path / "damaged" / digest).read_bytes() == whole[:-1]
    assert blobs.put(whole) == digest
    assert doctor()[0] == 0


def test_a_damaged_copy_of_an_adapter_is_removed_and_nothing_is_lost(
    told: tuple[RunFolder, Story], doctor: Doctor
) -> None:
    folder = unpack(*told)
    next(folder.iterdir()).write_bytes(b"half")
    code, findings = doctor()
    assert code == 1 and folder.name in findings["adapters"][1]
    code, findings = doctor("--repair")
    assert code == 0 and not folder.exists() and folder.name in findings["repaired"][1]


def test_an_adapters_blob_is_restored_from_its_unpacked_copy_and_the_last_copy_is_never_removed(
    told: tuple[RunFolder, Story], doctor: Doctor
) -> None:
    run, story = told
    folder, blobs = unpack(run, story), BlobStore(run.blobs)
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    blobs.path(digest_of(whole)).unlink()
    assert doctor()[0] == 1
    code, findings = doctor("--repair")
    assert code == 0 and "restored blob" in findings["repaired"][1] and blobs.get(digest_of(whole)) == whole
    blobs.path(digest_of(whole)).write_bytes(b"damaged")
    file.write_bytes(whole + b"damaged too")
    code, findings = doctor("--repair")
    assert code == 1 and file.exists() and "and so are its blobs" in findings["adapters"][1]


def test_a_file_that_is_not_ours_stays(told: tuple[RunFolder, Story], doctor: Doctor) -> None:
    strange = told[0].blobs / "notes.txt"
    strange.write_text("mine")
    assert doctor("--repair")[0] == 0 and strange.exists()


def test_what_killed_processes_leave_is_found_and_removed(told: tuple[RunFolder, Story], doctor: Doctor) -> None:
    run, _ = told
    folder = next(run.blobs.iterdir())
    left = [
        folder / f".{folder.name}123456-{'0' * 32}",
        run.adapters / ".training-critic@4",
        run.adapters / f".critic@4-0123456789ab-{'0' * 32}",
        run.settings_file.with_suffix(".part"),
        run.path / ".summary.json.4711",
        run.path / ".settings.toml.0a1b2c3d.part",
    ]
    for path in left:
        if path.parent == run.adapters:
            path.mkdir()
            (path / "weights").write_bytes(b"half")
        else:
            path.write_bytes(b"half")
    run.metrics_file.write_text('{"time": 1.0, "kind": "a"}\n{"time": 2.0, "ki')
    run.listen_at()
    sockets = run.sockets_link.readlink()
    code, findings = doctor()
    assert code == 0 and findings["leftovers"][0] == "warn"
    code, findings = doctor("--repair")
    assert code == 0 and findings["leftovers"][0] == "ok"
    assert len(findings["repaired"][1].splitlines()) == len(left) + 2
    assert not any(path.exists() for path in (*left, sockets, run.endpoints_file))
    assert run.metrics_file.read_text().endswith('"ki\n')


def test_groups_beyond_a_log_that_was_set_back_are_taken_back_to_its_end(
    told: tuple[RunFolder, Story], doctor: Doctor
) -> None:
    log = Log(told[0].log_file)
    tail = log.tail()
    log.write([], [Mark("critic", "trajectories", tail + 40, (tail + 42,)), Mark("mine", "verdicts", 3, (5, tail + 9))])
    log.close()
    code, findings = doctor()
    assert code == 1 and f"the log ends at {tail}" in findings["groups"][1]
    assert doctor("--repair")[0] == 0
    log = Log(told[0].log_file)
    assert log.marks() == [Mark("critic", "trajectories", tail, ()), Mark("mine", "verdicts", 3, (5,))]
    log.close()


def test_a_folder_in_use_is_looked_at_and_never_repaired(
    told: tuple[RunFolder, Story], doctor: Doctor, capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = told
    left = run.settings_file.with_suffix(".part")
    left.write_bytes(b"half")
    with run.locked():
        code, findings = doctor()
        assert code == 0 and "in use" in findings["processes"][1] and findings["leftovers"][0] == "ok"
        assert main(["doctor", str(run.path), "--repair"]) == 2
    assert "in use by another launcher" in capsys.readouterr().err
    assert left.exists()


def test_what_this_user_may_not_read_is_a_finding_among_the_others(
    told: tuple[RunFolder, Story], doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(told[0].path / "evaluation" / "x.jsonl"))

    monkeypatch.setattr("scripts.upkeep.inspect._torn", refused)
    code, findings = doctor()
    assert code == 0 and findings["leftovers"][0] == "warn" and "x.jsonl': Permission" in findings["leftovers"][1]
    assert findings["blobs"][0] == findings["adapters"][0] == "ok"


def test_settings_that_do_not_read_and_no_run_at_all_are_told(
    told: tuple[RunFolder, Story], doctor: Doctor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told[0].settings_file.write_text("[run]\nseeed = 1\n")
    code, findings = doctor()
    assert code == 1 and "did you mean seed?" in findings["settings"][1]
    shutil.rmtree(told[0].path / "logs")
    assert main(["doctor", str(tmp_path)]) == 2
    assert main(["doctor", "--repair"]) == 2
    assert "needs a run's folder" in capsys.readouterr().err
