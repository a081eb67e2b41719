"""One Unity player behind ai2thor's Controller: sends actions, and checks that replies belong to this player."""

import signal
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from services.worlds.ai2thor.names import Thing, readable
from services.worlds.ai2thor.options import Options
from services.worlds.ai2thor.start import let_go, start_controller
from services.worlds.reap import end_family
from services.worlds.world import Frame, WorldError

POSITION, ANGLE = 0.05, 1.0
"""Tolerances, in metres and degrees, for a pose to count as the requested one."""
Pose = dict[str, Any]
"""``x``, ``y``, ``z``, ``rotation`` (yaw), ``horizon`` (pitch, down is positive), ``standing``."""


class Refusal(Exception):
    """The player refused an action; the text says why, in words."""


class Player:
    """One player with one scene at a time. All methods but `close` raise `WorldError` if the player failed."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.frame: Frame = np.zeros((options.height, options.width, 3), np.uint8)
        self._scene = ""
        self._expected: Pose | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._server: Any = None
        self.controller: Any = None
        with self._failing("starting"):
            self.controller = start_controller(options, self._started)
        self._meta: dict[str, Any] = self.controller.last_event.metadata

    def _started(self, process: "subprocess.Popen[bytes] | None", server: Any) -> None:
        self._process, self._server = process, server

    # -- state

    @property
    def things(self) -> list[Thing]:
        """The metadata of all objects in the scene."""
        return self._meta["objects"]

    @property
    def scene(self) -> str:
        return self._scene

    @property
    def pose(self) -> Pose:
        agent = self._meta["agent"]
        return {
            **agent["position"], "rotation": agent["rotation"]["y"], "horizon": agent["cameraHorizon"],
            "standing": agent.get("isStanding", True),
        }  # fmt: skip

    def thing(self, id: str) -> Thing | None:
        return next((thing for thing in self.things if thing["objectId"] == id), None)

    # -- actions

    def reset(self, scene: str) -> None:
        """Loads a scene in its initial state: the agent holds nothing, and there is no third-person camera."""
        with self._failing(f"resetting to {scene}"):
            event = self.controller.reset(scene)
            self._scene = self.controller.normalize_scene(scene)
        self._expected = None
        self._accept(event, f"reset to {scene}", moved=True)

    def do(self, action: str, **arguments: Any) -> None:
        """Runs an action. Raises Refusal if the player refuses it."""
        self._accept(self._step(action, arguments), action, moved=False)

    def ask(self, action: str, **arguments: Any) -> Any:
        """Returns the result of an action that changes nothing. Raises Refusal."""
        event = self._step(action, arguments)
        self._meta = event.metadata
        return event.metadata["actionReturn"]

    def go(self, action: str, **arguments: Any) -> None:
        """Runs an action that may move the agent. Raises Refusal."""
        self._expected = None
        self._accept(self._step(action, arguments), action, moved=True)

    def teleport(self, pose: Pose) -> None:
        """Puts the agent at a pose. Raises Refusal if there is no room."""
        event = self._step("TeleportFull", pose)
        self._expected = None
        if off := _difference(self._pose_of(event.metadata), pose):
            raise self._foreign("TeleportFull", f"the agent is not where it was sent ({off})")
        self._accept(event, "TeleportFull", moved=True)

    def view(self, pose: Pose, fov: float) -> Frame:
        """Renders the scene with the agent from a pose (here ``horizon`` is pitch). Adds the camera if needed."""
        where = {
            "position": {axis: pose[axis] for axis in "xyz"},
            "rotation": {"x": pose["horizon"], "y": pose["rotation"], "z": 0.0},
            "fieldOfView": fov,
        }
        what = "the third-person camera"
        if self._meta["thirdPartyCameras"]:
            event = self._step("UpdateThirdPartyCamera", {"thirdPartyCameraId": 0, **where})
        else:
            event = self._step("AddThirdPartyCamera", where)
        self._accept(event, what, moved=False)
        cameras, frames = event.metadata["thirdPartyCameras"], event.third_party_camera_frames
        if len(cameras) != 1 or len(frames) != 1:
            raise self._foreign(what, f"it has {len(frames)} frames of {len(cameras)} cameras instead of 1")
        said = {
            **cameras[0]["position"],
            "rotation": cameras[0]["rotation"]["y"],
            "horizon": cameras[0]["rotation"]["x"],
        }
        if off := _difference(said, pose):
            raise self._foreign(what, f"the camera is not where it was put ({off})")
        return self._copied(frames[0])

    def close(self) -> None:
        """Ends the player, its children, and the client's server."""
        process, self._process = self._process, None
        server, self._server = self._server, None
        if process is not None:
            end_family(process)
        if server is not None:
            let_go(server)

    # -- replies

    def _step(self, action: str, arguments: dict[str, Any]) -> Any:
        try:
            with self._failing(action):
                event = self.controller.step(action=action, **arguments)
        except Refusal:
            self._meta = self.controller.last_event.metadata
            raise
        if not event.metadata["lastActionSuccess"]:
            self._meta = event.metadata
            raise Refusal(readable(event.metadata["errorMessage"] or f"{action} failed"))
        return event

    @contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        """Converts the client's exceptions to WorldError or Refusal."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except ValueError as error:
            if what.startswith(("starting", "resetting")) or self._dead():
                raise self._failure(what, error) from error
            # The client raises ValueError for unknown actions and unusable arguments.
            raise Refusal(readable(str(error))) from None
        except Exception as error:
            raise self._failure(what, error) from error

    def _dead(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _failure(self, what: str, error: BaseException) -> WorldError:
        process = self._process
        if process is not None and process.poll() is None:
            with suppress(subprocess.TimeoutExpired):  # its exit may follow shortly after its pipe closed
                process.wait(timeout=0.2)
        code = process.poll() if process else None
        self.close()
        hint = "; selu doctor --world ai2thor says what this machine lacks" if what == "starting" else ""
        if code is not None and code not in (-signal.SIGKILL, -signal.SIGTERM):
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            return WorldError(f"the player ended while {what} ({how}){hint}")
        if isinstance(error, WorldError):
            return WorldError(f"{error}{hint}")
        cause = error.__context__ if error.__context__ is not None and "running action" in str(error) else error
        said = " ".join(str(cause).split())[:500]
        return WorldError(f"the player failed while {what}: {type(cause).__name__}: {said}{hint}")

    def _accept(self, event: Any, what: str, *, moved: bool) -> None:
        """Stores a reply's metadata and frame. Raises WorldError if the reply cannot be this player's."""
        meta, before = event.metadata, self._meta
        if meta["sceneName"] not in (self._scene, self._scene.removesuffix("_physics")):
            raise self._foreign(what, f"it is of scene {meta['sceneName']}, not {self._scene}")
        if self._expected is not None and not moved and (off := _difference(self._pose_of(meta), self._expected)):
            raise self._foreign(what, f"the agent moved by itself ({off})")
        frame = self._copied(event.frame)
        if moved and _difference(self._pose_of(meta), self._pose_of(before)) and _same(frame, self.frame):
            frame = self._copied(self._step("Pass", {}).frame)
            if _same(frame, self.frame):
                raise self._foreign(what, "the agent moved and its view did not change")
        self.frame = frame
        self._meta = meta
        self._expected = self.pose

    def _foreign(self, what: str, why: str) -> WorldError:
        self.close()
        return WorldError(f"the answer to {what} cannot be this player's: {why}")

    def _pose_of(self, meta: dict[str, Any]) -> Pose:
        agent = meta["agent"]
        return {**agent["position"], "rotation": agent["rotation"]["y"], "horizon": agent["cameraHorizon"]}

    def _copied(self, frame: Any) -> Frame:
        """Copies a frame: the client's is a mirrored view into its buffers and may have an alpha channel."""
        wanted = (self.options.height, self.options.width)
        if frame is None or frame.shape[:2] != wanted or frame.shape[2] not in (3, 4):
            self.close()
            shape = None if frame is None else "x".join(map(str, frame.shape))
            raise WorldError(f"the player sent a frame of {shape} instead of {wanted[0]}x{wanted[1]}")
        return np.ascontiguousarray(frame[:, :, :3])


def _difference(said: Pose, asked: Pose) -> str:
    """Returns how two poses differ beyond the tolerance; empty if they do not. Height is ignored."""
    for axis in "xz":
        if axis in asked and abs(said[axis] - asked[axis]) > POSITION:
            return f"{axis} is {said[axis]:.2f} and not {asked[axis]:.2f}"
    for angle in ("rotation", "horizon"):
        if angle in asked and abs((said[angle] - asked[angle] + 180) % 360 - 180) > ANGLE:
            return f"{angle} is {said[angle]:.0f} and not {asked[angle]:.0f}"
    return ""


def _same(frame: Frame, before: Frame) -> bool:
    """Whether a frame equals the previous one. False for a frame of a single colour, which says nothing."""
    return np.array_equal(frame, before) and bool((frame != frame[0, 0]).any())
