"""An engine on transformers and PEFT for machines without vLLM. One thread runs one batch of one version at a time."""

import asyncio
import itertools
import shutil
import tempfile
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import anyio
import msgspec
import torch
import transformers

from protocols.messages import Role
from services.models.adapter_check import AdapterFiles, check_adapter, tensor_shapes
from services.models.canary import CANARY_SECONDS, canary_request, check_effect
from services.models.engine import AdapterRefused, EngineDead, EngineError, Generation, Identity, Request
from services.models.folder import base_model_name, model_folder
from services.models.hf import Backbone
from services.models.hf_answers import answer
from services.models.versions import Versions
from services.settings import Model

START_SECONDS = 600.0
LOAD_SECONDS = 120.0
ANSWER_SECONDS = 600.0
CLOSE_SECONDS = 10.0

FEATURE_BYTES = 1 << 29
"""The most memory for cached picture features, in bytes."""

WAITING = 10_000
"""The most requests that may wait; more are refused."""


class _Job(msgspec.Struct, frozen=True, gc=False):
    request: Request
    adapter: str | None
    done: "Future[Generation]"


class TransformersEngine:
    """Implements `engine.Engine`. Use `start` to create one."""

    def __init__(self, backbone: Backbone, *, thread: ThreadPoolExecutor, settings: Model, versions: Versions) -> None:
        self._backbone = backbone
        self._thread = thread
        self._batch = settings.max_in_flight
        self._versions = versions
        self._names: dict[int, str] = {}
        self._numbers = itertools.count(1)
        self._loading = anyio.Lock()
        self._files = Path(tempfile.mkdtemp(prefix="selu-adapters-"))
        self._lock = threading.Lock()
        self._waiting: deque[_Job] = deque()
        self._background: deque[_Job] = deque()
        self._peft: Any = None
        self._closed = False
        self._identity: Identity
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._max_rank = 0

    @classmethod
    async def start(cls, settings: Model, *, role: Role, max_versions: int, max_rank: int) -> "TransformersEngine":
        """Loads the model and checks it with a canary."""
        folder = await anyio.to_thread.run_sync(model_folder, settings)
        name = await anyio.to_thread.run_sync(base_model_name, folder)
        thread = ThreadPoolExecutor(1, thread_name_prefix="transformers")

        def build() -> Backbone:
            if settings.threads:
                torch.set_num_threads(settings.threads)
            return Backbone(folder, settings, cache_bytes=FEATURE_BYTES)

        with anyio.fail_after(START_SECONDS):
            backbone = await asyncio.get_running_loop().run_in_executor(thread, build)
        self = cls(backbone, thread=thread, settings=settings, versions=Versions(role, max_versions))
        self._shapes = tensor_shapes(folder)
        self._max_rank = max_rank
        self._identity = Identity(
            name="transformers", version=transformers.__version__, device=str(backbone.device), base_model=name
        )
        await self.canary()
        return self

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
        if not requests:
            return []
        jobs = [_Job(request, self._names.get(request.version), Future()) for request in requests]
        with self._versions.using(*(request.version for request in requests)):
            self._enqueue(jobs)
            try:
                with anyio.fail_after(ANSWER_SECONDS):
                    return list(await asyncio.gather(*(asyncio.wrap_future(job.done) for job in jobs)))
            except TimeoutError:
                raise EngineDead(f"no answer in {ANSWER_SECONDS:.0f} s; start the engine again") from None
            finally:
                for job in jobs:
                    job.done.cancel()

    async def load(self, version: int, folder: Path) -> None:
        async with self._loading:
            if self._closed:
                raise EngineDead("the engine is closed; start another")
            name = f"{self._versions.role}_{version}_{next(self._numbers)}"
            copy = self._files / name
            try:
                files = await anyio.to_thread.run_sync(self._take, folder, copy)
                if not self._versions.admit(version, files.digest):
                    return
                try:
                    with anyio.fail_after(LOAD_SECONDS):
                        await self._in_thread(lambda: self._attach(name, copy))
                    await self._prove(name, version, files)
                except BaseException:
                    await self._in_thread(lambda: self._detach(name))
                    raise
            except AdapterRefused:
                raise
            except Exception as error:
                raise AdapterRefused(f"version {version} from {folder} cannot be served: {error}") from error
            finally:
                await anyio.to_thread.run_sync(lambda: shutil.rmtree(copy, ignore_errors=True))
            self._names[version] = name
            self._versions.add(version, files.digest)

    async def unload(self, version: int) -> None:
        if version == 0 or version not in self.versions:
            return
        await self._versions.drain(version)
        name = self._names.pop(version)
        await self._in_thread(lambda: self._detach(name))

    async def canary(self, version: int = 0) -> Generation:
        with anyio.fail_after(CANARY_SECONDS):
            return (await self.generate([canary_request(version)]))[0]

    async def close(self) -> None:
        self._closed = True
        with self._lock:
            jobs = [*self._waiting, *self._background]
            self._waiting.clear()
            self._background.clear()
        for job in jobs:
            _fail(job, EngineDead("the engine was closed; start another"))
        self._thread.shutdown(wait=False, cancel_futures=True)
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            await anyio.to_thread.run_sync(lambda: self._thread.shutdown(wait=True), abandon_on_cancel=True)
        shutil.rmtree(self._files, ignore_errors=True)

    def _enqueue(self, jobs: Sequence[_Job]) -> None:
        with self._lock:
            if self._closed:
                raise EngineDead("the engine is closed; start another")
            if len(self._waiting) + len(self._background) + len(jobs) > WAITING:
                raise EngineError(f"more than {WAITING} requests wait for the engine; ask for fewer at once")
            for job in jobs:
                (self._background if job.request.background else self._waiting).append(job)
            self._thread.submit(self._work)

    def _work(self) -> None:
        """Runs in the engine's thread: answers the waiting requests in batches that share a version."""
        while jobs := self._next_jobs():
            try:
                with self._active(jobs[0].adapter):
                    said = answer(self._backbone, [job.request for job in jobs])
            except Exception as error:
                dead = "CUDA error" in str(error)
                text = f"transformers could not answer: {error}"
                for job in jobs:
                    _fail(job, EngineDead(text) if dead else EngineError(text))
                continue
            for job, one in zip(jobs, said, strict=True):
                if not job.done.done():
                    job.done.set_result(one)

    def _next_jobs(self) -> list[_Job]:
        with self._lock:
            queue = self._waiting or self._background
            taken: list[_Job] = []
            left: list[_Job] = []
            while queue and len(taken) < self._batch:
                job = queue.popleft()
                if not taken or job.adapter == taken[0].adapter:
                    if job.done.set_running_or_notify_cancel():
                        taken.append(job)
                else:
                    left.append(job)
            queue.extendleft(reversed(left))
        return taken

    def _active(self, name: str | None) -> Any:
        if self._peft is None:
            return nullcontext()
        if name is None:
            return self._peft.disable_adapter()
        self._peft.set_adapter(name)
        return nullcontext()

    def _attach(self, name: str, folder: Path) -> None:
        from peft import PeftModel

        if self._peft is None:
            self._peft = PeftModel.from_pretrained(
                self._backbone.model, str(folder), adapter_name=name, autocast_adapter_dtype=False
            )
        else:
            self._peft.load_adapter(str(folder), adapter_name=name, autocast_adapter_dtype=False)
        for key, parameter in self._peft.named_parameters():
            if f".{name}." in key:
                parameter.data = parameter.data.to(self._backbone.dtype)
        self._peft.eval().requires_grad_(False)

    def _detach(self, name: str) -> None:
        if self._peft is None or name not in self._peft.peft_config:
            return
        if len(self._peft.peft_config) == 1:
            self._peft.unload()
            self._peft = None
        else:
            self._peft.delete_adapter(name)

    async def _prove(self, name: str, version: int, files: AdapterFiles) -> None:
        def ask(adapter: str | None) -> Generation:
            with self._active(adapter):
                return answer(self._backbone, [canary_request(version)])[0]

        with anyio.fail_after(CANARY_SECONDS):
            said = await self._in_thread(lambda: ask(name))
            base = await self._in_thread(lambda: ask(None))
        check_effect(f"{self._versions.role}@{version}", files.size, said, base)

    def _take(self, folder: Path, copy: Path) -> AdapterFiles:
        copy.mkdir(parents=True)
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            if (folder / name).is_file():
                shutil.copyfile(folder / name, copy / name)
        return check_adapter(copy, max_rank=self._max_rank, base=self._shapes)

    async def _in_thread(self, work: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _fail(job: _Job, error: Exception) -> None:
    if not job.done.done():
        job.done.set_exception(error)
