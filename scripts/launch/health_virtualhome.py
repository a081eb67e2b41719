"""Checks of this machine for the VirtualHome world: the package, and for unity mode a player that starts."""

import os
import shutil
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from scripts.launch.finding import Finding
from scripts.launch.health_players import XVFB, display, graphics, ports
from services.worlds.virtualhome import shims
from services.worlds.virtualhome.options import read_options
from services.worlds.virtualhome.unity import UnitySimulation
from services.worlds.world import WorldError

DOWNLOAD = "http://virtual-home.org/release/simulator/v2.0/v2.3.0/linux_exec.zip"
DISK_BYTES = 2 << 30
"""Disk space of the unpacked player."""


def virtualhome(player: str | None = None, *, wanted: bool = False) -> Iterator[Finding]:
    """All findings if the world is ``wanted``. ``player`` is the command of a Unity player, which is then tested: it is
    started, loads a scene, renders a frame and ends."""
    what = "virtualhome"
    try:
        shims.executor()
        shims.client()
        found = version("virtualhome")
    except (shims.PackageMissing, PackageNotFoundError) as error:
        found = "not installed; only its own world needs it"
        yield Finding(what=what, state="fail" if wanted else "warn", found=found, do=_do(error))
        return
    if found != shims.VERSION:
        do = f"{shims.HOW_TO_INSTALL}: other releases were not tried"
        yield Finding(what=what, state="warn", found=f"virtualhome {found}", do=do)
    else:
        closer = "" if wanted or player else " (--world virtualhome looks closer)"
        yield Finding(what=what, state="ok", found=f"virtualhome {found}; mode = graph works{closer}")
    if wanted:
        yield from display("players", needed=True)
        yield from graphics()
        yield from ports()
        yield from _disk()
    if wanted or player:
        yield from _player(player)


def _do(error: Exception) -> str:
    return str(error).partition(": ")[2] or shims.HOW_TO_INSTALL


def _disk() -> Iterator[Finding]:
    here = Path().absolute()
    free = shutil.disk_usage(here).free
    found = f"{free / 2**30:.1f} GiB free in {here}; an unpacked player takes {DISK_BYTES >> 30}"
    if free < DISK_BYTES:
        yield Finding(what="player's disk", state="warn", found=found, do="unpack the player where there is more room")
    else:
        yield Finding(what="player's disk", state="ok", found=found)


def _player(command: str | None) -> Iterator[Finding]:
    what = "virtualhome player"
    if not command:
        do = f"fetch {DOWNLOAD}, unpack it, and try it: selu doctor --virtualhome-player COMMAND"
        yield Finding(what=what, state="warn", found="not looked at; only mode = unity needs it", do=do)
        return
    shown = os.environ.get("DISPLAY", "")
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
        how = f"with DISPLAY={shown}" if shown else "without a DISPLAY"
        yield Finding(what=what, state="fail", found=f"{error} ({how})", do=_display(shown))
    finally:
        simulation.close()


def _display(display: str) -> str:
    if display:
        return f"does an X server with a graphics driver run there? {XVFB}"
    install = "" if shutil.which("xvfb-run") else "apt-get install xvfb; "
    return f"the player needs an X display: {install}{XVFB}"
