"""The figures of self-feedback: each share from a small round told by hand, whatever its order, and never the truth."""

import random

import pytest

from protocols.messages import Adapter, Dropped, Message, Outcome, Question, Relabel, Step, Trajectory, Verdict
from services.feedback.figures import Feedback, RoundFeedback
from services.feedback.held import frozen, held_back
from tests.builders import FRAME, round_, task, trajectory, verdict

ALL, NONE = 1.0, 0.0
"""Everything is held back; nothing is."""


def asked(of: Trajectory, judged: bool, success: bool, version: int = 0) -> Verdict:
    answer = Question(text="?", answer="yes" if success else "no", frame=FRAME, version=version, expected="yes")
    return verdict(of, success, judged=judged, questions=(answer,))


def steps(*actions: str, refused: int = 0) -> tuple[Step, ...]:
    return tuple(
        Step(frame=FRAME, action=action, error="no" if at < refused else None) for at, action in enumerate(actions)
    )


def told() -> list[Message]:
    """Four trajectories: a yes that stood, a no that was turned, a no that was relabelled, and a dropped one."""
    acted = [
        trajectory(0, steps=steps("open fridge", "done")),
        trajectory(1, steps=steps("open fridge", "done"), task=task("pick", "apple")),
        trajectory(2, steps=steps("open door", "open fridge", "open door", "done", refused=2), ended="limit"),
        trajectory(3, ended="truncated", final_frame=None),
    ]
    first = [asked(acted[0], True, True), asked(acted[1], False, True), asked(acted[2], False, False)]
    again = [verdict(of, yes, critic_version=1) for of, yes in zip(acted, (True, False, False), strict=False)]
    relabel = Relabel(trajectory=acted[2].id, round=1, task=task("open", "door"), act=0)
    confirmed = verdict(acted[2], True, critic_version=1, subject="relabel", task=task("open", "door"))
    dropped = Dropped(trajectory=acted[3].id, round=1, reason="truncated")
    rows = Adapter(
        role="critic", version=1, round=1, parent=0, files={}, digest=FRAME, base_model="m", dataset=FRAME, rows=5,
        balance={"yes": 3, "no": 2}, promoted=True,
    )  # fmt: skip
    return [*acted, *first, *again, relabel, confirmed, dropped, rows]


def fold(messages: list[Message], holdback: float = ALL) -> RoundFeedback:
    feedback = Feedback(holdback)
    for message in (round_(1), *messages):
        feedback.apply(message)
    return feedback.now


def test_a_round_is_summed_up() -> None:
    now = fold(told())
    shares = {
        name: (round(3 * found.value) if found.n == 3 else round(found.value * found.n), found.n)
        for name in now.__struct_fields__
        if (found := getattr(now, name)).__class__.__name__ == "Estimate"
    }
    assert shares == {
        "yes": (1, 3), "turned": (1, 3), "success": (2, 3), "relabelled": (1, 1), "relabels_confirmed": (1, 1),
        "agreement": (2, 3), "held_before": (2, 3), "held_after": (2, 3), "done": (2, 3), "refused": (2, 8),
    }  # fmt: skip
    assert now.action_entropy == pytest.approx(1.561, abs=1e-3)  # of 3, 3 and 2 of 8 actions
    assert (now.trajectories, now.verbs, now.critic_rows) == (4, ("open", "pick"), {"yes": 3, "no": 2})
    assert fold(told(), NONE).held_after is None


def test_neither_order_nor_repetition_leaves_a_trace() -> None:
    for seed in range(5):
        messages = told() + told()
        random.Random(seed).shuffle(messages)
        assert fold(messages) == fold(told())


def test_what_is_not_known_is_not_made_up() -> None:
    now = fold([])
    assert now == RoundFeedback(round=1)
    assert now.gauges() == {"feedback_round": 1.0}
    unasked = fold([trajectory(0), verdict(trajectory(0), True)])
    assert unasked.turned is None and unasked.yes is not None and unasked.agreement is None


def test_a_round_stands_once_the_next_has_begun() -> None:
    feedback = Feedback(ALL)
    for message in (round_(1), *told(), round_(2), trajectory(9, steps=steps("late")), trajectory(0, round=2)):
        feedback.apply(message)
    first, second = feedback.rounds
    assert first == fold(told())
    assert (second.round, second.trajectories) == (2, 1)


def test_gauges_carry_every_figure_that_is_known() -> None:
    gauges = fold(told()).gauges()
    assert gauges["feedback_yes"] == pytest.approx(1 / 3)
    assert gauges["feedback_critic_rows_no"] == 2.0
    assert gauges["feedback_action_entropy_bits"] == pytest.approx(1.561, abs=1e-3)


def test_the_worlds_truth_changes_no_figure() -> None:
    outcome = Outcome(trajectory="r1-00000", round=1, success=False)
    assert fold([*told(), outcome]) == fold(told())


def test_what_is_held_back_is_the_share_asked_for_and_always_the_same() -> None:
    held = [id for id in (f"r1-{i:05d}" for i in range(2000)) if held_back(id, 0.1)]
    assert 150 < len(held) < 250
    assert not any(held_back(f"r1-{i:05d}", 0.0) for i in range(100))
    assert set(held) <= {f"r1-{i:05d}" for i in range(2000) if held_back(f"r1-{i:05d}", 0.2)}


def test_only_the_base_models_answers_count_as_frozen() -> None:
    of = trajectory(0)
    assert frozen(asked(of, False, True)) is True
    assert frozen(asked(of, True, False)) is False
    assert frozen(asked(of, True, True, version=2)) is None
    assert frozen(verdict(of, True)) is None
