"""The way a release is started that the package has fetched: from its folder, rendering without a display."""

import shlex
from pathlib import Path

import pytest

from services.worlds.ai2thor.simulator import Simulator
from services.worlds.world import WorldError
from tests.standins.ai2thor.command import standin


def release(home: Path, **told: object) -> None:
    """Puts a stand-in where the package keeps its player."""
    from ai2thor.build import COMMIT_ID

    name = f"thor-CloudRendering-{COMMIT_ID}"
    folder = home / ".ai2thor" / "releases" / name
    folder.mkdir(parents=True)
    (folder / "metadata.json").write_text('{"server_types": ["FIFO", "WSGI"]}')
    player = folder / name
    player.write_text(f'#!/bin/sh\nexec {shlex.join(shlex.split(standin(**told)))} "$@"\n')
    player.chmod(0o755)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr("ai2thor.platform.CloudRendering.validate", lambda request: [])
    return tmp_path


def test_a_fetched_player_renders_without_a_display(home: Path) -> None:
    release(home, rgba=1)
    one = Simulator(scenes="1", width=320, height=240)
    try:
        task, seen = one.reset(None, 1)
        assert task.verb
        assert seen.frame.shape == one.third_person().shape == (240, 320, 3)
        assert one.step("find fridge")[0].error is None
    finally:
        one.close()


def test_a_fetched_player_that_ends_at_once_is_named(home: Path) -> None:
    release(home, fault="start@")
    with pytest.raises(WorldError, match=r"ended while starting \(exit code 9\)"):
        Simulator(scenes="1")


def test_where_nothing_can_render_the_world_says_what_is_missing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release(home)
    monkeypatch.setattr("ai2thor.platform.CloudRendering.validate", lambda request: ["Vulkan API driver missing."])
    with pytest.raises(WorldError, match=r"failed while starting: .*Vulkan API driver missing.*selu doctor"):
        Simulator(scenes="1")
