"""Checks before a run starts that the device in `model.device` is available.

The check runs in a subprocess: torch and vLLM take seconds to import, and a process that has used CUDA cannot fork.
"""

import os
import subprocess
import sys
from functools import cache

from runtime.child import environment
from services.models.engine import ModelUnusable
from services.settings import Model

SECONDS = 60.0
"""How long the check may take, e.g. to import vLLM from a slow disk."""
PROGRAMS = {
    "transformers": "import torch; print('cuda' if torch.cuda.is_available() else 'cpu')",
    "vllm": "from vllm.platforms import current_platform; print(current_platform.device_type)",
}
"""For each engine, a program that prints the kind of device it runs on."""


def check_device(settings: Model, engine: str) -> None:
    """Checks the device that the settings name; "auto" is not checked.

    If the check itself fails, nothing is raised, as the engine reports the fault when it starts.

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
    """Returns the kind of device that an engine uses here ("cuda", "cpu", empty for none); None if the check fails."""
    return _printed(PROGRAMS[engine], os.environ.get("CUDA_VISIBLE_DEVICES"))


@cache
def _printed(program: str, _visible: str | None) -> str | None:
    """The last line that a Python program prints in a process of its own. Depends on the visible GPUs, too."""
    try:
        ended = subprocess.run(
            [sys.executable, "-c", program], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            encoding="utf-8", errors="replace", timeout=SECONDS, env={**os.environ, **environment()}, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = ended.stdout.split("\n")
    return lines[-2].strip() if ended.returncode == 0 and len(lines) > 1 else None
