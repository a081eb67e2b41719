"""Which runs an experiment asks for, under which settings, and what is refused."""

import errno
import json
from pathlib import Path

import pytest

from runtime import locks
from runtime.settings import SettingsError, dump, load
from scripts.selu import main
from scripts.trials import plan
from scripts.trials.conduct import Conduct
from services.settings import Settings

READY = sorted(plan.READY.glob("*.toml"))
REPORTS = {"demo", "heldout"}
"""Of those, the ones that choose nothing and say how it turned out."""

FILE = """
about = "Which is best?"
profile = "scripted"
methods = ["base", "selu", "lmsi"]
seeds = [3, 4]
bases = ["", "models/micro"]
rounds = 2
quota = 20

[variants.small]
method = "selu"
settings = {simulator = {quota = 10}}

[settings.evaluator]
tasks = 5
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "best.toml").write_text(FILE)
    return tmp_path / "best.toml"


def planned(file: Path) -> list[plan.Trial]:
    return plan.trials(plan.read(file), file.parent / "out", file=file)


def test_every_row_is_run_for_every_seed_on_every_base_and_once_where_it_learns_nothing(file: Path) -> None:
    names = [trial.name for trial in planned(file)]
    first = ["micro base", "micro selu seed 3", "micro lmsi seed 3", "micro small seed 3"]
    assert names[:4] == first and len(names) == 2 * (1 + 3 * 2) == len(set(names))
    assert names[7] == "micro-2 base"
    assert len({trial.folder for trial in planned(file)}) == len(names)


def test_all_rows_have_the_same_budget_tasks_and_frames_but_for_what_a_row_says(file: Path) -> None:
    trials = planned(file)
    taught = [trial.settings for trial in trials if trial.teaches]
    assert {(settings.run.rounds, settings.simulator.quota) for settings in taught} == {(2, 20), (2, 10)}
    assert {trial.row for trial in trials if trial.settings.simulator.quota == 10} == {"small"}
    assert {str(trial.settings.evaluator) for trial in trials} == {str(trials[0].settings.evaluator)}
    assert {trial.settings.run.seed for trial in trials if trial.teaches} == {3, 4}
    assert all(trial.settings.world == trials[0].settings.world for trial in trials)


def test_a_row_says_what_it_is(file: Path) -> None:
    found = plan.read(file)
    assert plan.about(found, "base").startswith("The base model as it is")
    assert plan.about(found, "small").endswith("guarded; simulator.quota = 10.")


@pytest.mark.parametrize("ready", READY, ids=lambda file: file.stem)
def test_every_experiment_that_ships_can_be_planned_and_only_reports_use_held_out_tasks(
    ready: Path, tmp_path: Path
) -> None:
    found = plan.read(ready)
    assert found.about.endswith("?") and ready.read_text().startswith("# ")
    assert found.split == ("heldout" if ready.stem in REPORTS else "dev")
    trials = plan.trials(found, tmp_path, file=ready)
    assert len({trial.folder for trial in trials}) == len(trials) > len(found.seeds)


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ('methods = ["base"', 'methods = ["bass"', "no method 'bass': give one of base"),
        ("seeds = [3, 4]", "seeds = [3, 3]", "seeds has something twice"),
        ("quota = 20", "quote = 20", "did you mean quota?"),
        ("tasks = 5", "task = 5", "best.toml: settings: there is no setting evaluator.task "),
        ("{quota = 10}", "{quota = 0}", "best.toml: variants.small.settings: simulator.quota = 0 is not allowed"),
        ("[variants.small]", "[variants.lmsi]", "lmsi is a method and a variant"),
        ('about = "Which is best?"', 'split = "heldout"', "say --heldout if that is so"),
        ('"scripted"', '"household"', "no model folder at"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_starts(
    file: Path, was: str, now: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(FILE.replace(was, now))
    out = file.parent / "out"
    assert main(["experiment", str(file), "--out", str(out)]) == 2
    assert said in capsys.readouterr().err and not (out / "trials").exists()


def test_a_trial_begun_with_other_settings_is_refused_and_where_it_ran_does_not_matter(file: Path) -> None:
    trial = planned(file)[1]
    assert not plan.check(trial)
    trial.folder.mkdir(parents=True)
    text = dump(trial.settings)
    (trial.folder / "settings.toml").write_text(text.replace("threads = 1", "threads = 8"))
    assert plan.check(trial)
    (trial.folder / "settings.toml").write_text(text.replace('self_ask = "confirm"', 'self_ask = "off"'))
    with pytest.raises(SettingsError, match=r"critic\.self_ask = 'off', but now critic\.self_ask is to be 'confirm'"):
        plan.check(trial)


def test_a_base_model_that_changed_since_the_beginning_is_refused(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (file.parent / "bases.json").write_text('{"micro": "micro@0123"}')
    assert main(["experiment", str(file), "--out", str(file.parent), "--report"]) == 2
    assert "the base model micro was micro@0123 when" in capsys.readouterr().err


def test_an_experiment_of_the_package_goes_by_its_name_and_others_by_their_file(tmp_path: Path) -> None:
    assert plan.find("methods") == plan.READY / "methods.toml"
    assert plan.name_of(plan.find("methods")) == "methods"
    own = tmp_path / "methods.toml"
    assert plan.find(str(own)) == own and plan.name_of(own) == str(own)


def test_how_fast_runs_go_may_be_said_for_this_machine_and_leaves_what_they_are(file: Path) -> None:
    experiment = plan.read(file)
    here = plan.trials(
        experiment, file.parent / "out", file=file, overrides=["simulator.episodes=200", "model.max_in_flight=128"]
    )
    assert {(t.settings.simulator.episodes, t.settings.model.max_in_flight) for t in here} == {(200, 128)}
    assert [plan.essence(trial.settings) for trial in here] == [plan.essence(trial.settings) for trial in planned(file)]


def test_what_is_compared_cannot_be_said_beside_the_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["experiment", str(file), "--dry-run", "--set"]
    assert main([*given, "simulator.quota=3"]) == 2
    said = capsys.readouterr().err
    assert "--set simulator.quota=3: simulator.quota is part of what is compared: set it in" in said
    assert main([*given, "simulator.episode=3"]) == 2
    assert "simulator.episode is part of what is compared" in capsys.readouterr().err
    assert main([*given, "simulator.episodes=none"]) == 2
    assert "simulator.episodes" in capsys.readouterr().err


def test_rows_with_odd_names_have_a_folder_each(file: Path) -> None:
    names = ["50%", "50#", "50-", "ü/x", "..", "x" * 300, "x" * 299 + "y"]
    variants = "\n".join(f"[variants.{json.dumps(name, ensure_ascii=False)}]" for name in names)
    file.write_text(FILE + variants, encoding="utf-8")
    found = planned(file)
    folders = {trial.folder for trial in found}
    assert len(folders) == len(found)
    for folder in folders:
        assert file.parent / "out" / "trials" in folder.parents and ".." not in folder.parts
        assert max(len(part.encode()) for part in folder.parts) < 200


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "mine."),
        (b"\n\n", "mine."),
        (b"[critic]\nself_ask = 'off'\n", "mine."),
        (b"#\n", "mine."),
        (b"# Asks nothing.\n", "Asks nothing."),
        (b"\xef\xbb\xbf# Asks nothing.\r\n[critic]\r\n", "Asks nothing."),
    ],
)
def test_a_row_is_told_whatever_its_method_s_file_begins_with(file: Path, content: bytes, said: str) -> None:
    method = file.with_name("mine.toml")
    method.write_bytes(content)
    file.write_text(FILE + f"[variants.own]\nmethod = {json.dumps(str(method))}\n")
    text = plan.about(plan.read(file), "own")
    assert f"{text.rstrip('.')}." == said
    method.unlink()
    assert plan.about(plan.read(file), "own") == "mine"


def test_an_experiment_that_was_moved_goes_on_in_its_new_place(file: Path, tmp_path: Path) -> None:
    experiment = plan.read(file)
    before = plan.trials(experiment, tmp_path / "old", file=file)[1]
    before.folder.mkdir(parents=True)
    (before.folder / "settings.toml").write_text(plan.to_toml(before))
    (tmp_path / "old").rename(tmp_path / "new")
    now = plan.trials(experiment, tmp_path / "new", file=file)[1]
    assert plan.check(now)
    (override,) = plan.moved(now)
    loaded = load(Settings, file=now.folder / "settings.toml", overrides=[override])
    assert loaded == now.settings
    assert loaded.evaluator.judgement_sets == str(tmp_path / "new" / "judgements")


def test_a_folder_that_cannot_be_locked_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    file.write_text(FILE.replace('"models/micro"', '"micro-seed1"'))
    conduct = Conduct(plan.read(file), planned(file), file=file, folder=file.parent / "out")
    with pytest.raises(SettingsError, match="cannot lock files"), conduct.locked():
        pass
