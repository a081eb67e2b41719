"""The learning rules: what of a round becomes a row of D_c and D_a, under which instruction, and from where."""

import random
from collections import Counter

import msgspec
import pytest

from protocols.codec import digest
from protocols.messages import Finding, Relabel, Step, Task, Trajectory, Verdict
from services.settings import Trainer
from services.trainer.dataset import (
    Example,
    Record,
    accepted,
    actor_examples,
    balanced,
    build_actor_set,
    build_critic_set,
    critic_examples,
    dataset_bytes,
    dataset_digest,
    doubtful,
    evened,
    newest,
    relabelled,
)
from tests.builders import trajectory, verdict

ALL = Trainer(relabels="all")


def task(verb: str, object: str) -> Task:
    phrase = {"pick": "pick up", "sit": "sit on"}.get(verb, verb)
    return Task(id=f"{verb}:{object}", instruction=f"{phrase} the {object}", verb=verb, object=object)


def acted(index: int, goal: Task, *actions: str) -> Trajectory:
    steps = tuple(Step(frame=digest(f"{index}/{at}".encode()), action=action) for at, action in enumerate(actions))
    return trajectory(index, task=goal, steps=steps, final_frame=digest(f"{index}/end".encode()))


def record(
    of: Trajectory, first: bool, again: bool | None = None, found: Task | None = None, act: int | None = None,
    found_again: bool | None = None, **fields: object,
) -> Record:  # fmt: skip
    judged = {} if again is None else {"rejudged": verdict(of, again, critic_version=1)}
    if found_again is not None:
        judged["rejudged_relabel"] = verdict(of, found_again, subject="relabel", task=found, critic_version=1)
    relabel = None if first else Relabel(trajectory=of.id, round=1, task=found, act=act)
    return Record(trajectory=of, first=verdict(of, first, **fields), relabel=relabel, **judged)


FAILED = acted(3, task("pick", "apple"), "find mug", "pick up mug", "find apple", "done")
MUG = task("pick", "mug")


def rows(examples: list[Example]) -> list[tuple[str, str, str]]:
    return [(row.instruction, row.answer, row.source) for row in examples]


def test_every_verdict_is_a_row_about_the_last_frame_whatever_the_order_of_records() -> None:
    records = [record(acted(i, task("open", "fridge"), "done"), i % 2 == 0) for i in range(4)]
    shuffled = random.Random(1).sample(records, 4)
    examples = critic_examples(shuffled, ALL, seed=0)
    assert examples == critic_examples(records, ALL, seed=0)
    assert [row.answer for row in examples] == ["yes", "no", "yes", "no"]
    assert [row.frame for row in examples] == [digest(f"{i}/end".encode()) for i in range(4)]
    assert examples[0].prompt == "Task: open the fridge. Is the task done?"


def test_a_verdict_that_questions_turned_says_so() -> None:
    of = acted(0, task("open", "fridge"), "done")
    assert rows(critic_examples([record(of, True, judged=False)], ALL, seed=0)) == [
        ("open the fridge", "yes", "self_asking")
    ]


def test_hindsight_adds_a_yes_and_denies_a_like_object_where_only_one_can_be() -> None:
    other = record(acted(1, task("pick", "vase"), "done"), True)
    examples = critic_examples([other, record(FAILED, False, found=MUG, act=1)], Trainer(), seed=0)
    assert rows(examples) == [
        ("pick up the vase", "yes", "verdict"),
        ("pick up the apple", "no", "verdict"),
        ("pick up the mug", "yes", "hindsight"),
        ("pick up the vase", "no", "exclusion"),
    ]
    without = critic_examples([other, record(FAILED, False, found=MUG, act=1)], Trainer(negatives=False), seed=0)
    assert [row.source for row in without] == ["verdict", "verdict", "hindsight"]


def test_hindsight_denies_nothing_where_several_things_can_be_so() -> None:
    failed = acted(2, task("open", "fridge"), "open drawer")
    other = record(acted(1, task("open", "book"), "done"), True)
    examples = critic_examples([other, record(failed, False, found=task("open", "drawer"), act=0)], Trainer(), seed=0)
    assert "exclusion" not in {row.source for row in examples}


def finding(of: Task, holds: bool, confidence: float = 1.0) -> Finding:
    return Finding(task=of, holds=holds, confidence=confidence)


def test_findings_about_other_instructions_teach_the_critic_what_holds_and_what_does_not() -> None:
    fridge, vase = task("open", "fridge"), task("pick", "vase")
    other = record(acted(1, fridge, "done"), True)
    found = (finding(MUG, True), finding(fridge, False), finding(vase, False), finding(task("slice", "apple"), True))
    examples = critic_examples(
        [other, record(FAILED, False, found=MUG, act=1, findings=found)], Trainer(negatives=False), seed=0
    )
    assert rows(examples) == [
        ("open the fridge", "yes", "verdict"),
        ("pick up the apple", "no", "verdict"),
        ("pick up the mug", "yes", "hindsight"),
        ("open the fridge", "no", "finding"),
        ("pick up the vase", "no", "finding"),
    ], "once where hindsight says it too, and nothing of verbs that no instruction has"


def test_of_findings_too_the_least_confident_are_left_out() -> None:
    records = [
        record(
            acted(i, task("open", "fridge"), "done"),
            True,
            findings=(finding(task("open", "box"), i % 2 == 0, float(i)),),
        )
        for i in range(40)
    ]
    kept = [row for row in critic_examples(records, Trainer(drop=0.25), seed=0) if row.source == "finding"]
    assert len(kept) == 30 and {row.trajectory for row in kept} == {record.trajectory.id for record in records[10:]}


def test_a_relabel_of_what_turned_out_a_success_is_ignored() -> None:
    success = msgspec.structs.replace(
        record(FAILED, True), relabel=Relabel(trajectory=FAILED.id, round=1, task=MUG, act=1)
    )
    assert len(critic_examples([success], ALL, seed=0)) == 1
    assert relabelled(success, ALL) is None


@pytest.mark.parametrize(
    ("first", "again", "accept", "asked", "expected"),
    [
        (True, True, "agree", True, True),
        (False, True, "agree", True, False),
        (False, True, "critic", True, True),
        (False, True, "agree", False, True),
        (True, False, "critic", True, False),
        (True, False, "agree", True, False),
        (True, None, "agree", True, True),
        (False, None, "critic", True, False),
    ],
)
def test_a_success_is_what_the_accept_rule_says(
    first: bool, again: bool | None, accept: str, asked: bool, expected: bool
) -> None:
    settings = msgspec.convert({"accept": accept}, Trainer)
    assert accepted(record(FAILED, first, again), settings, asked=asked) is expected


def test_every_step_of_a_success_is_a_row_with_the_history_before_it() -> None:
    examples = actor_examples([record(FAILED, True, True)], ALL, asked=True)
    assert [row.answer for row in examples] == ["find mug", "pick up mug", "find apple", "done"]
    assert examples[0].prompt == "Task: pick up the apple. Done so far: nothing. Next action?"
    assert examples[2].prompt == "Task: pick up the apple. Done so far: find mug, pick up mug. Next action?"
    assert [row.frame for row in examples] == [step.frame for step in FAILED.steps]
    assert {(row.source, row.critic_version) for row in examples} == {("rollout", 1)}


def test_the_actions_that_could_be_chosen_are_shown_as_they_were() -> None:
    step = Step(frame=digest(b"x"), action="done", admissible=("done", "open fridge"))
    of = trajectory(0, steps=(step,))
    (example,) = actor_examples([record(of, True, True)], ALL, asked=True)
    assert "You can: done; open fridge." in example.prompt


def test_a_relabelled_trajectory_ends_with_done_where_its_goal_was_reached() -> None:
    examples = actor_examples([record(FAILED, False, False, MUG, 1, True)], ALL, asked=True)
    assert [row.answer for row in examples] == ["find mug", "pick up mug", "done"]
    assert {row.instruction for row in examples} == {"pick up the mug"}
    assert [row.frame for row in examples] == [step.frame for step in FAILED.steps[:3]]
    whole = actor_examples([record(FAILED, False, False, MUG, 1, True)], Trainer(relabels="all", cut=False), asked=True)
    assert [row.answer for row in whole] == ["find mug", "pick up mug", "find apple", "done"]


def test_a_goal_reached_by_the_last_action_has_no_frame_to_say_done_from() -> None:
    of = acted(4, task("pick", "apple"), "find mug", "pick up mug")
    examples = actor_examples([record(of, False, False, MUG, 1, True)], ALL, asked=True)
    assert [row.answer for row in examples] == ["find mug", "pick up mug"]


def test_a_relabel_that_the_tuned_critic_denies_teaches_the_actor_nothing() -> None:
    assert relabelled(record(FAILED, False, False, MUG, 1, False), ALL) is None
    assert relabelled(record(FAILED, False, False, MUG, 1), ALL) is None
    assert relabelled(record(FAILED, False, None, MUG, 1), ALL) == MUG


def test_direct_takes_only_relabels_whose_first_action_concerns_the_new_object() -> None:
    late = acted(5, task("pick", "apple"), "find apple", "pick up mug", "done")
    direct = Trainer(relabels="direct")
    assert relabelled(record(FAILED, False, False, MUG, 1, True), direct) == MUG
    assert relabelled(record(late, False, False, MUG, 1, True), direct) is None
    assert relabelled(record(late, False, False, MUG, 1, True), ALL) == MUG
    for where in ("critic", "off"):
        settings = msgspec.convert({"relabels": where}, Trainer)
        assert relabelled(record(FAILED, False, False, MUG, 1, True), settings) is None
    assert len(critic_examples([record(FAILED, False, found=MUG, act=1)], Trainer(relabels="off"), seed=0)) == 1


def example(round: int, index: int, answer: str = "yes") -> Example:
    return Example(
        frame=digest(f"{round}/{index}".encode()), prompt="?", answer=answer, trajectory=f"r{round}-{index:05d}",
        round=round, source="verdict", instruction="open the fridge", verb="open", actor_version=0, critic_version=0,
    )  # fmt: skip


def test_the_newest_rounds_fill_the_limit_and_stay_in_order() -> None:
    rounds = [[example(r, i) for i in range(4)] for r in (1, 2, 3)]
    assert [(row.round, row.trajectory[-1]) for row in newest(rounds, 6)] == [
        (2, "0"), (2, "1"), (3, "0"), (3, "1"), (3, "2"), (3, "3"),
    ]  # fmt: skip


def test_balancing_keeps_about_as_many_of_each_answer_and_their_order() -> None:
    examples = [example(1, i, "yes" if i < 30 else "no") for i in range(130)]
    kept = balanced(examples, seed="s")
    assert [sum(row.answer == answer for row in kept) for answer in ("yes", "no")] == [30, 36]
    assert kept == sorted(kept, key=lambda row: row.trajectory)
    assert kept == balanced(examples, seed="s") != balanced(examples, seed="t")


def test_balancing_a_set_with_hardly_any_yes_keeps_something_to_learn_from() -> None:
    examples = [example(1, i, "yes" if i < 2 else "no") for i in range(130)]
    assert len(balanced(examples, seed="s")) == 2 + 24


def test_without_replay_only_the_last_round_counts() -> None:
    rounds = [[example(1, 0)], [example(2, 0)]]
    alone = Trainer(replay=False, balance=False)
    assert {row.round for row in build_critic_set(rounds, alone, seed="s")} == {2}
    assert {row.round for row in build_actor_set(rounds, alone)} == {2}
    assert {row.round for row in build_actor_set(rounds, Trainer())} == {1, 2}


def test_the_name_of_a_set_is_the_digest_of_its_bytes_and_depends_on_order() -> None:
    one, two = example(1, 0), example(1, 1)
    assert dataset_digest([one, two]) == digest(dataset_bytes([one, two])) != dataset_digest([two, one])


def test_first_verdicts_are_those_of_an_older_critic() -> None:
    from services.trainer.book import RoundBook

    book, of = RoundBook(2), trajectory(0, 2)
    late, early, again = (verdict(of, False, critic_version=version) for version in (1, 0, 2))
    for message in (late, again, early, late):
        book.apply(message)
    assert book.first[of.id] is early
    assert book.again[of.id, "task"] is again
    assert isinstance(early, Verdict)


def test_accepting_all_learns_from_every_trajectory_under_its_own_instruction() -> None:
    unfiltered = Trainer(accept="all", relabels="off")
    records = [record(FAILED, False, again=False, found=MUG, act=1), record(acted(4, MUG, "find mug"), True)]
    learned = actor_examples(records, unfiltered, asked=False)
    assert {(row.trajectory, row.instruction) for row in learned} == {
        (FAILED.id, FAILED.task.instruction), (records[1].trajectory.id, MUG.instruction),
    }  # fmt: skip


def doubts(*verdicts: tuple[bool, float | None]) -> set[int]:
    records = [
        record(acted(i, MUG, "done"), success, confidence=confidence)
        for i, (success, confidence) in enumerate(verdicts)
    ]
    return {int(id[-5:]) for id in doubtful(records, 0.25)}


def test_the_least_confident_verdicts_of_each_answer_are_doubted() -> None:
    successes = [(True, float(i)) for i in range(12)]
    failures = [(False, float(i)) for i in range(20)]
    assert doubts(*successes, *failures) == {0, 1, 2, *range(12, 17)}


def test_few_verdicts_and_those_of_unknown_confidence_are_never_doubted() -> None:
    assert doubts(*[(True, float(i)) for i in range(9)], *[(False, None)] * 20) == set()


def test_a_doubted_verdict_is_no_row_of_the_critic_but_its_success_is_acted_upon() -> None:
    records = [record(acted(i, MUG, "done"), True, confidence=float(i)) for i in range(10)]
    settings = Trainer(drop=0.2)
    assert [row.trajectory for row in critic_examples(records, settings, seed=0)] == [
        r.trajectory.id for r in records[2:]
    ]
    assert len(actor_examples(records, settings, asked=True)) == 10


def refused(index: int) -> Trajectory:
    of = acted(index, MUG, "pick up mug", "find mug", "pick up mug", "done")
    return msgspec.structs.replace(of, steps=(msgspec.structs.replace(of.steps[0], error="not near"), *of.steps[1:]))


@pytest.mark.parametrize(
    ("prune", "answers", "last"),
    [
        (True, ["find mug", "pick up mug", "done"], "find mug, pick up mug"),
        (False, ["pick up mug", "find mug", "pick up mug", "done"], "pick up mug, find mug, pick up mug"),
    ],
)
def test_what_the_world_refused_is_not_imitated_nor_shown_as_done(prune: bool, answers: list[str], last: str) -> None:
    examples = actor_examples([record(refused(0), True)], Trainer(prune=prune), asked=True)
    assert [row.answer for row in examples] == answers
    assert f"Done so far: {last}." in examples[-1].prompt


def test_a_pruned_relabel_begins_with_the_first_act_on_its_object() -> None:
    of = acted(0, task("pick", "apple"), "find apple", "find fridge", "find mug", "pick up mug", "find apple")
    examples = actor_examples([record(of, False, found=MUG, act=3)], Trainer(relabels="pruned"), asked=True)
    assert [row.answer for row in examples] == ["find mug", "pick up mug", "done"]
    assert [row.frame for row in examples] == [step.frame for step in of.steps[2:]]
    assert "Done so far: nothing." in examples[0].prompt


def test_steps_of_rare_verbs_count_more_than_once_and_no_more_than_the_limit() -> None:
    def steps(verb: str, count: int) -> list[Example]:
        return actor_examples([record(acted(i, task(verb, "x"), "done"), True) for i in range(count)], ALL, asked=True)

    rows = [*steps("open", 12), *steps("pick", 12), *steps("slice", 5), *steps("sit", 1)]
    counts = Counter(row.verb for row in evened(rows, 3))
    assert counts == {"open": 12, "pick": 12, "slice": 10, "sit": 3}
    assert evened(rows, 1) == rows
    assert evened([], 3) == []
