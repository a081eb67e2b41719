"""Which version judges what: of each round its own, and nobody by one that is still on trial."""

from services.critic.state import CriticState
from tests.builders import round_, trajectory


def state(*rounds: tuple[int, str, int]) -> CriticState:
    found = CriticState()
    for offset, (number, phase, critic) in enumerate(rounds, start=1):
        found.apply(offset, round_(number, phase=phase, critic_version=critic, max_staleness=1))
    return found


def test_a_round_is_judged_by_the_version_that_stood_when_it_began() -> None:
    assert state().version(trajectory(0)) is None
    assert state((1, "collect", 0), (1, "train_critic", 0), (1, "rejudge", 1)).version(trajectory(0)) == 0
    assert state((1, "collect", 0), (1, "train_actor", 1), (2, "collect", 1)).version(trajectory(0, 2)) == 1


def test_what_comes_early_is_not_judged_by_a_critic_on_trial() -> None:
    begun = (1, "collect", 0), (1, "train_critic", 0), (1, "rejudge", 1)
    early = trajectory(0, 2)
    assert state(*begun).version(early) == 0
    assert state(*begun, (1, "train_actor", 1)).version(early) == 1
    assert state(*begun, (1, "train_actor", 0)).version(early) == 0, "it was withdrawn"


def test_a_round_is_judged_again_by_the_version_trained_in_it_and_by_no_other() -> None:
    again = state((1, "collect", 0), (1, "rejudge", 1)).rejudging
    assert again is not None and (again.round, again.version, again.group) == (1, 1, "critic/rejudge@1")
    assert state((1, "collect", 0), (1, "rejudge", 1), (1, "train_actor", 0)).rejudging is None
