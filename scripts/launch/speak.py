"""Formats a delivered message as a line of text or JSON."""

import msgspec

from protocols.messages import (
    Adapter,
    Dropped,
    Evaluation,
    Fault,
    Health,
    LiveStep,
    Progress,
    Relabel,
    Round,
    Swap,
    Trajectory,
    Verdict,
)
from runtime.streams import Delivery
from services.report.numbers import percent, size


def as_json(delivery: Delivery) -> str:
    """The whole message; ``offset`` is 0 for live messages."""
    return msgspec.json.encode(
        {
            "offset": delivery.offset,
            "topic": delivery.topic,
            "id": delivery.id,
            "producer": delivery.producer,
            "time": delivery.time,
            "message": delivery.message,
        }
    ).decode()


def as_text(delivery: Delivery) -> str:
    place = f"{delivery.offset:>7}" if delivery.offset else "   live"
    return f"{place}  {harmless(_told(delivery))}"


def harmless(text: str) -> str:
    """Replaces unprintable characters, which could control the terminal: models and other machines write the text."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


def _told(delivery: Delivery) -> str:
    match delivery.message:
        case Trajectory() as m:
            actions = " > ".join(step.action for step in m.steps)
            return f"{m.id} actor@{m.actor_version} [{m.task.instruction}] {actions} ({m.ended})"
        case Verdict() as m:
            asked = "; ".join(f"{q.text} {q.answer}" for q in m.questions)
            said = f"{'yes' if m.judged else 'no'} ({m.log_odds:+.2f}){f', asked: {asked}' if asked else ''}"
            final = "success" if m.success else "failure"
            return f"{m.trajectory} critic@{m.critic_version} [{m.task.instruction}] {said} => {final}"
        case Relabel() as m:
            return f"{m.trajectory} {'fulfils nothing else' if m.task is None else f'fulfils [{m.task.instruction}]'}"
        case Adapter() as m:
            fate = "promoted" if m.promoted else f"refused: {m.reason}"
            return f"{m.role}@{m.version} {m.rows} rows, {m.seconds:.1f} s, {m.digest[:12]}: {fate}"
        case Swap() as m:
            fate = f"serves after {m.seconds:.3f} s, {m.in_flight} in flight" if m.served else f"not served: {m.reason}"
            return f"{m.role}@{m.version} in {m.instance} {fate}"
        case Round() as m:
            return f"round {m.number} {m.phase}: quota {m.quota}, actor@{m.actor_version}, critic@{m.critic_version}"
        case Dropped() as m:
            return f"{m.trajectory} dropped: {m.reason}"
        case Evaluation() as m:
            low, high = m.score.ci95
            return f"{m.role}@{m.version} {percent(m.score.value)} [{percent(low)}, {percent(high)}] n={m.score.n}"
        case Fault() as m:
            return f"{m.service}: {m.what}: {m.why} {m.do}".rstrip()
        case LiveStep() as m:
            refused = f" (refused: {m.error})" if m.error else ""
            return f"{m.trajectory} actor@{m.actor_version} [{m.task.instruction}] {m.index}: {m.action}{refused}"
        case Health() as m:
            gauges = " ".join(f"{name}={value:g}" for name, value in sorted(m.gauges.items()))
            return f"{m.instance} {'ready' if m.ready else 'not ready'} pid {m.pid} {size(m.rss_bytes)} {gauges}"
        case Progress() as m:
            return f"{m.role}: {m.what} {m.done}/{m.total}"
        case other:
            return msgspec.json.encode(other).decode()
