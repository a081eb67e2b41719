"""What this machine is, how many trials at once it bears, and which of its GPUs each of them gets."""

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

TRIAL_CORES, TRIAL_BYTES = 2, 10 << 30
"""What a trial with a model wants: the micro model's takes 8 GiB at most."""
SCRIPTED_BYTES = 1 << 30
GPU_SHARE = 0.95
SHARING = 9
"""Engines that reserve no GPU memory: so many trials of the micro model keep an H200 busy all the time."""


def at_once(settings: Settings) -> int:
    """How many trials of these settings run at once, by cores, memory and a GPU's memory; at least one."""
    cores, free = len(os.sched_getaffinity(0)), psutil.virtual_memory().available
    if choose_engine(settings.model) == "scripted":
        return max(1, min(cores, free // SCRIPTED_BYTES))
    bounds = [cores // TRIAL_CORES, free // TRIAL_BYTES]
    if settings.model.device != "cpu" and (found := gpus()):
        reserved = 2 * max(settings.model.gpu_memory, 0.01)  # actor and critic have an engine each
        bounds.append(len(found) * (int(GPU_SHARE / reserved) if choose_engine(settings.model) == "vllm" else SHARING))
    return max(1, min(bounds))


def gpus() -> list[str]:
    """The GPUs that trials may use, as CUDA names them: those of CUDA_VISIBLE_DEVICES where it is set, else all."""
    if (named := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name.strip() for name in named.split(",") if name.strip() not in ("", "-1")]
    return [str(at) for at in range(len(_gpus()))]


class Placement:
    """Which trial runs on which GPU. Each sees one of them, the one with the fewest trials at that time."""

    def __init__(self, found: Sequence[str]) -> None:
        self._trials = dict.fromkeys(found, 0)

    @contextmanager
    def taken(self) -> Generator[dict[str, str]]:
        """What to add to a trial's environment while it runs; nothing where there is no choice."""
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
    """The machine in words: processor, cores, memory, GPUs."""
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
    """All GPUs by name. Asked for once: each asking takes a process."""
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
