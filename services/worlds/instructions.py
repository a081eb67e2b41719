"""The instructions that actions carry out: "pick up mug" is "pick up the mug". Language only, no world's rules."""

import re
from collections.abc import Sequence

import msgspec

from protocols.messages import Task
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
    """The object of an action that opens with the phrase."""
    text = normal(action)
    return without_article(text[len(phrase) + 1 :]) if text.startswith(phrase + " ") else None


def done_to(verb: str, thing: str) -> Task:
    """The instruction to do what the verb says to a thing; for verbs that place nothing."""
    return Task(id=f"{verb}:{thing}", instruction=f"{VERBS[verb].phrase} the {thing}", verb=verb, object=thing)


def carried(action: str) -> Task | None:
    """The instruction that an action carries out if the world lets it, None where it is none's."""
    for verb in VERBS.values():
        if verb.placed:
            if found := _PUT.fullmatch(normal(action)):
                thing, where, target = found["object"], found["where"], found["target"]
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
            last.pop(task.id, None)
            last[task.id] = Carried(task, act)
    return list(last.values())
