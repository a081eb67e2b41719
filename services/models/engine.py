"""What a model engine is: it answers prompts about pictures under a named adapter version. See `load_engine`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from runtime.settings import SettingsError


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One prompt about one picture.

    ``image`` is an encoded picture (PNG); ``image_id`` its digest, under which engines cache features. ``version`` 0 is
    the base model. With ``choices`` the answer is exactly one of them. ``background`` requests yield to others.
    """

    prompt: str
    image: bytes
    image_id: str
    version: int = 0
    choices: tuple[str, ...] = ()
    max_tokens: int = 12
    temperature: float = 0.0
    seed: int | None = None
    background: bool = False


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """An engine's answer. ``version`` is the adapter that gave it.

    ``log_prob`` is the sum over the answer's tokens (nats). ``log_odds`` is log p(first choice) - log p(second choice)
    for two single-token choices under the model at temperature 1, else ``None``.
    """

    text: str
    version: int
    log_prob: float | None = None
    log_odds: float | None = None


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What is serving: engine name ("vllm", "transformers", "scripted", ...), its version, device and base model."""

    name: str
    version: str
    device: str
    base_model: str


class EngineError(Exception):
    """The base of what an engine can say is wrong."""


class ModelUnusable(EngineError, SettingsError):
    """The base model, or the server, that the settings name cannot be used. Only a person can mend it, so that a
    process that ends with it is not started again."""


class AdapterRefused(EngineError):
    """The adapter cannot be served (broken files, wrong shapes, a dead canary). What served before still serves."""


class UnknownVersion(EngineError):
    """A request named an adapter version that is not loaded."""


class EngineDead(EngineError):
    """The engine cannot answer any more and must be started again."""


class Engine(Protocol):
    """A running model. All methods are safe to call concurrently from one event loop.

    Adapters have immutable names (role@version) and coexist: a request runs on the version it names even while newer
    ones are loaded, and `unload` waits until nothing in flight uses the version.
    """

    @property
    def identity(self) -> Identity: ...

    @property
    def versions(self) -> frozenset[int]:
        """Adapter versions that can be named in a request now; always contains 0, the base model."""
        ...

    @property
    def in_flight(self) -> Mapping[int, int]:
        """Requests being answered, by version."""
        ...

    async def generate(self, requests: Sequence[Request]) -> list[Generation]:
        """Answers all of them, in order. Concurrent calls are batched together by the engine.

        Raises:
            UnknownVersion: before anything ran.
            EngineDead: the engine died; nothing was answered.
        """
        ...

    async def load(self, version: int, folder: Path) -> None:
        """Makes a PEFT adapter folder servable as `version` and proves it with a canary answer.

        Raises:
            AdapterRefused: and the engine is as it was before.
        """
        ...

    async def unload(self, version: int) -> None:
        """Frees a version once nothing in flight uses it. Unloading what is not loaded does nothing."""
        ...

    async def canary(self, version: int = 0) -> Generation:
        """One short answer about a fixed picture: proof that `version` works."""
        ...

    async def close(self) -> None:
        """Stops the engine and everything it started, within a few seconds."""
        ...
