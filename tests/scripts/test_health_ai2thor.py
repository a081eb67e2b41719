"""What `selu doctor --world ai2thor` finds, and the profile that it is for."""

from pathlib import Path

import pytest

from scripts.launch import health_ai2thor
from scripts.launch.plan import new_plan
from scripts.launch.preflight import problems
from scripts.selu import main
from tests.models.folders import sound_folder


def test_a_missing_and_an_old_package_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for version, state in ((None, "fail"), ("4.3.0", "fail"), ("5.0.0", "ok")):
        monkeypatch.setattr(health_ai2thor, "version_of", lambda name, v=version: v if name == "ai2thor" else None)
        (finding,) = health_ai2thor.package()
        assert finding.state == state
        assert bool(finding.do) == (state == "fail")


def test_a_player_is_found_where_the_package_puts_it(tmp_path: Path) -> None:
    from ai2thor._builds import COMMIT_ID

    (finding,) = health_ai2thor.player(tmp_path)
    assert finding.state == "warn"
    assert "download_only=True" in finding.do
    folder = tmp_path / ".ai2thor" / "releases" / f"thor-CloudRendering-{COMMIT_ID}"
    folder.mkdir(parents=True)
    (folder / folder.name).touch(mode=0o755)
    (finding,) = health_ai2thor.player(tmp_path)
    assert (finding.state, finding.do) == ("ok", "")


def test_a_missing_vulkan_is_found_and_a_missing_driver_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    assert [one.state for one in health_ai2thor.vulkan()] == ["fail"]
    monkeypatch.setattr(health_ai2thor, "ICD", (str(tmp_path),))
    assert [one.state for one in health_ai2thor.vulkan("libvulkan.so.1")] == ["warn"]
    (tmp_path / "nvidia_icd.json").touch()
    assert [one.state for one in health_ai2thor.vulkan("libvulkan.so.1")] == ["ok"]


def test_the_profile_has_the_papers_settings_and_wants_only_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = new_plan("ai2thor").settings
    assert (settings.world.name, settings.simulator.quota, settings.simulator.max_steps) == ("ai2thor", 1000, 10)
    assert (settings.trainer.actor.learning_rate, settings.trainer.critic.learning_rate) == (2e-5, 2e-6)
    assert main(["up", "--profile", "ai2thor", "--dry-run", "--set", "model.engine=transformers"]) == 2
    assert "/models/llava-v1.6-mistral-7b-hf: " in capsys.readouterr().err
    model = sound_folder(tmp_path / "model")
    given = ["--set", f"model.path={model}", "--set", "model.engine=transformers"]
    assert main(["up", "--profile", "ai2thor", "--dry-run", *given]) == 0
    assert 'name = "ai2thor"' in capsys.readouterr().out


def test_a_world_option_that_cannot_be_is_found_before_a_run() -> None:
    plan = new_plan("ai2thor", overrides=["model.engine=scripted", "world.options.scenes=garage"])
    assert any("garage" in problem for problem in problems(plan))
