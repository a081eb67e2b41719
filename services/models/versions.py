"""Which adapter versions can be named, and how many requests run on each: the bookkeeping all engines share."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType

import anyio

from services.models.engine import AdapterRefused, EngineError, Request, UnknownVersion

DRAIN_SECONDS = 120.0
"""How long `Versions.drain` waits for the requests that still use a version."""


class Versions:
    """Adapter versions of one role. A version's content is fixed for the engine's whole life: naming it again with
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
        """Counts requests, named by their versions, for as long as they run."""
        self._running.update(versions)
        try:
            yield
        finally:
            self._running.subtract(versions)
            self._finished.set()
            self._finished = anyio.Event()

    def admit(self, version: int, content: str) -> bool:
        """Whether `version` has to be loaded (False: it is loaded already, with this content).

        Raises AdapterRefused where the version is 0, had other content before, or no slot is free.
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
        """Takes no new requests for `version` and waits until the running ones ended.

        Raises EngineError after `seconds`; the version can then be named again.
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
