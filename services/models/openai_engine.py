"""An engine that calls an OpenAI-compatible server, such as ``vllm serve``.

The server may be shared, on another machine, or spread over several GPUs. It must allow adapters to be loaded at run
time (for vLLM: ``--enable-lora`` with ``--max-loras`` and ``VLLM_ALLOW_RUNTIME_LORA_UPDATING=1``) and see the run
folder under the same path. Bind it to loopback: vLLM's management routes require no key, even with ``--api-key``.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from protocols.messages import Role
from services.models.adapter_check import AdapterFiles, check_adapter, tensor_shapes
from services.models.canary import CANARY_SECONDS, canary_request, check_effect
from services.models.engine import (
    AdapterRefused,
    EngineDead,
    EngineError,
    Generation,
    Identity,
    ModelUnusable,
    Request,
)
from services.models.folder import base_model_name, model_folder
from services.models.http_client import HttpBroken, HttpClient, HttpFailed
from services.models.openai_chat import chat_body, read_answer
from services.models.server import check_server, server_key
from services.models.server_check import LORA_REMEDY, NO_KEY, NO_ROUTE, Served, check_adapters, refusal, served_model
from services.models.versions import Versions
from services.settings import Model

START_SECONDS = 10.0
AWAY_SECONDS = 60.0
"""How long to wait for a server that does not answer, because it may be starting."""
LOAD_SECONDS = 120.0
FORGET_SECONDS = 10.0
ANSWER_SECONDS = 120.0

TRIES = 3
PAUSE_SECONDS = 0.2
"""The first pause between tries after a server error; each further pause is four times as long."""

log = logging.getLogger("selu.models")


class OpenAIEngine:
    """Implements `engine.Engine`. Use `start` to create one. Background requests use at most half of the slots."""

    def __init__(self, client: HttpClient, settings: Model, versions: Versions, max_rank: int, model: str) -> None:
        self._client = client
        self._versions = versions
        self._max_rank = max_rank
        self._model = model
        self._names: dict[int, str] = {}
        self._places = anyio.Semaphore(settings.max_in_flight)
        self._background = anyio.Semaphore(max(1, settings.max_in_flight // 2))
        self._loading = anyio.Lock()
        self._shapes: dict[str, tuple[int, ...]] | None = None
        self._identity: Identity
        self._closed = False

    @classmethod
    async def start(
        cls, settings: Model, *, role: Role, max_versions: int, max_rank: int, adapters: bool = True
    ) -> "OpenAIEngine":
        """Connects to ``model.url`` and asks a canary. If ``model.path`` is set, adapters are checked against that
        model.

        Raises:
            EngineError: no server answers, or the server cannot be used. Also raised if the server cannot load adapters
                and ``adapters`` is true.
        """
        client = HttpClient(check_server(settings), at_once=settings.max_in_flight + 4, key=server_key())
        try:
            model = (await _when_there(client)).name
            if adapters:
                await check_adapters(client)
        except (HttpFailed, HttpBroken) as error:
            raise EngineError(
                f"no model server answers at {client.url}: {error}; start one or set model.url"
            ) from error
        try:
            version = str((await client.call("/version", seconds=START_SECONDS))["version"])
        except (HttpFailed, HttpBroken, KeyError, TypeError):
            version = "unknown"
        self = cls(client, settings, Versions(role, max_versions), max_rank, model)
        name = f"{Path(model).name}@remote"
        if settings.path:
            folder = model_folder(settings)
            name = await anyio.to_thread.run_sync(base_model_name, folder)
            self._shapes = await anyio.to_thread.run_sync(tensor_shapes, folder)
        self._identity = Identity(name="openai", version=version, device=client.url, base_model=name)
        await self._first_canary()
        return self

    async def _first_canary(self) -> None:
        try:
            await self.canary()
        except TimeoutError:
            raise EngineError(
                f"the server at {self._client.url} gave no answer to its canary in {CANARY_SECONDS:.0f} s; is it "
                "too busy?"
            ) from None
        except EngineDead:
            raise
        except EngineError as error:
            if isinstance(error.__cause__, HttpFailed) and error.__cause__.later:
                raise  # a temporary error: the next start may succeed
            if isinstance(error.__cause__, HttpFailed) and error.__cause__.status in NO_KEY:
                raise ModelUnusable(str(error)) from error
            raise ModelUnusable(
                f"{self._model!r} at {self._client.url} cannot answer a question about a picture: {error}; serve a "
                "vision-language model, or set model.url to a server that does"
            ) from error

    @property
    def identity(self) -> Identity:
        return self._identity

    @property
    def versions(self) -> frozenset[int]:
        return self._versions.loaded

    @property
    def in_flight(self) -> Mapping[int, int]:
        return self._versions.in_flight

    async def generate(self, requests: Sequence[Request]) -> list[Generation]:
        self._versions.require(requests)
        answers: dict[int, Generation] = {}
        failures: list[EngineError] = []

        async def run(index: int, request: Request, cancel: anyio.CancelScope) -> None:
            try:
                answers[index] = await self._answer(request, self._names.get(request.version, self._model))
            except EngineError as error:
                failures.append(error)
                cancel.cancel()

        with self._versions.using(*(request.version for request in requests)):
            async with anyio.create_task_group() as tasks:
                for index, request in enumerate(requests):
                    tasks.start_soon(run, index, request, tasks.cancel_scope)
        if failures:
            raise failures[0]
        return [answers[index] for index in range(len(requests))]

    async def load(self, version: int, folder: Path) -> None:
        async with self._loading:
            files = await anyio.to_thread.run_sync(self._check, folder)
            if not self._versions.admit(version, files.digest):
                return
            # The digest is part of the name, so engines that share a server cannot mix up two adapters of one version.
            name = f"{self._versions.role}@{version}-{files.digest[:8]}"
            await self._load(name, folder)
            try:
                with anyio.fail_after(CANARY_SECONDS):
                    said = await self._answer(canary_request(version), name)
                    base = await self._answer(canary_request(version), self._model)
                    check_effect(name, files.size, said, base)
            except AdapterRefused:
                await self._forget(name)
                raise
            except (EngineError, TimeoutError) as error:
                await self._forget(name)
                if isinstance(error, EngineDead):
                    raise
                raise AdapterRefused(f"{name} failed its canary: {error}") from error
            self._names[version] = name
            self._versions.add(version, files.digest)

    async def _load(self, name: str, folder: Path) -> None:
        for tried in range(TRIES):
            pause = PAUSE_SECONDS * 4**tried
            try:
                await self._client.call("/v1/load_lora_adapter", _named(name, folder), seconds=LOAD_SECONDS)
                return
            except HttpFailed as error:
                if "already" in str(error):  # another engine on this server, or an earlier try, has loaded it
                    return
                if not error.later or tried == TRIES - 1:
                    await self._forget(name)
                    raise AdapterRefused(f"the server refused {name} from {folder}: {error}{_remedy(error)}") from error
                pause = max(pause, error.pause)
            except HttpBroken as error:
                if error.late:
                    await self._forget(name)  # the server may have loaded it although no answer came
                    raise AdapterRefused(f"the server did not load {name}: {error}") from error
                raise EngineDead(f"the model server is gone: {error}") from error
            await anyio.sleep(pause)

    async def unload(self, version: int) -> None:
        if version == 0 or version not in self.versions:
            return
        await self._versions.drain(version)
        await self._forget(self._names.pop(version))

    async def canary(self, version: int = 0) -> Generation:
        with anyio.fail_after(CANARY_SECONDS):
            return (await self.generate([canary_request(version)]))[0]

    async def close(self) -> None:
        """Unloads this engine's adapters from the server. The server keeps running for others."""
        if self._closed:
            return
        self._closed = True
        for name in self._names.values():
            with anyio.move_on_after(2.0, shield=True):
                await self._forget(name)

    def _check(self, folder: Path) -> AdapterFiles:
        return check_adapter(folder, max_rank=self._max_rank, base=self._shapes)

    async def _forget(self, name: str) -> None:
        try:
            await self._client.call("/v1/unload_lora_adapter", {"lora_name": name}, seconds=FORGET_SECONDS)
        except (HttpFailed, HttpBroken):
            return  # the server is gone, or another engine that shares it has unloaded the adapter

    async def _answer(self, request: Request, model: str) -> Generation:
        if self._closed:
            raise EngineDead("the engine is closed; start another")
        if request.background:
            async with self._background, self._places:
                said = await self._ask(chat_body(request, model))
        else:
            async with self._places:
                said = await self._ask(chat_body(request, model))
        return read_answer(request, said)

    async def _ask(self, body: dict[str, Any]) -> Any:
        for tried in range(TRIES):
            pause = PAUSE_SECONDS * 4**tried
            try:
                return await self._client.call("/v1/chat/completions", body, seconds=ANSWER_SECONDS)
            except HttpFailed as error:
                if not error.later or tried == TRIES - 1:
                    known = refusal(self._client.url, error) if error.status in NO_KEY else ""
                    raise EngineError(known or f"the model server did not answer: {error}") from error
                pause = max(pause, error.pause)
            except HttpBroken as error:
                if error.late or tried == TRIES - 1:
                    raise EngineDead(f"the model server is gone: {error}; start it again") from error
            await anyio.sleep(pause)
        raise AssertionError("unreachable")


async def _when_there(client: HttpClient) -> Served:
    """Waits until the server answers and returns its base model. Raises the last error after `AWAY_SECONDS`."""
    deadline = anyio.current_time() + AWAY_SECONDS
    told = False
    while True:
        try:
            return await served_model(client)
        except (HttpFailed, HttpBroken) as error:
            away = isinstance(error, HttpBroken) or error.later
            if not away or anyio.current_time() > deadline:
                raise
            if not told:
                log.warning("waiting for the model server: %s", error)
                told = True
        await anyio.sleep(1)


def _remedy(error: HttpFailed) -> str:
    if error.status not in NO_ROUTE:
        return ""
    return f"; the server must load adapters at run time, and see that folder under the same path: {LORA_REMEDY}"


def _named(name: str, folder: Path) -> dict[str, str]:
    return {"lora_name": name, "lora_path": str(folder.absolute())}
