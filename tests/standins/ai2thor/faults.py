"""What can go wrong on purpose: STANDIN_FAULT=KIND@ACTION[#N] strikes at the Nth time of that action ("*" is any).

    exit, abort, segv      the player ends while it acts
    after                  it answers, and ends then
    hang                   it never answers
    slow                   it takes a second and a half
    garbage, short         it answers nonsense, or with too few pixels
    sequence               it answers another request than the one it was asked
    scene, pose            it answers with another player's scene, or another agent's place
    stale                  it shows its last frame again, and again
    size                   its frames have another size than the one asked for
    cameras, camera        a third-person frame too many, or from another place
    foreign                over HTTP, another player's answer comes before each of its own
    start, start-hang      it ends, or hangs, before it says a word

With STANDIN_ONCE=FILE a fault strikes only where the file is not there yet, and makes it.
"""

import os
import signal
import time
from collections import Counter
from pathlib import Path


class Faults:
    def __init__(self) -> None:
        kind, _, when = os.environ.get("STANDIN_FAULT", "").partition("@")
        self._kind = kind
        self._action, _, nth = (when or "*").partition("#")
        self._nth = int(nth or 1)
        self._seen: Counter[str] = Counter()
        self.now = ""

    def strike(self, action: str) -> str:
        """The fault of this action, "" for none. Those of the process itself happen here."""
        self._seen[action] += 1
        self._seen["*"] += 1
        hit = self._kind and self._action in (action, "*") and self._seen[self._action] == self._nth
        sticky = self.now == "stale"
        self.now = self._kind if (hit and self._first()) or sticky else ""
        match self.now:
            case "exit":
                os._exit(3)
            case "abort" | "segv":
                signal.signal(signal.SIGABRT, signal.SIG_DFL)
                os.kill(os.getpid(), signal.SIGABRT if self.now == "abort" else signal.SIGSEGV)
            case "hang":
                time.sleep(3600)
            case "slow":
                time.sleep(1.5)
        return self.now

    def at_start(self) -> None:
        if self._kind in ("start", "start-hang") and self._first():
            if self._kind == "start":
                os._exit(9)
            time.sleep(3600)

    def _first(self) -> bool:
        once = os.environ.get("STANDIN_ONCE")
        if not once:
            return True
        try:
            Path(once).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True
