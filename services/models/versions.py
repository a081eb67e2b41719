"""Tracks the loaded adapter versions and the running requests of each; all engines use it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType

import anyio

from services.models.engine import AdapterRefused, EngineError, Request, UnknownVersion

DRAIN_SECONDS = 120.0
"""How long `Versions.drain` waits for the running requests of a version."""


class Versions:
    """The adapter versions of one role. A version keeps its content until the engine is closed: loading it with
    other content is refused, even after it was unloaded."""

    def __init__(self, role: str, capacity: int) -> None:
        self.role = role
        self.capacity = capacity
        self._content: dict[int, str] = {}
        self._loaded: set[int] = {0}
        self._draining: set[int] = set()
        self._running: Counter[int] = Counter()
        self._finished = anyio.Event()

    @property
    def loaded(self) -> frozenset[int]:
        return frozenset(self._loaded)

    @property
    def in_flight(self) -> Mapping[int, int]:
        return MappingProxyType({version: count for version, count in self._running.items() if count})

    def require(self, requests: Sequence[Request]) -> None:
        """Raises UnknownVersion if any request names a version that is not loaded."""
        if missing := sorted({request.version for request in requests} - self._loaded):
            raise UnknownVersion(
                f"{self.role}@{missing[0]} is not loaded (loaded: {sorted(self._loaded)}); load it before asking"
            )

    @contextmanager
    def using(self, *versions: int) -> Iterator[None]:
        """Counts one running request for each version given, while the context is open."""
        self._running.update(versions)
        try:
            yield
        finally:
            self._running.subtract(versions)
            self._finished.set()
            self._finished = anyio.Event()

    def admit(self, version: int, content: str) -> bool:
        """Whether `version` must be loaded; False if it is already loaded with this content.

        Raises AdapterRefused if the version is below 1, had other content before, is being unloaded, or no slot is
        free.
        """
        name = f"{self.role}@{version}"
        if version < 1:
            raise AdapterRefused(f"{name} cannot be loaded: adapter versions start at 1, 0 is the base model")
        if self._content.get(version, content) != content:
            raise AdapterRefused(f"{name} was loaded before with other content; versions are immutable: use a new one")
        if version in self._loaded:
            return False
        if version in self._draining:
            raise AdapterRefused(f"{name} is just being unloaded; load it again when that is done")
        held = sorted((self._loaded | self._draining) - {0})
        if len(held) >= self.capacity:
            raise AdapterRefused(f"no free slot for {name}: {held} fill all {self.capacity}; unload one first")
        return True

    def add(self, version: int, content: str) -> None:
        self._content[version] = content
        self._loaded.add(version)

    async def drain(self, version: int, seconds: float = DRAIN_SECONDS) -> None:
        """Refuses new requests for `version` and waits until the running ones have ended.

        Raises EngineError after `seconds`; the version then stays loaded.
        """
        self._loaded.discard(version)
        self._draining.add(version)
        drained = False
        try:
            with anyio.move_on_after(seconds):
                while self._running[version]:
                    await self._finished.wait()
                drained = True
        finally:
            self._draining.discard(version)
            if not drained:
                self._loaded.add(version)
        if not drained:
            raise EngineError(
                f"{self.role}@{version} is still used by {self._running[version]} requests after {seconds:.0f} s; "
                "it stays loaded: unload it again later"
            )
