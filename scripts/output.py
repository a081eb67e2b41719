"""What commands write: results to stdout, errors to stderr, and what happens when nobody can read them.

A command that only answers ends when its reader goes away. A run goes on (`scripts.launch.writer`). No text can fail to
be written because of the encoding: what it lacks is written as an escape. Standard library only: `selu` starts with it.
"""

import errno
import io
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO, cast

from scripts.numbers import shortened

READER_GONE = (errno.EPIPE, errno.EIO, errno.ESHUTDOWN, errno.ECONNRESET)
"""How a pipe, a terminal and a socket say that nobody reads them any more."""


class OutputGone(Exception):
    """Stdout cannot be written. ``reader_gone``: whoever read it has ended, which is not a fault."""

    def __init__(self, error: BaseException) -> None:
        self.reader_gone = isinstance(error, OSError) and error.errno in READER_GONE
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        super().__init__(f"cannot write to the standard output: {why}")

    @property
    def code(self) -> int:
        """The exit code: that of a program which SIGPIPE ended, or 1."""
        return 128 + signal.SIGPIPE if self.reader_gone else 1


def say(text: str = "") -> None:
    """Writes a line to stdout at once.

    Raises:
        OutputGone: it cannot be written. `scripts.selu.main` ends the command with its code.
    """
    try:
        _write(sys.stdout, f"{text}\n")
    except (OSError, ValueError) as error:
        raise OutputGone(error) from None


def complain(text: str) -> None:
    """Writes a line to stderr, where that can be written."""
    with suppress(OSError, ValueError):
        _write(sys.stderr, f"selu: {text}\n")


def told(error: Exception) -> str:
    """What failed; of an error of the operating system, on which file."""
    if not isinstance(error, OSError):
        return str(error)
    why = error.strerror or str(error)
    if isinstance(error, FileExistsError) and error.filename is not None:  # of a folder that was to be made
        link = Path(os.fsdecode(error.filename)).is_symlink()
        why = "a link to a place that is not there" if link else "a file, where a folder is needed"
    return why if error.filename is None else f"{shortened(os.fsdecode(error.filename), 200)}: {why}"


def encodable(text: str, encoding: str | None) -> str:
    """The text with escapes for what the encoding does not have, and for bytes of file names that are no text."""
    encoding = encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _write(out: TextIO, text: str) -> None:
    out.write(encodable(text, getattr(out, "encoding", None)))
    out.flush()


# -- the process's own streams ---------------------------------------------------------------------


def prepare() -> None:
    """Gives this process the standard streams that it was started without (``>&-``).

    Otherwise the next file that it opens gets the descriptor, and whatever is written to stderr goes into that file.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            os.set_inheritable(descriptor, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def settle(code: int) -> int:
    """Writes out what is left in the streams' buffers; returns the exit code, another one where that fails.

    A stream that fails is led to the null device: Python would complain when it flushes it once more at the end.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError) as error:
            _discard(stream)
            if stream is sys.stdout and code == 0:
                code = OutputGone(error).code
    return code


def _discard(stream: TextIO) -> None:
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


# -- errors that nobody foresaw --------------------------------------------------------------------


def causes(error: BaseException) -> Iterator[BaseException]:
    """The errors themselves, without the groups that task groups wrap them in."""
    if isinstance(error, BaseExceptionGroup):
        for inner in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from causes(inner)
    else:
        yield error


def record(error: BaseException, folders: Sequence[Path]) -> str:
    """Puts the traceback into a new file in the first of the folders that takes it, else in the temporary folder.

    Returns a sentence that says what failed, and where the file is.
    """
    text = "".join(traceback.format_exception(error)).encode(errors="backslashreplace")
    first = next(causes(error), error)
    said = " ".join(f"{type(first).__name__}: {first}".split())
    for folder in (*folders, Path(tempfile.gettempdir())):
        with suppress(OSError, ValueError):
            if not folder.is_dir():
                continue
            descriptor, name = tempfile.mkstemp(prefix="selu-error-", suffix=".txt", dir=folder)
            with os.fdopen(descriptor, "wb") as file:
                file.write(text)
            return f"an unexpected error ({said}); the traceback is in {name}: please report it"
    return f"an unexpected error ({said}); its traceback could not be written: please report it"
