"""A stand-in for ``vllm serve``: real sockets, no model. Answers follow from model name, prompt and picture."""

import hashlib
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

WORDS = ("find", "open", "pick", "done", "fridge", "mug", "apple", "table")


class OpenAIStandIn:
    """What the server does, for tests to change while it runs."""

    def __init__(self) -> None:
        self.url = ""
        self.adapters: dict[str, str] = {}
        self.asked = 0
        self.failures: list[int] = []
        """HTTP statuses of the next answers; then it answers again."""
        self.hang = threading.Event()
        """While set, questions get no answer."""
        self.released = threading.Event()
        self.refuse: str = ""
        """Why adapters are refused; empty where they are not."""
        self.load_failures: list[int] = []
        """HTTP statuses of the next attempts to load an adapter, each of which it loads half."""
        self.load_hang = threading.Event()
        """While set, loading an adapter gets no answer."""
        self.dead = threading.Event()
        """While set, every connection ends without an answer, those with a question under way too."""
        self.mute: set[str] = set()
        """Adapters, by the start of their names, that load and then fail to answer."""
        self.instead: dict[str, tuple[int, str]] = {}
        """By path: a status and a text that is answered there instead."""
        self.lenient = False
        """Whether it takes an adapter without a name."""
        self.deaf = False
        """Whether adapters load and change nothing."""
        self.choices = True
        """Whether it obeys the allowed choices."""

    def revive(self) -> None:
        """The server is started again: it answers, and has no adapters."""
        self.adapters.clear()
        self.hang.clear()
        self.dead.clear()


def _number(*parts: str) -> float:
    return int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest()[:6]) / 2**48


def complete(body: dict[str, Any], *, obey: bool) -> dict[str, Any]:
    """A chat completion whose words and log-probabilities are pseudo-random but fixed."""
    picture, question = body["messages"][0]["content"]
    key = (body["model"], picture["image_url"]["url"], question["text"])
    luck = (str(body.get("seed")),) if body["temperature"] > 0 else ()
    choices = body.get("structured_outputs", {}).get("choice") if obey else None
    if choices:
        scores = {choice: -5 * _number(*key, choice) - 0.01 for choice in choices}
        tokens = [max(scores, key=lambda choice: scores[choice] + (_number(*key, choice, *luck) if luck else 0))]
    else:
        tokens = [WORDS[int(_number(*key, *luck, str(place)) * len(WORDS))] for place in range(2)]
        scores = {token: -0.1 - _number(*key, token) for token in tokens}
    top = [{"token": f" {token}", "logprob": score} for token, score in scores.items()]
    content = [
        {"token": token, "logprob": scores[token], "top_logprobs": top if body.get("top_logprobs") else []}
        for token in tokens
    ]
    return {"choices": [{"message": {"content": " ".join(tokens)}, "logprobs": {"content": content}}]}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stand_in: OpenAIStandIn

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""

    def _say(self, status: int, body: Any) -> None:
        if self.stand_in.dead.is_set():
            self.close_connection = True
            return
        status, text = self.stand_in.instead.get(self.path, (status, json.dumps(body)))
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            loaded = [{"id": name, "parent": "micro"} for name in self.stand_in.adapters]
            self._say(200, {"data": [{"id": "micro", "parent": None}, *loaded]})
        elif self.path == "/version":
            self._say(200, {"version": "0.0"})
        else:
            self._say(404, {"error": "no such route"})

    def do_POST(self) -> None:
        stand_in = self.stand_in
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/v1/load_lora_adapter":
            if stand_in.load_hang.is_set():
                stand_in.released.wait(30)
            if stand_in.load_failures:
                self._say(stand_in.load_failures.pop(0), {"error": {"message": "broken in the middle of it"}})
            elif stand_in.refuse:
                self._say(400, {"error": {"message": stand_in.refuse}})
            elif body["lora_name"] in stand_in.adapters:
                self._say(400, {"error": {"message": "The lora adapter has already been loaded."}})
            elif not body["lora_name"] and not self.stand_in.lenient:
                self._say(400, {"error": {"message": "Both 'lora_name' and 'lora_path' must be provided."}})
            elif not Path(body["lora_path"]).is_dir():
                self._say(404, {"error": {"message": "no such folder"}})
            else:
                stand_in.adapters[body["lora_name"]] = body["lora_path"]
                self._say(200, "Success")
        elif self.path == "/v1/unload_lora_adapter":
            found = stand_in.adapters.pop(body["lora_name"], None)
            self._say(200 if found else 404, "Success" if found else {"error": "not loaded"})
        elif self.path == "/v1/chat/completions":
            self._complete(body)
        else:
            self._say(404, {"error": "no such route"})

    def _complete(self, body: dict[str, Any]) -> None:
        stand_in = self.stand_in
        stand_in.asked += 1
        if stand_in.hang.is_set():
            stand_in.released.wait(30)
        if stand_in.failures:
            self._say(stand_in.failures.pop(0), {"error": {"message": "broken on purpose"}})
        elif body["model"] != "micro" and body["model"] not in stand_in.adapters:
            self._say(404, {"error": {"message": f"The model {body['model']} does not exist."}})
        elif any(body["model"].startswith(name) for name in stand_in.mute):
            self._say(400, {"error": {"message": "this adapter does not answer"}})
        else:
            asked = {**body, "model": "micro"} if stand_in.deaf else body
            self._say(200, complete(asked, obey=stand_in.choices))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left is not worth a traceback."""


@contextmanager
def serve_openai() -> Generator[OpenAIStandIn]:
    """Runs the stand-in on a free port of the loopback interface."""
    stand_in = OpenAIStandIn()
    handler = type("Handler", (_Handler,), {"stand_in": stand_in})
    with _Server(("127.0.0.1", 0), handler) as server:
        stand_in.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield stand_in
        finally:
            stand_in.released.set()
            server.shutdown()
            thread.join(5)
