"""The checker finds what it is there to find: a run is sound until something is lost, doubled, missing or torn."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from protocols.codec import adapter_digest, digest, seal
from protocols.messages import Adapter, Estimate, Evaluation, Message, Outcome, Relabel, Role, Swap
from runtime import witness
from runtime.blobs import BlobStore
from runtime.log import Append, Log
from runtime.runfolder import RunFolder
from runtime.witness import Acknowledged
from scripts.soaking.checker import examine
from tests.builders import FRAME, round_, trajectory, verdict


def adapter(role: Role) -> Adapter:
    files = {"adapter_model.json": digest(b"weights")}
    return Adapter(
        role=role, version=1, round=1, parent=0, files=files, digest=adapter_digest(files), base_model="m",
        dataset=digest(b"rows"), rows=1, promoted=True,
    )  # fmt: skip


def evaluation(role: Role) -> Evaluation:
    return Evaluation(role=role, version=1, round=1, score=Estimate(value=1.0, n=1, ci95=(0.2, 1.0)))


def story() -> list[tuple[str, str, Message]]:
    """A whole small run: one round of two trajectories, of which one failed."""
    won, lost = trajectory(0), trajectory(1)
    said: list[tuple[str, str, Message]] = [("rounds", "r1/collect", round_(1))]
    for episode in (won, lost):
        said += [("outcomes", episode.id, Outcome(trajectory=episode.id, round=1, success=episode is won))]
        said += [("trajectories", episode.id, episode)]
        said += [("verdicts", f"{episode.id}/task/c0", verdict(episode, episode is won))]
    said += [("relabels", lost.id, Relabel(trajectory=lost.id, round=1, task=None))]
    for role in ("critic", "actor"):
        swap = Swap(
            role=role, instance=f"{role}-0", version=1, digest=adapter(role).digest, served=True, seconds=0, in_flight=0
        )
        said += [("adapters", f"{role}@1", adapter(role)), ("swaps", f"{role}-0/{role}@1", swap)]
        said += [("evaluations", f"{role}@1", evaluation(role))]
    return [*said, ("rounds", "r1/finished", round_(1, phase="finished"))]


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    made = RunFolder.create(tmp_path / "run")
    store = BlobStore(made.blobs)
    for data in (b"a frame", b"weights", b"rows"):
        store.put(data)
    assert store.has(FRAME)
    write(made, story())
    return made


def write(run: RunFolder, said: list[tuple[str, str, Message]]) -> None:
    log = Log(run.log_file)
    log.write([Append(topic, id, seal(topic, body, id=id, producer="p", seq=1)) for topic, id, body in said])
    log.close()


def sql(run: RunFolder, statement: str) -> None:
    db = sqlite3.connect(run.log_file)
    db.execute(statement)
    db.commit()
    db.close()


def told() -> list[Acknowledged]:
    return [Acknowledged(topic, offset, id) for offset, (topic, id, _) in enumerate(story(), 1)]


def test_a_whole_run_is_sound(run: RunFolder) -> None:
    found = examine(run, told())
    assert found.sound and found.acknowledged == found.messages == len(story())
    assert found.learned["critic@1"] == (digest(b"rows"), adapter("critic").digest, True)
    assert "none lost" in str(found)


def lose(run: RunFolder) -> None:
    sql(run, "DELETE FROM messages WHERE topic = 'relabels'")


def move(run: RunFolder) -> None:
    sql(run, "UPDATE messages SET \"offset\" = 99 WHERE id = 'r1/collect'")


def double(run: RunFolder) -> None:
    write(run, [("verdicts", "another id", verdict(trajectory(0), True))])


def repeat(run: RunFolder) -> None:
    write(run, [("adapters", "critic@1 again", adapter("critic"))])


def unjudge(run: RunFolder) -> None:
    sql(run, "DELETE FROM messages WHERE topic = 'verdicts' AND id LIKE '%00000%'")


def unswap(run: RunFolder) -> None:
    sql(run, "DELETE FROM messages WHERE topic = 'swaps' AND id LIKE 'actor%'")


def tear(run: RunFolder) -> None:
    BlobStore(run.blobs).path(digest(b"weights")).write_bytes(b"wei")


def forget(run: RunFolder) -> None:
    BlobStore(run.blobs).path(FRAME).unlink()


def garble(run: RunFolder) -> None:
    sql(run, "UPDATE messages SET envelope = x'00' WHERE topic = 'outcomes'")


@pytest.mark.parametrize(
    ("harm", "kinds"),
    [
        (lose, {"lost", "missing"}), (move, {"lost"}), (double, {"doubled"}), (repeat, {"doubled"}),
        (unjudge, {"lost", "missing"}), (unswap, {"lost", "missing"}), (tear, {"damaged"}), (forget, {"damaged"}),
        (garble, {"damaged", "missing"}),
    ],
)  # fmt: skip
def test_harm_is_found_and_named(run: RunFolder, harm: Callable[[RunFolder], None], kinds: set[str]) -> None:
    harm(run)
    found = examine(run, told())
    assert not found.sound
    assert {kind for kind in ("lost", "doubled", "missing", "damaged") if getattr(found, kind)} == kinds
    assert all(kind in str(found) for kind in kinds)


def test_effects_are_not_missed_before_a_run_is_over(run: RunFolder) -> None:
    sql(run, "DELETE FROM messages WHERE id = 'r1/finished'")
    sql(run, "DELETE FROM messages WHERE topic = 'swaps'")
    assert examine(run).sound


def test_a_process_writes_down_what_it_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witness, "_descriptor", None)
    witness.acknowledged("rounds", "unheard", 1)
    witness.begin("trainer-0", {"SELU_WITNESS": str(tmp_path)})
    witness.acknowledged("rounds", "r1/collect", 7)
    witness.acknowledged("dropped", "an id with spaces", 9)
    with (tmp_path / "trainer-0.acknowledged").open("ab") as file:
        file.write(b"rounds 12 r2/col")  # it was killed just then
    assert list(witness.read(tmp_path)) == [
        Acknowledged("rounds", 7, "r1/collect"),
        Acknowledged("dropped", 9, "an id with spaces"),
    ]
    assert msgspec.structs.asdict(next(witness.read(tmp_path)))["offset"] == 7
