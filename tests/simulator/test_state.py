"""Which episodes are due: exactly the round's, once each, ahead only as far as staleness allows."""

from hypothesis import given
from hypothesis import strategies as st

from services.simulator.state import Collection, Episode
from services.worlds.rollout import sampling_seed
from services.worlds.world import seeds
from tests.builders import round_, trajectory


def taken(state: Collection) -> list[Episode]:
    return list(iter(state.take, None))


def ids(state: Collection) -> list[str]:
    return [episode.id for episode in taken(state)]


def collection(**fields: int) -> Collection:
    return Collection(run_seed=3, rounds=fields.get("rounds", 3))


def test_nothing_is_due_before_a_round_is_announced() -> None:
    assert taken(collection()) == []


def test_a_round_is_its_quota_with_the_seeds_of_the_run_and_the_announced_version() -> None:
    state = collection()
    state.apply(round_(2, quota=3, actor_version=1))
    episodes = taken(state)
    assert [episode.id for episode in episodes] == ["r2-00000", "r2-00001", "r2-00002"]
    assert [episode.seed for episode in episodes] == list(seeds("train", 3, run_seed=3, round=2))
    assert {episode.actor_version for episode in episodes} == {1}


def test_what_is_in_the_log_or_running_is_not_started_again() -> None:
    state = collection()
    state.apply(trajectory(1))
    state.apply(round_(1, quota=3))
    assert state.take().id == "r1-00000"  # type: ignore[union-attr]
    state.apply(round_(1, quota=3))
    assert ids(state) == ["r1-00002"]
    for phase in ("train_critic", "rejudge", "train_actor"):
        state.apply(round_(1, quota=3, phase=phase))
    assert taken(state) == []


def test_with_staleness_the_next_rounds_start_early_with_the_version_there_is() -> None:
    state = collection(rounds=2)
    state.apply(round_(1, quota=2, max_staleness=3))
    episodes = taken(state)
    assert [(episode.id, episode.actor_version) for episode in episodes] == [
        ("r1-00000", 0), ("r1-00001", 0), ("r2-00000", 0), ("r2-00001", 0),
    ]  # fmt: skip
    state.apply(round_(2, quota=2, max_staleness=3, actor_version=1))
    assert taken(state) == []


def test_early_episodes_that_have_not_started_take_the_newer_version() -> None:
    state = collection()
    state.apply(round_(1, quota=2, max_staleness=1))
    first = [state.take() for _ in range(3)]
    state.apply(round_(2, quota=2, max_staleness=1, actor_version=1))
    assert [(e.id, e.actor_version) for e in first if e] == [("r1-00000", 0), ("r1-00001", 0), ("r2-00000", 0)]
    assert [(e.id, e.actor_version) for e in taken(state)] == [("r2-00001", 1), ("r3-00000", 1), ("r3-00001", 1)]


def test_nothing_is_due_when_the_run_is_finished_until_it_is_continued() -> None:
    state = collection(rounds=2)
    state.apply(round_(1))
    state.apply(round_(1, phase="finished"))
    assert taken(state) == []
    assert state.finished
    state.apply(round_(1, phase="train_actor"))
    assert taken(state) == []
    state.apply(round_(2))
    assert len(taken(state)) == 2


def test_announcements_of_earlier_rounds_change_nothing() -> None:
    state = collection()
    state.apply(round_(2))
    state.apply(round_(1, quota=9))
    assert ids(state) == ["r2-00000", "r2-00001"]


@given(st.sets(st.integers(0, 9)), st.integers(0, 10))
def test_after_a_restart_only_what_is_missing_is_run(logged: set[int], started: int) -> None:
    before, after = collection(), collection()
    before.apply(round_(1, quota=10))
    for _ in range(started):
        before.take()
    for index in logged:
        before.apply(trajectory(index))
        after.apply(trajectory(index))
    after.apply(round_(1, quota=10))
    assert {episode.index for episode in taken(after)} == set(range(10)) - logged


def test_sampling_is_fixed_by_run_trajectory_and_step() -> None:
    drawn = {sampling_seed(f"{run}/r1-0000{t}", step) for run in (0, 1) for t in (0, 1) for step in (0, 1)}
    assert len(drawn) == 8
    assert all(0 <= seed < 2**31 for seed in drawn)
    assert sampling_seed("0/r1-00000", 3) == sampling_seed("0/r1-00000", 3)
