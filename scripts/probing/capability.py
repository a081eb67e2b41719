"""What a model can tell about the world and what it can do in it, with controls at chance level without looking."""

import random
from collections.abc import Sequence

from scripts.probing.bench import Bench, Line, Moment
from services.actor.prompts import next_action
from services.critic.prompts import NO, YES, judge, self_ask
from services.models.engine import Request
from services.worlds.household.expert import possible_actions

CHOICES = 4
"""Number of actions in the forced-choice question."""


async def capability(bench: Bench) -> list[Line]:
    """Measures acting first, then judging: on last frames of the model's own sampled episodes, and on other episodes'
    frames as a control."""
    ends = await bench.play(1.0)
    greedy = await bench.play(0.0)
    luck = sum(moment.done for moment in bench.wander()) / max(1, len(bench.starts))
    lines = [
        Line(
            name="acts: episodes done", hits=sum(m.done for m in greedy), n=len(greedy), chance=luck,
            note="greedy; chance is acting at random",
        )
    ]  # fmt: skip
    lines += await _actions(bench)
    lines += await _judging(bench, ends, ends, "")
    other = _others(ends)
    lines += await _judging(bench, ends, other, ", on another episode's frame")
    return lines


def _others(ends: Sequence[Moment]) -> list[Moment]:
    """For each moment, that of the next episode, which has another room or arrangement."""
    return [ends[(at + 1) % len(ends)] for at in range(len(ends))]


async def _judging(bench: Bench, ends: Sequence[Moment], shown: Sequence[Moment], where: str) -> list[Line]:
    """Scores success detection and the state question: truth is that of ``ends``, pictures are those of ``shown``."""
    truth = [moment.done for moment in ends]
    asked = [
        Request(
            prompt=judge(moment.task.instruction), image=frame.third.png, image_id=frame.third.digest, choices=(YES, NO)
        )
        for moment, frame in zip(ends, shown, strict=True)
    ]
    said = [answer.text == YES if answer.log_odds is None else answer.log_odds > 0 for answer in await bench.ask(asked)]
    questions = [self_ask(moment.task) for moment in ends]
    asked = [
        Request(
            prompt=prompt, image=frame.third.png, image_id=frame.third.digest,
            choices=(YES, NO) if expected == YES else (),
        )
        for (prompt, expected), frame in zip(questions, shown, strict=True)
    ]  # fmt: skip
    answers = [" ".join(answer.text.lower().split()).rstrip(" .!") for answer in await bench.ask(asked)]
    known = [answer == expected for answer, (_, expected) in zip(answers, questions, strict=True)]
    commonest = max(sum(truth), len(truth) - sum(truth)) / max(1, len(truth))
    lines = [
        Line(
            name=f"{name}{where}", hits=sum(a == b for a, b in zip(found, truth, strict=True)), n=len(truth),
            chance=commonest, note="chance is always the commoner answer",
        )
        for name, found in (("judges success", said), ("answers the state question", known))
    ]  # fmt: skip
    if not where:
        for name, found in (("judges", said), ("state question", known)):
            for so, what in ((True, "successes seen"), (False, "failures seen")):
                hits = [a == so for a, b in zip(found, truth, strict=True) if b == so]
                lines.append(Line(name=f"{name}: {what}", hits=sum(hits), n=len(hits)))
    return lines


async def _actions(bench: Bench) -> list[Line]:
    """Scores the action due on the shortest path: as a free answer, and as a choice among a few."""
    due = bench.demonstrated()
    prompts = [next_action(moment.task.instruction, moment.history) for moment, _ in due]
    free = [
        Request(prompt=prompt, image=moment.first.png, image_id=moment.first.digest)
        for prompt, (moment, _) in zip(prompts, due, strict=True)
    ]
    said = [" ".join(answer.text.lower().split()) for answer in await bench.ask(free)]
    offered: list[tuple[str, ...]] = []
    for moment, action in due:
        rng = random.Random(f"probe/choices/{moment.episode.seed}")
        wrong = [other for other in possible_actions(moment.state) if other != action]
        offered.append(tuple(rng.sample([action, *rng.sample(wrong, min(CHOICES - 1, len(wrong)))], CHOICES)))
    forced = [
        Request(prompt=request.prompt, image=request.image, image_id=request.image_id, choices=choices)
        for request, choices in zip(free, offered, strict=True)
    ]
    chosen = [answer.text for answer in await bench.ask(forced)]
    actions = [action for _, action in due]
    return [
        Line(
            name="says the action that is due", hits=sum(map(str.__eq__, said, actions)), n=len(due),
            note="one moment an episode on the shortest way; other actions may do as well",
        ),
        Line(
            name=f"chooses it among {CHOICES}", hits=sum(map(str.__eq__, chosen, actions)), n=len(due),
            chance=1 / CHOICES, note="control: the same moments as a closed question",
        ),
    ]  # fmt: skip
