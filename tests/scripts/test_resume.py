"""A run goes on under settings that say how it is executed, and under none that say what is learned."""

import json
import shutil
from pathlib import Path

import pytest

from runtime.metrics import Metrics
from runtime.runfolder import RunFolder, RunFolderError
from runtime.settings import SettingsError, dump, load
from scripts.launch.plan import new_plan, resumed_plan
from scripts.launch.resume import record_inputs
from services.models.base_model import same_base_model
from services.settings import Settings

TASKS = '[[task]]\nverb = "open"\nobject = "fridge"\n'


def begun(folder: Path, *overrides: str) -> RunFolder:
    run = RunFolder.create(folder)
    settings = new_plan("scripted", folder=folder, overrides=overrides).settings
    run.write_settings(dump(settings))
    record_inputs(run, settings)
    return run


@pytest.mark.parametrize(
    ("given", "change"),
    [
        ([], "run.rounds=9"),
        ([], "model.device=cpu"),
        ([], "model.max_in_flight=7"),
        ([], "model.gpu_memory=0.9"),
        ([], "simulator.instances=3"),
        ([], "simulator.step_seconds=99"),
        ([], "trainer.threads=1"),
        ([], "mesh.call_seconds=500"),
        ([], "mesh.endpoint=tcp://127.0.0.1:6555"),
        ([], "retention.rounds=3"),
        ([], "metrics.port=9464"),
        ([], "evaluator.judgement_sets=/elsewhere"),
        (
            ["world.name=virtualhome", "world.options.mode=unity", "world.options.connect=a:1"],
            "world.options.connect=b:2",
        ),
        (["world.name=virtualhome"], "world.options.call_seconds=90"),
        (["world.name=ai2thor"], "world.options.display=:1"),
        (["world.name=ai2thor", "world.options.gpu=0"], "world.options.gpu=1"),
        (["world.name=ai2thor"], "world.options.executable=/opt/player"),
    ],
)
def test_how_a_run_is_executed_may_change(tmp_path: Path, given: list[str], change: str) -> None:
    run = begun(tmp_path / "run", *given)
    key, _, value = change.partition("=")
    assert value in dump(resumed_plan(run.path, overrides=[change]).settings), key


@pytest.mark.parametrize(
    ("given", "change", "said"),
    [
        ([], "run.seed=5", r"run\.seed is 0 in .* and cannot become 5"),
        ([], "trainer.actor.learning_rate=0.5", r"trainer\.actor\.learning_rate is .* and cannot become 0\.5"),
        ([], "critic.self_ask=off", r"critic\.self_ask is .* and cannot become 'off'"),
        ([], "simulator.quota=7", r"simulator\.quota is"),
        ([], "world.seeds.dev=1", r"world\.seeds\.dev is 100000000 .* and cannot become 1:"),
        ([], "world.name=virtualhome", r"world\.name is 'household'"),
        (["world.name=ai2thor"], "world.options.fov=60", r"world\.options\.fov is 90\.0 .* and cannot become 60"),
        (
            ["world.name=virtualhome"],
            "world.options.tasks=/x.toml",
            r"world\.options\.tasks is '' .* become '/x\.toml'",
        ),
        ([], "evaluator.tasks=3", r"evaluator\.tasks is"),
    ],
)
def test_what_is_learned_may_not_change_and_only_the_setting_is_named(
    tmp_path: Path, given: list[str], change: str, said: str
) -> None:
    run = begun(tmp_path / "run", *given)
    with pytest.raises(SettingsError, match=said) as error:
        resumed_plan(run.path, overrides=[change])
    assert "{" not in str(error.value) and len(str(error.value)) < 400


def model(folder: Path, config: str = "{}") -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(config)
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.mark.parametrize("served", [False, True], ids=["never served", "served"])
def test_a_model_may_lie_elsewhere_while_it_is_the_same(tmp_path: Path, served: bool) -> None:
    first, second = model(tmp_path / "first"), model(tmp_path / "second")
    other = model(tmp_path / "other", '{"model_type": "llama"}')
    run = begun(tmp_path / "run", "model.engine=transformers", f"model.path={first}")
    assert resumed_plan(run.path, overrides=[f"model.path={second}"]).settings.model.path == str(second)
    with pytest.raises(
        SettingsError, match=r"model\.path is .*first.* the base model would be other@.* instead of first@"
    ):
        resumed_plan(run.path, overrides=[f"model.path={other}"])
    with pytest.raises(SettingsError, match=r"model\.engine is 'transformers'"):
        resumed_plan(run.path, overrides=["model.engine=scripted"])
    if served:
        from services.models.folder import base_model_name

        Metrics(run, "actor-0").write("engine", role="actor", name="transformers", base_model=base_model_name(first))
    shutil.rmtree(first)
    resumed_plan(run.path, overrides=[f"model.path={second}"])
    if served:
        with pytest.raises(SettingsError, match="the base model would be other@"):
            resumed_plan(run.path, overrides=[f"model.path={other}"])


def test_base_models_are_the_same_by_content() -> None:
    assert same_base_model("a@1", "b@1") and same_base_model("scripted", "scripted")
    assert not same_base_model("a@1", "a@2") and not same_base_model("a@remote", "b@remote")


def test_a_file_may_lie_elsewhere_while_it_holds_the_same(tmp_path: Path) -> None:
    first, second, other = (tmp_path / name for name in ("first.toml", "second.toml", "other.toml"))
    first.write_text(TASKS)
    second.write_text(TASKS)
    other.write_text(TASKS.replace("fridge", "drawer"))
    run = begun(tmp_path / "run", "world.name=virtualhome", f"world.options.tasks={first}")
    first.unlink()
    resumed_plan(run.path, overrides=[f"world.options.tasks={second}"])
    with pytest.raises(SettingsError, match=r"world\.options\.tasks: .*other\.toml holds something else"):
        resumed_plan(run.path, overrides=[f"world.options.tasks={other}"])
    first.write_text(other.read_text())
    with pytest.raises(SettingsError, match=r"first\.toml holds something else than when"):
        resumed_plan(run.path)


def test_what_a_run_was_begun_with_is_recorded_once(tmp_path: Path) -> None:
    tasks = tmp_path / "tasks.toml"
    tasks.write_text(TASKS)
    run = begun(tmp_path / "run", "world.name=virtualhome", f"world.options.tasks={tasks}")
    before = json.loads((run.path / "inputs.json").read_text())
    tasks.write_text("")
    record_inputs(run, load(Settings, file=run.settings_file))
    assert json.loads((run.path / "inputs.json").read_text()) == before


def test_a_run_means_the_same_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tasks.toml").write_text(TASKS)
    model(tmp_path / "mine")
    run = begun(Path("run"), "world.name=virtualhome", "world.options.tasks=tasks.toml", "model.path=mine")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    resumed = resumed_plan(run.path).settings
    assert resumed.world.options["tasks"] == f"{tmp_path}/tasks.toml" and resumed.model.path == f"{tmp_path}/mine"


def test_the_home_folder_is_found_wherever_a_path_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.toml").write_text('[model]\nengine = "scripted"\n')
    plan = new_plan("~/mine.toml", method="~/mine.toml", folder=Path("~/runs/x"))
    assert plan.folder == tmp_path / "runs" / "x" and plan.settings.model.engine == "scripted"


def test_a_setting_edited_by_hand_is_held_against_what_the_run_was_begun_with(tmp_path: Path) -> None:
    run = begun(tmp_path / "run", "simulator.quota=12", "mesh.grace_seconds=2")
    text = run.settings_file.read_text()
    run.settings_file.write_text(text.replace("quota = 12", "quota = 13"))
    said = r"simulator\.quota is 13 in .*settings\.toml, and .* was begun with 12: .*put the former value back"
    with pytest.raises(SettingsError, match=said):
        resumed_plan(run.path)
    assert resumed_plan(run.path, overrides=["simulator.quota=12"]).settings.simulator.quota == 12
    run.settings_file.write_text("")
    with pytest.raises(SettingsError, match="was begun with"):
        resumed_plan(run.path)
    run.settings_file.write_text(text.replace("grace_seconds = 2", "grace_seconds = 3"))
    assert resumed_plan(run.path).settings.mesh.grace_seconds == 3


def test_a_run_of_a_version_that_recorded_no_settings_goes_on(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    (run.path / "begun.json").unlink()
    resumed_plan(run.path)
    with pytest.raises(SettingsError, match=r"run\.seed is 0 in .* and cannot become 5"):
        resumed_plan(run.path, overrides=["run.seed=5"])


@pytest.mark.parametrize("left", [None, b""], ids=["missing", "empty"])
def test_a_run_that_lacks_its_log_is_not_begun_again_over_what_it_learned(tmp_path: Path, left: bytes | None) -> None:
    run = begun(tmp_path / "run")
    resumed_plan(run.path)  # stopped before its first message
    (run.adapters / "actor@1-0123456789ab").mkdir()
    if left is not None:
        run.log_file.write_bytes(left)
    with pytest.raises(RunFolderError, match=r"log\.sqlite is (missing|empty), and adapters/ .*: copy log\.sqlite"):
        resumed_plan(run.path)


def test_a_folder_whose_run_has_not_begun_says_so(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run")
    with pytest.raises(RunFolderError, match="has not begun: delete the folder"):
        resumed_plan(run.path)
