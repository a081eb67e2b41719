"""A group's messages are each held by one session, come back when it goes, and are committed when done."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runtime.groups import Group


def test_committed_follows_the_oldest_message_not_done() -> None:
    group = Group("g", "t")
    assert group.lease_new(b"a", [2, 5, 9], through=10) == [2, 5, 9]
    mark = group.acknowledge([5])
    assert (mark.committed, mark.above) == (1, (5,))
    assert group.acknowledge([2]).committed == 8
    assert group.acknowledge([9]).committed == 10


def test_a_restarted_group_passes_over_what_was_done_above_its_mark() -> None:
    group = Group("g", "t", committed=1, above=(5,))
    assert group.lease_new(b"a", [2, 5, 9], through=9) == [2, 9]


def test_what_a_lost_session_held_is_handed_out_again_oldest_first() -> None:
    group = Group("g", "t")
    group.lease_new(b"a", [1, 2, 3], through=3)
    group.acknowledge([2])
    assert group.release(b"a")
    assert not group.release(b"b")
    assert group.lease_returned(b"b", 10) == [1, 3]
    assert group.holds(b"b") == [1, 3]


def test_an_offset_that_is_named_twice_counts_once() -> None:
    group = Group("g", "t")
    group.lease_new(b"a", [1, 2, 3], through=3)
    assert group.release(b"a", (2, 2, 9))
    assert group.lease_returned(b"b", 10) == [2]
    assert group.acknowledge((1, 1, 2)).committed == 2
    assert group.outstanding == 1


def test_until_is_reached_when_everything_before_it_is_done() -> None:
    group = Group("g", "t")
    group.lease_new(b"a", [1, 2], through=4)
    assert not group.ended(2)
    group.acknowledge([1, 2])
    assert group.ended(4)
    assert not group.ended(5)


class GroupModel(RuleBasedStateMachine):
    """Against a plain reference: a set of offsets done and a map of who holds what."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[int] = []
        self.top = 0
        self.done: set[int] = set()
        self.held: dict[int, bytes] = {}
        self.back: set[int] = set()
        self.read = 0
        self.group = Group("g", "t")
        self.persisted = (0, set[int]())

    @rule(gap=st.integers(1, 3))
    def append(self, gap: int) -> None:
        self.top += gap
        self.log.append(self.top)

    @rule(session=st.sampled_from([b"a", b"b"]), limit=st.integers(1, 4))
    def pull(self, session: bytes, limit: int) -> None:
        again = self.group.lease_returned(session, limit)
        assert again == sorted(self.back)[: len(again)]
        fresh = [o for o in self.log if o > self.read][: limit - len(again)]
        whole = len(fresh) < limit - len(again)
        through = self.top if whole else (fresh[-1] if fresh else self.read)
        taken = self.group.lease_new(session, fresh, through=through)
        assert taken == [o for o in fresh if o not in self.done]
        self.read = max(self.read, through)
        for offset in (*again, *taken):
            assert offset not in self.held
            self.back.discard(offset)
            self.held[offset] = session

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(sorted(self.held)))
        mark = self.group.acknowledge([offset])
        del self.held[offset]
        self.done.add(offset)
        above = {o for o in self.persisted[1] | set(mark.above) if o > mark.committed}
        self.persisted = (mark.committed, above)

    @rule(session=st.sampled_from([b"a", b"b"]))
    def lose(self, session: bytes) -> None:
        self.group.release(session)
        for offset in [o for o, s in self.held.items() if s == session]:
            del self.held[offset]
            self.back.add(offset)

    @rule(data=st.data())
    def restart(self, data: st.DataObject) -> None:
        committed, above = self.persisted
        self.group = Group("g", "t", committed=committed, above=above)
        self.read = committed
        late = data.draw(st.sampled_from(sorted(self.held))) if self.held else None
        self.held, self.back = {}, set()
        if late is not None:
            mark = self.group.acknowledge([late])
            self.done.add(late)
            self.persisted = (mark.committed, {o for o in above | set(mark.above) if o > mark.committed})

    @invariant()
    def nothing_undone_is_committed(self) -> None:
        assert all(o in self.done for o in self.log if o <= self.group.committed)
        assert all(o in self.done for o in self.persisted[1])


TestGroupModel = GroupModel.TestCase
TestGroupModel.settings = settings(max_examples=60, stateful_step_count=30)
