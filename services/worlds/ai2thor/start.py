"""Starts ai2thor's Controller, detects a player that crashes or hangs, and never silently replaces a player.

The client communicates over two named pipes or over HTTP. With pipes it has no usable timeout: it would spin on a
crashed player. The caller enforces all deadlines but the start's from another process (`services.worlds.process`).
"""

import os
import queue
import subprocess
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from services.worlds.ai2thor.options import Options
from services.worlds.gpu import Place, chosen, device_arguments
from services.worlds.reap import end_family
from services.worlds.world import WorldError

_POLL_SECONDS = 0.05
_CLOSE_SECONDS = 2.0
"""How long the thread that listens for a player may take to end."""

Started = Callable[["subprocess.Popen[bytes] | None", Any], None]
"""Called with the player's process and the client's server as soon as they exist."""


def start_controller(options: Options, started: Started) -> Any:
    """Returns a Controller whose player has loaded its first scene. Also raises the client's own exceptions.

    Raises:
        WorldError: the player did not start within ``start_seconds`` and was killed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package causes warnings about string escapes and open log files
        from ai2thor.controller import Controller
        from ai2thor.fifo_server import FifoServer
        from ai2thor.wsgi_server import WsgiServer

        ready, late = threading.Event(), threading.Event()
        served: list[Any] = []
        watchers: list[threading.Thread] = []

        class Once(Controller):
            """A Controller that never starts a second player, because the first one's state would be lost silently."""

            def start(self, *args: Any, **kwargs: Any) -> Any:
                if served:
                    self.server: Any = served[0]  # the client has dropped it, but uses it at exit
                    raise WorldError("the player crashed")
                self.server_start_timeout: Any = None  # a timeout makes the client spin on a crashed player
                return super().start(*args, **kwargs)

            def unity_command(self, *args: Any, **kwargs: Any) -> list[str]:
                # The client would run vulkaninfo, fail without it, and trust a result from another machine.
                card, self.gpu_device = self.gpu_device, None
                command: list[str] = super().unity_command(*args, **kwargs)
                self.gpu_device: Any = card
                return [*command, *device_arguments(card)]

            def _build_server(self, *args: Any, **kwargs: Any) -> None:
                super()._build_server(*args, **kwargs)
                if isinstance(self.server, WsgiServer):
                    _hear_errors(self.server)

            def _start_unity_thread(self, *args: Any, **kwargs: Any) -> None:
                server: Any = self.server
                served.append(server)
                try:
                    super()._start_unity_thread(*args, **kwargs)
                finally:
                    started(server.unity_proc, server)
                    if server.unity_proc is not None:
                        watched = (server, options.start_seconds, ready, late)
                        watchers.append(threading.Thread(target=_watch, args=watched, daemon=True))
                        watchers[0].start()

        kind = FifoServer if options.server == "fifo" else WsgiServer
        place = Place(chosen(options.gpu, os.environ))
        arguments = _arguments(options, place)
        # If it is set, the client uses its first entry and fails if that is not a number.
        hidden = os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        try:
            controller: Any = Once(server_class=kind, server_timeout=None, **arguments)
            controller.place = place  # keeps the reservation as long as the player
            return controller
        except Exception as error:
            if late.is_set():
                other = "; world.options.server = 'wsgi' does without its named pipes" if kind is FifoServer else ""
                raise WorldError(f"the player did not start within {options.start_seconds:g} s{other}") from error
            raise
        finally:
            if hidden is not None:
                os.environ["CUDA_VISIBLE_DEVICES"] = hidden
            ready.set()
            for watcher in watchers:
                watcher.join()


def _arguments(options: Options, place: Place | None = None) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "scene": options.scene_names[0], "width": options.width, "height": options.height, "quality": options.quality,
        "visibilityDistance": options.visibility, "gridSize": options.grid, "fieldOfView": options.fov,
        "snapToGrid": False,
    }  # fmt: skip
    card = (place or Place(chosen(options.gpu, os.environ))).card
    if card is not None:
        arguments["gpu_device"] = card
    display = options.display or os.environ.get("DISPLAY", "")
    if options.executable:
        # A player that renders without a display ignores a display that does not exist.
        return {**arguments, "local_executable_path": options.executable, "x_display": display or ":0"}
    if display and options.platform == "Linux64":
        arguments["x_display"] = display
    return {**arguments, "platform": options.platform}


def _watch(server: Any, seconds: float, ready: threading.Event, late: threading.Event) -> None:
    """Kills a player that is not ``ready`` in time, and makes the client notice a player that has exited.

    Opening a named pipe blocks until the other side opens it, which an exited player never does. This function opens it
    instead; the client then reads the end of the pipe and reports that the player has exited.
    """
    process, until = server.unity_proc, time.monotonic() + seconds
    while process.poll() is None:
        if ready.wait(_POLL_SECONDS):
            return
        if time.monotonic() > until:
            late.set()
            end_family(process)
    if server.server_type != "FIFO":
        return
    while not ready.is_set():
        for pipe, way in ((server.server_pipe_path, os.O_WRONLY), (server.client_pipe_path, os.O_RDONLY)):
            with suppress(OSError):
                os.close(os.open(pipe, way | os.O_NONBLOCK))
        time.sleep(_POLL_SECONDS)


def _hear_errors(server: Any) -> None:
    """Makes the client's HTTP server raise request errors at once; otherwise its caller would keep waiting."""
    receive, loop = server.receive, server.wsgi_server.serve_forever

    @server.app.errorhandler(Exception)
    def unread(error: Exception) -> Any:
        if getattr(error, "code", None) == 403:  # the request of another client's player, which has another token
            return error
        with suppress(queue.Full):
            server.request_queue.put_nowait(error)
        return "", 500

    def heard(*args: Any, **kwargs: Any) -> Any:
        event = receive(*args, **kwargs)
        if isinstance(event, Exception):
            server.stopped = True  # no stop message is to be sent
            raise event
        return event

    server.receive = heard
    server._start_server_thread = lambda: loop(poll_interval=_POLL_SECONDS)


def let_go(server: Any) -> None:
    """Closes the server of an exited player: two pipes and their folder, or a port and its thread."""
    if server.server_type == "FIFO":
        for pipe in (server.client_pipe, server.server_pipe):
            with suppress(OSError, AttributeError):
                pipe.close()
        server.tmp_dir.cleanup()
        return
    server.stopped = True  # otherwise the client sends it a message at exit
    with suppress(queue.Full):
        server.response_queue.put_nowait({})  # its thread may wait for an action
    if server.started:
        stop = threading.Thread(target=server.wsgi_server.shutdown, daemon=True)
        stop.start()
        stop.join(_CLOSE_SECONDS)
        server.server_thread.join(_CLOSE_SECONDS)
    server.wsgi_server.server_close()
