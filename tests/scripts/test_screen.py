"""The live screen on terminals of any width, that change their size, and that cannot redraw."""

import fcntl
import io
import os
import pty
import re
import struct
import termios
from collections.abc import Generator
from contextlib import closing

import pytest
from rich.cells import cell_len
from rich.console import Console

from protocols.messages import Progress
from runtime.streams import Delivery
from scripts.launch import region
from scripts.launch.screen import Screen, draw
from scripts.launch.show import Plain, choose, stamped
from scripts.launch.watch import Watch
from tests.report.story import two_rounds
from tests.scripts.test_watch import beat, fresh


class Terminal(io.StringIO):
    """What stands on a terminal: lines are broken into rows anew when its width changes."""

    idle = True
    encoding: str = "utf-8"  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self) -> None:
        super().__init__()
        self._master, self._slave = pty.openpty()  # for its size only
        self.lines: list[str] = [""]
        self.columns = 0

    def resize(self, columns: int, rows: int) -> None:
        self.columns = columns
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def fileno(self) -> int:
        return self._slave

    def isatty(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:  # Python 3.13 closes what is collected once more
            os.close(self._master)
            os.close(self._slave)
        super().close()

    def write(self, text: str, /) -> int:
        for part in re.findall(r"\x1b\[[\d;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", text):
            if part == "\n":
                self.lines.append("")
            elif up := re.fullmatch(r"\x1b\[(\d+)A", part):
                assert self.lines.pop() == "", "moved up from the middle of a line"
                left = int(up[1])
                while left > 0:
                    left -= max(1, -(-cell_len(self.lines.pop()) // self.columns))
                assert left == 0, "moved up into the middle of a line"
                self.lines.append("")
            elif not part.startswith("\x1b") and part != "\r":
                self.lines[-1] += part
        return len(text)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Generator[Terminal]:
    monkeypatch.setenv("TERM", "xterm")
    with closing(Terminal()) as made:
        yield made


def watched() -> Watch:
    watch = fresh()
    for delivery in two_rounds().told:
        watch.hear(delivery, 1.0)
    watch.hear_live(beat("critic-0", answered=1.0), 1.0)
    said = Progress(role="trainer", what="training critic@1 \x1b[2J", done=3, total=9)
    watch.hear_live(Delivery("progress", 0, "x", "t", 0.0, said), 1.0)
    return watch


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
@pytest.mark.parametrize("width", [8, 20, 32, 40, 60, 80, 100, 200])
def test_what_is_drawn_fits_any_width_and_any_encoding(terminal: Terminal, width: int, encoding: str) -> None:
    terminal.encoding = encoding
    terminal.resize(width, 100)
    with Screen(terminal) as screen:
        screen.tick(watched())
        lines = list(terminal.lines)
    assert "\n".join(lines).encode(encoding) and max(map(cell_len, lines)) < width
    if width >= 20:
        assert any("critic-0" in line for line in lines) and any("66.0%" in line for line in lines)


def test_a_wide_terminal_shows_all_columns_and_a_narrow_one_the_important_ones() -> None:
    def drawn(width: int) -> str:
        file = io.StringIO()
        Console(file=file, width=width).print(draw(watched(), "12 s"))
        return file.getvalue()

    assert all(name in drawn(120) for name in ("requests/s", "restarts", "pid", "(n=200)", "━"))
    assert "restarts" not in drawn(50) and "memory" in drawn(50)
    assert "(n=200)" not in drawn(40) and "66.0%" in drawn(40)


@pytest.mark.parametrize("widths", [(80, 60, 20, 33, 120), (20, 19, 200, 40)])
def test_a_terminal_that_changes_its_width_shows_one_whole_frame_below_all_events(
    terminal: Terminal, widths: tuple[int, ...]
) -> None:
    watch = watched()
    terminal.resize(widths[0], 60)
    with Screen(terminal) as screen:
        for number, width in enumerate(widths):
            terminal.resize(width, 60)
            screen.event(f"event {number} " + "that is longer than a line " * 5)
            screen.tick(watch)
            events, frame = terminal.lines[: number + 1], terminal.lines[number + 1 :]
            assert all("event" in line for line in events)
            assert [line[0] for line in frame if line[:1] in ("╭", "╰")] == ["╭", "╰"]
            assert frame[0][0] == "╭" and frame[-2][0] == "╰" and frame[-1] == ""
            assert max(map(cell_len, frame)) < width
    assert len(terminal.lines) == len(widths) + 1, "only events are left"


def test_a_frame_that_is_higher_than_the_terminal_is_cut_off(terminal: Terminal) -> None:
    terminal.resize(40, 10)
    with Screen(terminal) as screen:
        for _ in range(3):
            screen.tick(watched())
            assert len(terminal.lines) == 10 and terminal.lines[0].startswith("╭")


def test_a_terminal_that_takes_no_text_is_not_given_more_frames(terminal: Terminal) -> None:
    terminal.resize(80, 24)
    terminal.idle = False
    with Screen(terminal) as screen:
        screen.tick(watched())
        assert terminal.lines == [""]


@pytest.mark.parametrize("size", [(0, 0), None])
def test_a_terminal_without_a_size_has_the_usual_one(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int] | None
) -> None:
    terminal.resize(0, 0)
    if size is None:
        monkeypatch.setattr(terminal, "fileno", lambda: -1)
    terminal.columns = region.UNKNOWN[0]
    with Screen(terminal) as screen:
        screen.tick(watched())
        screen.tick(watched())
        assert max(map(cell_len, terminal.lines)) < region.UNKNOWN[0]


def test_without_colour_only_the_attributes_are_left(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(terminal, "write", said.append)
    terminal.resize(80, 40)
    with Screen(terminal) as screen:
        screen.tick(watched())
    codes = re.findall(r"\x1b\[([\d;]+)m", "".join(said))
    assert codes and not [code for code in codes for one in code.split(";") if 30 <= int(one) <= 107]


@pytest.mark.parametrize("term", ["dumb", "", "unknown", None])
def test_a_terminal_that_cannot_redraw_gets_lines(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, term: str | None
) -> None:
    assert isinstance(choose(False, terminal), Screen) and isinstance(choose(True, terminal), Plain)
    if term is None:
        monkeypatch.delenv("TERM")
    else:
        monkeypatch.setenv("TERM", term)
    assert isinstance(choose(False, terminal), Plain)


def test_an_event_cannot_command_the_terminal() -> None:
    assert stamped("one\x1b[2J\r\ntwo\udcff", 1.0) == "    1.0s  one\ufffd[2J\ufffd\ntwo\ufffd"
