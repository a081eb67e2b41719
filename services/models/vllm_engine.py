"""An engine on vLLM's AsyncLLM in this process, on CPU or CUDA, which serves several adapter versions at once."""

import asyncio
import itertools
import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import psutil

from protocols.messages import Role
from services.models.adapter_check import AdapterFiles, check_adapter, tensor_shapes
from services.models.canary import CANARY_SECONDS, canary_request, check_effect
from services.models.chat import ChatFormat
from services.models.engine import AdapterRefused, EngineDead, EngineError, Generation, Identity, Request
from services.models.folder import base_model_name, model_folder
from services.models.versions import Versions
from services.models.vllm_pictures import Pictures
from services.models.vllm_settings import build_engine, import_vllm, prepare_environment
from services.settings import Model

START_SECONDS = 900.0
"""The limit for loading the model and compiling its kernels, for a large model on a cold machine."""

LOAD_SECONDS = 120.0
ANSWER_SECONDS = 600.0
"""An engine that gives no answer for this long counts as hung."""

CLOSE_SECONDS = 10.0
CORE_SECONDS = 1.0
"""How long vLLM's engine process may take to exit before it is killed. It has no state to save."""


class VllmEngine:
    """Implements `engine.Engine`. Use `start` to create one.

    vLLM caches by an adapter's integer id, so an id is never used twice. It reads an evicted adapter from disk again,
    so the adapter's files stay until the version is unloaded.
    """

    def __init__(self, engine: Any, *, thread: ThreadPoolExecutor, folder: Path, settings: Model, versions: Versions):
        self._engine: Any = engine
        self._thread = thread
        self._folder = folder
        self._settings = settings
        self._versions = versions
        self._loras: dict[int, Any] = {}
        self._lora_ids = itertools.count(1)
        self._request_ids = itertools.count(1)
        self._loading = anyio.Lock()
        self._files = Path(tempfile.mkdtemp(prefix="selu-adapters-"))
        self._chat = ChatFormat.load(folder)
        self._pictures: Any = Pictures(engine)
        self._shapes = tensor_shapes(folder)
        self._max_rank = 0
        self._identity: Identity
        self._children: list[psutil.Process] = []
        self._answering: set[anyio.CancelScope] = set()
        self._closed = False

    @classmethod
    async def start(cls, settings: Model, *, role: Role, max_versions: int, max_rank: int) -> "VllmEngine":
        """Starts vLLM and checks it with a canary. Takes seconds on a CPU and up to minutes on a cold GPU machine."""
        folder = await anyio.to_thread.run_sync(model_folder, settings)
        name = await anyio.to_thread.run_sync(base_model_name, folder)
        prepare_environment(settings)
        # vLLM's processes die with the thread that starts them (see process_tie), so this thread outlives them.
        thread = ThreadPoolExecutor(1, thread_name_prefix="vllm")
        before = {child.pid for child in psutil.Process().children(recursive=True)}
        loop = asyncio.get_running_loop()
        imported = loop.run_in_executor(thread, import_vllm)
        started = loop.run_in_executor(
            thread, lambda: build_engine(folder, settings, max_versions=max_versions, max_rank=max_rank)
        )
        try:
            with anyio.fail_after(START_SECONDS):
                await asyncio.shield(imported)
                engine, version, device = await asyncio.shield(started)
        except BaseException as error:
            started.add_done_callback(lambda done: done.cancelled() or done.exception() or done.result()[0].shutdown())
            thread.shutdown(wait=False)
            if not isinstance(error, Exception):
                raise
            raise EngineError(
                f"vLLM did not start with {folder}: {_said(error)}; its own lines above say more. "
                "Try another model.device, a smaller model.cache_gib, or model.engine = transformers"
            ) from error
        self = cls(engine, thread=thread, folder=folder, settings=settings, versions=Versions(role, max_versions))
        self._max_rank = max_rank
        self._identity = Identity(name="vllm", version=version, device=device, base_model=name)
        self._children = [
            child
            for child in psutil.Process().children(recursive=True)
            if child.pid not in before and "resource_tracker" not in " ".join(_command(child))
        ]
        try:
            await self.canary()
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self.close()
            raise
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
        answers: dict[int, Generation] = {}

        async def run(index: int, request: Request) -> None:
            with self._versions.using(request.version):
                answers[index] = await self._answer(request, self._loras.get(request.version))

        if len(requests) == 1:
            await run(0, requests[0])
        else:
            try:
                async with anyio.create_task_group() as tasks:
                    for index, request in enumerate(requests):
                        tasks.start_soon(run, index, request)
            except BaseExceptionGroup as group:
                raise _first(group) from None
        return [answers[index] for index in range(len(requests))]

    async def load(self, version: int, folder: Path) -> None:
        async with self._loading, AsyncExitStack() as undo:
            if self._closed:
                raise EngineDead("the engine is closed; start another")
            copy = self._files / f"{version}-{next(self._lora_ids)}"
            undo.callback(shutil.rmtree, copy, ignore_errors=True)
            files = await anyio.to_thread.run_sync(self._take, folder, copy)
            if not self._versions.admit(version, files.digest):
                return
            from vllm.lora.request import LoRARequest

            lora = LoRARequest(f"{self._versions.role}@{version}", next(self._lora_ids), str(copy))
            undo.push_async_callback(self._remove, lora)
            try:
                with anyio.fail_after(LOAD_SECONDS):
                    loaded = await self._engine.add_lora(lora)
            except Exception as error:
                self._raise_if_dead(error)
                raise AdapterRefused(f"vLLM refused {lora.lora_name} from {folder}: {_said(error)}") from error
            if not loaded:
                raise AdapterRefused(f"vLLM did not take {lora.lora_name} from {folder} and gave no reason")
            await self._prove(lora, version, files)
            undo.pop_all()
            self._loras[version] = lora
            self._versions.add(version, files.digest)

    async def unload(self, version: int) -> None:
        if version == 0 or version not in self.versions:
            return
        await self._versions.drain(version)
        lora = self._loras.pop(version)
        await self._remove(lora)
        await anyio.to_thread.run_sync(lambda: shutil.rmtree(lora.lora_path, ignore_errors=True))

    async def canary(self, version: int = 0) -> Generation:
        with anyio.fail_after(CANARY_SECONDS):
            return (await self.generate([canary_request(version)]))[0]

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for scope in tuple(self._answering):
            scope.cancel()
        if handler := getattr(self._engine, "output_handler", None):
            handler.cancel()  # otherwise it reports this shutdown as a crash
        stop = asyncio.get_running_loop().run_in_executor(self._thread, partial(self._engine.shutdown, CORE_SECONDS))
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            await asyncio.shield(stop)
        self._thread.shutdown(wait=False)
        for child in self._children:
            if child.is_running():
                child.kill()
        self._engine = self._pictures = None
        shutil.rmtree(self._files, ignore_errors=True)

    def _take(self, folder: Path, copy: Path) -> AdapterFiles:
        """Copies the adapter to a private folder, so that no other process can change it, and checks the copy."""
        copy.mkdir(parents=True)
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            if (folder / name).is_file():
                shutil.copyfile(folder / name, copy / name)
        return check_adapter(copy, max_rank=self._max_rank, base=self._shapes)

    async def _prove(self, lora: Any, version: int, files: AdapterFiles) -> None:
        """Raises AdapterRefused unless the new adapter answers with finite probabilities and changes the base model's
        answer."""
        request = canary_request(version)
        try:
            with anyio.fail_after(CANARY_SECONDS):
                said = await self._answer(request, lora)
                base = await self._answer(request, None)
        except TimeoutError:
            raise AdapterRefused(f"{lora.lora_name} gave no answer to its canary in {CANARY_SECONDS:.0f} s") from None
        except EngineDead:
            raise
        except EngineError as error:
            raise AdapterRefused(f"{lora.lora_name} failed its canary: {error}") from error
        check_effect(lora.lora_name, files.size, said, base)

    async def _remove(self, lora: Any) -> None:
        try:
            with anyio.move_on_after(LOAD_SECONDS, shield=True):
                await self._engine.remove_lora(lora.lora_int_id)
        except Exception as error:
            self._raise_if_dead(error)

    async def _answer(self, request: Request, lora: Any) -> Generation:
        from services.models.vllm_requests import picture, read_answer, sampling

        if self._closed:
            raise EngineDead("the engine is closed; start another")
        asked = sampling(self._chat, request)
        outputs: list[Any] = []
        scope = anyio.CancelScope(deadline=anyio.current_time() + ANSWER_SECONDS)
        self._answering.add(scope)
        try:
            prompt = self._pictures.render(self._chat.prompt_ids(request.prompt), picture(request), request.image_id)
            with scope:
                name = f"{self._versions.role}-{next(self._request_ids)}"
                stream = self._engine.generate(
                    prompt, asked.parameters, name, lora_request=lora, priority=int(request.background)
                )
                outputs = [output async for output in stream]
        except Exception as error:
            self._raise_if_dead(error)
            raise EngineError(f"vLLM could not answer {request.prompt[:80]!r}: {_said(error)}{_hint(error)}") from error
        finally:
            self._answering.discard(scope)
        if scope.cancelled_caught:
            why = "was closed" if self._closed else f"gave no answer in {ANSWER_SECONDS:.0f} s"
            raise EngineDead(f"vLLM {why}; start the engine again")
        said = read_answer(self._chat, request, asked, outputs[-1])
        if said.log_prob is not None and not math.isfinite(said.log_prob):
            raise EngineError(f"the model's probabilities are not finite (version {request.version})")
        return said

    def _raise_if_dead(self, error: Exception) -> None:
        from vllm.v1.engine.exceptions import EngineDeadError

        if self._engine is None or isinstance(error, EngineDeadError) or self._engine.errored:
            raise EngineDead("vLLM's engine process died; start the engine again") from error


def _said(error: BaseException) -> str:
    return " ".join(str(error).split())[:500] or type(error).__name__


def _hint(error: BaseException) -> str:
    if "longer than the maximum model length" not in str(error):
        return ""
    return "; set model.max_model_len higher, or world.options.admissible=false, which makes the actor's prompts short"


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Returns the most informative error of a group: EngineDead if there is one, else the first."""
    leaves: list[BaseException] = []
    waiting: list[BaseException] = [group]
    while waiting:
        error = waiting.pop()
        if isinstance(error, BaseExceptionGroup):
            waiting.extend(reversed(error.exceptions))
        else:
            leaves.append(error)
    return next((leaf for leaf in leaves if isinstance(leaf, EngineDead)), leaves[0])


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
