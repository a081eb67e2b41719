"""What is refused is counted every time, recorded at first one by one, and then in sums."""

from collections import Counter

import anyio
import pytest
from anyio.streams.memory import MemoryObjectReceiveStream

from protocols.codec import digest, unseal
from protocols.errors import Busy, DecodeError, Forbidden
from protocols.messages import Fault
from runtime.journal import Journal, Write
from runtime.refusals import AT_ONCE, EVERY_SECONDS, MALFORMED, Refusals

pytestmark = pytest.mark.anyio


class Kept(Journal):
    """Keeps what would be written."""

    def __init__(self) -> None:
        self.written: list[tuple[str, Fault]] = []
        self._receive: MemoryObjectReceiveStream[Write]

    async def write(self, write: Write) -> None:
        for append in write.appends:
            fault = unseal(append.envelope).body
            assert isinstance(fault, Fault) and append.topic == "faults"
            self.written.append((append.id, fault))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_a_flood_is_counted_in_full_and_leaves_a_few_records_with_its_size() -> None:
    journal, counts, clock = Kept(), Counter[str](), Clock()
    refusals = Refusals(journal, counts, "life", clock)
    with anyio.fail_after(10):
        for number in range(1000):
            refusals.note("somebody", DecodeError(f"bad {number}"), [b"bytes", b"%d" % number], count=MALFORMED)
        await refusals.look()
        assert counts == {MALFORMED: 1000} and len(journal.written) == AT_ONCE
        assert journal.written[3][1].offending == digest(b"bytes3")
        clock.now += EVERY_SECONDS
        await refusals.look()
        assert len(journal.written) == AT_ONCE + 1
        assert f"{1000 - AT_ONCE} more" in journal.written[-1][1].what and "bad 999" in journal.written[-1][1].why
        clock.now += 3600
        await refusals.look()
        refusals.note("somebody", Forbidden("not that"))
        await refusals.look()
        assert len({id for id, _ in journal.written}) == len(journal.written) == AT_ONCE + 2
        assert counts["refused_forbidden"] == 1


async def test_what_is_nobodys_fault_is_counted_and_not_recorded() -> None:
    journal, counts = Kept(), Counter[str]()
    refusals = Refusals(journal, counts, "life")
    refusals.note("somebody", Busy("later"))
    await refusals.look()
    assert counts == {"refused_busy": 1} and journal.written == []
