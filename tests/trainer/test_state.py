"""The learning loop as a fold: what it decides, in which order, and that crashes and arrival order leave no trace."""

import random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.messages import Adapter, Round
from services.settings import Run, Settings, Simulator, Trainer
from services.trainer.state import Event, Publish, Train, TrainerState
from tests.trainer.story import Story, make_trajectory, make_verdict

SETTINGS = Settings(run=Run(rounds=2), simulator=Simulator(quota=12))


SHARED = msgspec.structs.replace(SETTINGS, trainer=Trainer(shared=True))


def phases(events: list[Event]) -> list[tuple[int, str]]:
    return [(event.number, event.phase) for event in events if isinstance(event, Round)]


def test_a_round_collects_trains_the_critic_judges_again_and_trains_the_actor() -> None:
    story = Story(SETTINGS)
    trained = story.run()
    each = ["collect", "train_critic", "rejudge", "train_actor"]
    assert phases(story.events) == [*((1, p) for p in each), *((2, p) for p in each), (2, "finished")]
    assert list(trained) == ["critic@1", "actor@1", "critic@2", "actor@2"]
    rounds = [event for event in story.events if isinstance(event, Round)]
    assert [(r.actor_version, r.critic_version) for r in rounds] == [(0, 0)] * 2 + [(0, 1)] * 2 + [(1, 1)] * 2 + [
        (1, 2), (1, 2), (2, 2),
    ]  # fmt: skip


def test_training_continues_from_the_version_that_serves() -> None:
    story = Story(SETTINGS)
    story.run()
    assert story.trained["critic@1"].parent is None
    assert story.trained["critic@2"].parent.version == 1  # type: ignore[union-attr]
    from_base = msgspec.structs.replace(SETTINGS, trainer=Trainer(continue_from="base"))
    story = Story(from_base)
    story.run()
    assert story.trained["actor@2"].parent is None


def test_a_refused_critic_leaves_the_old_one_and_the_round_goes_on_without_judging_again() -> None:
    story = Story(SETTINGS, refused=frozenset({"critic@1"}))
    story.run()
    assert (1, "rejudge") not in phases(story.events)
    assert phases(story.events)[-1] == (2, "finished")
    last = [event for event in story.events if isinstance(event, Round)][-1]
    assert (last.actor_version, last.critic_version) == (2, 2)


def test_an_adapter_that_its_engine_refuses_is_treated_like_one_that_was_not_promoted() -> None:
    story = Story(SETTINGS, refused=frozenset({"actor@1/swap", "critic@2/swap"}))
    story.run()
    rounds = {(r.number, r.phase): r for r in story.events if isinstance(r, Round)}
    assert rounds[2, "collect"].actor_version == 0
    assert (2, "rejudge") not in rounds
    assert story.trained["actor@2"].parent is None


def test_a_promoted_adapter_is_waited_for_until_its_engine_serves_it() -> None:
    state = TrainerState(SETTINGS)
    story = Story(SETTINGS)
    story.run()
    for event in story.events:
        if type(event).__name__ == "Swap":
            break
        state.apply(event)
    assert state.decide() == []


def test_no_rounds_finish_at_once() -> None:
    story = Story(msgspec.structs.replace(SETTINGS, run=Run(rounds=0)))
    assert story.run() == {}
    assert phases(story.events) == [(0, "finished")]


def test_a_finished_run_goes_on_when_it_is_given_more_rounds() -> None:
    story = Story(SETTINGS)
    story.run()
    state = TrainerState(msgspec.structs.replace(SETTINGS, run=Run(rounds=3)))
    for event in story.events:
        state.apply(event)
    (decision,) = state.decide()
    assert decision.id == "r3/collect"


def test_truncated_trajectories_are_dropped_with_their_cause_and_the_round_goes_on() -> None:
    state = TrainerState(msgspec.structs.replace(SETTINGS, simulator=Simulator(quota=2)))
    (announce,) = state.decide()
    assert isinstance(announce, Publish) and isinstance(announce.message, Round)
    state.apply(announce.message)
    whole = make_trajectory(1, 0, 0)
    state.apply(whole)
    state.apply(make_trajectory(1, 1, 0, ended="truncated", final_frame=None, cause="world: hung"))
    (drop,) = state.decide()
    assert drop.id == "r1-00001"
    assert "world: hung" in drop.message.reason  # type: ignore[union-attr]
    state.apply(drop.message)  # type: ignore[union-attr]
    assert state.decide() == []
    verdict = msgspec.structs.replace(make_verdict(whole, 0), judged=True, success=True, questions=())
    state.apply(verdict)
    assert [decision.id for decision in state.decide()] == ["r1/train_critic"]


def test_trajectories_beyond_the_staleness_bound_are_dropped_and_younger_ones_are_kept() -> None:
    limits = Simulator(quota=3, max_staleness=1)
    state = TrainerState(msgspec.structs.replace(SETTINGS, simulator=limits))
    for number, version in ((1, 0), (2, 1), (3, 2)):
        state.apply(
            Round(number=number, phase="collect", quota=3, actor_version=version, critic_version=0, max_staleness=1)
        )
    for index, version in enumerate((0, 1, 2)):
        state.apply(make_trajectory(3, index, version))
    (drop,) = state.decide()
    assert drop.id == "r3-00000"
    assert "2 versions behind actor@2" in drop.message.reason  # type: ignore[union-attr]


def test_versions_that_were_never_promoted_do_not_make_a_trajectory_stale() -> None:
    limits = Simulator(quota=1, max_staleness=1)
    state = TrainerState(msgspec.structs.replace(SETTINGS, simulator=limits))
    for number, version in ((1, 0), (2, 0), (3, 0), (4, 3)):
        state.apply(
            Round(number=number, phase="collect", quota=1, actor_version=version, critic_version=0, max_staleness=1)
        )
    state.apply(make_trajectory(4, 0, 0))
    assert state.decide() == []


def test_after_a_crash_anywhere_the_same_decisions_follow_with_the_same_datasets() -> None:
    story = Story(SETTINGS)
    undisturbed = story.run()
    for length in range(len(story.events) + 1):
        state, seen = TrainerState(SETTINGS), {}
        for at, event in enumerate(story.events):
            if at == length:  # killed here: a new process folds the log, and decides again
                state = TrainerState(SETTINGS)
                for earlier in story.events[:length]:
                    state.apply(earlier)
            seen |= {decision.id: decision for decision in state.decide()}
            state.apply(event)
        trained = {id: work for id, work in seen.items() if isinstance(work, Train)}
        assert trained == story.trained
        assert set(undisturbed) == set(trained)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), repeats=st.integers(0, 5))
def test_neither_the_order_nor_the_number_of_arrivals_leaves_a_trace(seed: int, repeats: int) -> None:
    rng = random.Random(seed)

    def arrange(events: list[Event]) -> list[Event]:
        mixed = [*events, *rng.choices(events, k=repeats)] if events else []
        rng.shuffle(mixed)
        return mixed

    disturbed = Story(SETTINGS, arrange=arrange)
    undisturbed = Story(SETTINGS)
    assert disturbed.run() == undisturbed.run()
    assert disturbed.trained == undisturbed.trained


def test_rounds_older_than_the_row_limit_are_forgotten() -> None:
    lora = msgspec.structs.replace(Trainer().actor, max_rows=20)
    small = msgspec.structs.replace(
        SETTINGS, run=Run(rounds=5), trainer=Trainer(actor=lora, critic=lora, balance=False, rare=1)
    )
    story = Story(small)
    story.run()
    assert all(len(work.rows) <= 20 for work in story.trained.values())
    assert {row.round for row in story.trained["critic@5"].rows} <= {4, 5}


def test_one_adapter_for_both_roles_is_trained_once_a_round_on_both_sets_and_nothing_is_judged_again() -> None:
    story = Story(SHARED)
    story.run()
    each = ["collect", "train_critic", "train_actor"]
    assert phases(story.events) == [*((1, p) for p in each), *((2, p) for p in each), (2, "finished")]
    assert list(story.trained) == ["critic@1", "critic@2"]
    adapters = {(a.role, a.version): a for a in story.events if isinstance(a, Adapter)}
    for version in (1, 2):
        critic, actor = adapters["critic", version], adapters["actor", version]
        assert (actor.digest, actor.dataset, actor.parent) == (critic.digest, critic.dataset, version - 1)
        answers = {row.answer for row in story.trained[f"critic@{version}"].rows}
        assert {"yes", "no", "done"} <= answers
    last = [event for event in story.events if isinstance(event, Round)][-1]
    assert (last.actor_version, last.critic_version) == (2, 2)


def test_a_shared_adapter_that_was_refused_is_refused_for_both_and_the_next_round_goes_on() -> None:
    story = Story(SHARED, refused=frozenset({"critic@1"}))
    story.run()
    refused = [(a.role, a.version) for a in story.events if isinstance(a, Adapter) and not a.promoted]
    assert refused == [("critic", 1), ("actor", 1)]
    last = [event for event in story.events if isinstance(event, Round)][-1]
    assert (last.actor_version, last.critic_version) == (2, 2)
