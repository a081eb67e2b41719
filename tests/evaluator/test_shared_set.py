"""Judgement sets that runs share: one for all that would collect the same, whole or not at all."""

import errno
from pathlib import Path

import msgspec
import pytest

from protocols.codec import digest
from runtime.settings import SettingsError
from services.evaluator import shared_set
from services.evaluator.judgements import Held
from services.evaluator.shared_set import SharedSet
from services.settings import Evaluator, Model, Run, Settings, World
from tests.builders import task

FRAMES = [b"one", b"two"]
HELD = [
    Held(index=at, task=task("open", "door"), frame=digest(frame), success=at == 0) for at, frame in enumerate(FRAMES)
]


def settings(folder: Path, **evaluator: object) -> Settings:
    wanted = Evaluator(judgement_sets=str(folder), judgements=2, **evaluator)  # type: ignore[arg-type]
    return Settings(model=Model(engine="scripted"), evaluator=wanted)


def test_a_set_is_read_as_it_was_left_and_only_its_owner_sees_the_truths(tmp_path: Path) -> None:
    left = SharedSet(settings(tmp_path))
    assert left.read() == []
    assert left.write(HELD, FRAMES)
    found = SharedSet(settings(tmp_path))
    assert found.read() == HELD and list(found.frames(HELD)) == FRAMES
    assert found.file.stat().st_mode & 0o077 == 0


def test_the_first_one_left_stays(tmp_path: Path) -> None:
    shared = SharedSet(settings(tmp_path))
    shared.write(HELD, FRAMES)
    assert not shared.write(HELD[::-1], FRAMES)
    assert shared.read() == HELD
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == [shared.file.name]


def test_methods_and_seeds_share_and_what_changes_the_frames_does_not(tmp_path: Path) -> None:
    mine = settings(tmp_path)
    same = msgspec.structs.replace(mine, run=Run(seed=3, rounds=0))
    assert SharedSet(same).file == SharedSet(settings(tmp_path, samples=5)).file == SharedSet(mine).file
    assert SharedSet(settings(tmp_path, split="dev")).file != SharedSet(mine).file


@pytest.mark.parametrize("part", ["lines", "frames"])
def test_a_damaged_set_is_named_and_never_used(tmp_path: Path, part: str) -> None:
    shared = SharedSet(settings(tmp_path))
    shared.write(HELD, FRAMES)
    damaged = shared.file if part == "lines" else next(tmp_path.glob("blobs/*/*"))
    damaged.write_bytes(damaged.read_bytes().replace(b"true", b"1   ").replace(b"one", b"six").replace(b"two", b"six"))
    with pytest.raises(SettingsError, match=r"is damaged: .*delete it"):
        list(shared.frames(shared.read()))


def test_where_and_how_a_world_is_executed_leaves_the_set_the_same(tmp_path: Path) -> None:
    for name in ("a.toml", "b.toml"):
        (tmp_path / name).write_text("[[task]]\nverb = 'open'\nobject = 'fridge'\n")

    def of(**options: str | float) -> Path:
        world = World(name="ai2thor", options=options)
        return SharedSet(msgspec.structs.replace(settings(tmp_path), world=world)).file

    assert of() == of(display=":1", step_seconds=99.0) != of(fov=60.0)
    assert of(tasks=str(tmp_path / "a.toml")) == of(tasks=str(tmp_path / "b.toml")) != of()


def test_a_set_is_left_on_a_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(shared_set.os, "link", link)
    shared = SharedSet(settings(tmp_path))
    assert shared.write(HELD, FRAMES) and not shared.write(HELD[::-1], FRAMES)
    assert shared.read() == HELD
