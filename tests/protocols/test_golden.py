"""Messages of every schema there ever was are still read as they were meant, and today's are written as they were.

``golden/<schema>/`` has an envelope of each type as bytes, and beside it as JSON what it says. A new schema gets a
folder of its own: ``python -m tests.protocols.test_golden`` writes what is missing of today's and changes no file.
"""

from pathlib import Path
from typing import get_args

import msgspec
import pytest

from protocols import limits
from protocols import messages as m
from protocols.codec import Envelope, encode, unseal
from protocols.errors import SchemaError
from protocols.topics import TOPICS
from tests.builders import FRAME, round_, task, trajectory, verdict

GOLDEN = Path(__file__).parent / "golden"
TIME = 1_795_000_000.5

QUESTION = m.Question(text="Is the fridge open?", answer="yes", frame=FRAME, version=2, expected="yes", log_odds=1.5)
ESTIMATE = m.Estimate(value=0.5, n=4, ci95=(0.15, 0.85))
SAID: tuple[m.Message, ...] = (
    trajectory(
        3, cause="the player crashed", ended="truncated", final_frame=None,
        steps=(m.Step(frame=FRAME, action="open fridge", error="it is stuck", admissible=("open fridge", "done")),),
    ),
    verdict(trajectory(3), judged=False, success=True, questions=(QUESTION,), subject="relabel"),
    m.Relabel(trajectory="r1-00003", round=1, task=task("put", "apple", "fridge"), act=4, questions=(QUESTION,)),
    m.Adapter(
        role="critic", version=2, round=2, parent=1, files={"adapter_model.safetensors": FRAME}, digest=FRAME,
        base_model="micro@3f2a", dataset=FRAME, rows=7, promoted=False, reason="it collapsed",
        metrics={"loss_last": 0.25}, seconds=3.5,
    ),
    m.Swap(
        role="actor", instance="actor-0", version=2, digest=FRAME, served=False, seconds=0.5, in_flight=3, reason="no"
    ),
    round_(2, phase="rejudge", critic_version=2, max_staleness=1),
    m.Dropped(trajectory="r1-00003", round=1, reason="truncated: the player crashed"),
    m.Evaluation(role="critic", version=2, round=2, score=ESTIMATE, by_task={"open": ESTIMATE}, extra={"recall": 0.5}),
    m.Outcome(trajectory="r1-00003", round=1, success=True, satisfied=("open:fridge",)),
    m.Fault(service="hub", what="something", why="because", do="this", offending=FRAME),
    m.LiveStep(
        trajectory="r1-00003", task=task(), index=2, action="open fridge", error="no", frame=FRAME, actor_version=1
    ),
    m.Health(role="actor", instance="actor-0", pid=7, ready=True, rss_bytes=1 << 30, gauges={"answered": 5.0}),
    m.Progress(role="trainer", what="training critic@2", done=3, total=10),
)  # fmt: skip


def today() -> dict[str, Envelope]:
    """An envelope of every type that travels in one, by the type's name."""
    topics = {topic.message: topic.name for topic in TOPICS.values()}
    return {
        type(body).__name__.lower(): Envelope(
            schema=limits.SCHEMA, topic=topics[type(body)], id=f"golden/{number}", producer="golden-0", seq=number,
            time=TIME, body=body,  # type: ignore[arg-type]
        )
        for number, body in enumerate(SAID, 1)
    }  # fmt: skip


def test_every_type_of_today_has_its_bytes() -> None:
    assert {type(body) for body in SAID} == {*get_args(m.DURABLE), *get_args(m.LIVE)}
    assert {file.stem for file in (GOLDEN / str(limits.SCHEMA)).glob("*.msgpack")} == set(today())


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("*/*.msgpack")), ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_old_bytes_are_read_as_they_were_meant(file: Path) -> None:
    meant = msgspec.json.decode(file.with_suffix(".json").read_bytes(), type=Envelope)
    assert unseal(file.read_bytes()) == meant
    assert meant.schema == int(file.parent.name) <= limits.SCHEMA


@pytest.mark.parametrize("name", today())
def test_todays_messages_are_written_as_they_always_were(name: str) -> None:
    # Where this fails, a field changed its name, its meaning or its default: that is a new schema.
    assert encode(today()[name]) == (GOLDEN / str(limits.SCHEMA) / f"{name}.msgpack").read_bytes()


@pytest.mark.parametrize("name", today())
def test_a_newer_schema_is_refused_by_name_whatever_else_it_holds(name: str) -> None:
    newer = msgspec.structs.replace(today()[name], schema=limits.SCHEMA + 1)
    with pytest.raises(SchemaError, match=f"this reader knows up to {limits.SCHEMA}: upgrade it"):
        unseal(encode(newer))


def write() -> None:
    folder = GOLDEN / str(limits.SCHEMA)
    folder.mkdir(parents=True, exist_ok=True)
    for name, envelope in today().items():
        for suffix, data in ((".msgpack", encode(envelope)), (".json", msgspec.json.encode(envelope))):
            file = (folder / name).with_suffix(suffix)
            if not file.exists():
                file.write_bytes(data)


if __name__ == "__main__":
    write()
