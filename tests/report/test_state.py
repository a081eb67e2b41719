"""The summary: each figure comes from what the log says, whatever comes twice, late or not at all."""

import itertools
import random

import msgspec
import pytest

from protocols.messages import Relabel
from services.report.state import READS, ReportState
from services.report.summary import Summary, to_json
from tests.report.story import QUOTA, Story, metrics, two_rounds


def told(story: Story) -> ReportState:
    state = ReportState()
    for delivery in story.told:
        state.apply(delivery)
    return state


def without(story: Story, *ids: str) -> Story:
    story.told = [d for d in story.told if f"{d.topic}/{d.id}" not in ids]
    return story


def test_a_run_is_summed_up_from_its_log() -> None:
    summary = told(two_rounds()).summary(run="runs/x", version="0.1.0")
    assert summary.finished
    counts = summary.trajectories
    assert (counts.collected, counts.judged, counts.asked, counts.flipped) == (2 * QUOTA, 11, 11, 6)
    assert (counts.relabeled, counts.dropped_stale, counts.dropped_other, counts.lost) == (2, 0, 1, 0)
    assert summary.faults == 1
    assert [(f.round, f.success and f.success.n, f.agreement and f.agreement.n) for f in summary.feedback] == [
        (1, 6, 6), (2, 5, None),
    ]  # fmt: skip


def test_round_0_is_the_base_and_a_refused_adapter_leaves_the_former_figures_standing() -> None:
    rounds = told(two_rounds()).summary().rounds
    assert [r.round for r in rounds] == [0, 1, 2]
    assert [r.critic_accuracy and r.critic_accuracy.value for r in rounds] == [0.66, 0.8, 0.8]
    assert [r.actor_success and round(r.actor_success.value, 2) for r in rounds] == [0.46, 0.56, 0.66]
    assert [(r.critic_version, r.actor_version) for r in rounds] == [(0, 0), (1, 1), (1, 2)]


def test_each_adapter_says_what_it_cost_and_whether_it_served() -> None:
    adapters = told(two_rounds()).summary().adapters
    assert [(a.role, a.version, a.promoted) for a in adapters] == [
        ("actor", 1, True), ("critic", 1, True), ("actor", 2, True), ("critic", 2, False),
    ]  # fmt: skip
    assert (adapters[0].train_seconds, adapters[0].swap_seconds, adapters[0].in_flight) == (3.5, 0.2, 7)
    assert adapters[3].swap_seconds is None and "collapsed" in (adapters[3].reason or "")


def test_the_same_log_twice_and_late_evaluations_change_nothing() -> None:
    story = two_rounds()
    once = told(story).summary()
    twice = told(story)
    for delivery in story.told:
        if delivery.topic != "rounds":
            twice.apply(delivery)
    assert msgspec.structs.replace(twice.summary(), seconds={}, rounds=()) == msgspec.structs.replace(
        once, seconds={}, rounds=()
    )
    late = two_rounds()
    late.told.sort(key=lambda d: d.topic == "evaluations")
    assert told(late).summary().trajectories == once.trajectories
    assert [r.critic_accuracy for r in told(late).rounds()] == [r.critic_accuracy for r in once.rounds]


def test_what_comes_between_two_rounds_may_come_in_any_order() -> None:
    story = two_rounds()
    expected = told(story).summary()
    for seed in range(5):
        shuffled = two_rounds()
        ends = [i for i, d in enumerate(shuffled.told) if d.topic == "rounds"]
        for start, end in itertools.pairwise(ends):
            part = shuffled.told[start + 1 : end]
            random.Random(seed).shuffle(part)
            shuffled.told[start + 1 : end] = part
        summary = told(shuffled).summary()
        assert (summary.trajectories, summary.adapters) == (expected.trajectories, expected.adapters)


@pytest.mark.parametrize(
    ("missing", "lost"),
    [
        (("trajectories/r1-00003",), "r1-00003"),
        (("verdicts/r1-00003/task/c0",), "r1-00003"),
        (("relabels/r1-00004",), "r1-00004"),
        (("dropped/r2-00005",), "r2-00005"),
    ],
)
def test_what_never_came_is_lost_and_named(missing: tuple[str, ...], lost: str) -> None:
    state = told(without(two_rounds(), *missing))
    assert state.lost == [lost] and state.summary().trajectories.lost == 1


def test_a_round_still_collecting_has_lost_nothing() -> None:
    story = Story()
    story.round(1, "collect", 0, 0)
    story.trajectory(1, 0, actor=0)
    state = told(story)
    assert state.lost == [] and not state.finished
    assert [r.round for r in state.rounds()] == [0]
    assert state.rounds()[0].critic_accuracy is None


def test_a_run_of_no_rounds_has_lost_nothing_and_shows_the_base() -> None:
    story = Story()
    story.round(0, "finished", 0, 0)
    state = told(story)
    assert state.finished and state.lost == [] and [r.round for r in state.rounds()] == [0]


def test_an_adapter_that_no_engine_would_serve_or_that_was_withdrawn_does_not_stand() -> None:
    story = two_rounds()
    for i, delivery in enumerate(story.told):
        if delivery.topic == "rounds" and delivery.id == "r2/finished":
            story.told[i] = msgspec.structs.replace(
                delivery, message=msgspec.structs.replace(delivery.message, actor_version=1)
            )
    state = told(story)
    assert state.adapters["actor", 2].promoted and state.standing(2, "actor") == 1
    assert state.rounds()[2].actor_success == state.rounds()[1].actor_success


def test_a_version_that_a_later_announcement_does_without_was_withdrawn() -> None:
    story = two_rounds()
    assert not any(adapter.withdrawn for adapter in told(story).summary().adapters)
    story.round(3, "collect", 2, 1)
    story.round(3, "train_critic", 1, 1)
    adapters = told(story).summary().adapters
    assert [(a.role, a.version) for a in adapters if a.withdrawn] == [("actor", 2)]


def test_answers_are_summed_over_the_lives_of_each_service_and_memory_has_a_peak() -> None:
    state = ReportState()
    for row in metrics():
        state.note(row)
    summary = state.summary()
    assert (summary.answers.total, summary.answers.failed, summary.answers.wrong_version) == (65, 2, 0)
    assert summary.engine is not None and summary.engine.name == "scripted"
    assert (summary.memory_peak_bytes, summary.restarts) == (200, 1)


def test_time_between_two_launchers_counts_as_no_time() -> None:
    story = Story()
    story.round(1, "collect", 0, 0)
    story.trajectory(1, 0, actor=0)
    state = told(story)
    state.note({"time": story.time + 2, "kind": "session", "event": "end"})
    state.note({"time": story.time + 5000, "kind": "session", "event": "start"})
    story.time += 5003
    story.trajectory(1, 1, actor=0)
    state.apply(story.told[-1])
    assert state.summary().seconds == {"collect": 7.0, "evaluate": 0.0, "total": 7.0}


def test_the_seconds_of_the_phases_add_up_to_the_total() -> None:
    seconds = told(two_rounds()).summary().seconds
    phases = [seconds[name] for name in ("collect", "train_critic", "rejudge", "train_actor")]
    assert sum(phases) == pytest.approx(seconds["total"])


def test_a_summary_is_json_that_reads_back() -> None:
    summary = told(two_rounds()).summary(run="runs/x")
    assert msgspec.json.decode(to_json(summary), type=Summary) == summary


def test_the_worlds_own_truth_is_not_read() -> None:
    assert "outcomes" not in READS


def test_an_answer_of_none_from_hindsight_is_no_relabel() -> None:
    story = Story()
    story.say("relabels", "r1-00000", Relabel(trajectory="r1-00000", round=1, task=None))
    assert told(story).summary().trajectories.relabeled == 0
