"""The topics, the message type of each, and the roles that may publish or read it."""

from typing import Final

import msgspec

from protocols import messages as m
from protocols.errors import UnknownTopic

ANYONE: Final = frozenset({"*"})

OBSERVER: Final = "observer"
"""The read-only role: it may read public topics and publish nothing. A client without a key has this role."""

ROLES: Final = ("simulator", "actor", "critic", "relabeler", "trainer", "evaluator", "launcher", OBSERVER)
"""The roles for which a key can be made."""


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """A named stream of one type of message.

    Messages of a durable topic are logged before they are acknowledged and can be replayed; those of a live topic are
    only fanned out and may be lost. ``writers`` and ``readers`` are roles; ``{"*"}`` is every role, among writers every
    role but the observer. ``says`` is a description for people.
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
"""The request and reply types of every call."""

SERVERS: Final = {"act": "actor", "ask": "critic"}
"""The role that answers each call."""


def topic(name: str) -> Topic:
    """Returns the topic of that name.

    Raises:
        UnknownTopic: it is not declared; the text lists the declared topics.
    """
    try:
        return TOPICS[name]
    except KeyError:
        raise UnknownTopic(f"unknown topic {name!r}; the topics are {', '.join(TOPICS)}") from None


def may(role: str, allowed: frozenset[str]) -> bool:
    """Returns whether a topic's set of readers or writers includes `role`."""
    return allowed is ANYONE or "*" in allowed or role in allowed


def may_say(role: str, declared: Topic) -> bool:
    """Returns whether `role` may publish on a topic."""
    return role != OBSERVER and may(role, declared.writers)


def may_join(role: str, group: str) -> bool:
    """Returns whether `role` may join a consumer group. A group named after a role, with or without a suffix after "/",
    is only for that role."""
    owner = group.partition("/")[0]
    return owner == role or owner not in ROLES
