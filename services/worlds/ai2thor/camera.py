"""Chooses the pose of the third-person camera: inside the room, with the agent and its object in view."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.worlds.ai2thor.navigation import Spot
from services.worlds.ai2thor.player import Pose

HEIGHT = 0.9
"""The camera's height above the agent's centre, in metres: above heads and tables, below ceilings."""
AHEAD = 1.0
"""If the agent acts on nothing, the camera shows it with the floor this far ahead of it, in metres."""
BEST = 1.9
"""The best distance from the midpoint between agent and object, in metres."""
CLOSEST = 0.8
"""The least distance from the camera to the agent or the object, in metres."""
APART = 12.0
"""The least angle between agent and object in degrees; below it, one hides the other."""
BEHIND = 1.4
"""The camera's distance behind the agent's back, in metres."""


def placed(agent: Pose, object: Spot | None, spots: Sequence[Spot], *, where: str, fov: float) -> Pose:
    """Returns the camera's pose; ``horizon`` is its pitch. ``spots`` are the agent's reachable positions in the
    room."""
    yaw = math.radians(agent["rotation"])
    if object is None:
        object = {"x": agent["x"] + AHEAD * math.sin(yaw), "y": agent["y"], "z": agent["z"] + AHEAD * math.cos(yaw)}
    middle = {axis: (agent[axis] + object[axis]) / 2 for axis in "xyz"}
    back = {"x": agent["x"] - BEHIND * math.sin(yaw), "z": agent["z"] - BEHIND * math.cos(yaw)}
    stand = back
    if spots:
        places = np.array([(spot["x"], spot["z"]) for spot in spots], float)
        if where == "behind":
            stand = _nearest(places, back)
        else:
            costs = _costs(places, agent, object, middle, fov)
            stand = _spot(places[int(np.argmin(costs))])
    height = agent["y"] + HEIGHT
    away = math.hypot(middle["x"] - stand["x"], middle["z"] - stand["z"])
    return {
        "x": stand["x"], "y": height, "z": stand["z"],
        "rotation": math.degrees(math.atan2(middle["x"] - stand["x"], middle["z"] - stand["z"])) % 360,
        "horizon": math.degrees(math.atan2(height - middle["y"], max(away, 0.1))),
    }  # fmt: skip


def _costs(places: NDArray[np.float64], agent: Spot, object: Spot, middle: Spot, fov: float) -> NDArray[np.float64]:
    """Returns the cost of each place: penalties for a distance other than `BEST`, for being closer than `CLOSEST`,
    for one of the two hiding the other, and for an angle too wide for the picture."""
    to_agent, to_object, to_middle = (
        np.array((point["x"], point["z"])) - places for point in (agent, object, middle)
    )  # fmt: skip
    far = np.hypot(*to_middle.T)
    near = np.minimum(np.hypot(*to_agent.T), np.hypot(*to_object.T))
    angles = [np.degrees(np.arctan2(to[:, 0], to[:, 1])) for to in (to_agent, to_object)]
    apart = np.abs((angles[0] - angles[1] + 180) % 360 - 180)
    costs = np.abs(far - BEST)
    costs += 10 * np.maximum(CLOSEST - near, 0)
    costs += np.where(apart < APART, 2.0, 0.0)
    return costs + np.maximum(apart - 0.7 * fov, 0) / 5


def _nearest(places: NDArray[np.float64], to: Spot) -> Spot:
    return _spot(places[int(np.argmin(np.hypot(places[:, 0] - to["x"], places[:, 1] - to["z"])))])


def _spot(place: NDArray[np.float64]) -> Spot:
    return {"x": float(place[0]), "z": float(place[1])}
