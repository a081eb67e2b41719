"""What was acknowledged to a process, in its own words: tests hold it against the log afterwards.

With ``SELU_WITNESS=FOLDER`` a child writes a line ``<topic> <offset> <id>`` for every message that the hub acknowledged
to it, before it goes on. Without, it costs one comparison a message.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

_descriptor: int | None = None


class Acknowledged(msgspec.Struct, frozen=True):
    """A message that its publisher was told is on disk, at ``offset``."""

    topic: str
    offset: int
    id: str


def begin(instance: str, environ: Mapping[str, str] = os.environ) -> None:
    """Opens this process's file, where it is to keep one."""
    global _descriptor
    if folder := environ.get("SELU_WITNESS"):
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        _descriptor = os.open(Path(folder) / f"{instance}.acknowledged", flags, 0o600)


def acknowledged(topic: str, id: str, offset: int) -> None:
    """Writes down that the hub has this message, unless the disk refuses."""
    if _descriptor is not None:
        with suppress(OSError):
            os.write(_descriptor, f"{topic} {offset} {id}\n".encode())


def read(folder: Path) -> Iterator[Acknowledged]:
    """What all processes wrote down. The half line of a process that was killed is no acknowledgement yet."""
    for file in sorted(folder.glob("*.acknowledged")):
        *lines, _ = file.read_text(encoding="utf-8").split("\n")
        for line in lines:
            topic, offset, id = line.split(" ", 2)
            yield Acknowledged(topic, int(offset), id)
