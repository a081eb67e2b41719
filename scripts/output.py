"""The commands' output: results to stdout, errors to stderr, and the handling of readers that close.

A command that only answers ends when its reader closes. A run continues (`scripts.launch.writer`). Encoding never makes
writing fail: characters outside the encoding are escaped. Standard library only, because `selu` imports it at start.
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
"""Error codes of a pipe, a terminal and a socket whose reader has closed."""


class OutputGone(Exception):
    """Stdout cannot be written. ``reader_gone``: its reader has closed, which is not an error."""

    def __init__(self, error: BaseException) -> None:
        self.reader_gone = isinstance(error, OSError) and error.errno in READER_GONE
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        super().__init__(f"cannot write to the standard output: {why}")

    @property
    def code(self) -> int:
        """The exit code: that of a program that SIGPIPE ended, or 1."""
        return 128 + signal.SIGPIPE if self.reader_gone else 1


def say(text: str = "") -> None:
    """Writes a line to stdout and flushes.

    Raises:
        OutputGone: stdout cannot be written. `scripts.selu.main` ends the command with its code.
    """
    try:
        _write(sys.stdout, f"{text}\n")
    except (OSError, ValueError) as error:
        raise OutputGone(error) from None


def complain(text: str) -> None:
    """Writes a line to stderr. Errors of writing are ignored."""
    with suppress(OSError, ValueError):
        _write(sys.stderr, f"selu: {text}\n")


def told(error: Exception) -> str:
    """The error's text; for an OSError with the file's name."""
    if not isinstance(error, OSError):
        return str(error)
    why = error.strerror or str(error)
    if isinstance(error, FileExistsError) and error.filename is not None:  # raised when creating a folder
        link = Path(os.fsdecode(error.filename)).is_symlink()
        why = "a link to a place that is not there" if link else "a file, where a folder is needed"
    return why if error.filename is None else f"{shortened(os.fsdecode(error.filename), 200)}: {why}"


def encodable(text: str, encoding: str | None) -> str:
    """The text with escapes for characters outside the encoding, and for undecodable bytes of file names."""
    encoding = encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _write(out: TextIO, text: str) -> None:
    out.write(encodable(text, getattr(out, "encoding", None)))
    out.flush()


# -- the process's own streams ---------------------------------------------------------------------


def prepare() -> None:
    """Opens the standard streams that this process was started without (``>&-``).

    Otherwise the next opened file would get their descriptor, and text for stderr would go into that file.
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
    """Flushes the streams. Returns the exit code, changed if flushing stdout fails.

    A stream that fails is redirected to the null device, because Python would report an error when it flushes it at
    exit.
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


# -- unexpected errors -----------------------------------------------------------------------------


def causes(error: BaseException) -> Iterator[BaseException]:
    """The errors themselves, taken out of the exception groups of task groups."""
    if isinstance(error, BaseExceptionGroup):
        for inner in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from causes(inner)
    else:
        yield error


def record(error: BaseException, folders: Sequence[Path]) -> str:
    """Writes the traceback to a new file in the first writable folder of the list, else in the temporary folder.

    Returns a sentence with the error and the file's path.
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
