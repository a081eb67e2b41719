"""Long horizons: compound tasks of several dependent goals, given at once or one after another.

The goals of a compound task can be reached in order and all hold at the end. Each is about an object that an earlier
goal is about: open the fridge, then put the apple in the fridge, then slice the apple.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from protocols.messages import Task
from scripts.probing.bench import Bench, Moment
from services.actor.prompts import next_action
from services.critic.prompts import YES, self_ask
from services.models.engine import Request
from services.models.votes import ballots, majority
from services.worlds.household.actions import DONE
from services.worlds.household.expert import expert_action
from services.worlds.household.tasks import NEEDS, VERB_SHARES, make_task, satisfied
from services.worlds.rollout import REFINING_SAMPLES, sampling_seed

GOALS = (1, 2, 3, 4, 5)
GOAL_STEPS, ALL_STEPS = 10, 40
"""Most actions for one goal if goals are given one after another, and for all goals together in every mode."""
TRIES = 300
"""Candidate goals to try before a room counts as having no compound task of that length."""
RETRIES = 3
"""Rejected "done" actions for a goal in the mode "in turn, asked"; after these, "done" is accepted."""

Mode = Literal["whole", "in turn", "in turn, asked"]
MODES: dict[Mode, str] = {
    "whole": "one instruction names all goals; the actor ends with its first done",
    "in turn": "the actor is told one goal after another; its done brings the next",
    "in turn, asked": "as before, but a question about the goal's state must agree with the done",
}


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """The results on ``n`` compound tasks with ``goals`` goals: in ``done`` of them all goals hold at the end.
    ``reached`` is the number of goals that hold at the end, over all tasks."""

    mode: Mode
    version: int
    goals: int
    n: int
    done: int
    reached: int
    steps: int


class Course:
    """One compound task in progress."""

    def __init__(self, mode: Mode, version: int, moment: Moment, goals: Sequence[Task]) -> None:
        self.mode = mode
        self.version = version
        self.goals = goals
        self.moment = moment
        self.steps = 0
        self.over = False
        self._at = 0
        self._retries = 0
        self._history: tuple[str, ...] = ()
        self._without: tuple[str, ...] = ()

    @property
    def goal(self) -> Task:
        return self.goals[self._at]

    def requests(self) -> list[Request]:
        whole = ", then ".join(goal.instruction for goal in self.goals)
        instruction = whole if self.mode == "whole" else self.goal.instruction
        request = Request(
            prompt=next_action(instruction, self._history), image=self.moment.first.png,
            image_id=self.moment.first.digest, version=self.version,
            seed=sampling_seed(f"probe/horizon/{self.moment.episode.seed}", self.steps),
        )  # fmt: skip
        return ballots(request, REFINING_SAMPLES if self._without else 1)

    def wants_to_end(self, action: str) -> bool:
        """Takes an action. Returns true if it is a "done" that must be confirmed by a question first."""
        self._without = ()
        if action == DONE and self.mode == "in turn, asked" and self._retries < RETRIES:
            return True
        self.take(action)
        return False

    def take(self, action: str) -> None:
        """Acts. "done" or the step limit ends the current goal, or the whole task."""
        self.steps += 1
        self._history = (*self._history, action)
        if action != DONE:
            self.moment = self.moment.after(action)
        spent = self.mode != "whole" and len(self._history) >= GOAL_STEPS
        if action == DONE or spent:
            self._at, self._history, self._retries = self._at + 1, (), 0
            self.over = self.mode == "whole" or self._at == len(self.goals)
        self.over = self.over or self.steps >= ALL_STEPS

    def answered(self, agrees: bool) -> None:
        """Handles the answer about the goal's state: continues with the next goal, or retries without "done"."""
        if agrees:
            self.take(DONE)
        else:
            self._retries += 1
            self._without = (DONE,)

    @property
    def without(self) -> tuple[str, ...]:
        return self._without


def compound(moment: Moment, count: int) -> tuple[Task, ...] | None:
    """`count` goals for a room, in an order in which the expert reaches all of them; None if the search finds none."""
    rng = random.Random(f"probe/compound/{moment.episode.seed}/{count}")
    return _extended(moment, (), count, rng, iter(range(TRIES)))


def _extended(
    moment: Moment, goals: tuple[Task, ...], count: int, rng: random.Random, tries: Iterator[int]
) -> tuple[Task, ...] | None:
    """The goals extended to `count`. A new goal undoes none of the earlier ones and shares an object with one."""
    if len(goals) == count:
        return goals
    for task in _candidates(moment, goals, rng):
        if next(tries, None) is None:
            return None
        after = _demonstrated(moment, task)
        if after is not None and {goal.id for goal in (*goals, task)} <= {*satisfied(after.state)}:
            found = _extended(after, (*goals, task), count, rng, tries)
            if found is not None:
                return found
    return None


def _candidates(moment: Moment, goals: Sequence[Task], rng: random.Random) -> list[Task]:
    """Possible next goals, in random order."""
    things = moment.state.things
    places = [thing.name for thing in things if thing.kind.room]
    wanted = [
        make_task(verb, thing.name, target)
        for verb in VERB_SHARES
        for thing in things
        if NEEDS[verb] in thing.kind.affordances
        for target in (places if verb == "put" else [None])
    ]
    known = {name for goal in goals for name in (goal.object, goal.target) if name}
    there = {*satisfied(moment.state)}
    found = [task for task in wanted if task.id not in there and (not known or known & {task.object, task.target})]
    rng.shuffle(found)
    return found


def _demonstrated(moment: Moment, task: Task) -> Moment | None:
    try:
        for _ in range(GOAL_STEPS):
            action = expert_action(moment.state, moment.episode.rules, task)
            if action == DONE:
                return moment
            moment = moment.after(action)
    except ValueError:  # the expert cannot reach the goal, for example without a knife
        pass
    return None


async def horizon(bench: Bench, versions: Sequence[int], lengths: Sequence[int] = GOALS) -> list[Score]:
    """Runs all modes with all versions on the same compound tasks, greedily and in batches."""
    tasks = {
        length: [(moment, goals) for moment in bench.starts if (goals := compound(moment, length))]
        for length in lengths
    }
    courses: dict[tuple[Mode, int, int], list[Course]] = {
        (mode, version, length): [Course(mode, version, moment, goals) for moment, goals in tasks[length]]
        for length in lengths
        for version in versions
        for mode in MODES
    }
    live = [course for many in courses.values() for course in many]
    while live:
        asking = await _act(bench, live)
        await _agree(bench, asking)
        live = [course for course in live if not course.over]
    return [_score(*key, many) for key, many in courses.items()]


async def _act(bench: Bench, live: Sequence[Course]) -> list[Course]:
    """Takes one action in each course. Returns the courses whose "done" must be confirmed."""
    batches = [course.requests() for course in live]
    said = iter(await bench.ask([request for batch in batches for request in batch]))
    asking: list[Course] = []
    for course, batch in zip(live, batches, strict=True):
        answer = majority(batch[0], [next(said) for _ in batch], course.without)
        if course.wants_to_end(" ".join(answer.text.lower().split())):
            asking.append(course)
    return asking


async def _agree(bench: Bench, asking: Sequence[Course]) -> None:
    """Asks the base model whether each course's goal holds."""
    questions = [self_ask(course.goal) for course in asking]
    frames = [course.moment.third for course in asking]
    requests = [
        Request(prompt=prompt, image=frame.png, image_id=frame.digest, choices=("yes", "no") if expected == YES else ())
        for (prompt, expected), frame in zip(questions, frames, strict=True)
    ]
    for course, (_, expected), said in zip(asking, questions, await bench.ask(requests), strict=True):
        course.answered(" ".join(said.text.lower().split()).rstrip(" .!") == expected)


def _score(mode: Mode, version: int, length: int, courses: Sequence[Course]) -> Score:
    holding = [{*satisfied(course.moment.state)} for course in courses]
    reached = [sum(g.id in held for g in course.goals) for course, held in zip(courses, holding, strict=True)]
    return Score(
        mode=mode, version=version, goals=length, n=len(courses), done=sum(count == length for count in reached),
        reached=sum(reached), steps=sum(course.steps for course in courses),
    )  # fmt: skip
