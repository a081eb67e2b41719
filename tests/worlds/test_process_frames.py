"""Frames through memory that two processes share: whole, of one's own, and of no size that is not there."""

import os
import subprocess
import sys

import numpy as np
import pytest

from services.worlds.process_frames import PLACES, SharedFrame, SharedFrames, nameless


def frame(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)


def shared() -> tuple[SharedFrames, SharedFrames]:
    """Both sides of the same places."""
    here = SharedFrames(nameless() for _ in range(PLACES))
    return here, SharedFrames(map(os.dup, here.descriptors))


@pytest.mark.parametrize("sizes", [[(30, 20)] * 9, [(4, 6), (300, 200), (5, 5), (301, 300)]])
def test_a_frame_arrives_as_it_was_and_stays_as_long_as_it_is_held(sizes: list[tuple[int, int]]) -> None:
    here, there = shared()
    sent = [frame(*size, seed=seed)[::-1, ::-1] for seed, size in enumerate(sizes)]  # a client's mirrored views
    taken = []
    for one in sent:
        place = here.place
        there.put(place, one)
        taken.append(here.take(place, *one.shape[:2])[:])
    here.close()
    there.close()
    assert all(np.array_equal(*pair) for pair in zip(taken, sent, strict=True))


def test_the_place_of_a_frame_is_used_again_when_its_last_view_is_gone() -> None:
    here, there = shared()
    for place in range(PLACES):
        there.put(place, frame(6, 6))
    held = [here.take(here.place, 6, 6) for _ in range(2 * PLACES)]
    assert here.place == PLACES - 1
    view = held[1][2:, ::2]
    del held[1]
    assert here.place == PLACES - 1
    del view
    assert here.place == 1
    here.close()
    there.close()


@pytest.mark.parametrize("size", [(0, 4), (2, 3), (9000, 9000), (1 << 20, 1 << 20)])
def test_a_frame_that_cannot_be_there_is_refused(size: tuple[int, int]) -> None:
    here = SharedFrame(nameless())
    with pytest.raises(ValueError, match="is not in 0 bytes"):
        here.lend(*size)
    here.put(frame(1, 5))
    with pytest.raises(ValueError, match="is not in 15 bytes"):
        here.lend(*size)
    here.close()


def test_a_frame_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.worlds.process_frames.MAX_BYTES", 48)
    here = SharedFrame(nameless())
    with pytest.raises(ValueError, match="a frame of 75 bytes, where 48 is the most"):
        here.put(frame(5, 5))
    here.close()


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="only Linux can seal memory")
def test_the_other_process_cannot_take_memory_away_that_is_being_read() -> None:
    here = SharedFrame(nameless())
    here.put(frame(30, 30))
    code = f"import os\ntry: os.ftruncate({here.descriptor}, 0)\nexcept PermissionError: raise SystemExit(7)"
    done = subprocess.run([sys.executable, "-c", code], pass_fds=(here.descriptor,), check=False, timeout=30)
    assert done.returncode == 7
    assert np.array_equal(here.lend(30, 30), frame(30, 30))
    here.close()
