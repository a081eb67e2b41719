"""Checks of this machine for `selu doctor`. Each finding has a remedy; nothing is changed."""

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
from scripts.launch.plan import profile_file
from scripts.launch.resolve import resolve
from services.models.engine import EngineError
from services.models.examine import examine as examine_model
from services.models.examine import model_path
from services.models.folder import base_model_name

IMPORT_SECONDS = 120.0
"""Time limit for importing vLLM, for slow disks."""
MEMORY_BYTES, DISK_BYTES = 8 << 30, 2 << 30
"""Needs of the household profile: memory for two engines and the trainer, disk for a few rounds' files."""

NEEDED = ("anyio", "msgspec", "numpy", "pillow", "psutil", "pyzmq", "rich")
LEARNING = ("torch", "transformers", "peft", "safetensors")
IMAGE_PACKAGES = ("torchvision", "torchaudio", "torchcodec")


def examine(
    model: Path | None = None, virtualhome_player: str | None = None, world: str | None = None
) -> list[Finding]:
    """All findings, cheap checks first. Importing vLLM takes seconds, and so does starting a player."""
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
    """A torchvision built for another torch breaks every import of transformers' image models."""
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
    """Whether a run can create its private sockets here."""
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
    """Whether the model can be served and trained under the settings of `selu up --model`."""
    settings = resolve(profile_file("household"), model=path)
    engine = "vllm" if importlib.util.find_spec("vllm") else "transformers"
    lacks = examine_model(settings.model, engine)
    for lack in lacks:
        yield Finding(what="model", state="fail", found=lack.found, do=lack.do)
    if lacks:
        return
    folder = model_path(settings.model)
    try:
        yield Finding(what="model", state="ok", found=f"{base_model_name(folder)} in {folder}")
    except EngineError as error:
        yield Finding(what="model", state="fail", found=str(error), do="copy the model again")


def vllm() -> Iterator[Finding]:
    """Imports vLLM in a separate process, because a broken import can crash the process."""
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
