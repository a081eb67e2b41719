"""Which versions are to be measured, when, and when a run is over."""

from typing import Literal

from protocols.codec import adapter_digest
from protocols.messages import Adapter, Estimate, Evaluation, Role, Round, Swap
from services.evaluator.state import EvaluatorState, due
from tests.builders import round_


def adapter(role: Role, version: int, promoted: bool = True) -> Adapter:
    return Adapter(
        role=role, version=version, round=version, parent=0, files={}, digest=adapter_digest({}), base_model="m",
        dataset=adapter_digest({}), rows=9, promoted=promoted,
    )  # fmt: skip


def swap(role: Role, version: int, served: bool = True) -> Swap:
    return Swap(
        role=role, instance=f"{role}-0", version=version, digest=adapter_digest({}), served=served, seconds=0.1,
        in_flight=1,
    )  # fmt: skip


def evaluation(role: Role, version: int) -> Evaluation:
    score = Estimate(value=0.5, n=2, ci95=(0.1, 0.9))
    return Evaluation(role=role, version=version, round=version, score=score)


def phase(number: int, name: Literal["collect", "train_critic", "rejudge", "train_actor", "finished"]) -> Round:
    return round_(number, phase=name)


def state(*messages: Round | Adapter | Swap | Evaluation) -> EvaluatorState:
    made = EvaluatorState()
    for message in messages:
        made.apply(message)
    return made


def test_the_base_and_every_served_version_are_due_until_they_are_measured() -> None:
    log = [adapter("critic", 1), swap("critic", 1), adapter("actor", 1), evaluation("actor", 0)]
    assert due(log) == [("critic", 0), ("actor", 1), ("critic", 1)]


def test_versions_that_are_not_served_are_never_due() -> None:
    log = [adapter("critic", 1, promoted=False), adapter("actor", 1), swap("actor", 1, served=False)]
    assert due(log) == [("actor", 0), ("critic", 0)]
    assert ("actor", 1) in due([*log, swap("actor", 1)])


def test_a_version_is_measured_from_the_training_of_its_successor_on() -> None:
    assert state(phase(1, "collect")).ready("critic") is None
    assert state(phase(1, "train_critic")).ready("critic") == 0
    assert state(phase(1, "train_critic")).ready("actor") == 0
    base_done = [evaluation("critic", 0), adapter("critic", 1), swap("critic", 1)]
    assert state(*base_done, phase(1, "train_actor")).ready("critic") is None
    assert state(*base_done, phase(2, "collect")).ready("critic") is None
    assert state(*base_done, phase(2, "train_critic")).ready("critic") == 1


def test_a_version_that_was_not_measured_in_time_stays_ready() -> None:
    assert state(adapter("critic", 1), phase(2, "collect")).ready("critic") == 0
    assert state(adapter("critic", 1), phase(2, "train_critic")).ready("critic") == 0


def test_when_the_run_is_finished_everything_left_is_ready_oldest_first() -> None:
    log = [adapter("actor", 2), evaluation("actor", 0), adapter("actor", 1), phase(2, "finished")]
    assert state(*log).ready("actor") == 1
    assert state(*log, evaluation("actor", 1)).ready("actor") == 2
    assert state(*log, evaluation("actor", 1), evaluation("actor", 2)).ready("actor") is None


def test_the_last_requests_are_kept_back_until_the_successor_is_there_or_nobody_learns() -> None:
    waiting = state(phase(1, "train_critic"))
    assert not waiting.succeeded("critic", 0)
    waiting.apply(adapter("critic", 1, promoted=False))
    assert waiting.succeeded("critic", 0)
    assert not waiting.succeeded("actor", 0)
    waiting.apply(phase(1, "finished"))
    assert waiting.succeeded("actor", 0)


def test_labels_are_remembered_as_long_as_an_evaluation_may_need_them() -> None:
    assert state(phase(3, "collect"), adapter("critic", 2)).oldest_due == 2
    assert state(phase(3, "collect"), adapter("critic", 2), evaluation("critic", 2)).oldest_due == 3
