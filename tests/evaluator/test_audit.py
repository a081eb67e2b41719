"""How right the learned rows were, held against the world's truth."""

import msgspec

from protocols.messages import Outcome, Question, Relabel, Task
from services.evaluator.audit import Audit
from tests.builders import FRAME, task, trajectory, verdict

FRIDGE, MUG, SOFA = task("open", "fridge"), task("pick", "mug"), task("sit", "sofa")


def audit() -> Audit:
    """Four trajectories told to open the fridge: 0 and 1 did, 1 and 2 hold the mug, nobody sat down."""
    found = Audit()
    satisfied = [(FRIDGE.id,), (FRIDGE.id, MUG.id), (MUG.id,), ()]
    for index, ids in enumerate(satisfied):
        of = trajectory(index, task=FRIDGE)
        found.apply(verdict(of, index != 1))
        found.apply(Outcome(trajectory=of.id, round=1, success=FRIDGE.id in ids, satisfied=ids))
    found.apply(Relabel(trajectory=trajectory(2).id, round=1, task=MUG))
    return found


def rows(*learned: tuple[int, Task, str, str], round: int = 1) -> bytes:
    made = (
        {
            "trajectory": trajectory(index).id, "round": round, "instruction": of.instruction, "answer": answer,
            "source": source,
        }
        for index, of, answer, source in learned
    )  # fmt: skip
    return b"".join(msgspec.json.encode(row) + b"\n" for row in made)


D_C = rows(
    (0, FRIDGE, "yes", "verdict"), (1, FRIDGE, "no", "verdict"), (2, FRIDGE, "yes", "self_asking"),
    (3, FRIDGE, "no", "verdict"), (2, MUG, "yes", "hindsight"),
)  # fmt: skip
D_A = rows(
    (0, FRIDGE, "find fridge", "rollout"), (0, FRIDGE, "open fridge", "rollout"), (3, FRIDGE, "done", "rollout"),
    (2, MUG, "pick up mug", "hindsight"),
)  # fmt: skip


def shares(role: str, data: bytes, kinds: str = "d_") -> dict[str, tuple[float, int]]:
    found = audit().labels(role, 1, data)  # type: ignore[arg-type]
    return {name: (round(one.value, 3), one.n) for name, one in found.items() if name.startswith(kinds)}


def test_labels_of_d_c_are_right_where_the_goal_held() -> None:
    assert shares("critic", D_C) == {
        "d_c_accuracy": (0.6, 5), "d_c_precision": (0.667, 3), "d_c_recall": (0.667, 3),
        "d_c_accuracy_verdict": (0.667, 3), "d_c_accuracy_self_asking": (0.0, 1), "d_c_accuracy_hindsight": (1.0, 1),
    }  # fmt: skip


def test_a_trajectory_counts_once_in_d_a_however_many_steps_it_has() -> None:
    assert shares("actor", D_A) == {
        "d_a_precision": (0.667, 3), "d_a_precision_rollout": (0.5, 2), "d_a_precision_hindsight": (1.0, 1),
        "d_a_recall": (0.5, 2),
    }  # fmt: skip


def test_of_a_set_for_both_roles_each_role_has_its_own_rows() -> None:
    assert shares("critic", D_A + D_C) == shares("critic", D_C)
    assert shares("actor", D_A + D_C) == shares("actor", D_A)


def test_rows_of_other_rounds_and_of_tasks_that_nobody_named_do_not_count() -> None:
    more = D_C + rows((0, FRIDGE, "no", "verdict"), round=2) + rows((0, SOFA, "yes", "exclusion"))
    assert shares("critic", more) == shares("critic", D_C)


def test_with_d_c_come_the_verdicts_of_the_round_at_each_of_their_stages() -> None:
    found = Audit()
    asked = Question(text="?", answer="yes", frame=FRAME, version=0, expected="yes")
    for index, (success, judged, kept, again) in enumerate(
        [(True, False, True, True), (False, True, True, False), (False, False, False, False)]
    ):
        of = trajectory(index)
        found.apply(verdict(of, kept, judged=judged, questions=(asked,)))
        found.apply(verdict(of, again, critic_version=1))
        found.apply(verdict(of, True, critic_version=1, subject="relabel"))
        found.apply(Outcome(trajectory=of.id, round=1, success=success, satisfied=("open:drawer",)))
    found.apply(Relabel(trajectory="r1-00002", round=1, task=task("open", "drawer")))
    found.apply(Relabel(trajectory="r1-00001", round=1, task=task("open", "book")))
    assert {name: (round(one.value, 3), one.n) for name, one in found.labels("critic", 1, b"").items()} == {
        "judged_accuracy": (0.333, 3), "judged_precision": (0.0, 1), "judged_recall": (0.0, 1),
        "asked_accuracy": (0.667, 3), "asked_precision": (0.5, 2), "asked_recall": (1.0, 1),
        "rejudged_accuracy": (1.0, 3), "rejudged_precision": (1.0, 1), "rejudged_recall": (1.0, 1),
        "exploration_success": (0.333, 3), "relabel_precision": (0.5, 2),
    }  # fmt: skip
    found.forget_before(2)
    assert not found.labels("critic", 1, b"")
