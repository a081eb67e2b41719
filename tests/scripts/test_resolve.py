"""A model means the same settings to `up`, `probe`, `experiment` and `doctor`, and is checked by all of them."""

from pathlib import Path
from typing import Any

import pytest

from runtime.settings import SettingsError, load
from scripts.commands import probe
from scripts.launch import health
from scripts.launch.plan import method_file, new_plan, profile_file, profiles
from scripts.launch.preflight import problems
from scripts.launch.resolve import MODELS, named, resolve
from scripts.selu import main
from scripts.trials import plan
from services.models import needs
from services.models.engine import EngineError
from services.models.examine import PACKAGED
from services.setting_kinds import with_absolute_paths
from services.settings import Settings
from tests.models.folders import sound_folder, write_json

KINDS = sorted(file.stem for file in MODELS.glob("*.toml"))
READY = sorted(plan.READY.glob("*.toml"))


@pytest.fixture(autouse=True)
def _packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "_installed", lambda name: True)
    monkeypatch.setattr(needs, "_vllm", lambda: "0.32.0")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings under which `selu probe` would have asked."""
    seen: list[Settings] = []

    async def ask(given: object, settings: Settings, run: object) -> tuple[str, bytes]:
        seen.append(settings)
        raise EngineError("stopped here")

    monkeypatch.setattr(probe, "_probe", ask)
    return seen


def trial(base: str, **fields: Any) -> Settings:
    experiment = plan.Experiment(methods=("selu",), bases=(base,), **fields)
    return plan.trials(experiment, Path("/nowhere"), file=Path("mine.toml"))[0].settings


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_has_the_settings_of_its_family_wherever_it_is_named(
    kind: str, tmp_path: Path, asked: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = sound_folder(tmp_path / "model", kind, text_config={"max_position_embeddings": 3000})
    wanted = new_plan("household", model=folder).settings
    assert main(["probe", "capability", "--model", str(folder)]) == 2
    assert (wanted.trainer.actor.learning_rate, wanted.model.max_model_len) == (2e-5, 3000)
    found = trial(str(folder), rounds=1, quota=1000)
    assert asked[0] == wanted
    assert (found.model, found.trainer) == (wanted.model, wanted.trainer)
    examined: list[Any] = []
    monkeypatch.setattr(health, "examine_model", lambda model, engine: examined.append(model) or [])
    list(health.model_files(folder))
    assert examined == [wanted.model]


def test_what_an_experiment_says_goes_over_the_family_and_the_method_over_that(tmp_path: Path) -> None:
    folder = sound_folder(tmp_path / "model")
    found = trial(str(folder), rounds=3, settings={"trainer": {"actor": {"batch": 5}}})
    assert (found.run.rounds, found.simulator.quota, found.trainer.actor.batch) == (3, 300, 5)
    assert found.trainer.critic.batch == 16


@pytest.mark.parametrize("ready", READY, ids=lambda file: file.stem)
def test_the_experiments_that_ship_have_the_settings_that_their_layers_say(ready: Path, tmp_path: Path) -> None:
    experiment = plan.read(ready)
    for one in plan.trials(experiment, tmp_path, file=ready):
        base = next(base for base, label in plan.labels(experiment.bases).items() if label == one.base)
        variant = experiment.variants.get(one.row, plan.Variant(method=one.row))
        common = {
            "run": {"rounds": experiment.rounds, "seed": one.seed},
            "simulator": {"quota": experiment.quota},
            "evaluator": {"split": experiment.split, "judgement_sets": str(tmp_path / "judgements")},
            "model": {"path": base if base in PACKAGED else str(Path(base).absolute())},
        }
        over = [
            ("common", common),
            ("own", experiment.settings),
            method_file(variant.method),
            ("row", variant.settings),
        ]
        assert one.settings == load(Settings, file=profile_file(experiment.profile), over=over)


@pytest.mark.parametrize("name", ["", *PACKAGED])
def test_a_model_of_this_package_has_the_profiles_settings(name: str) -> None:
    before = load(Settings, file=profile_file("household"), overrides=[f"model.path={name}"])
    assert new_plan("household", model=None if not name else Path(name)).settings == before
    assert trial(name).trainer == before.trainer


def test_a_model_that_this_package_pretrained_has_the_profiles_settings(tmp_path: Path) -> None:
    folder = sound_folder(tmp_path / "small", "idefics3")
    (folder / "stages.json").write_text("[]")
    assert new_plan("household", model=folder).settings.trainer == new_plan("household").settings.trainer


def test_a_model_is_named_by_a_path_that_holds_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    sound_folder(tmp_path / "mine")
    assert named("mine") == named("~/mine") == named(Path("./mine")) == str(tmp_path / "mine")
    assert [named(name) for name in ("", "micro", "Qwen/Qwen2-VL")] == ["", "micro", "Qwen/Qwen2-VL"]
    assert new_plan("household", model=Path("~/mine")).settings.trainer.actor.learning_rate == 2e-5
    sound_folder(tmp_path / "micro")  # a folder of one's own goes before this package's model of that name
    settings = with_absolute_paths(load(Settings, overrides=["model.path=micro"]))
    assert named("micro") == settings.model.path == str(tmp_path / "micro")


@pytest.mark.parametrize("profile", [name for name in profiles() if name != "ai2thor"])
def test_without_a_model_every_profile_can_start_as_far_as_the_model_goes(profile: str, tmp_path: Path) -> None:
    given = ["world.options.mode=graph"] if profile == "virtualhome" else []
    made = new_plan(profile, folder=tmp_path / "run", overrides=given)
    assert not [problem for problem in problems(made) if "model" in problem]


def test_a_length_that_a_person_set_is_refused_where_the_model_takes_less(tmp_path: Path) -> None:
    assert new_plan("virtualhome").settings.model.max_model_len == 2048
    set_by_hand = new_plan("virtualhome", overrides=["world.options.mode=graph", "model.max_model_len = 4096"])
    assert "takes 2048 tokens at most" in "".join(problems(set_by_hand))
    assert trial("micro", settings={"model": {"max_model_len": 4096}}).model.max_model_len == 4096
    assert trial("micro", profile="virtualhome").model.max_model_len == 2048


def test_a_length_is_left_alone_where_the_model_is_somebody_elses_or_cannot_be_read(tmp_path: Path) -> None:
    for overrides in (["model.engine=openai"], ["model.engine=scripted"], [f"model.path={tmp_path}"]):
        assert new_plan("virtualhome", overrides=overrides).settings.model.max_model_len == 4096


@pytest.mark.parametrize("command", ["up", "probe", "experiment"])
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "chat_template.jinja").unlink(), "has no chat template"),
        (
            lambda folder: write_json(folder / "config.json", quantization_config={"quant_method": "awq"}),
            "is quantised",
        ),
        (lambda folder: (folder / "model.safetensors").unlink(), "no *.safetensors"),
    ],
)
def test_a_model_that_cannot_be_used_is_refused_by_every_command_before_anything_starts(
    command: str, spoil: Any, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder = sound_folder(tmp_path / "model")
    spoil(folder)
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(f'methods = ["selu"]\nbases = ["{folder}"]\n')
    given = {
        "up": ["up", "--model", str(folder), "--run", "out"],
        "probe": ["probe", "capability", "--model", str(folder), "--out", "out"],
        "experiment": ["experiment", "mine.toml", "--out", "out"],
    }[command]
    assert main(given) == 2
    told = capsys.readouterr().err
    assert said in told and str(folder) in told and not Path("out").exists()
    (finding, *_) = [one for one in health.model_files(folder) if one.state == "fail"]
    assert said in finding.found and finding.do


def test_a_hub_id_is_told_to_be_fetched_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.toml").write_text('methods = ["selu"]\nbases = ["Qwen/Qwen2-VL-7B"]\n')
    for given in (
        ["up", "--model", "Qwen/Qwen2-VL-7B", "--dry-run"],
        ["probe", "capability", "--model", "Qwen/Qwen2-VL-7B"],
        ["experiment", str(tmp_path / "mine.toml"), "--dry-run"],
    ):
        assert main(given) == 2
        assert "`hf download Qwen/Qwen2-VL-7B --local-dir DIR`" in capsys.readouterr().err


def test_a_setting_that_cannot_be_is_refused_by_name_whatever_the_layer(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"--set model\.max_model_len=many"):
        resolve(profile_file("household"), overrides=["model.max_model_len=many"])
