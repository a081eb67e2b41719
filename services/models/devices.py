"""Whether the device that `model.device` names is there, known before a run starts.

torch and vLLM take seconds to import, and CUDA cannot be used by a process that forks later. So a short process of its
own looks.
"""

import os
import subprocess
import sys

from runtime.child import environment
from services.models.engine import ModelUnusable
from services.settings import Model

SECONDS = 60.0
"""How long the look may take: vLLM's import from a slow disk."""
PROGRAMS = {
    "transformers": "import torch; print('cuda' if torch.cuda.is_available() else 'cpu')",
    "vllm": "from vllm.platforms import current_platform; print(current_platform.device_type)",
}
"""What prints the kind of device that an engine runs on."""


def check_device(settings: Model, engine: str) -> None:
    """Does nothing where the device is to be chosen, and where no look succeeds: the engine then says what is wrong.

    Raises:
        ModelUnusable: the engine does not run on the device that the settings name.
    """
    if settings.device == "auto" or engine not in PROGRAMS or (engine, settings.device) == ("transformers", "cpu"):
        return
    found = device_of(engine)
    if found is None or found == settings.device:
        return
    if engine == "vllm" and found:
        raise ModelUnusable(
            f"model.device is {settings.device}, but the installed vLLM runs on {found}: install selu[gpu] for a GPU "
            f"and selu[cpu] for none, or set model.device to auto"
        )
    raise ModelUnusable(
        f"model.device is {settings.device}, but {'vLLM' if engine == 'vllm' else 'torch'} finds no GPU: nvidia-smi "
        "lists those of this machine, CUDA_VISIBLE_DEVICES may hide them, and selu[gpu] brings packages for them; or "
        "set model.device to cpu"
    )


def device_of(engine: str) -> str | None:
    """The kind of device that an engine of this environment runs on ("cuda", "cpu", empty for none); None where that
    cannot be told."""
    try:
        told = subprocess.run(
            [sys.executable, "-c", PROGRAMS[engine]], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            encoding="utf-8", errors="replace", timeout=SECONDS, env={**os.environ, **environment()}, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = told.stdout.split("\n")
    return lines[-2].strip() if told.returncode == 0 and len(lines) > 1 else None
