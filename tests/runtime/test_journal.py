"""The journal's reads say how far they are complete, whatever is committed meanwhile, and remember a bounded past."""

import threading
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from protocols import limits
from runtime.journal import RECENT_BYTES, Commit, Journal, Write
from runtime.log import Append, Log, Mark
from runtime.sockets import background

pytestmark = pytest.mark.anyio
SECONDS = 10


class Halted(Log):
    """A log whose writes wait until they are let go."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.writing, self.go_on = threading.Event(), threading.Event()

    def write(self, appends: Sequence[Append], marks: Iterable[Mark] = ()) -> list[tuple[int, bool]]:
        self.writing.set()
        assert self.go_on.wait(SECONDS)
        return super().write(appends, marks)


@asynccontextmanager
async def running(log: Log) -> AsyncGenerator[Journal]:
    journal = Journal(log)
    commits, committed = anyio.create_memory_object_stream[Commit](1000)
    with anyio.fail_after(SECONDS), committed:
        async with background() as tasks:
            await tasks.start(journal.run, commits)
            yield journal
    log.close()


def write(*ids: str, data: bytes = b"x") -> Write:
    return Write([Append("a", id, data) for id in ids], None, lambda _: None)


async def test_a_read_that_waited_for_a_commit_says_that_it_is_complete_to_what_that_added(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.write([Append("a", "1", b"x")])
    log.close()
    halted = Halted(tmp_path / "log")
    async with running(halted) as journal:
        found: list[tuple[list[int], int]] = []

        async def read() -> None:
            records, upto = await journal.read(0, ("a",), 10)
            found.append(([record.offset for record in records], upto))

        async with anyio.create_task_group() as tasks:
            await journal.write(write("2"))
            await anyio.to_thread.run_sync(halted.writing.wait, SECONDS)
            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            halted.go_on.set()
        assert found == [([1, 2], 2)]


async def test_large_messages_do_not_fill_the_memory_and_are_all_read(tmp_path: Path) -> None:
    large = b"x" * limits.MIB
    count = 2 * RECENT_BYTES // len(large) + 8
    async with running(Log(tmp_path / "log")) as journal:
        for number in range(count):
            changed = journal.changed
            await journal.write(write(str(number), data=large))
            await changed.wait()
        kept = journal._recent  # pyright: ignore[reportPrivateUsage]
        assert sum(len(record.envelope) for record in kept) <= 2 * RECENT_BYTES
        after, seen = 0, list[int]()
        while len(seen) < count:
            records, after = await journal.read(after, ("a",), 512)
            seen += [record.offset for record in records]
        assert seen == list(range(1, count + 1))
