"""Starts ai2thor's Controller so that a player which dies is noticed at once, and never replaced in secret.

The client talks over two FIFOs and without a timeout of its own, under which it would spin on a dead player; whoever
uses this keeps the deadlines from another process (see `services.worlds.process`).
"""

import os
import subprocess
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from services.worlds.ai2thor.options import Options
from services.worlds.world import WorldError

_POLL_SECONDS = 0.05

Started = Callable[["subprocess.Popen[bytes] | None", Any], None]
"""Told the player's process and the client's server as soon as there are any."""


def start_controller(options: Options, started: Started) -> Any:
    """A Controller whose player has loaded its first scene. Raises whatever the client raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package warns of its own escapes and open log files
        from ai2thor.controller import Controller
        from ai2thor.fifo_server import FifoServer

        ready = threading.Event()

        class Once(Controller):
            """A Controller that never starts a second player: the first one's state would be lost unnoticed."""

            def start(self, *args: Any, **kwargs: Any) -> Any:
                if ready.is_set():
                    raise WorldError("the player crashed")
                self.server_start_timeout: Any = None  # with one, a dead player would be read from in a busy loop
                return super().start(*args, **kwargs)

            def _start_unity_thread(self, *args: Any, **kwargs: Any) -> None:
                server: Any = self.server
                try:
                    super()._start_unity_thread(*args, **kwargs)
                finally:
                    started(server.unity_proc, server)
                    if server.unity_proc is not None:
                        watched = (server.unity_proc, (server.server_pipe_path, server.client_pipe_path), ready)
                        threading.Thread(target=_unblock, args=watched, daemon=True).start()

        try:
            return Once(server_class=FifoServer, server_timeout=None, **_arguments(options))
        finally:
            ready.set()


def _arguments(options: Options) -> dict[str, Any]:
    # With it set, the client asks vulkaninfo which GPU to use; an explicit choice is `gpu`.
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    arguments: dict[str, Any] = {
        "scene": options.scene_names[0], "width": options.width, "height": options.height, "quality": options.quality,
        "visibilityDistance": options.visibility, "gridSize": options.grid, "fieldOfView": options.fov,
        "snapToGrid": False,
    }  # fmt: skip
    if options.gpu >= 0:
        arguments["gpu_device"] = options.gpu
    display = options.display or os.environ.get("DISPLAY", "")
    if options.executable:
        # A player that draws without a display is not disturbed by one that is not there.
        return {**arguments, "local_executable_path": options.executable, "x_display": display or ":0"}
    if display and options.platform == "Linux64":
        arguments["x_display"] = display
    return {**arguments, "platform": options.platform}


def _unblock(process: "subprocess.Popen[bytes]", pipes: tuple[str, str], ready: threading.Event) -> None:
    """Opening a FIFO waits for its other side, which a player that has died will never open: opens it in its place.

    The client then reads the end of the pipe, and says that the player has exited.
    """
    while process.poll() is None:
        if ready.wait(_POLL_SECONDS):
            return
    while not ready.is_set():
        for pipe, way in zip(pipes, (os.O_WRONLY, os.O_RDONLY), strict=True):
            with suppress(OSError):
                os.close(os.open(pipe, way | os.O_NONBLOCK))
        time.sleep(_POLL_SECONDS)
