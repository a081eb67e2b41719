"""What this machine has and lacks for a run. Each finding says what to do; nothing is changed."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psutil

from runtime.runfolder import RunFolder, RunFolderError
from runtime.user import user_variables
from scripts.launch.finding import Finding, version_of
from scripts.launch.health_ai2thor import ai2thor
from scripts.launch.health_virtualhome import virtualhome
from services.models.engine import EngineError
from services.models.folder import base_model_name, model_folder
from services.models.needs import lacking
from services.settings import Model

IMPORT_SECONDS = 120.0
"""How long importing vLLM may take on a slow disk."""
MEMORY_BYTES, DISK_BYTES = 8 << 30, 2 << 30
"""What the household profile needs: both engines and the trainer; a few rounds of frames and adapters."""

NEEDED = ("anyio", "msgspec", "numpy", "pillow", "psutil", "pyzmq", "rich")
LEARNING = ("torch", "transformers", "peft", "safetensors")
IMAGE_PACKAGES = ("torchvision", "torchaudio", "torchcodec")


def examine(
    model: Path | None = None, virtualhome_player: str | None = None, world: str | None = None
) -> list[Finding]:
    """All findings, cheap ones first; importing vLLM takes some seconds, and so does the start of a player."""
    wanted = world == "virtualhome"
    checks: Iterable[Callable[[], Iterator[Finding]]] = (
        python, packages, image_packages, sockets, disk, memory, lambda: model_files(model),
        lambda: ai2thor(world == "ai2thor"), lambda: virtualhome(virtualhome_player, wanted=wanted), vllm,
    )  # fmt: skip
    return [finding for check in checks for finding in check()]


def python(version: tuple[int, int, int] = sys.version_info[:3]) -> Iterator[Finding]:
    found = f"{version[0]}.{version[1]}.{version[2]} at {sys.executable}"
    if version < (3, 11, 0):
        yield Finding(what="python", state="fail", found=found, do="use Python 3.11 or newer")
    else:
        yield Finding(what="python", state="ok", found=found)


def packages() -> Iterator[Finding]:
    missing = [name for name in NEEDED if version_of(name) is None]
    if missing:
        yield Finding(
            what="packages",
            state="fail",
            found=f"missing: {', '.join(missing)}",
            do="run scripts/setup in the checkout",
        )
    else:
        yield Finding(what="packages", state="ok", found=", ".join(f"{name} {version_of(name)}" for name in NEEDED))
    missing = [name for name in LEARNING if version_of(name) is None]
    if missing:
        yield Finding(
            what="learning", state="warn", found=f"missing: {', '.join(missing)}",
            do="run scripts/setup, or install selu[cpu] or selu[gpu]; the scripted profile works without",
        )  # fmt: skip
    else:
        yield Finding(what="learning", state="ok", found=", ".join(f"{name} {version_of(name)}" for name in LEARNING))


def image_packages(version: Callable[[str], str | None] = version_of) -> Iterator[Finding]:
    """A torchvision that was built for another torch breaks every import of transformers' image models."""
    torch = version("torch")
    present = {name: found for name in IMAGE_PACKAGES if (found := version(name))}
    if torch is None or not present:
        yield Finding(what="torchvision", state="ok", found="not installed, and not needed")
        return
    listed = ", ".join(f"{name} {found}" for name, found in present.items())
    found = f"{listed} beside torch {torch}"
    on_cpu = "+cpu" in torch
    if on_cpu and any("+cpu" not in other for other in present.values()):
        yield Finding(
            what="torchvision", state="fail", found=f"{found}: built for CUDA, it breaks transformers",
            do=f"{sys.executable} -m pip uninstall -y {' '.join(present)}",
        )  # fmt: skip
    else:
        yield Finding(what="torchvision", state="ok", found=found)


def sockets() -> Iterator[Finding]:
    """Whether a run in this folder could make its private sockets."""
    try:
        with tempfile.TemporaryDirectory() as scratch:
            run = RunFolder.create(Path(scratch) / "run")
            run.listen_at()
            folder = run.private
            run.stop_listening()
        yield Finding(what="sockets", state="ok", found=f"ipc in {folder and folder.parent}")
    except (RunFolderError, OSError) as error:
        yield Finding(what="sockets", state="fail", found=str(error), do="set XDG_RUNTIME_DIR to a writable folder")


def disk(folder: Path | None = None) -> Iterator[Finding]:
    where = (folder or Path()).absolute()
    free = shutil.disk_usage(where).free
    writable = os.access(where, os.W_OK)
    found = f"{free / 2**30:.1f} GiB free in {where}"
    if not writable:
        yield Finding(what="disk", state="fail", found=f"cannot write in {where}", do="give --run a folder of your own")
    elif free < DISK_BYTES:
        yield Finding(what="disk", state="warn", found=found, do=f"have {DISK_BYTES >> 30} GiB free, or give --run")
    else:
        yield Finding(what="disk", state="ok", found=found)


def memory(available: int | None = None) -> Iterator[Finding]:
    free = psutil.virtual_memory().available if available is None else available
    found = f"{free / 2**30:.1f} GiB available, {os.cpu_count()} cores"
    if free < MEMORY_BYTES:
        do = f"the household profile wants {MEMORY_BYTES >> 30} GiB: close programs, or set model.cache_gib lower"
        yield Finding(what="memory", state="warn", found=found, do=do)
    else:
        yield Finding(what="memory", state="ok", found=found)


def model_files(path: Path | None = None) -> Iterator[Finding]:
    try:
        folder = model_folder(Model(path=str(path) if path else ""))
        yield Finding(what="model", state="ok", found=f"{base_model_name(folder)} in {folder}")
        for lack in lacking(folder, "vllm" if importlib.util.find_spec("vllm") else "transformers"):
            yield Finding(what="model", state="fail", found=lack.found, do=lack.do)
    except EngineError as error:
        yield Finding(what="model", state="fail", found=str(error), do="give the folder with --set model.path=DIR")


def vllm() -> Iterator[Finding]:
    """Imports vLLM in a process of its own: an import that breaks can break the process."""
    if importlib.util.find_spec("vllm") is None:
        yield Finding(
            what="vllm",
            state="warn",
            found="not installed",
            do="run scripts/setup; model.engine=transformers works without",
        )
        return
    code = "import vllm, vllm.v1.engine.async_llm; print(vllm.__version__)"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=IMPORT_SECONDS,
            check=False,
            env={**os.environ, **user_variables()},
        )
    except subprocess.TimeoutExpired:
        do = "try again; is the disk slow?"
        yield Finding(what="vllm", state="warn", found=f"its import took over {IMPORT_SECONDS:.0f} s", do=do)
        return
    if done.returncode == 0:
        yield Finding(what="vllm", state="ok", found=done.stdout.strip().splitlines()[-1])
    else:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        yield Finding(what="vllm", state="fail", found=f"cannot be imported: {last}", do="run scripts/setup again")
