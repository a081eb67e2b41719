"""The third-person view: agent and object in the picture, there again after every reset, of the state that is."""

import math

import numpy as np
import pytest

from services.worlds.ai2thor.camera import placed
from services.worlds.ai2thor.simulator import Simulator
from tests.standins.ai2thor.draw import BODY
from tests.standins.ai2thor.rooms import KINDS, Room
from tests.worlds.ai2thor.conftest import Start
from tests.worlds.ai2thor.test_simulator import play, task, unlock

ROOM = Room()
ROOM.load("FloorPlan1_physics")
SPOTS = ROOM.free()


def shows(frame: np.ndarray, colour: tuple[int, ...]) -> bool:
    return bool((frame == colour).all(axis=2).any())


def angle(camera: dict[str, float], x: float, z: float) -> float:
    """How far from the middle of the picture a point is, in degrees."""
    yaw = math.degrees(math.atan2(x - camera["x"], z - camera["z"]))
    return abs((yaw - camera["rotation"] + 180) % 360 - 180)


@pytest.mark.parametrize("where", ["beside", "behind"])
@pytest.mark.parametrize("thing", [one for one in ROOM.things.values() if not one.within], ids=lambda one: one.id)
def test_the_camera_is_in_the_room_and_has_agent_and_object_in_view(thing, where: str) -> None:  # type: ignore[no-untyped-def]
    at = dict(zip("xyz", thing.at, strict=True))
    near = min(SPOTS, key=lambda spot: abs(math.hypot(spot["x"] - at["x"], spot["z"] - at["z"]) - 1))
    facing = math.degrees(math.atan2(at["x"] - near["x"], at["z"] - near["z"]))
    agent = {**near, "rotation": facing, "horizon": 0.0}
    camera = placed(agent, at, SPOTS, where=where, fov=75)
    assert {"x": camera["x"], "y": 0.9, "z": camera["z"]} in SPOTS
    assert 1.5 < camera["y"] < 2.3
    assert 0 < camera["horizon"] < 75
    for x, z in ((near["x"], near["z"]), (at["x"], at["z"])):
        assert angle(camera, x, z) < 37.5 or math.hypot(x - camera["x"], z - camera["z"]) < 0.3


def test_without_places_to_stand_the_camera_is_behind_the_agent() -> None:
    agent = {"x": 1.0, "y": 0.9, "z": -1.0, "rotation": 90.0, "horizon": 0.0}
    camera = placed(agent, None, [], where="beside", fov=75)
    assert camera["x"] == pytest.approx(-0.4)
    assert camera["rotation"] == pytest.approx(90)


def test_the_view_shows_the_agent_and_what_it_acted_on_as_it_is_now(shared: Simulator) -> None:
    shared.reset(task("open:fridge"), 3)
    assert play(shared, "find fridge") == [None]
    closed = shared.third_person()
    assert closed.shape == (96, 96, 3)
    assert closed.flags["C_CONTIGUOUS"]
    assert shows(closed, BODY)
    assert shows(closed, KINDS["Fridge"][2])
    assert not shows(closed, (25, 20, 20))
    assert play(shared, "open fridge") == [None]
    assert shows(shared.third_person(), (25, 20, 20))


def test_what_went_to_pieces_stays_in_view(shared: Simulator) -> None:
    for id in ("slice:tomato", "break:egg"):
        wanted = task(id)
        shared.reset(wanted, 5)
        unlock(shared, wanted.object)
        assert play(shared, f"find {wanted.object}") == [None]
        before = shared.third_person()
        assert play(shared, f"{wanted.verb} {wanted.object}") == [None]
        assert shared.player.thing(shared._last or "") is None
        after = shared.third_person()
        assert shows(after, BODY)
        assert 0 < (before != after).any(axis=2).mean() < 0.1, "from the same place, with something changed in it"


def test_the_camera_is_there_again_after_every_reset(shared: Simulator) -> None:
    views = []
    for seed in (3, 4, 3):
        shared.reset(task("toggle:faucet"), seed)
        assert shared.player._meta["thirdPartyCameras"] == []
        play(shared, "find faucet")
        views.append(shared.third_person().tobytes())
        assert len(shared.player._meta["thirdPartyCameras"]) == 1
        assert views[-1] == shared.third_person().tobytes()
    assert views[0] == views[2] != views[1]


def test_the_view_does_not_depend_on_the_goal(shared: Simulator) -> None:
    views = []
    for id in ("pick:apple", "toggle:faucet"):
        shared.reset(task(id), 5)
        play(shared, "find fridge")
        views.append(shared.third_person().tobytes())
    assert views[0] == views[1]


def test_an_alpha_channel_is_left_out(start: Start) -> None:
    plain, alpha = start(), start(told={"rgba": 1})
    frames = []
    for one in (plain, alpha):
        _, seen = one.reset(None, 2)
        frames.append((seen.frame, one.third_person()))
    for ours, theirs in zip(*frames, strict=True):
        assert ours.shape == theirs.shape == (96, 96, 3)
        assert np.array_equal(ours, theirs)
