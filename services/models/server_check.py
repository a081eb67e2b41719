"""Checks whether an OpenAI-compatible server can be used and can load adapters.

The engine calls it when it starts; the commands that start a run call it before, so a server without adapters is
refused before the first episode.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from services.models.engine import ModelUnusable
from services.models.http_client import HttpBroken, HttpClient, HttpFailed
from services.models.server import KEY_VARIABLE, server_key

ASK_SECONDS = 10.0
"""How long the server may take to list its models, which needs no computation."""

NO_KEY = frozenset({401, 407})
NO_ROUTE = frozenset({403, 404, 405, 501})
"""HTTP statuses of a server that forbids loading adapters, or has no route for it."""

LORA_REMEDY = (
    "start it with VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 in its environment and with --enable-lora (another server than "
    "vLLM must have the same route, /v1/load_lora_adapter)"
)


class Served(msgspec.Struct, frozen=True):
    """A server's base model: its name there, and its path (``root``) if the server reports it."""

    name: str
    root: str = ""

    def is_called(self, model: str) -> bool:
        """Whether the name or the path is that of this packaged model."""
        return any(text and Path(text).name == model for text in (self.name, self.root))


async def served_model(client: HttpClient) -> Served:
    """Returns the server's base model: the first listed model that is not an adapter.

    Raises:
        ModelUnusable: it is not a usable OpenAI-compatible server, or it refuses the key.
        HttpBroken, HttpFailed: nothing answers, or the server is not ready yet.
    """
    try:
        said = await client.call("/v1/models", seconds=ASK_SECONDS)
    except HttpFailed as error:
        if reason := refusal(client.url, error):
            raise ModelUnusable(reason) from error
        raise
    except HttpBroken as error:
        if error.wrong:
            raise ModelUnusable(f"model.url cannot be reached ({error}): set it to the server's address") from error
        raise
    if isinstance(said, str):
        begin = " ".join(said.split())[:60]
        raise ModelUnusable(
            f"{client.url}/v1/models answers with no JSON ({begin!r}), so it is no OpenAI-compatible server: set "
            "model.url to the address of one, e.g. http://127.0.0.1:8000"
        )
    listed: Any = cast("dict[str, Any]", said).get("data") if isinstance(said, dict) else None
    if not isinstance(listed, list):
        raise ModelUnusable(
            f"{client.url}/v1/models does not list models as an OpenAI-compatible server does: "
            "set model.url to the address of one"
        )
    for one in cast("list[Any]", listed):
        if isinstance(one, Mapping):
            model = cast("Mapping[str, Any]", one)
            if isinstance(model.get("id"), str) and not model.get("parent"):
                return Served(name=model["id"], root=str(model.get("root") or ""))
    raise ModelUnusable(f"the server at {client.url} has no model: start it with the model that adapters are made for")


def refusal(url: str, error: HttpFailed) -> str:
    """Returns why a server with this error cannot be used, and the remedy; empty if the error may be temporary."""
    if error.status in NO_KEY or error.status == 403:
        wrong = f"does not take the key in {KEY_VARIABLE}" if server_key() else "wants a key"
        return f"the server at {url} {wrong} ({error}): set {KEY_VARIABLE} in the environment to the server's key"
    if 300 <= error.status < 400:
        return f"the server at {url} redirects requests ({error}): set model.url to the address that it redirects to"
    if error.status in NO_ROUTE:
        return (
            f"{url} is no OpenAI-compatible server: it has no /v1/models ({error}); set model.url to the address of "
            "one, without a path behind it"
        )
    return ""


async def check_adapters(client: HttpClient) -> None:
    """Checks that the server loads adapters: sends a load request without a name and looks at the kind of refusal.

    Raises:
        ModelUnusable: the server cannot load adapters; the text names the remedy.
        HttpBroken: nothing answers.
    """
    nothing = {"lora_name": "", "lora_path": ""}
    try:
        await client.call("/v1/load_lora_adapter", nothing, seconds=ASK_SECONDS)
    except HttpFailed as error:
        if error.status in NO_KEY:
            raise ModelUnusable(refusal(client.url, error)) from error
        if error.status in NO_ROUTE:
            raise ModelUnusable(
                f"the server at {client.url} loads no LoRA adapters at run time ({error}): {LORA_REMEDY}"
            ) from error
        return
    try:  # the server accepted the empty name: undo it
        await client.call("/v1/unload_lora_adapter", {"lora_name": ""}, seconds=ASK_SECONDS)
    except HttpFailed:
        return
