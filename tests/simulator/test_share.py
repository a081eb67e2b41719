"""How simulators share a round: every episode is one's, and whose it is depends on nothing but its index."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.messages import Trajectory
from scripts.launch.plan import new_plan
from scripts.launch.preflight import problems
from services.settings import Simulator
from services.simulator.share import share_of, shares
from services.simulator.state import Collection
from tests.builders import round_, trajectory


def settings(instances: int, episodes: int = 64, quota: int = 64) -> Simulator:
    return Simulator(instances=instances, episodes=episodes, quota=quota)


@given(st.integers(1, 9), st.integers(0, 60), st.integers(0, 60))
def test_every_episode_and_every_world_is_of_one_simulator(instances: int, more: int, extra: int) -> None:
    wanted = settings(instances, instances + more, instances + extra)
    parts = shares(wanted)
    assert len(parts) == instances
    assert sorted(i for part in parts for i in part.of(wanted.quota)) == list(range(wanted.quota))
    assert sum(part.episodes for part in parts) == wanted.episodes
    assert all(part.episodes and part.of(wanted.quota) for part in parts)
    assert [share_of(f"simulator-{i}", wanted) for i in range(instances)] == parts


@given(st.integers(1, 5), st.sets(st.integers(0, 19)), st.integers(0, 4), st.integers(0, 20))
def test_whoever_is_killed_nothing_is_missing_and_nothing_is_played_by_two(
    instances: int, logged: set[int], killed: int, started: int
) -> None:
    def simulator(place: int) -> Collection:
        state = Collection(run_seed=0, rounds=1, share=shares(settings(instances))[place])
        for index in logged:
            state.apply(trajectory(index))
        state.apply(round_(1, quota=20))
        return state

    all_of_them = [simulator(place) for place in range(instances)]
    for _ in range(started):
        all_of_them[killed % instances].take()
    all_of_them[killed % instances] = simulator(killed % instances)
    taken = [episode.id for state in all_of_them for episode in iter(state.take, None)]
    assert sorted(taken) == [f"r1-{index:05d}" for index in range(20) if index not in logged]


def test_all_of_them_know_how_far_the_round_is() -> None:
    state = Collection(run_seed=0, rounds=1, share=shares(settings(4))[3])
    state.apply(round_(1, quota=8))
    for index in (0, 1, 3):
        told = trajectory(index)
        assert isinstance(told, Trajectory)
        state.apply(told)
    assert state.collected == 3


@pytest.mark.parametrize("name", ["simulator-4", "simulator", "simulator-x", "simulator--1"])
def test_a_simulator_that_nobody_asked_for_has_no_share(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is none of the 4 simulators"):
        share_of(name, settings(4))


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (("simulator.episodes=3",), "instances is 4 and simulator.episodes only 3"),
        (("simulator.quota=2",), "instances is 4 and simulator.quota only 2"),
        ((), None),
    ],
)
def test_a_run_with_idle_simulators_is_refused_before_it_starts(overrides: tuple[str, ...], says: str | None) -> None:
    plan = new_plan("scripted", overrides=["simulator.instances=4", *overrides])
    found = [problem for problem in problems(plan) if "simulator" in problem]
    assert [says in problem for problem in found if says] == [True] * bool(says)
    assert [p.instance for p in plan.processes if p.role == "simulator"] == [f"simulator-{i}" for i in range(4)]
