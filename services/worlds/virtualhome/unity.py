"""Unity mode: the released client with a player that this process starts, or with one that already runs."""

import errno
import json
import os
import socket
import time
from typing import Any

from services.worlds.gpu import Place, chosen, device_arguments
from services.worlds.virtualhome import client as client_
from services.worlds.virtualhome.graph import Graph
from services.worlds.virtualhome.options import Options
from services.worlds.virtualhome.player import Player, start_player
from services.worlds.virtualhome.simulation import Arrangement
from services.worlds.world import Frame, WorldError

FIRST_PERSON, THIRD_PERSON = -6, -5
"""A character's cameras, counted from the end: the player lists the scene's cameras, then eight for each character."""
_WAIT_SECONDS = 0.2


class UnitySimulation:
    """Implements `Simulation`. A failure kills the player that was started here; the next `load` starts another."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._player: Player | None = None
        self._lease: Lease | None = None
        self._place: Place | None = None
        self._client: Any = None
        self._cameras: int | None = None

    def load(self, scene: int) -> None:
        client = self._client or self._begin()
        self._cameras = None
        failed = f"scene {scene} cannot be loaded"
        self._do(lambda: self._expect(client.reset(scene), failed), self._options.reset_seconds)

    def arrange(self, arrangement: Arrangement) -> None:
        """Changes states only: only the player knows where objects can lie in its scene."""
        if not arrangement.states:
            return

        def expand() -> None:
            success, graph = self._client.environment_graph()
            self._expect(success, "the player gave no scene graph")
            for node in graph["nodes"]:
                if node["id"] in arrangement.states:
                    node["states"] = sorted(arrangement.states[node["id"]])
            self._client.expand_scene(graph)  # a player that refuses leaves the scene unchanged

        self._do(expand, self._options.reset_seconds)

    def add_character(self, room: str) -> bool:
        added = self._do(lambda: bool(self._client.add_character(self._options.character, initial_room=room)))
        self._cameras = None
        return added

    def act(self, line: str) -> str | None:
        success, message = self._do(
            lambda: self._client.render_script([line], recording=False, skip_animation=True, image_synthesis=[])
        )
        return None if success else _reason(message)

    def graph(self) -> Graph:
        return self._do(lambda: client_.read_graph(self._client))

    def first_person(self) -> Frame:
        return self._picture(FIRST_PERSON)

    def third_person(self) -> Frame:
        return self._picture(THIRD_PERSON)

    def _picture(self, camera: int) -> Frame:
        def take() -> Frame:
            count = self._cameras
            if count is None:
                success, count = self._client.camera_count()
                self._expect(success and count >= -FIRST_PERSON, f"the player has {count} cameras")
                self._cameras = count
            return client_.take_picture(self._client, count + camera, self._options.frame)

        return self._do(take)

    def _begin(self) -> Any:
        options = self._options
        if options.addresses:
            self._lease = Lease.take(options.addresses, options.start_seconds)
            host, port = self._lease.address
        else:
            self._place = Place(chosen(options.gpu, os.environ))
            self._player = start_player(
                options.command, display=options.display, seconds=options.start_seconds, tries=options.starts,
                answers=_answers, more=device_arguments(self._place.card),
            )  # fmt: skip
            host, port = "127.0.0.1", self._player.port
        self._client = client_.connect(host, port)
        return self._client

    def _do(self, work: Any, seconds: float | None = None) -> Any:
        """Runs client calls with a limit of ``seconds`` each. Any failure ends the player."""
        if self._client is None:
            raise WorldError("no player is running: call reset first")
        self._client.seconds = seconds or self._options.call_seconds
        try:
            return work()
        except WorldError as error:
            words = self._last_words()
            self.close()
            raise WorldError(f"{error}{words}") from error
        except Exception as error:
            self.close()
            raise WorldError(f"the player's answer cannot be used: {type(error).__name__}: {error}") from error

    def _last_words(self) -> str:
        if self._player is None:
            return ""
        until = time.monotonic() + 1.0
        while self._player.alive and not self._player.listens() and time.monotonic() < until:
            time.sleep(0.02)  # it is about to exit: wait for its exit code
        return "" if self._player.alive else f" ({self._player.last_words()})"

    @staticmethod
    def _expect(success: object, otherwise: str) -> None:
        if not success:
            raise WorldError(otherwise)

    def close(self) -> None:
        self._client = self._cameras = None
        if self._player is not None:
            self._player.kill()
            self._player = None
        if self._place is not None:
            self._place.close()
            self._place = None
        if self._lease is not None:
            self._lease.give_back()
            self._lease = None


def _answers(port: int, seconds: float) -> bool:
    client = client_.connect("127.0.0.1", port)
    client.seconds = seconds
    try:
        return bool(client.post_command({"id": str(time.time()), "action": "idle"})["success"])
    except WorldError:
        return False


def _reason(message: Any) -> str:
    """Returns why a script was refused: the player gives one text for each character, or a single text."""
    if isinstance(message, dict):
        texts = [part.get("message", "") if isinstance(part, dict) else str(part) for part in message.values()]
        return "; ".join(text for text in texts if text and text != "Success")
    return message if isinstance(message, str) else json.dumps(message)


class Lease:
    """One world's exclusive use, on this machine, of a running player. The kernel releases it when the process ends."""

    def __init__(self, address: tuple[str, int], held: socket.socket) -> None:
        self.address, self._held = address, held

    @staticmethod
    def take(addresses: list[tuple[str, int]], seconds: float) -> "Lease":
        """Reserves one of the players. Raises WorldError if all are in use for ``seconds``."""
        until = time.monotonic() + seconds
        while True:
            for host, port in addresses:
                held = socket.socket(socket.AF_UNIX)
                try:
                    held.bind(f"\0selu-virtualhome-{host}-{port}")  # an abstract name: taken while the socket is open
                    return Lease((host, port), held)
                except OSError as error:
                    held.close()
                    if error.errno != errno.EADDRINUSE:
                        raise WorldError(f"cannot reserve the player at {host}:{port}: {error}") from error
            if time.monotonic() > until:
                raise WorldError(
                    f"all {len(addresses)} players of 'connect' are in use by other episodes: start more of them, or "
                    "lower simulator.episodes and evaluator.episodes"
                )
            time.sleep(_WAIT_SECONDS)

    def give_back(self) -> None:
        self._held.close()
