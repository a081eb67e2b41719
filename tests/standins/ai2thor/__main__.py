"""The player's process. STANDIN_SECONDS makes every answer take that long, STANDIN_RGBA=1 sends an alpha channel,
STANDIN_PIDS=FILE notes the process's id there."""

import os
import sys
import time
from pathlib import Path
from typing import Any

from tests.standins.ai2thor import wire
from tests.standins.ai2thor.acts import QUERIES, Refused, act
from tests.standins.ai2thor.draw import Frame, look, look_from
from tests.standins.ai2thor.faults import Faults
from tests.standins.ai2thor.rooms import Room, metadata


class Player:
    def __init__(self) -> None:
        self.room = Room()
        self.room.load(self.room.scene)
        self.width, self.height = _argument("-screen-width"), _argument("-screen-height")
        self.alpha = os.environ.get("STANDIN_RGBA") == "1"
        self.seconds = float(os.environ.get("STANDIN_SECONDS", "0"))
        self.faults = Faults()
        self.last: tuple[Frame, list[Frame]] | None = None

    def run(self) -> None:
        self.faults.at_start()
        pipes = os.environ["AI2THOR_SERVER_TYPE"] == "FIFO"
        line = wire.Pipes() if pipes else wire.Posts()
        line.send(*self.answer({"action": "", "sequenceId": 0}, (True, "", "", None), ""))
        while True:
            command = line.receive()
            name = command["action"]
            fault = self.faults.strike(name)
            if fault == "garbage":
                line.nonsense()
            if self.seconds:
                time.sleep(self.seconds)
            result = self.act(command)
            if pipes and name in QUERIES:
                line.send((wire.PATCH, wire.packed(self.patch(command, result))))
            else:
                line.send(*self.answer(command, result, fault))
            if fault == "after":
                os._exit(0)

    def act(self, command: dict[str, Any]) -> tuple[bool, str, str, Any]:
        if command["action"] == "ChangeResolution":
            self.width, self.height = command["x"], command["y"]
        try:
            return True, "", "", act(self.room, command)
        except Refused as refused:
            return False, str(refused), refused.code, None

    def patch(self, command: dict[str, Any], result: tuple[bool, str, str, Any]) -> dict[str, Any]:
        done, why, code, value = result
        return {
            "lastAction": command["action"], "lastActionSuccess": done, "errorMessage": why, "errorCode": code,
            "agentId": 0, "actionReturn": value,
        }  # fmt: skip

    def answer(
        self, command: dict[str, Any], result: tuple[bool, str, str, Any], fault: str
    ) -> list[tuple[int, bytes]]:
        room, agent = self.room, self.room.agent
        cameras = [{"thirdPartyCameraId": i, **camera} for i, camera in enumerate(room.cameras)]
        if fault == "camera" and cameras:
            cameras[0] = {**cameras[0], "position": {"x": 1.9, "y": 2.0, "z": 1.9}}
        held = room.things.get(room.held or "")
        astray = 0.5 if fault == "pose" else 0.0
        meta = {
            **self.patch(command, result), "objects": metadata(room), "sceneName": room.scene, "isSceneAtRest": True,
            "agent": {
                "name": "agent", "position": {"x": agent["x"] + astray, "y": agent["y"], "z": agent["z"]},
                "rotation": {"x": 0.0, "y": agent["yaw"], "z": 0.0}, "cameraHorizon": agent["horizon"],
                "isStanding": True,
            },
            "inventoryObjects": [{"objectId": held.id, "objectType": held.type}] if held else [],
            "thirdPartyCameras": cameras, "screenWidth": self.width, "screenHeight": self.height, "colors": None,
        }  # fmt: skip
        if fault == "scene":
            meta["sceneName"] = "FloorPlan430_physics"
        frame, thirds = self.frames(fault)
        sequence = command["sequenceId"] + (7 if fault == "sequence" else 0)
        top = {"agents": [meta], "thirdPartyCameras": None, "activeAgentId": 0, "sequenceId": sequence}
        if fault == "size":
            meta["screenWidth"] = self.width // 2
            frame, thirds = frame[:, ::2], [one[:, ::2] for one in thirds]
        image = wire.pixels(frame, self.alpha)
        if fault == "cameras" and cameras:
            cameras.append({**cameras[0], "thirdPartyCameraId": 1})
            thirds = [*thirds, *thirds]
        return [
            (wire.METADATA, wire.packed(top)),
            *((wire.THIRD, wire.pixels(one, self.alpha)) for one in thirds),
            (wire.RGB, image[:-7] if fault == "short" else image),
        ]

    def frames(self, fault: str) -> tuple[Frame, list[Frame]]:
        if fault == "stale" and self.last is not None:
            return self.last
        first = look(self.room, self.width, self.height)
        self.last = first, [look_from(self.room, camera, self.width, self.height) for camera in self.room.cameras]
        return self.last


def _argument(name: str) -> int:
    return int(sys.argv[sys.argv.index(name) + 1]) if name in sys.argv else 300


if __name__ == "__main__":
    if note := os.environ.get("STANDIN_PIDS"):
        with Path(note).open("a") as file:
            file.write(f"{os.getpid()}\n")
    Player().run()
