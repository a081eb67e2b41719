"""What this machine is, and how many trials at once it bears."""

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import psutil

from services.models.load import choose_engine
from services.settings import Settings

TRIAL_CORES, TRIAL_BYTES = 2, 10 << 30
"""What a trial with a model wants: the micro model's takes 8 GiB at most."""
SCRIPTED_BYTES = 1 << 30
GPU_SHARE = 0.95


def at_once(settings: Settings) -> int:
    """How many trials of these settings run at once, by cores, memory and a GPU's memory; at least one."""
    cores, free = len(os.sched_getaffinity(0)), psutil.virtual_memory().available
    if choose_engine(settings.model) == "scripted":
        return max(1, min(cores, free // SCRIPTED_BYTES))
    bounds = [cores // TRIAL_CORES, free // TRIAL_BYTES]
    if gpus := _gpus():
        per_gpu = int(GPU_SHARE / (2 * max(settings.model.gpu_memory, 0.01)))  # actor and critic have an engine each
        bounds.append(per_gpu if settings.model.device != "cpu" else len(gpus) * 64)
    return max(1, min(bounds))


def describe() -> str:
    """The machine in words: processor, cores, memory, GPUs."""
    memory = psutil.virtual_memory().total / 2**30
    parts = [f"{_processor()}, {len(os.sched_getaffinity(0))} CPU threads, {memory:.0f} GiB", *_gpus()]
    return ", ".join(parts)


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    return "unknown processor"


def _gpus() -> list[str]:
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in said.splitlines() if line.strip()]
