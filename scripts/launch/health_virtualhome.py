"""What the VirtualHome world needs of this machine: its package, and for unity mode a player that starts."""

import os
import shutil
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from scripts.launch.health import Finding
from services.worlds.virtualhome import shims
from services.worlds.virtualhome.options import read_options
from services.worlds.virtualhome.unity import UnitySimulation
from services.worlds.world import WorldError

DOWNLOAD = "http://virtual-home.org/release/simulator/v2.0/v2.3.0/linux_exec.zip"
DISK_BYTES = 2 << 30
"""What the player takes, unpacked."""


def virtualhome(player: str | None = None) -> Iterator[Finding]:
    """``player`` is the command that starts the Unity player, which is then tried: start, scene, picture, end."""
    what = "virtualhome"
    try:
        shims.executor()
        shims.client()
        found = version("virtualhome")
    except (shims.PackageMissing, PackageNotFoundError) as error:
        yield Finding(what=what, state="warn", found="not installed; only its own world needs it", do=_do(error))
        return
    if found != shims.VERSION:
        do = f"{shims.HOW_TO_INSTALL}: other releases were not tried"
        yield Finding(what=what, state="warn", found=f"virtualhome {found}", do=do)
    else:
        yield Finding(what=what, state="ok", found=f"virtualhome {found}; mode = graph works")
    yield from _player(player)


def _do(error: Exception) -> str:
    return str(error).partition(": ")[2] or shims.HOW_TO_INSTALL


def _player(command: str | None) -> Iterator[Finding]:
    what = "virtualhome player"
    if not command:
        free = shutil.disk_usage(Path()).free
        room = "" if free >= DISK_BYTES else f"; it needs {DISK_BYTES >> 30} GiB and {free >> 20} MiB are free here"
        yield Finding(
            what=what, state="ok",
            found=f"not looked at (mode = unity needs it: {DOWNLOAD}{room}); try it with --virtualhome-player COMMAND",
        )  # fmt: skip
        return
    display = os.environ.get("DISPLAY", "")
    begun = time.monotonic()
    try:
        options = read_options({"mode": "unity", "player": command, "starts": 1, "frame": 128})
    except ValueError as error:
        yield Finding(what=what, state="fail", found=str(error), do=f"unpack {DOWNLOAD} and chmod +x the .x86_64 file")
        return
    simulation = UnitySimulation(options)
    try:
        simulation.load(0)
        if not simulation.add_character("kitchen"):
            raise WorldError("it could not place a character in the kitchen of environment 0")
        frame = simulation.first_person()
        if not frame.any():
            raise WorldError("its pictures are black: it has no graphics device")
        seconds = time.monotonic() - begun
        yield Finding(what=what, state="ok", found=f"started, loaded environment 0 and showed it in {seconds:.1f} s")
    except WorldError as error:
        shown = f"with DISPLAY={display}" if display else "without a DISPLAY"
        yield Finding(what=what, state="fail", found=f"{error} ({shown})", do=_display(display))
    finally:
        simulation.close()


def _display(display: str) -> str:
    if display:
        return "does an X server with a graphics driver run there? `xvfb-run -a COMMAND` brings one without hardware"
    if shutil.which("xvfb-run"):
        return "the player needs an X display: put `xvfb-run -a` before the command, or set DISPLAY"
    return "the player needs an X display: apt-get install xvfb, and put `xvfb-run -a` before the command"
