"""Replaying a log gives the datasets that were recorded, and names the trajectory where it does not."""

import json
import sqlite3
from pathlib import Path

import msgspec
import pytest

from protocols.codec import unseal
from protocols.messages import Verdict
from runtime.runfolder import RunFolder
from runtime.settings import dump
from scripts.selu import main
from services.settings import Trainer
from tests.upkeep.folder import SETTINGS, append, make_run


def replayed(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, str]]:
    code = main(["replay", str(run.path), "--json"])
    return code, {row["adapter"]: row["difference"] for row in json.loads(capsys.readouterr().out)}


def test_an_untouched_log_gives_the_recorded_datasets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, _ = make_run(tmp_path / "run")
    code, differences = replayed(run, capsys)
    assert code == 0
    assert differences == {f"{role}@{n}": "" for n in (1, 2, 3) for role in ("critic", "actor")}
    assert main(["replay", str(run.path)]) == 0
    assert "all 6 datasets are those that were recorded" in capsys.readouterr().out


def test_an_adapter_that_both_roles_share_is_followed_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shared = msgspec.structs.replace(SETTINGS, trainer=Trainer(shared=True))
    run, _ = make_run(tmp_path / "run", shared)
    code, differences = replayed(run, capsys)
    assert code == 0 and len(differences) >= 2
    with sqlite3.connect(run.log_file) as log:
        log.execute("UPDATE messages SET id = 'actor@8' WHERE topic = 'adapters' AND id = 'actor@1'")
    log.close()
    code, differences = replayed(run, capsys)
    assert code == 1 and "actor@8" in differences["actor@1"]


def test_a_changed_verdict_is_found_in_the_first_set_it_reaches_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, story = make_run(tmp_path / "run")
    first = next(e for e in story.events if isinstance(e, Verdict) and e.round == 2 and e.critic_version == 1)
    turned = msgspec.structs.replace(first, success=not first.success)
    id = f"{first.trajectory}/task/c1"
    with sqlite3.connect(run.log_file) as log:
        changed = append("verdicts", id, turned).envelope
        assert unseal(changed).body == turned
        log.execute("UPDATE messages SET envelope = ? WHERE topic = 'verdicts' AND id = ?", (changed, id))
    log.close()
    code, differences = replayed(run, capsys)
    assert code == 1
    assert differences["critic@1"] == differences["actor@1"] == ""
    assert differences["critic@2"].startswith(f"{first.trajectory} differs first")


def test_a_missing_verdict_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, _ = make_run(tmp_path / "run")
    with sqlite3.connect(run.log_file) as log:
        log.execute("DELETE FROM messages WHERE topic = 'verdicts' AND id LIKE 'r1-00004/task/%'")
    log.close()
    code, differences = replayed(run, capsys)
    assert code == 1 and "r1-00004" in differences["critic@1"]


def test_other_settings_than_those_it_was_trained_under_are_a_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = make_run(tmp_path / "run")
    run.write_settings(dump(msgspec.structs.replace(SETTINGS, trainer=Trainer(relabels="off"))))
    code, differences = replayed(run, capsys)
    assert code == 1 and "differs first" in "".join(differences.values())


def test_a_folder_without_a_log_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunFolder.create(tmp_path / "run")
    run.write_settings(dump(SETTINGS))
    assert main(["replay", str(run.path)]) == 2
    assert "no log at" in capsys.readouterr().err
