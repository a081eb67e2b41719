"""Keeps an engine's adapters in step with the mesh: what actor and critic have in common.

New versions are loaded while requests run; an older one is let go when its slot is needed, and comes back if somebody
names it again. Every answer is given by the version its request named.
"""

from collections import OrderedDict
from collections.abc import Sequence

import anyio
from anyio.abc import TaskStatus

from protocols.errors import NotFound
from protocols.messages import Adapter, Digest, Role, Swap
from runtime import crash
from runtime.blobs import BlobCorrupt
from runtime.service import Service
from services.models.adapters import AdapterBroken, materialise
from services.models.engine import (
    AdapterRefused,
    Engine,
    EngineDead,
    EngineError,
    Generation,
    Request,
    UnknownVersion,
)
from services.patience import Changes

FRAMES = 512
"""Pictures kept in memory: critic and relabeler ask several questions about each."""
RELOADS = 5
"""How often a request may find that its version has just been let go, before that is an error."""

_REFUSALS = (AdapterRefused, AdapterBroken, NotFound, BlobCorrupt)


class Serving:
    """An engine as the mesh knows it. Run `follow`; then `answer` may be called by many tasks at once."""

    def __init__(self, service: Service, engine: Engine, role: Role, *, capacity: int) -> None:
        self._service = service
        self._engine = engine
        self._role: Role = role
        self._capacity = capacity
        self._adapters: dict[int, Adapter] = {}
        self._refused: dict[int, str] = {}
        self._used: OrderedDict[int, None] = OrderedDict()
        self._frames: OrderedDict[Digest, bytes] = OrderedDict()
        self._loading = anyio.Lock()
        self._changes = Changes()
        self._requests = 0
        self._death: EngineDead | None = None
        self.newest = 0
        identity = engine.identity
        service.metrics.write(
            "engine", role=role, name=identity.name, version=identity.version, device=identity.device,
            base_model=identity.base_model,
        )  # fmt: skip

    # -- adapters

    async def follow(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serves the newest adapter of the log, says it has started, and goes on with those to come.

        Raises:
            EngineDead: the engine must be started again.
        """
        mesh = self._service.mesh
        async with mesh.subscribe("adapters", start="start") as stream, anyio.create_task_group() as tasks:
            async for delivery in stream.past():
                self._note(delivery.message)
            for version in sorted(self._adapters, reverse=True):
                if await self._serve(self._adapters[version]):
                    break
            tasks.start_soon(self._die)
            task_status.started()
            async for delivery in stream:
                if adapter := self._note(delivery.message):
                    await self._serve(adapter)

    def _note(self, message: object) -> Adapter | None:
        """Takes an adapter in; returns it where it is one to serve."""
        if not isinstance(message, Adapter) or message.role != self._role:
            return None
        if not message.promoted:
            self._refused[message.version] = message.reason or "the trainer did not promote it"
            self._changes.notify()
            return None
        self._adapters[message.version] = message
        return message

    async def _serve(self, adapter: Adapter) -> bool:
        """Loads a promoted adapter and says on the mesh how that went."""
        begun, before = anyio.current_time(), self._requests
        in_flight = sum(self._engine.in_flight.values())
        reason = None
        crash.at("swap.before")
        try:
            await self._load(adapter.version)
            self.newest = max(self.newest, adapter.version)
        except _REFUSALS as error:
            reason = self._refused[adapter.version] = f"{type(error).__name__}: {error}"
        crash.at("swap.loaded")
        in_flight += self._requests - before  # and those that came meanwhile
        swap = Swap(
            role=self._role, instance=self._service.instance, version=adapter.version, digest=adapter.digest,
            served=reason is None, seconds=anyio.current_time() - begun, in_flight=in_flight, reason=reason,
        )  # fmt: skip
        self._changes.notify()
        name = f"{self._service.instance}/{self._role}@{adapter.version}"
        if reason is not None:
            await self._service.fault(
                f"{self._role}@{adapter.version} is not served", reason, f"{self._role}@{self.newest} goes on", id=name
            )
        await self._service.mesh.publish("swaps", swap, id=name)
        self._service.gauges["adapter_version"] = float(self.newest)
        return reason is None

    async def _load(self, version: int) -> None:
        async with self._loading:
            if version in self._engine.versions:
                return
            adapter = self._adapters[version]
            folder = await materialise(self._service.mesh, adapter, self._service.run.adapters)
            kept = {0, version, self.newest}
            while len(loaded := self._engine.versions - {0}) >= self._capacity:
                idle = sorted(loaded - kept - self._used.keys()) or [v for v in self._used if v in loaded - kept]
                await self._engine.unload(idle[0])
                self._used.pop(idle[0], None)
            await self._engine.load(version, folder)

    # -- requests

    async def ready(self, version: int | None) -> int:
        """The version that will answer: the newest for None, else the one named, once it is loaded.

        Waits for versions still to come: set a deadline around.

        Raises:
            NotFound: it was refused and will never come.
        """
        named = self.newest if version is None else version
        while named not in self._engine.versions:
            await self._changes.until(lambda: named in self._adapters or named in self._refused)
            if named in self._refused:
                raise NotFound(f"{self._role}@{named} is not served: {self._refused[named]}")
            try:
                await self._load(named)
            except _REFUSALS as error:
                raise NotFound(f"{self._role}@{named} could not be loaded again: {error}") from error
        if named:
            self._used[named] = None
            self._used.move_to_end(named)
        return named

    async def answer(self, requests: Sequence[Request]) -> list[Generation]:
        """Answers all, each by the version it names. Waits for versions as `ready` does.

        If the engine dies this never returns: the process is about to end, and whoever asked is served by the next.
        """
        for _ in range(RELOADS):
            for version in sorted({request.version for request in requests}):
                await self.ready(version)
            self._requests += len(requests)
            try:
                return self._counted(requests, await self._engine.generate(requests))
            except UnknownVersion:  # let go between these two lines
                continue
            except EngineDead as death:
                self._death = death
                self._changes.notify()
                await anyio.sleep_forever()
        raise NotFound(f"{self._role}: adapters are changing too fast for {sorted({r.version for r in requests})}")

    def _counted(self, requests: Sequence[Request], answers: list[Generation]) -> list[Generation]:
        counts = self._service.counts
        counts["answered"] += len(answers)
        for request, answer in zip(requests, answers, strict=True):
            if request.version != answer.version:
                counts["answers_wrong_version"] += 1
                raise EngineError(f"{self._role}@{request.version} was asked, {self._role}@{answer.version} answered")
        return answers

    async def _die(self) -> None:
        raise await self._changes.until(lambda: self._death)

    async def frame(self, digest: Digest) -> bytes:
        """The encoded picture of that digest. Raises `NotFound` or `BlobCorrupt`."""
        if digest in self._frames:
            self._frames.move_to_end(digest)
            return self._frames[digest]
        data = await self._service.mesh.get_blob(digest)
        self._frames[digest] = data
        if len(self._frames) > FRAMES:
            self._frames.popitem(last=False)
        return data
