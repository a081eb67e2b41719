"""Log, groups and leases together, as the hub drives them, against a plain reference: what is acknowledged stays done,
what is not comes again, in order, through deaths of sessions and of the hub."""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import anyio
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from protocols import commands as c
from runtime.journal import Commit, Journal, Write
from runtime.log import Append, Log
from runtime.readers import Readers

TOPICS = ("trajectories", "verdicts")
GROUPS = ("one", "two/x")
SESSIONS = (b"a", b"b", b"c")
SECONDS = 30
MEMORY = Path("/dev/shm")
"""Where there is one: a thousand commits are on disk at once there."""

T = TypeVar("T")
Key = tuple[str, str]
"""A group's name and topic."""


class Reference:
    """A group as it ought to be: nothing but sets."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.done: set[int] = set()
        self.held: dict[int, bytes] = {}
        self.back: set[int] = set()
        self.perhaps: set[int] = set()
        """What the hub may have read for a session that was dead by then: how far it read is its own affair."""
        self.persisted = False


class Hub:
    """The durable half of a hub, without sockets: what its handlers do, on a real file."""

    def __init__(self, file: Path, alive: set[bytes]) -> None:
        self.log = Log(file)
        self.journal = Journal(self.log)
        self.readers = Readers(self.journal, self.log.marks(), alive=alive.__contains__)
        send, receive = anyio.create_memory_object_stream[Commit](1000)
        self._committed = receive
        self._task = asyncio.get_running_loop().create_task(self._run(send))

    async def _run(self, send: Any) -> None:
        with self._committed:
            await self.journal.run(send, task_status=anyio.TASK_STATUS_IGNORED)

    async def write(self, appends: list[Append], mark: Any = None) -> list[tuple[int, bool]]:
        done = asyncio.get_running_loop().create_future()
        await self.journal.write(Write(appends, mark, done.set_result))
        return await done

    async def die(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.log.close()


class DurableModel(RuleBasedStateMachine):
    """Every rule does the same to the hub and to the reference, and compares what came of it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="selu-model-", dir=MEMORY if MEMORY.is_dir() else None))
        self.runner = asyncio.Runner()
        self.lives = self.said = 0
        self.messages: dict[int, tuple[str, str, bytes]] = {}
        self.places: dict[tuple[str, str], int] = {}
        self.groups: dict[Key, Reference] = {}
        self.alive = set(SESSIONS)
        self.file = self.folder / "log-0"

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        async def bounded() -> T:
            with anyio.fail_after(SECONDS):
                return await work

        return self.runner.run(bounded())

    async def _open(self) -> Hub:
        return Hub(self.file, self.alive)

    @initialize(count=st.integers(3, 20))
    def begin(self, count: int) -> None:
        self.hub = self.do(self._open())
        self.publish([(TOPICS[at % 2], at) for at in range(count)])

    def teardown(self) -> None:
        if hasattr(self, "hub"):
            self._drain()
            self.do(self.hub.die())
        self.runner.close()
        shutil.rmtree(self.folder)

    # -- saying

    @rule(said=st.lists(st.tuples(st.sampled_from(TOPICS), st.integers(0, 30)), min_size=1, max_size=5))
    def publish(self, said: list[tuple[str, int]]) -> None:
        """Several in one commit; an id said before, or twice in it, is the first one's message."""
        appends = [Append(topic, str(id), b"%d" % self.said) for topic, id in said]
        self.said += 1
        results = self.do(self.hub.write(appends))
        for append, (offset, new) in zip(appends, results, strict=True):
            known = self.places.get((append.topic, append.id))
            assert new == (known is None)
            assert offset == (known or len(self.messages) + 1), "offsets have no gap"
            if new:
                self.places[append.topic, append.id] = offset
                self.messages[offset] = (append.topic, append.id, append.envelope)

    # -- reading

    @rule(topics=st.sets(st.sampled_from(TOPICS), min_size=1), after=st.integers(0, 40), limit=st.integers(1, 6))
    def fetch(self, topics: set[str], after: int, limit: int) -> None:
        reply, payload = self.do(
            self.hub.readers.fetch("observer", c.Fetch(topics=tuple(topics), after=after, limit=limit))
        )
        assert isinstance(reply, c.Batch)
        due = [at for at, (topic, _, _) in self.messages.items() if topic in topics and at > after]
        assert list(reply.offsets) == due[:limit]
        assert payload == [self.messages[at][2] for at in reply.offsets]
        assert reply.tail == len(self.messages)
        assert reply.next >= (reply.offsets[-1] if reply.offsets else after)
        assert not [at for at in due if reply.next >= at and at not in reply.offsets], "nothing is passed over"

    @rule(
        name=st.sampled_from(GROUPS), topic=st.sampled_from(TOPICS), session=st.sampled_from(SESSIONS),
        start=st.sampled_from([0, 0, 3]), limit=st.integers(1, 4), until=st.none() | st.integers(0, 25),
    )  # fmt: skip
    def pull(self, name: str, topic: str, session: bytes, start: int, limit: int, until: int | None) -> None:
        command = c.Pull(group=name, topic=topic, start=start, limit=limit, until=until)
        reply, payload = self.do(self.hub.readers.pull("observer", session, command))
        assert isinstance(reply, c.Leased)
        group = self.groups.setdefault((name, topic), Reference(start))
        due = self._due(topic, group)
        back = sorted(group.back)[:limit]
        fresh = [at for at in due if at not in group.held and at not in group.back][: limit - len(back)]
        if session not in self.alive:
            assert not reply.offsets, "the dead hold nothing"
            group.perhaps.update(fresh)
            return
        # Fewer than asked for where what lies between was done in an earlier life, but never none.
        assert list(reply.offsets) == (back + fresh)[: len(reply.offsets)]
        assert reply.offsets or not back + fresh
        assert payload == [self.messages[at][2] for at in reply.offsets]
        assert set(back) <= set(reply.redelivered) <= set(back) | group.perhaps
        for at in reply.offsets:
            assert at not in group.held, "nobody has it meanwhile"
            group.back.discard(at)
            group.perhaps.discard(at)
            group.held[at] = session
        left = self._due(topic, group)
        if until is not None and reply.ended:
            assert not [at for at in left if at <= until], "the group is done up to there"
        if until is not None and until <= len(self.messages) and not left:
            assert reply.ended

    def _due(self, topic: str, group: Reference) -> list[int]:
        """What the group has not done yet, oldest first."""
        return [
            at for at, (of, _, _) in self.messages.items()
            if of == topic and at > group.start and at not in group.done
        ]  # fmt: skip

    # -- acknowledging and giving back

    @rule(
        name=st.sampled_from(GROUPS), topic=st.sampled_from(TOPICS), limit=st.integers(1, 4),
        done=st.lists(st.integers(0, 3), min_size=1, max_size=3),
    )  # fmt: skip
    def work(self, name: str, topic: str, limit: int, done: list[int]) -> None:
        """A member takes some messages and finishes a few of those it then has, in any order."""
        self.pull(name, topic, b"a", 0, limit, None)
        held = sorted(at for at, holder in self.groups[name, topic].held.items() if holder == b"a")
        if held:
            self._acknowledge((name, topic), {held[place % len(held)] for place in done})

    @precondition(lambda self: any(group.held or group.back for group in self.groups.values()))
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        """Whoever it is that finished it, also somebody who lost it meanwhile; one or several."""
        open_ = sorted((key, at) for key, group in self.groups.items() for at in {*group.held, *group.back})
        key, _ = data.draw(st.sampled_from(open_))
        offsets = data.draw(st.sets(st.sampled_from([at for of, at in open_ if of == key]), min_size=1, max_size=3))
        self._acknowledge(key, offsets)

    def _acknowledge(self, key: Key, offsets: set[int]) -> None:
        group = self.groups[key]
        command = c.Acknowledge(group=key[0], topic=key[1], offsets=(*sorted(offsets), min(offsets)))
        mark = self.hub.readers.acknowledge("observer", command)
        self.do(self.hub.write([], mark))
        group.persisted = True
        for at in offsets:
            group.held.pop(at, None)
            group.back.discard(at)
            group.perhaps.discard(at)
            group.done.add(at)

    @precondition(lambda self: any(group.held for group in self.groups.values()))
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        held = [(key, at, session) for key, group in self.groups.items() for at, session in group.held.items()]
        key, at, session = data.draw(st.sampled_from(sorted(held)))
        stranger = data.draw(st.booleans())
        command = c.Release(group=key[0], topic=key[1], offsets=(at, at, at + 100))
        self.hub.readers.release(b"a stranger" if stranger else session, command)
        if not stranger:
            del self.groups[key].held[at]
            self.groups[key].back.add(at)

    # -- deaths

    @rule(session=st.sampled_from(SESSIONS), stays_away=st.booleans())
    def session_dies(self, session: bytes, stays_away: bool) -> None:
        self.alive.discard(session)
        self.hub.readers.drop(session)
        for group in self.groups.values():
            lost = {at for at, holder in group.held.items() if holder == session}
            group.back |= lost
            group.held = {at: holder for at, holder in group.held.items() if at not in lost}
        if not stays_away:
            self.alive.add(session)

    @precondition(lambda self: any(group.persisted for group in self.groups.values()))
    @rule()
    def hub_is_killed_after_work(self) -> None:
        self.hub_is_killed()

    @rule()
    def hub_is_killed(self) -> None:
        """What is on the disk at this moment is all that the next hub has."""
        self.lives += 1
        then = self.folder / f"log-{self.lives}"
        for suffix in ("", "-wal"):
            found = self.file.with_name(self.file.name + suffix)
            if found.exists():
                shutil.copy(found, then.with_name(then.name + suffix))
        self.do(self.hub.die())
        self.file = then
        self.alive |= set(SESSIONS)
        self.hub = self.do(self._open())
        for key, group in list(self.groups.items()):
            if not group.persisted:  # nobody ever acknowledged: it begins where it is told to
                del self.groups[key]
            group.held, group.back, group.perhaps = {}, set(), set()

    # -- what always holds

    @invariant()
    def the_lag_is_what_is_not_done(self) -> None:
        if hasattr(self, "hub"):
            due = {f"{name}:{topic}": len(self._due(topic, group)) for (name, topic), group in self.groups.items()}
            assert self.hub.readers.lag() == due

    def _drain(self) -> None:
        """In the end every group gets all it has not done, once, and then nothing."""
        for session in SESSIONS:
            self.session_dies(session, stays_away=False)
        for key, group in self.groups.items():
            due = self._due(key[1], group)
            got: list[int] = []
            while len(got) < len(due):
                command = c.Pull(group=key[0], topic=key[1], start=group.start, limit=512)
                reply, _ = self.do(self.hub.readers.pull("observer", b"a", command))
                assert isinstance(reply, c.Leased) and reply.offsets, "something is lost"
                got += reply.offsets
                self._acknowledge(key, set(reply.offsets))
            assert sorted(got) == due


@pytest.mark.hypothesis
def test_log_groups_and_leases_do_what_a_plain_reference_does() -> None:
    run_state_machine_as_test(
        DurableModel, settings=settings(max_examples=60, stateful_step_count=30)
    )  # fmt: skip


def test_a_message_is_redelivered_only_if_the_hub_had_read_it_for_the_dead_session() -> None:
    state = DurableModel()
    try:
        state.begin(count=7)  # offsets 1, 3, 5, 7 of the first topic
        state.work(done=[1], limit=2, name=GROUPS[0], topic=TOPICS[0])
        state.hub_is_killed()  # it forgets that it had read 1, and remembers that 3 is done
        state.session_dies(session=b"c", stays_away=True)
        state.work(done=[0], limit=1, name=GROUPS[0], topic=TOPICS[0])
        state.pull(name=GROUPS[0], topic=TOPICS[0], session=b"c", start=0, limit=2, until=None)  # reads 3 and 5 only
        state.work(done=[0], limit=2, name=GROUPS[0], topic=TOPICS[0])
        assert state.groups[GROUPS[0], TOPICS[0]].done == {1, 3, 5}
    finally:
        state.teardown()
