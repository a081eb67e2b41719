"""The interface of a model engine: it answers prompts about pictures with a named adapter version."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from runtime.settings import SettingsError


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One prompt about one picture.

    ``image`` is the encoded picture (PNG) and ``image_id`` its digest, the key under which engines cache its features.
    ``version`` 0 is the base model. If ``choices`` are given, the answer is exactly one of them. ``background``
    requests have lower priority.
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
    """An engine's answer. ``version`` is the adapter version that produced it.

    ``log_prob`` is the sum of the log-probabilities of the answer's tokens (nats). ``log_odds`` is log p(first choice)
    - log p(second choice) at temperature 1 if there are two single-token choices, else ``None``.
    """

    text: str
    version: int
    log_prob: float | None = None
    log_odds: float | None = None


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """An engine's name ("vllm", "transformers", "scripted", ...), its version, its device and its base model."""

    name: str
    version: str
    device: str
    base_model: str


class EngineError(Exception):
    """Base class of all errors of an engine."""


class ModelUnusable(EngineError, SettingsError):
    """The base model or the model server in the settings cannot be used. Only a person can fix this, so the supervisor
    does not restart a process that exits with this error."""


class AdapterRefused(EngineError):
    """The adapter cannot be served: its files are broken, its shapes do not fit, or it failed its canary. The versions
    that were loaded before are still served."""


class UnknownVersion(EngineError):
    """A request names an adapter version that is not loaded."""


class EngineDead(EngineError):
    """The engine can no longer answer and must be restarted."""


class Engine(Protocol):
    """A running model. All methods may be called concurrently from one event loop.

    Adapter names (role@version) are immutable, and several versions can be loaded at once. A request runs on the
    version that it names, even if newer ones are loaded meanwhile. `unload` waits until no running request uses the
    version.
    """

    @property
    def identity(self) -> Identity: ...

    @property
    def versions(self) -> frozenset[int]:
        """Adapter versions that a request can name now; always contains 0, the base model."""
        ...

    @property
    def in_flight(self) -> Mapping[int, int]:
        """The number of running requests for each version."""
        ...

    async def generate(self, requests: Sequence[Request]) -> list[Generation]:
        """Answers all requests, in order. The engine batches concurrent calls together.

        Raises:
            UnknownVersion: a version is not loaded; no request was run.
            EngineDead: the engine died; no request was answered.
        """
        ...

    async def load(self, version: int, folder: Path) -> None:
        """Loads a PEFT adapter folder as `version` and checks it with a canary.

        Raises:
            AdapterRefused: the engine's state is unchanged.
        """
        ...

    async def unload(self, version: int) -> None:
        """Frees a version once no running request uses it. Does nothing if the version is not loaded."""
        ...

    async def canary(self, version: int = 0) -> Generation:
        """Answers a short question about a fixed picture, which shows that `version` works."""
        ...

    async def close(self) -> None:
        """Stops the engine and all processes that it started, within a few seconds."""
        ...
