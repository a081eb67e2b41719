"""Keeps an engine's adapters up to date with the mesh; the actor and the critic share it.

New versions are loaded while requests run. If all slots are in use, an older version is unloaded; it is loaded again
when a request names it. Each answer comes from the version that its request names.
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
"""Pictures kept in memory, because the critic and the relabeler ask several questions about each."""
RELOADS = 5
"""How often a request may find its version unloaded again before it fails."""

_REFUSALS = (AdapterRefused, AdapterBroken, NotFound, BlobCorrupt)


class Serving:
    """Serves requests from the mesh with an engine. Run `follow`; then several tasks may call `answer` at once."""

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
        """Loads the newest usable adapter of the log, reports that it has started, then loads each new adapter.

        Raises:
            EngineDead: the engine must be restarted.
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
        """Records an adapter message. Returns the adapter if it is promoted and of this role, else None."""
        if not isinstance(message, Adapter) or message.role != self._role:
            return None
        if not message.promoted:
            self._refused[message.version] = message.reason or "the trainer did not promote it"
            self._changes.notify()
            return None
        self._adapters[message.version] = message
        return message

    async def _serve(self, adapter: Adapter) -> bool:
        """Loads a promoted adapter and publishes the result on ``swaps``. Returns whether it is served."""
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
        in_flight += self._requests - before  # add the requests that arrived while it was loaded
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
        """Waits until a version is loaded and returns it; ``None`` stands for the newest.

        May wait for a version that is not published yet: the caller sets the deadline.

        Raises:
            NotFound: the version was refused, or cannot be loaded again.
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
        """Answers all requests, each with the version that it names. Waits for versions as `ready` does.

        Does not return if the engine dies: the process then exits, and the next process serves the caller.
        """
        for _ in range(RELOADS):
            for version in sorted({request.version for request in requests}):
                await self.ready(version)
            self._requests += len(requests)
            try:
                return self._counted(requests, await self._engine.generate(requests))
            except UnknownVersion:  # unloaded after `ready` returned
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
        """Returns the encoded picture with this digest. Raises `NotFound` or `BlobCorrupt`."""
        if digest in self._frames:
            self._frames.move_to_end(digest)
            return self._frames[digest]
        data = await self._service.mesh.get_blob(digest)
        self._frames[digest] = data
        if len(self._frames) > FRAMES:
            self._frames.popitem(last=False)
        return data
