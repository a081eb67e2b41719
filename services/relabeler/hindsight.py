"""Hindsight as pure functions: what to ask about a failure, and which instruction the answers make it fulfil."""

import re
from collections.abc import Sequence

import msgspec

from protocols.messages import Question, Task
from services.relabeler.prompts import which_object
from services.settings import Relabeler
from services.worlds.verbs import VERBS

NOTHING = ("", "nothing", "none", "yes", "no")
"""Answers that name no object."""

_PUT = re.compile(r"put (?:the |a |an )?(?P<object>.+?) (?P<where>in|into|on|onto) (?:the |a |an )?(?P<target>.+)")


class Inquiry(msgspec.Struct, frozen=True, kw_only=True):
    """One question to ask. A placing verb's comes with the task it would confirm and the action that did it."""

    verb: str
    question: str
    placed: Task | None = None
    act: int | None = None


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A task that the answers say was done, and the index of the action that did it, where one names it."""

    task: Task
    act: int | None


def normal(text: str) -> str:
    """An action or answer in lower case, with single spaces and without closing punctuation."""
    return " ".join(text.lower().split()).rstrip(" .!")


def _without_article(text: str) -> str:
    return re.sub(r"^(?:the|a|an) ", "", text)


def _named(action: str, phrase: str) -> str | None:
    """The object of an action that opens with the phrase."""
    text = normal(action)
    return _without_article(text[len(phrase) + 1 :]) if text.startswith(phrase + " ") else None


def inquiries(task: Task, actions: Sequence[str], settings: Relabeler) -> list[Inquiry]:
    """What to ask about the last frame of a failed trajectory with these actions, in order of asking.

    Verbs that none of its actions used are left out where a relabel must be traced: no answer could make one.
    """
    asked: list[Inquiry] = []
    for verb in VERBS.values():
        if settings.verbs == "own" and verb.name != task.verb:
            continue
        if verb.placed:
            asked += _placements(verb.name, actions, settings.phrasing)
        elif not settings.trace or any(_named(action, verb.phrase) for action in actions):
            asked.append(Inquiry(verb=verb.name, question=which_object(verb.name, phrasing=settings.phrasing)))
    return asked


def _placements(verb: str, actions: Sequence[str], phrasing: str) -> list[Inquiry]:
    """One question for each distinct placement among the actions; its last attempt is what would have done it."""
    last: dict[str, Inquiry] = {}
    for act, action in enumerate(actions):
        if found := _PUT.fullmatch(normal(action)):
            thing, where, target = found["object"], found["where"], found["target"]
            task = Task(
                id=f"{verb}:{thing}:{target}",
                instruction=f"{VERBS[verb].phrase} the {thing} {where} the {target}",
                verb=verb,
                object=thing,
                target=target,
            )
            last[task.id] = Inquiry(verb=verb, question=which_object(verb, thing, phrasing), placed=task, act=act)
    return sorted(last.values(), key=lambda inquiry: inquiry.act or 0)


def conclude(
    task: Task, actions: Sequence[str], answered: Sequence[tuple[Inquiry, Question]], settings: Relabeler
) -> Found | None:
    """The task the trajectory fulfils by the answers: one of the instruction's own verb first, else the latest done."""
    found: list[Found] = []
    for inquiry, question in answered:
        said = _without_article(normal(question.answer))
        if said in NOTHING:
            continue
        if inquiry.placed is not None:
            if said == inquiry.placed.target:
                found.append(Found(task=inquiry.placed, act=inquiry.act))
            continue
        phrase = VERBS[inquiry.verb].phrase
        acts = [act for act, action in enumerate(actions) if _named(action, phrase) == said]
        if acts or not settings.trace:
            done = Task(id=f"{inquiry.verb}:{said}", instruction=f"{phrase} the {said}", verb=inquiry.verb, object=said)
            found.append(Found(task=done, act=acts[-1] if acts else None))
    found = [item for item in found if item.task.id != task.id]
    own = [item for item in found if item.task.verb == task.verb]
    return max(own or found, key=lambda item: -1 if item.act is None else item.act, default=None)
