"""The instructions that actions carry out: "pick up mug" is "pick up the mug". Language only, no world's rules."""

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
    """An action or answer in lower case, with single spaces and without closing punctuation."""
    return " ".join(text.lower().split()).rstrip(" .!")


def without_article(text: str) -> str:
    return re.sub(r"^(?:the|a|an) ", "", text)


def named(action: str, phrase: str) -> str | None:
    """What kind of object an action is about that opens with the phrase."""
    text = normal(action)
    return kind_of(without_article(text[len(phrase) + 1 :])) if text.startswith(phrase + " ") else None


def done_to(verb: str, thing: str) -> Task:
    """The instruction to do what the verb says to a thing; for verbs that place nothing."""
    return Task(id=f"{verb}:{thing}", instruction=f"{VERBS[verb].phrase} the {thing}", verb=verb, object=thing)


def carried(action: str) -> Task | None:
    """The instruction that an action carries out if the world lets it, None where it is none's."""
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
    """Every instruction that some of the actions carry out, once, in the order of the last such action."""
    last: dict[str, Carried] = {}
    for act, action in enumerate(actions):
        if task := carried(action):
            last.pop(task_key(task.id), None)
            last[task_key(task.id)] = Carried(task, act)
    return list(last.values())


def as_offered(action: str, offered: Sequence[str]) -> str:
    """An action in the words in which a world offers it: the names of things may be written in another way.

    Only spaces between words, hyphens, underscores and articles may differ; else the action is returned as it is.
    """
    if action in offered or _bare(action) in map(_bare, offered):
        return action
    first, key = action.partition(" ")[0], spelled(_bare(action))
    return next((one for one in offered if one.partition(" ")[0] == first and spelled(_bare(one)) == key), action)


def _bare(action: str) -> str:
    """An action without its articles."""
    return re.sub(r" (?:the|a|an) ", " ", normal(action))
