"""What Unity players need of this machine, whichever world they are of: an X display, a port, named pipes."""

import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from scripts.launch.finding import Finding

X_SOCKETS = Path("/tmp/.X11-unix")
"""Where the X servers of this machine listen."""
XVFB = "xvfb-run -a COMMAND starts a player with a display of its own, without hardware"


def display(who: str, *, needed: bool) -> Iterator[Finding]:
    """``who`` says which players want one; it is a trouble only where they ``needed`` it."""
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


def ports() -> Iterator[Finding]:
    """Whether a player could be talked to over a port of this machine."""
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
    """Whether a player could be talked to over named pipes in the folder for temporary files."""
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
