"""A stand-in for VirtualHome's Unity player: its HTTP protocol, with the package's graph executor behind it.

    python player.py -batchmode -http-port=8080 -logFile FILE

Requests are POSTed JSON, ``{id, action, intParams, stringParams}``; replies are ``{id, success, message, value,
message_list}``. Frames are drawn from the graph. What goes wrong is said by the environment:

    STANDIN_VH_FAULT  at a call: hang, exit, abort, garbage, status, null, short, trickle, tiny; at start: refuse, mute
    STANDIN_VH_AT     ACTION:N, at which call of which action; "render_script:1" by default
    STANDIN_VH_GRAPH  a file: another scene graph than the flat
    STANDIN_VH_ONCE   a file: the fault happens only to the player that creates it
"""

import base64
import json
import os
import re
import sys
import threading
from collections import Counter
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import cv2

from services.worlds.virtualhome.executor import GraphSimulation
from services.worlds.virtualhome.options import FLAT
from services.worlds.virtualhome.view import View

CAMERAS = (
    "PERSON_FRONT", "PERSON_TOP", "FIRST_PERSON", "PERSON_FROM_BACK", "PERSON_FROM_LEFT", "PERSON_RIGHT", "PERSON_LEFT",
    "PERSON_BACK",
)  # fmt: skip
ROOM_CAMERAS = 4
FAULT = os.environ.get("STANDIN_VH_FAULT", "")
AT = os.environ.get("STANDIN_VH_AT", "render_script:1").partition(":")


def strikes() -> bool:
    """Whether this is the player to which the fault happens."""
    once = os.environ.get("STANDIN_VH_ONCE")
    if not once:
        return True
    try:
        Path(once).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


class Home:
    """The scene, and what is done in it."""

    def __init__(self) -> None:
        self.simulation = GraphSimulation([json.loads(Path(os.environ.get("STANDIN_VH_GRAPH", FLAT)).read_text())], 128)
        self.view = cache(View)
        self.scene = 0
        self.people = 0
        self.simulation.load(0)

    def answer(self, action: str, numbers: list[int], texts: list[str]) -> dict[str, Any]:
        match action:
            case "idle" | "clear":
                return {}
            case "environment":
                self.scene, self.people = (numbers or [0])[0], 0
                self.simulation.load(self.scene)
                return {"success": 0 <= self.scene < 50}
            case "environment_graph":
                return {"message": json.dumps(self.simulation.as_dict())}
            case "expand_scene":
                self.simulation.replace(json.loads(texts[1]))
                return {"message": json.dumps({"unplaced": []})}
            case "add_character":
                added = self.simulation.add_character(json.loads(texts[0])["initial_room"])
                self.people += added
                return {"success": added}
            case "camera_count":
                return {"value": ROOM_CAMERAS + len(CAMERAS) * self.people}
            case "character_cameras":
                return {"message": json.dumps(CAMERAS)}
            case "camera_image":
                size = json.loads(texts[0])["image_width"]
                return {"message_list": [self.picture(number, size) for number in numbers]}
            case "render_script":
                return self.script(texts[1:])
        return {"success": False, "message": f"unknown action {action}"}

    def script(self, lines: list[str]) -> dict[str, Any]:
        if not self.people:
            return {"success": False, "message": "No character added yet!"}
        for line in lines:
            if not re.match(r"<char0> \[\w+\]", line):
                return {"success": False, "message": f"Error parsing script: {line}"}
            if refused := self.simulation.act(line):
                told = {"0": {"message": f"ScriptExcutor 0: EXECUTION: {refused}\n"}}
                return {"success": False, "message": json.dumps(told)}
        return {"message": json.dumps({"0": {"message": "Success"}})}

    def picture(self, camera: int, size: int) -> str:
        view, graph, at = self.view(self.scene, size), self.simulation.graph(), self.simulation.at
        name = CAMERAS[camera - ROOM_CAMERAS] if camera >= ROOM_CAMERAS else "room"
        frame = view.first_person(graph, at) if name == "FIRST_PERSON" else view.third_person(graph, at)
        if name not in ("FIRST_PERSON", "PERSON_FROM_BACK"):
            frame = frame[:, ::-1]  # any other camera shows something else
        return base64.b64encode(cv2.imencode(".png", frame[:, :, ::-1])[1].tobytes()).decode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    home: Home
    lock = threading.Lock()
    calls: ClassVar[Counter[str]] = Counter()

    def log_message(self, *_: object) -> None: ...

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            request = json.loads(body)
            action = request["action"]
        except (ValueError, KeyError) as error:
            return self.reply(400, {"id": "", "success": False, "message": f"Invalid request format ({error})"})
        with self.lock:
            self.calls[action] += 1
            if FAULT and AT[0] == action and self.calls[action] == int(AT[2] or 1) and strikes():
                return self.fail(request)
            done = self.home.answer(action, request.get("intParams") or [], request.get("stringParams") or [])
        empty = {"id": request["id"], "success": True, "message": "", "value": 0, "message_list": None}
        return self.reply(200, {**empty, **done})

    def fail(self, request: dict[str, Any]) -> None:
        match FAULT:
            case "hang":
                threading.Event().wait()
            case "exit":
                sys.stderr.write("the stand-in was told to go\n")
                sys.stderr.flush()
                os._exit(3)
            case "abort":
                os.abort()
            case "garbage":
                self.send(200, b"\x00\xff this is not JSON")
            case "status":
                self.reply(500, {"id": request["id"], "success": False, "message": "Unknown error (boom)"})
            case "null":
                self.reply(200, {"id": request["id"], "success": False, "message": None, "message_list": None})
            case "tiny":
                listed = [self.home.picture(0, 32)]
                self.reply(200, {"id": request["id"], "success": True, "message": "", "message_list": listed})
            case "short":
                self.send(200, b'{"id": "1"', length=4000)
                self.close_connection = True
            case "trickle":
                self.send(200, b"{", length=1_000_000)
                while True:
                    self.wfile.write(b" ")
                    threading.Event().wait(0.05)

    def reply(self, status: int, said: dict[str, Any]) -> None:
        self.send(status, json.dumps(said).encode())

    def send(self, status: int, body: bytes, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)


def main() -> int:
    port = next(int(text.partition("=")[2]) for text in sys.argv if text.startswith("-http-port="))
    if FAULT == "refuse" and strikes():
        sys.stderr.write("no graphics device\n")
        return 7
    if FAULT == "mute" and strikes():
        threading.Event().wait()
    Handler.home = Home()
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
