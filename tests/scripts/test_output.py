"""What becomes of output that nobody reads, that has no room, or that the terminal's encoding cannot say."""

import errno
import io
import os
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pytest

from scripts import selu
from scripts.launch import writer
from scripts.launch.show import Plain
from scripts.launch.writer import Writer
from scripts.output import OutputGone, complain, encodable, prepare, record, say, settle, told

BROKEN = 141
"""The exit code of a program that SIGPIPE ended."""


class Failing(io.StringIO):
    """A stream whose every write fails."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def write(self, text: str, /) -> int:
        raise OSError(self._number, os.strerror(self._number))


@contextmanager
def pipe() -> Generator[tuple[int, TextIO]]:
    """The reading end, and a text file over the other."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", encoding="utf-8") as out:
        yield reading, out


@contextmanager
def printing(monkeypatch: pytest.MonkeyPatch, out: TextIO) -> Generator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        yield


@pytest.mark.parametrize(
    ("number", "code"), [(errno.EPIPE, BROKEN), (errno.EIO, BROKEN), (errno.ENOSPC, 1), (errno.EBADF, 1)]
)
def test_a_command_whose_output_is_lost_ends_with_one_sentence_at_most(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int, code: int
) -> None:
    with printing(monkeypatch, Failing(number)):
        assert selu.main(["up", "--help"]) == code
    said = capsys.readouterr().err
    assert said == ("" if code == BROKEN else f"selu: cannot write to the standard output: {os.strerror(number)}\n")


def test_a_stderr_that_cannot_be_written_changes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "stderr", Failing(errno.EPIPE))
    assert selu.main(["report", str(tmp_path)]) == 2


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_no_text_fails_to_be_written_whatever_the_encoding(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    raw = io.BytesIO()
    text = "öffne den Kühlschrank 開 ━ \udcff"
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(raw, encoding=encoding))
    say(text)
    complain(text)
    with Writer(sys.stdout) as out:
        out.write(text)
    said = raw.getvalue().decode(encoding)
    assert said.count(encodable(text, encoding)) == 3 and "\\udcff" in said


def test_a_stream_that_fails_at_the_last_flush_is_not_flushed_by_python_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with pipe() as (reading, out), printing(monkeypatch, out):
        os.close(reading)
        out.write("never read")
        assert settle(0) == BROKEN
        assert settle(0) == 0, "it goes nowhere now"
        out.write("never read")
        assert settle(7) == 7


def test_streams_that_were_closed_lead_nowhere_and_their_numbers_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = os.dup(0)
    try:
        os.close(0)
        monkeypatch.setattr(sys, "stdin", None)
        prepare()
        assert os.path.samestat(os.fstat(0), Path(os.devnull).stat()) and sys.stdin is not None
        assert sys.stdin.read() == ""
    finally:
        os.dup2(kept, 0)
        os.close(kept)


def test_what_is_written_for_a_run_arrives_in_order() -> None:
    with pipe() as (reading, out):
        out.write("before\n")
        with Writer(out) as writing:
            for number in range(100):
                writing.write(f"{number}\n")
        assert os.read(reading, 1 << 16).decode().split() == ["before", *map(str, range(100))]
        os.close(reading)


def test_a_run_is_not_told_that_its_reader_went_away() -> None:
    with pipe() as (reading, out):
        os.close(reading)
        with Writer(out) as writing:
            show = Plain(writing)
            for number in range(10 * writer.TEXTS):
                show.event(f"event {number}")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EPIPE, errno.EIO, errno.EBADF])
def test_no_failure_of_a_stream_reaches_a_run(number: int) -> None:
    with Writer(Failing(number)) as writing:
        assert writing.write("x") == 1
    assert writing.closed


def test_what_a_full_disk_does_not_take_is_left_out_and_what_it_takes_later_is_written() -> None:
    full = threading.Event()
    full.set()

    class Disk(io.StringIO):
        def write(self, text: str, /) -> int:
            if full.is_set():
                full.clear()
                raise OSError(errno.ENOSPC, "full")
            return super().write(text)

    disk = Disk()
    with Writer(disk) as writing:
        writing.write("lost\n")
        writing.write("kept\n")
    assert disk.getvalue() == "kept\n"


def test_a_reader_who_does_not_read_delays_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "LAST_SECONDS", 0.1)
    with pipe() as (reading, out):
        with Writer(out) as writing:
            for _ in range(2 * writer.TEXTS):
                writing.write("x" * 1000 + "\n")  # twice what is kept, and far more than a pipe holds
            assert not writing.idle
        os.close(reading)  # wakes the thread


def test_an_error_without_a_sentence_leaves_its_traceback_in_the_runs_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fail(*_: object) -> int:
        raise ExceptionGroup("unhandled", [RuntimeError("first\nsecond \udcff")])

    monkeypatch.setattr("scripts.commands.report.run", fail)
    assert selu.main(["report", str(tmp_path)]) == 1
    (file,) = tmp_path.iterdir()
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and str(file) in said and "RuntimeError: first second" in said
    assert "Traceback" not in said and "Traceback" in file.read_text() and file.stat().st_mode & 0o077 == 0


def test_a_traceback_that_no_folder_takes_still_ends_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "none"))
    assert "could not be written" in record(RuntimeError("x"), [tmp_path / "neither", Path("a\0b")])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (lambda: KeyboardInterrupt(), 130),
        (lambda: BaseExceptionGroup("", [KeyboardInterrupt()]), 130),
        (lambda: ExceptionGroup("", [OutputGone(BrokenPipeError(errno.EPIPE, ""))]), BROKEN),
        (lambda: BaseExceptionGroup("", [SystemExit(143)]), 143),
    ],
)
def test_what_ends_a_command_is_found_in_what_task_groups_make_of_it(
    monkeypatch: pytest.MonkeyPatch, error: Callable[[], BaseException], code: int
) -> None:
    def fail(*_: object) -> int:
        raise error()

    monkeypatch.setattr("scripts.commands.report.run", fail)
    assert selu.main(["report", "nowhere"]) == code


def test_what_is_in_the_way_of_a_folder_is_named(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.touch()
    link.symlink_to(tmp_path / "away")
    for path, said in ((file, "a file, where a folder is needed"), (link, "a link to a place that is not there")):
        with pytest.raises(FileExistsError) as error:
            (path / "below").mkdir(parents=True) if path == link else path.mkdir(exist_ok=True)
        assert told(error.value) == f"{str(path)!r}: {said}"
    assert told(ValueError("why")) == "why"
