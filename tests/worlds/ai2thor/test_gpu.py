"""On which GPU AI2-THOR's client starts its player."""

import os

import pytest

from services.worlds import gpu
from tests.worlds.ai2thor.conftest import Start


@pytest.mark.parametrize(("named", "told"), [("3", ["-force-device-index", "3"]), ("", []), ("GPU-1e2f", [])])
def test_the_player_is_told_the_gpu_of_the_run(
    start: Start, monkeypatch: pytest.MonkeyPatch, named: str, told: list[str]
) -> None:
    monkeypatch.setattr(gpu, "installed", tuple)
    monkeypatch.setattr(gpu, "vulkan_order", dict)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    one = start()
    one.reset(None, 0)
    process = one.player.controller.server.unity_proc
    assert [word for word in process.args if word == "-force-device-index"] == told[:1]
    assert not told or process.args[-2:] == told
    assert os.environ["CUDA_VISIBLE_DEVICES"] == named  # a second player is told the same
