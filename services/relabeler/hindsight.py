"""Hindsight as pure functions: questions about a failed trajectory, and the instruction that the answers support."""

from collections.abc import Sequence

import msgspec

from protocols.messages import Question, Task
from services.relabeler.prompts import which_object
from services.settings import Relabeler
from services.worlds.instructions import carried_out, done_to, named, normal, without_article
from services.worlds.spelling import kind_of, spelled, task_key
from services.worlds.verbs import VERBS

NOTHING = ("", "nothing", "none", "yes", "no")
"""Answers that name no object."""


class Inquiry(msgspec.Struct, frozen=True, kw_only=True):
    """One question to ask. For a placing verb, ``placed`` is the task that the answer would confirm, and ``act`` the
    index of the action that did it."""

    verb: str
    question: str
    placed: Task | None = None
    act: int | None = None


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A task that was done according to the answers, and the index of the action that did it, if known."""

    task: Task
    act: int | None


def inquiries(task: Task, actions: Sequence[str], settings: Relabeler) -> list[Inquiry]:
    """The questions about the last frame of a failed trajectory with these actions, in order of asking.

    With `relabeler.trace`, verbs that no action uses are left out, because no answer could lead to a relabel.
    """
    asked: list[Inquiry] = []
    for verb in VERBS.values():
        if settings.verbs == "own" and verb.name != task.verb:
            continue
        if verb.placed:
            asked += _placements(verb.name, actions, settings.phrasing)
        elif not settings.trace or any(named(action, verb.phrase) for action in actions):
            asked.append(Inquiry(verb=verb.name, question=which_object(verb.name, phrasing=settings.phrasing)))
    return asked


def _placements(verb: str, actions: Sequence[str], phrasing: str) -> list[Inquiry]:
    """One question for each distinct placement among the actions; ``act`` is its last attempt."""
    return [
        Inquiry(verb=verb, question=which_object(verb, task.object, phrasing), placed=task, act=act)
        for task, act in ((item.task, item.act) for item in carried_out(actions))
        if task.verb == verb
    ]


def conclude(
    task: Task, actions: Sequence[str], answered: Sequence[tuple[Inquiry, Question]], settings: Relabeler
) -> Found | None:
    """The task that the trajectory fulfils according to the answers, or None.

    A task with the instruction's own verb is preferred; among the rest the one whose action came last.
    """
    found: list[Found] = []
    for inquiry, question in answered:
        said = kind_of(without_article(normal(question.answer)))
        if said in NOTHING:
            continue
        if inquiry.placed is not None:
            if spelled(said) == spelled(inquiry.placed.target or ""):
                found.append(Found(task=inquiry.placed, act=inquiry.act))
            continue
        acts = _named(actions, VERBS[inquiry.verb].phrase, said)
        if acts or not settings.trace:
            act, name = acts[-1] if acts else (None, said)
            found.append(Found(task=done_to(inquiry.verb, name), act=act))
    found = [item for item in found if task_key(item.task.id) != task_key(task.id)]
    own = [item for item in found if item.task.verb == task.verb]
    return max(own or found, key=lambda item: -1 if item.act is None else item.act, default=None)


def _named(actions: Sequence[str], phrase: str, said: str) -> list[tuple[int, str]]:
    """The actions that apply the phrase to that object: their indices, and the object's name in each."""
    objects = [(act, named(action, phrase)) for act, action in enumerate(actions)]
    return [(act, name) for act, name in objects if name is not None and spelled(name) == spelled(said)]
