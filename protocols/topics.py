"""Which topics exist, what travels on each, and who may say or read it."""

from typing import Final

import msgspec

from protocols import messages as m
from protocols.errors import UnknownTopic

ANYONE: Final = frozenset({"*"})

OBSERVER: Final = "observer"
"""Who only looks: it reads what anyone may read, and says nothing. What comes without a key is this."""

ROLES: Final = ("simulator", "actor", "critic", "relabeler", "trainer", "evaluator", "launcher", OBSERVER)
"""What a key can be made for."""


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """A named stream of one type of message.

    A durable topic is logged before it is acknowledged and can be replayed; a live one is fanned out and may be lost.
    ``writers`` and ``readers`` are roles; ``{"*"}`` is any role, as a writer any but the observer.
    """

    name: str
    message: type[m.Message]
    durable: bool
    writers: frozenset[str]
    readers: frozenset[str] = ANYONE
    says: str


def _topic(
    name: str, message: type[m.Message], writers: str, says: str, *, readers: str = "*", durable: bool = True
) -> Topic:
    return Topic(
        name=name, message=message, durable=durable, says=says,
        writers=frozenset(writers.split()), readers=frozenset(readers.split()),
    )  # fmt: skip


TOPICS: Final[dict[str, Topic]] = {
    topic.name: topic
    for topic in (
        _topic("trajectories", m.Trajectory, "simulator", "finished episodes"),
        _topic("verdicts", m.Verdict, "critic", "what the critic made of them"),
        _topic("relabels", m.Relabel, "relabeler", "what failures turned out to be"),
        _topic("adapters", m.Adapter, "trainer", "trained LoRA adapters"),
        _topic("swaps", m.Swap, "actor critic", "adapters now serving"),
        _topic("rounds", m.Round, "trainer", "where the run stands"),
        _topic("dropped", m.Dropped, "trainer", "trajectories not learned from, and why"),
        _topic("evaluations", m.Evaluation, "evaluator", "held-out figures per version"),
        _topic("outcomes", m.Outcome, "simulator", "the world's truth, for audit only", readers="evaluator"),
        _topic("faults", m.Fault, "*", "what was refused or given up"),
        _topic("steps", m.LiveStep, "simulator", "actions as they happen", durable=False),
        _topic("health", m.Health, "*", "who is alive", durable=False),
        _topic("progress", m.Progress, "*", "how far the work is", durable=False),
    )
}


CALLS: Final[dict[str, tuple[type[m.Message], type[m.Message]]]] = {
    "act": (m.Act, m.Action),
    "ask": (m.Ask, m.Answer),
}
"""Request and reply of every call."""

SERVERS: Final = {"act": "actor", "ask": "critic"}
"""The role that answers each call."""


def topic(name: str) -> Topic:
    """The declared topic of that name.

    Raises:
        UnknownTopic: nobody declared it; the text lists those that are.
    """
    try:
        return TOPICS[name]
    except KeyError:
        raise UnknownTopic(f"unknown topic {name!r}; the topics are {', '.join(TOPICS)}") from None


def may(role: str, allowed: frozenset[str]) -> bool:
    """Whether `role` is among the allowed readers of a topic."""
    return allowed is ANYONE or "*" in allowed or role in allowed


def may_say(role: str, declared: Topic) -> bool:
    """Whether `role` may publish on a topic."""
    return role != OBSERVER and may(role, declared.writers)


def may_join(role: str, group: str) -> bool:
    """Whether `role` may take part in a consumer group: one that begins with a role's name is that role's alone."""
    owner = group.partition("/")[0]
    return owner == role or owner not in ROLES
