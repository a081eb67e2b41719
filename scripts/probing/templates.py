"""The effect of a question's wording: correct and hallucinated answers for each paraphrase of each template."""

import random
from collections.abc import Iterator, Sequence, Set

import msgspec

from scripts.pretraining.questions import HIDDEN, IN_HAND, NOTHING, ON_FLOOR, STATES
from scripts.probing.bench import Bench, Moment
from services.critic.prompts import NO, YES
from services.models.engine import Request
from services.worlds.household.state import HAND
from services.worlds.household.vocabulary import KINDS
from services.worlds.phrasings import PHRASINGS, Phrasing
from services.worlds.verbs import VERBS

TEMPLATES = Phrasing.__struct_fields__
WORDS = {NOTHING, HIDDEN, IN_HAND, ON_FLOOR}
"""Valid answers that name no object."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A question about a moment: the values of the template's blanks, and the correct answers."""

    template: str
    moment: int
    blanks: dict[str, str]
    right: frozenset[str]

    def prompt(self, phrasing: Phrasing) -> str:
        return getattr(phrasing, self.template).format(**self.blanks)


class Wording(msgspec.Struct, frozen=True, kw_only=True):
    """The results of one wording of one template over ``n`` answers. ``hallucinated`` answers name an object that is
    not in the room; ``malformed`` ones are neither an object nor one of `WORDS`."""

    name: str
    text: str
    n: int
    right: int
    hallucinated: int
    malformed: int


async def templates(bench: Bench) -> dict[str, list[Wording]]:
    """Scores every wording of every template on the same questions, about last frames of sampled episodes."""
    ends = await bench.play(1.0)
    cases = [case for at, moment in enumerate(ends) for case in _cases(at, moment)]
    found: dict[str, list[Wording]] = {template: [] for template in TEMPLATES}
    for name, phrasing in PHRASINGS.items():
        said = await bench.ask([_request(case, phrasing, ends) for case in cases])
        answers = [" ".join(answer.text.lower().split()).rstrip(" .!") for answer in said]
        for template in TEMPLATES:
            pairs = [(case, a) for case, a in zip(cases, answers, strict=True) if case.template == template]
            rooms = [{thing.name for thing in ends[case.moment].state.things} for case, _ in pairs]
            found[template].append(wording(name, getattr(phrasing, template), pairs, rooms))
    return found


def wording(name: str, text: str, pairs: Sequence[tuple[Case, str]], rooms: Sequence[Set[str]]) -> Wording:
    """The results of one wording, from its answers and the names of all objects in each question's room."""
    open_ones = [(a, room) for (case, a), room in zip(pairs, rooms, strict=True) if case.template != "closed"]
    return Wording(
        name=name,
        text=text,
        n=len(pairs),
        right=sum(answer in case.right for case, answer in pairs),
        hallucinated=sum(answer in KINDS and answer not in room for answer, room in open_ones),
        malformed=sum(answer not in KINDS and answer not in WORDS for answer, _ in open_ones),
    )


def _request(case: Case, phrasing: Phrasing, ends: Sequence[Moment]) -> Request:
    frame = ends[case.moment].third
    choices = (YES, NO) if case.template == "closed" else ()
    return Request(prompt=case.prompt(phrasing), image=frame.png, image_id=frame.digest, choices=choices)


def _cases(at: int, moment: Moment) -> Iterator[Case]:
    """One question of each template about a moment, if the moment allows one."""
    rng, seen = random.Random(f"probe/cases/{moment.episode.seed}"), moment.seen.seen
    wanted = rng.random() < 0.5
    fitting = [
        (thing.name, verb)
        for thing in seen
        for verb, (affordance, true) in STATES.items()
        if affordance in thing.kind.affordances and true(thing) == wanted
    ]
    if fitting:
        name, verb = rng.choice(fitting)
        blanks = {"object": name, "state": VERBS[verb].state or ""}
        yield Case(template="closed", moment=at, blanks=blanks, right=frozenset({YES if wanted else NO}))
    verb = rng.choice([verb for verb in STATES if verb != "close"])
    affordance, true = STATES[verb]
    there = frozenset(thing.name for thing in seen if affordance in thing.kind.affordances and true(thing))
    yield Case(
        template="which", moment=at, blanks={"state": VERBS[verb].state or ""}, right=there or frozenset({NOTHING})
    )
    held, state = moment.state.held, moment.state
    yield Case(template="holding", moment=at, blanks={}, right=frozenset({held.name if held else NOTHING}))
    seat = state.things[state.location].name if state.seated else NOTHING
    yield Case(template="sitting", moment=at, blanks={}, right=frozenset({seat}))
    if smalls := [thing for thing in seen if not thing.kind.fixed]:
        thing = rng.choice(smalls)
        place = IN_HAND if thing.at == HAND else ON_FLOOR if thing.floor else state.things[thing.at].name
        yield Case(template="where", moment=at, blanks={"object": thing.name}, right=frozenset({place}))
