"""Checks of this machine for Unity players of any world: an X display, GPUs, ports and named pipes."""

import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from scripts.launch.finding import Finding
from services.worlds import gpu

X_SOCKETS = Path("/tmp/.X11-unix")
"""The folder of this machine's X server sockets."""
XVFB = "xvfb-run -a COMMAND starts a player with a display of its own, without hardware"


def display(who: str, *, needed: bool) -> Iterator[Finding]:
    """``who`` names the players that use a display. A missing one is a warning only if ``needed``."""
    shown, xvfb = os.environ.get("DISPLAY", ""), shutil.which("xvfb-run")
    local = re.fullmatch(r"(?:unix)?:(\d+)(?:\.\d+)?", shown)
    if shown and local and not (X_SOCKETS / f"X{local[1]}").exists():
        do = f"start an X server there, unset DISPLAY, or: {XVFB}"
        yield Finding(what="display", state="warn", found=f"DISPLAY is {shown}, but no X server listens there", do=do)
    elif shown:
        yield Finding(what="display", state="ok", found=f"DISPLAY is {shown}")
    elif xvfb:
        yield Finding(what="display", state="ok", found=f"no DISPLAY, which {who} want; {XVFB}")
    elif needed:
        do = f"apt-get install xvfb; then {XVFB}"
        yield Finding(what="display", state="warn", found=f"no DISPLAY, which {who} want, and no xvfb-run", do=do)
    else:
        yield Finding(what="display", state="ok", found=f"no DISPLAY; only {who} want one")


def graphics(environ: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Whether players render on the GPUs that CUDA_VISIBLE_DEVICES leaves to the run."""
    what, devices, cards = "players' GPU", gpu.visible(environ), gpu.installed()
    said, choose = f"CUDA_VISIBLE_DEVICES is {environ.get('CUDA_VISIBLE_DEVICES')}", "set world.options.gpu"
    if devices is None:
        if len(cards) > 1:
            found = f"CUDA_VISIBLE_DEVICES is not set: all players draw on the driver's first of {len(cards)} GPUs"
            do = "name those to use, e.g. CUDA_VISIBLE_DEVICES=0,1: players then take them in turn"
            yield Finding(what=what, state="ok", found=found, do=do)
        return
    if not devices:
        found = f"{said}: it leaves no GPU to models, while players draw on the driver's first, if there is any"
        yield Finding(what=what, state="warn", found=found, do=f"{choose} where another one is to draw")
        return
    known = {device: gpu.card_of(device, cards) for device in devices}
    lost = [device for device, card in known.items() if card is None]
    order = gpu.vulkan_order()
    mixed = len({card.name for card in cards}) > 1 and environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID"
    if lost:
        why = "nvidia-smi does not list it" if cards else "nvidia-smi does not run here"
        found = f"{said}: which GPU {lost[0]} is cannot be told ({why}); players do not draw there"
        yield Finding(what=what, state="warn", found=found, do=f"{choose} to its number in nvidia-smi")
    elif any(card.parts for card in cards if card.index in known.values()):
        found = f"{said}: its GPU is split by MIG, and MIG devices do not draw"
        yield Finding(what=what, state="warn", found=found, do=f"{choose} to a GPU that is not split")
    elif mixed and any(device.isdigit() for device in devices):
        found = f"{said}; CUDA orders GPUs of different models by speed, but nvidia-smi and players do not"
        yield Finding(what=what, state="warn", found=found, do="set CUDA_DEVICE_ORDER=PCI_BUS_ID")
    elif not order or not cards:
        tool, do = ("vulkaninfo", "apt-get install vulkan-tools") if cards else ("nvidia-smi", "install the driver")
        found = f"{said}: without {tool} it is assumed that Vulkan counts GPUs as CUDA does"
        yield Finding(what=what, state="warn", found=found, do=f"{do}, or {choose}")
    else:
        where = ", ".join(
            f"GPU {card} (Vulkan's {gpu.vulkan_index(card)})" for card in known.values() if card is not None
        )
        yield Finding(what=what, state="ok", found=f"{said}: players draw on {where}")


def ports() -> Iterator[Finding]:
    """Whether this machine can connect to a local TCP port."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), timeout=5).close()
        yield Finding(what="ports", state="ok", found="a player can be spoken to at a free port of 127.0.0.1")
    except OSError as error:
        yield Finding(
            what="ports", state="fail", found=f"nothing can be spoken to at 127.0.0.1: {error.strerror or error}",
            do="bring up the loopback interface (ip link set lo up) and let programs use it",
        )  # fmt: skip


def pipes() -> Iterator[Finding]:
    """Whether named pipes can be created in the folder for temporary files."""
    where = tempfile.gettempdir()
    try:
        with tempfile.TemporaryDirectory() as scratch:
            os.mkfifo(Path(scratch) / "pipe")
        yield Finding(what="pipes", state="ok", found=f"named pipes in {where}")
    except OSError as error:
        yield Finding(
            what="pipes", state="fail", found=f"no named pipe in {where}: {error.strerror}",
            do="set TMPDIR to a folder on a local disk",
        )  # fmt: skip
