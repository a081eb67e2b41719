"""A process's own record of acknowledged messages, which tests compare with the log.

With ``SELU_WITNESS=FOLDER`` a child writes a line ``<topic> <offset> <id>`` after each acknowledgement by the hub,
before it continues. Without the variable, this costs one comparison per message.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

_descriptor: int | None = None


class Acknowledged(msgspec.Struct, frozen=True):
    """A message that the hub acknowledged to its publisher as on disk, at ``offset``."""

    topic: str
    offset: int
    id: str


def begin(instance: str, environ: Mapping[str, str] = os.environ) -> None:
    """Opens this process's record if ``SELU_WITNESS`` is set."""
    global _descriptor
    if folder := environ.get("SELU_WITNESS"):
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        _descriptor = os.open(Path(folder) / f"{instance}.acknowledged", flags, 0o600)


def acknowledged(topic: str, id: str, offset: int) -> None:
    """Records that the hub has acknowledged this message. Write errors are ignored."""
    if _descriptor is not None:
        with suppress(OSError):
            os.write(_descriptor, f"{topic} {offset} {id}\n".encode())


def read(folder: Path) -> Iterator[Acknowledged]:
    """Yields the records of all processes. The incomplete last line of a killed process is skipped."""
    for file in sorted(folder.glob("*.acknowledged")):
        *lines, _ = file.read_text(encoding="utf-8").split("\n")
        for line in lines:
            topic, offset, id = line.split(" ", 2)
            yield Acknowledged(topic, int(offset), id)
