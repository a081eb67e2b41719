"""A deterministic engine without a model, for tests and for the scripted profile.

Its adapters are folders with adapter_config.json and adapter_model.json, which holds {"skill": x}, x in [0, 1].
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio
import msgspec

from services.models.canary import canary_request
from services.models.engine import AdapterRefused, EngineDead, Generation, Identity, Request
from services.models.scripted_household import NO, YES, answer
from services.models.versions import DRAIN_SECONDS, Versions

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.json"
BASE_MODEL = "scripted@1"
BASE_SKILL = 0.1
"""The skill of the base model, version 0."""


class ScriptedAdapter(msgspec.Struct, frozen=True, kw_only=True):
    """The weights file. ``skill`` is in [0, 1]. A ``mute`` adapter gives empty answers, so its canary fails."""

    skill: float
    mute: bool = False


class ScriptedEngine:
    """Implements `engine.Engine`. ``latency`` is the seconds for a request; at most ``max_in_flight`` run at once."""

    def __init__(self, *, role: str, max_versions: int, max_in_flight: int = 64, latency: float = 0.0) -> None:
        self._versions = Versions(role, max_versions)
        self._adapters: dict[int, ScriptedAdapter] = {0: ScriptedAdapter(skill=BASE_SKILL)}
        self._slots = anyio.Semaphore(max_in_flight)
        self._loading = anyio.Lock()
        self._latency = latency
        self._closed = False

    @property
    def identity(self) -> Identity:
        return Identity(name="scripted", version="1", device="none", base_model=BASE_MODEL)

    @property
    def versions(self) -> frozenset[int]:
        return self._versions.loaded

    @property
    def in_flight(self) -> Mapping[int, int]:
        return self._versions.in_flight

    async def generate(self, requests: Sequence[Request]) -> list[Generation]:
        if self._closed:
            raise EngineDead("the scripted engine is closed; start another")
        self._versions.require(requests)
        answers: dict[int, Generation] = {}

        async def run(index: int, request: Request) -> None:
            with self._versions.using(request.version):
                async with self._slots:
                    await anyio.sleep(self._latency)
                    answers[index] = _generate(request, self._adapters[request.version])

        async with anyio.create_task_group() as tasks:
            for index, request in enumerate(requests):
                tasks.start_soon(run, index, request)
        return [answers[index] for index in range(len(requests))]

    async def load(self, version: int, folder: Path) -> None:
        async with self._loading:
            adapter, content = _read(folder)
            if not self._versions.admit(version, content):
                return
            if not _generate(canary_request(version), adapter).text:
                raise AdapterRefused(f"version {version} in {folder} gave no answer to its canary; train it again")
            self._adapters[version] = adapter
            self._versions.add(version, content)

    async def unload(self, version: int) -> None:
        if version == 0 or version not in self.versions:
            return
        await self._versions.drain(version, DRAIN_SECONDS)
        self._adapters.pop(version, None)

    async def canary(self, version: int = 0) -> Generation:
        return (await self.generate([canary_request(version)]))[0]

    async def close(self) -> None:
        self._closed = True


def _generate(request: Request, adapter: ScriptedAdapter) -> Generation:
    if adapter.mute:
        return Generation(text="", version=request.version)
    seed = request.seed or 0
    said = answer(request.prompt, request.image_id, skill=adapter.skill, seed=seed, temperature=request.temperature)
    chance = hashlib.sha256(f"{request.image_id}\0{request.prompt}\0{adapter.skill:.6f}".encode()).digest()[0] / 255
    if request.choices and said not in request.choices:
        said = request.choices[min(int(chance * len(request.choices)), len(request.choices) - 1)]
    log_odds = None
    if len(request.choices) == 2 and set(request.choices) == {YES, NO}:
        log_odds = (0.2 + 3 * chance) * (1 if said == request.choices[0] else -1)
    return Generation(text=said, version=request.version, log_prob=-0.01 - chance, log_odds=log_odds)


def _read(folder: Path) -> tuple[ScriptedAdapter, str]:
    """Returns a folder's adapter and a digest of its files. Raises AdapterRefused if they are missing or invalid."""
    try:
        config, weights = (folder / CONFIG).read_bytes(), (folder / WEIGHTS).read_bytes()
        json.loads(config)
        adapter = msgspec.json.decode(weights, type=ScriptedAdapter)
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise AdapterRefused(
            f"{folder} is no scripted adapter: {error}; it needs {CONFIG} and {WEIGHTS} with a skill"
        ) from error
    if not (math.isfinite(adapter.skill) and 0 <= adapter.skill <= 1):
        raise AdapterRefused(f"{folder / WEIGHTS}: skill {adapter.skill} is not between 0 and 1; train it again")
    return adapter, hashlib.sha256(config + b"\0" + weights).hexdigest()
