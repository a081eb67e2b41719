"""Maps actions to the instructions that they carry out, e.g. "pick up mug" to "pick up the mug". Uses language only."""

import re
from collections.abc import Sequence

import msgspec

from protocols.messages import Task
from services.worlds.spelling import kind_of, spelled, task_key
from services.worlds.verbs import VERBS

_PUT = re.compile(r"put (?:the |a |an )?(?P<object>.+?) (?P<where>in|into|on|onto) (?:the |a |an )?(?P<target>.+)")


class Carried(msgspec.Struct, frozen=True):
    """An instruction, and the index of the action that carries it out."""

    task: Task
    act: int


def normal(text: str) -> str:
    """Returns an action or answer in lower case, with single spaces and without closing punctuation."""
    return " ".join(text.lower().split()).rstrip(" .!")


def without_article(text: str) -> str:
    return re.sub(r"^(?:the|a|an) ", "", text)


def named(action: str, phrase: str) -> str | None:
    """Returns the kind of object after the phrase at the start of an action; None if the action starts differently."""
    text = normal(action)
    return kind_of(without_article(text[len(phrase) + 1 :])) if text.startswith(phrase + " ") else None


def done_to(verb: str, thing: str) -> Task:
    """Returns the instruction to apply a verb to an object, for verbs without a target."""
    return Task(id=f"{verb}:{thing}", instruction=f"{VERBS[verb].phrase} the {thing}", verb=verb, object=thing)


def carried(action: str) -> Task | None:
    """Returns the instruction that an action carries out if the world accepts it; None if there is none."""
    for verb in VERBS.values():
        if verb.placed:
            if found := _PUT.fullmatch(normal(action)):
                thing, where, target = kind_of(found["object"]), found["where"], kind_of(found["target"])
                return Task(
                    id=f"{verb.name}:{thing}:{target}", instruction=f"{verb.phrase} the {thing} {where} the {target}",
                    verb=verb.name, object=thing, target=target,
                )  # fmt: skip
        elif thing := named(action, verb.phrase):
            return done_to(verb.name, thing)
    return None


def carried_out(actions: Sequence[str]) -> list[Carried]:
    """Returns each instruction that the actions carry out, once, ordered by the last action for each."""
    last: dict[str, Carried] = {}
    for act, action in enumerate(actions):
        if task := carried(action):
            last.pop(task_key(task.id), None)
            last[task_key(task.id)] = Carried(task, act)
    return list(last.values())


def as_offered(action: str, offered: Sequence[str]) -> str:
    """Returns the admissible action that equals this one up to spelling; the action itself if there is none.

    Only spaces between words, hyphens, underscores and articles may differ.
    """
    if action in offered or _bare(action) in map(_bare, offered):
        return action
    first, key = action.partition(" ")[0], spelled(_bare(action))
    return next((one for one in offered if one.partition(" ")[0] == first and spelled(_bare(one)) == key), action)


def _bare(action: str) -> str:
    """Returns an action without its articles."""
    return re.sub(r" (?:the|a|an) ", " ", normal(action))
