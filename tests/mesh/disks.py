"""A disk that fills up on demand: a small one of its own where this machine lets us, else files that may not grow."""

import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scripts.soaking.disk import fill, free

TMPFS = "256m"


class SmallDisk:
    """A folder on a file system of its own. Filling it leaves no byte to anybody."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, pids: Iterable[int]) -> None:
        del pids
        with self._ballast.open("ab", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                try:
                    while file.write(b"\0" * size):
                        pass
                except OSError:
                    continue

    def free(self, pids: Iterable[int]) -> None:
        del pids
        self._ballast.unlink()


class LimitedFiles:
    """Any folder: filling it forbids the processes to write another byte to a file, which they see fail."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, pids: Iterable[int]) -> None:
        fill(pids)

    def free(self, pids: Iterable[int]) -> None:
        free(pids)


Disk = SmallDisk | LimitedFiles
KINDS = ("small disk", "files that may not grow")


def _mount(folder: Path) -> bool:
    mount = ["mount", "-t", "tmpfs", "-o", f"size={TMPFS}", "tmpfs", str(folder)]
    return subprocess.run(mount, capture_output=True, check=False).returncode == 0


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=True)


@contextmanager
def disk(kind: str, folder: Path) -> Iterator[Disk]:
    """A disk of that kind at a folder; skips the test where this machine lets nobody have a disk of his own."""
    folder.mkdir()
    if kind == KINDS[1]:
        yield LimitedFiles(folder)
        return
    if not _mount(folder):
        pytest.skip("mounting a file system needs privileges that are not there")
    try:
        yield SmallDisk(folder)
    finally:
        _unmount(folder)
