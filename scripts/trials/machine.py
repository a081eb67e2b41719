"""Describes this machine, limits the number of parallel trials, and assigns trials to GPUs."""

import functools
import os
import shutil
import subprocess
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from services.models.load import choose_engine
from services.settings import Settings
from services.worlds.gpu import visible

TRIAL_CORES, TRIAL_BYTES = 2, 10 << 30
"""Needs of a trial with a model. With the micro model it uses at most 8 GiB."""
SCRIPTED_BYTES = 1 << 30
GPU_SHARE = 0.95
SHARING = 9
"""Trials per GPU with engines that reserve no GPU memory. This many trials of the micro model saturate an H200."""


def at_once(settings: Settings) -> int:
    """The number of trials with these settings that run in parallel, by cores, memory and GPU memory; at least 1."""
    cores, free = len(os.sched_getaffinity(0)), psutil.virtual_memory().available
    if choose_engine(settings.model) == "scripted":
        return max(1, min(cores, free // SCRIPTED_BYTES))
    bounds = [cores // TRIAL_CORES, free // TRIAL_BYTES]
    if settings.model.device != "cpu" and (found := gpus()):
        reserved = 2 * max(settings.model.gpu_memory, 0.01)  # actor and critic have an engine each
        bounds.append(len(found) * (int(GPU_SHARE / reserved) if choose_engine(settings.model) == "vllm" else SHARING))
    return max(1, min(bounds))


def gpus() -> list[str]:
    """The GPUs for trials, as CUDA names them: those of CUDA_VISIBLE_DEVICES if it is set, else all."""
    if (named := visible(os.environ)) is not None:
        return named
    return [str(at) for at in range(len(_gpus()))]


class Placement:
    """Assigns each trial the GPU with the fewest trials at that time."""

    def __init__(self, found: Sequence[str]) -> None:
        self._trials = dict.fromkeys(found, 0)

    @contextmanager
    def taken(self) -> Generator[dict[str, str]]:
        """The environment variables of a trial, while it runs; empty with fewer than two GPUs."""
        if len(self._trials) < 2:
            yield {}
            return
        gpu = min(self._trials, key=self._trials.__getitem__)
        self._trials[gpu] += 1
        try:
            yield {"CUDA_VISIBLE_DEVICES": gpu}
        finally:
            self._trials[gpu] -= 1


def describe() -> str:
    """The machine in words: processor, threads, memory, GPUs."""
    memory = psutil.virtual_memory().total / 2**30
    parts = [f"{_processor()}, {len(os.sched_getaffinity(0))} CPU threads, {memory:.0f} GiB", *_gpus()]
    return ", ".join(parts)


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    return "unknown processor"


@functools.cache
def _gpus() -> list[str]:
    """The names of all GPUs. Cached, because each query starts a process."""
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        said = subprocess.run(
            query, capture_output=True, encoding="utf-8", errors="replace", timeout=20, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in said.splitlines() if line.strip()]
