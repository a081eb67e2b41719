"""Checks of this machine for the AI2-THOR world: package, player, rendering, disk and pipes."""

import ctypes.util
import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from scripts.launch.finding import Finding, version_of
from scripts.launch.health_players import display, graphics, pipes, ports
from services.worlds.ai2thor.release import PLATFORMS, fetched

PLAYER_BYTES = 4 << 30
"""Disk space for downloading and unpacking a player, with a margin."""
ICD = ("/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d")
"""Folders in which Vulkan drivers are registered."""


def ai2thor(wanted: bool) -> Iterator[Finding]:
    """All findings if the world is ``wanted``, else only whether the package is installed."""
    if not wanted:
        version = version_of("ai2thor")
        found = "not installed; only its own world needs it" if version is None else f"ai2thor {version}"
        yield Finding(what="ai2thor", state="ok", found=f"{found} (--world ai2thor looks closer)")
        return
    yield from package()
    yield from player()
    yield from vulkan()
    yield from graphics()
    yield from display("players of platform Linux64", needed=False)
    yield from pipes()
    yield from ports()


def package() -> Iterator[Finding]:
    version, how = version_of("ai2thor"), "pip install 'ai2thor>=5.0', or selu[thor]"
    if version is None:
        yield Finding(what="ai2thor", state="fail", found="not installed", do=how)
    elif int(version.split(".")[0]) < 5:
        yield Finding(what="ai2thor", state="fail", found=f"version {version}, which is too old", do=how)
    else:
        yield Finding(what="ai2thor", state="ok", found=version)
    if version_of("opencv-python") and version_of("opencv-python-headless"):
        yield Finding(
            what="opencv", state="warn", found="opencv-python (named by ai2thor) over opencv-python-headless",
            do="without a window system: pip uninstall -y opencv-python opencv-python-headless, then "
            "pip install opencv-python-headless",
        )  # fmt: skip


def player(home: Path | None = None) -> Iterator[Finding]:
    """The player releases that the package has downloaded. It downloads its own release when a player first starts."""
    if importlib.util.find_spec("ai2thor") is None:
        return
    folder = (home or Path.home()) / ".ai2thor"
    if there := [name for name in PLATFORMS if fetched(name, home)]:
        yield Finding(what="player", state="ok", found=f"{', '.join(there)} in {folder / 'releases'}")
        return
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(nearest).free
    found = f"none in {folder / 'releases'}; {free / 2**30:.1f} GiB free there"
    if free < PLAYER_BYTES or not os.access(nearest, os.W_OK):
        do = f"have {PLAYER_BYTES >> 30} GiB free and writable there, or set HOME to a folder that has"
        yield Finding(what="player", state="fail", found=found, do=do)
    else:
        do = (
            "with internet: python -c 'from ai2thor.controller import Controller; "
            'Controller(platform="CloudRendering", download_only=True)\'; without: unpack the release on another '
            "machine and copy that folder, or set world.options.executable"
        )
        yield Finding(what="player", state="warn", found=found, do=do)


def vulkan(library: str | None = None) -> Iterator[Finding]:
    library = library or ctypes.util.find_library("vulkan")
    drivers = sorted(file.name for folder in ICD if Path(folder).is_dir() for file in Path(folder).glob("*.json"))
    if library is None:
        yield Finding(
            what="vulkan", state="fail", found="libvulkan.so.1 is missing; CloudRendering needs it",
            do="apt-get install libvulkan1 (or your system's package of it)",
        )  # fmt: skip
    elif not drivers:
        yield Finding(
            what="vulkan", state="warn", found=f"{library}, but no driver is registered in {ICD[0]}",
            do="install the GPU's driver with its Vulkan part (in containers: NVIDIA_DRIVER_CAPABILITIES=all), or "
            "mesa-vulkan-drivers, which renders on the CPU and is slow",
        )  # fmt: skip
    else:
        yield Finding(what="vulkan", state="ok", found=f"{library}, drivers {', '.join(drivers)}")
