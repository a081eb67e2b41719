"""What worlds return: put right where it can only mean one thing, else refused in a sentence, at the first reset."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import anyio
import numpy as np
import pytest
from PIL import Image

from protocols.messages import Task
from services.worlds.gym import WorldEnv
from services.worlds.process import Deadlines, ProcessWorld
from services.worlds.returned import WrongReturn, as_frame, as_observation, as_reset, as_step, as_truth
from services.worlds.rollout import Pilot, Rollout, RolloutFailed, play
from services.worlds.threaded import ThreadedWorld
from services.worlds.world import Frame, Observation, Truth, WorldError
from tests.builders import task
from tests.worlds.test_rollout import Actor

pytestmark = pytest.mark.anyio

RGB = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
RGB[0, 0] = (0, 255, 7)
GREY = RGB[:, :, 0]
OPAQUE = np.dstack([RGB, np.full((8, 12), 255, np.uint8)])


class Odd:
    """A world that returns what it is told to."""

    name = "odd"

    def __init__(self, **returned: Any) -> None:
        self.returned = {"frame": RGB, "third": RGB, "truth": Truth(success=True, satisfied=()), **returned}

    def reset(self, task: Task | None, seed: int) -> Any:
        return self.returned.get("reset", (TASK, self._seen("frame")))

    def step(self, action: str) -> Any:
        return self.returned.get("step", (self._seen("later"), action == "done", False))

    def third_person(self) -> Any:
        return self.returned["third"]

    def truth(self) -> Any:
        return self.returned["truth"]

    def close(self) -> None: ...

    def _seen(self, which: str) -> Any:
        frame = self.returned.get(which, self.returned["frame"])
        return Observation(frame=frame, admissible=self.returned.get("acts", ("go", "done")), error=None)


TASK = task("open", "door")


def childs_world(kind: str) -> Odd:
    """Made in a process of its own."""
    return Odd(frame=RGB.astype(np.float32) / 255 if kind == "floats" else RGB.astype(np.float32) + 0.5)


def _palette() -> Image.Image:
    return Image.fromarray(GREY).convert("P")


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (RGB, RGB), (RGB[::-1, ::-1], RGB[::-1, ::-1]), (np.asfortranarray(RGB), RGB), (RGB.tolist(), RGB),
        (RGB.astype(np.int64), RGB), (RGB.astype(np.int16), RGB), (RGB.astype(">i4"), RGB),
        (RGB.astype(np.float64), RGB), (RGB.astype(np.float32), RGB), (RGB.astype(np.float32) / 255, RGB),
        (RGB / 255, RGB),
        (RGB.astype(np.float16) / np.float16(255), RGB), (RGB.transpose(2, 0, 1), RGB), (OPAQUE, RGB),
        (OPAQUE.transpose(2, 0, 1), RGB), (GREY, GREY), (GREY[:, :, None], GREY), (GREY[None], GREY),
        (np.zeros((8, 12, 3)), np.zeros((8, 12), np.uint8)), (Image.fromarray(RGB), RGB), (Image.fromarray(GREY), GREY),
        (Image.fromarray(OPAQUE), RGB), (_palette(), np.asarray(_palette().convert("L"))),
    ],
)  # fmt: skip
def test_a_frame_that_can_only_mean_one_thing_is_read_without_loss(given: Any, read: np.ndarray) -> None:
    frame = as_frame(given, Odd(), "step")
    assert (frame.dtype, frame.ndim) == (np.uint8, 3)
    assert np.array_equal(frame, read if read.ndim == 3 else np.repeat(read[:, :, None], 3, axis=2))


def test_numpys_matrix_and_torchs_tensor_with_gradients_are_pictures() -> None:
    torch = pytest.importorskip("torch")
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix(GREY)
    assert np.array_equal(as_frame(matrix, Odd(), "step")[:, :, 0], GREY)
    tensor = torch.from_numpy(RGB.astype(np.float32) / 255).requires_grad_()
    assert np.array_equal(as_frame(tensor, Odd(), "step"), RGB)


def test_a_frame_that_is_right_is_not_copied_and_may_be_read_only() -> None:
    frame = RGB.copy()
    frame.flags.writeable = False
    assert as_frame(frame, Odd(), "step") is frame


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (None, "returned None from step: a frame is height x width x 3, RGB, uint8"),
        ("a picture", r"a str \('a picture'\)"), (7, r"a int \(7\)"), (RGB + 0.5, "float64 and shape 8x12x3 from step"),
        (np.random.default_rng(0).random((8, 8, 3)), "no 255ths: round them"),
        (RGB.astype(np.int32) - 9, "go from -9 to"), (RGB.astype(np.int32) * 2, "go from 0 to 510"),
        (RGB.astype(np.float32) * 2, "go from 0 to 510"),
        (RGB.astype(np.uint16), "uint16"), (RGB > 9, "bool"), (np.full((8, 8, 3), np.nan), "no number"),
        ((RGB > 9).astype(float), "cannot be told"), (RGB.astype(object), "object"),
        (RGB.astype(complex), "complex128"),
        (np.dstack([RGB, GREY]), "transparent"), (RGB[:, :, :2], "2 channels"), (RGB[None], "shape 1x8x12x3"),
        (np.zeros((0, 8, 3), np.uint8), "shape 0x8x3"), (np.zeros((1, 1, 3), np.uint8), "from 4 x 4"),
        (np.broadcast_to(np.uint8(0), (8193, 8193, 3)), "8193x8193x3"), ([[1, 2], [3]], "a list as a frame from step"),
        (Image.new("CMYK", (8, 8)), "PIL's mode CMYK"), (Image.new("I;16", (8, 8)), "PIL's mode I;16"), ({}, "a dict"),
    ],
)  # fmt: skip
def test_any_other_frame_is_refused_with_its_type_shape_place_and_what_is_wanted(given: Any, says: str) -> None:
    with pytest.raises(WrongReturn, match=says) as caught:
        as_frame(given, Odd(), "step")
    said = str(caught.value)
    assert (
        said.startswith("the world 'odd' returned ") and " from step: " in said and "uint8" in said and "\n" not in said
    )


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"admissible": "open fridge"}, r"a str \('open fridge'\) for admissible"),
        ({"admissible": {"go"}}, "a set for admissible"), ({"admissible": ("go", 3)}, r"a int \(3\) for an admissible"),
        ({"admissible": ("go", "")}, "without words"), ({"error": 3}, r"a int \(3\) for an error"),
        ({"error": ValueError("no")}, "a ValueError for an error"), ({"error": "\ud800"}, "cannot be sent"),
    ],
)  # fmt: skip
def test_an_observation_with_anything_else_than_texts_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(WrongReturn, match=says):
        as_observation(Observation(frame=RGB, **fields), Odd(), "step")


def test_an_observation_is_put_right_where_nothing_is_lost() -> None:
    given: Any = Observation(frame=GREY, admissible=["go", "done", "go"], error="")  # type: ignore[arg-type]
    seen = as_observation(given, Odd(), "reset")
    assert (seen.admissible, seen.error, seen.frame.shape) == (("go", "done"), None, (8, 12, 3))
    none: Any = Observation(frame=RGB, admissible=None)  # type: ignore[arg-type]
    assert as_observation(none, Odd(), "reset").admissible == ()


@pytest.mark.parametrize(
    ("check", "given", "says"),
    [
        (as_reset, None, "None from reset: it returns a Task and an Observation"),
        (as_reset, (TASK, None), "None from reset: an Observation belongs there"),
        (as_reset, (None, Observation(frame=RGB)), "None from reset: a Task comes first"),
        (as_reset, (Task(id=3, instruction="", verb="", object=""), None), "a Task that cannot be sent"),  # type: ignore[arg-type]
        (as_step, (Observation(frame=RGB), 0.0, False, False, {}), "a tuple from step: it returns an Observation"),
        (as_step, (Observation(frame=RGB), None, False), "None for terminated from step: it is True or False"),
        (as_step, (RGB, False, False), "a ndarray from step: an Observation belongs there"),
        (as_truth, None, "None from truth: a Truth belongs there"),
        (as_truth, Truth(success=None, satisfied=()), "None for success"),  # type: ignore[arg-type]
        (as_truth, Truth(success=True, satisfied="open:door"), "a str .* for satisfied"),  # type: ignore[arg-type]
        (as_truth, Truth(success=True, satisfied=(1,)), "for a task id"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_what_is_missing_or_of_another_type_is_refused_by_place(
    check: Callable[..., Any], given: Any, says: str
) -> None:
    with pytest.raises(WrongReturn, match=says):
        check(given, Odd())


def test_numpys_truth_values_and_sets_of_ids_are_taken() -> None:
    given: Any = Truth(success=np.True_, satisfied={"b", "a"})  # type: ignore[arg-type]
    assert as_truth(given, Odd()) == Truth(success=True, satisfied=("a", "b"))
    assert as_step([Observation(frame=RGB), np.False_, np.True_], Odd())[1:] == (False, True)


async def run(world: ThreadedWorld, *words: str) -> Rollout:
    pilot = Pilot(version=1, temperature=1.0, seed_of=lambda step: step, max_steps=3, call_seconds=1.0)
    with anyio.fail_after(20):
        return await play(
            Actor(*words), world, episode="e", task=None, seed=0, pilot=pilot, counts=Counter[str]()
        )  # fmt: skip


def threaded(make: Callable[[], Any]) -> ThreadedWorld:
    return ThreadedWorld(make, seconds=5, limiter=anyio.CapacityLimiter(2))


@pytest.mark.parametrize("wrong", [{"frame": RGB + 0.5}, {"third": RGB + 0.5}, {"third": None}, {"truth": None}])
async def test_what_a_world_gets_wrong_is_found_at_its_first_reset(wrong: dict[str, Any]) -> None:
    with pytest.raises(RolloutFailed, match="world: the world 'odd' returned ") as caught:
        await run(threaded(lambda: Odd(**wrong)), "go", "done")
    assert caught.value.steps == ()


async def test_a_frame_that_goes_wrong_later_cuts_the_episode_and_keeps_its_steps() -> None:
    class Later(Odd):
        def step(self, action: str) -> Any:
            self.returned["later"] = RGB if action == "go" else None
            return super().step(action)

    with pytest.raises(RolloutFailed, match="returned None from step") as caught:
        await run(threaded(Later), "go", "look")
    assert [step.action for step in caught.value.steps] == ["go"]


async def test_frames_of_other_sizes_and_numbers_are_played() -> None:
    rollout = await run(threaded(lambda: Odd(frame=RGB / 255, later=GREY[:5, :7], third=OPAQUE)), "go", "go", "done")
    assert (rollout.ended, len(rollout.steps)) == ("done", 3)


async def test_a_world_in_a_process_of_its_own_is_checked_by_the_same_rules() -> None:
    for kind, wrong in (
        ("floats", ""),
        ("halves", "the world 'odd' returned a frame of float32 and shape 8x12x3 from"),
    ):
        target = f"{__name__}:childs_world"
        world = ProcessWorld("odd", target, {"kind": kind}, Deadlines(start=20, reset=20, step=20))
        try:
            if wrong:
                with pytest.raises(WorldError, match=wrong):
                    world.reset(None, 0)
            else:
                seen: Frame = world.reset(None, 0)[1].frame
                assert np.array_equal(seen, RGB)
        finally:
            world.close()


def test_an_environments_frames_have_one_size() -> None:
    env = WorldEnv(Odd(frame=GREY, later=GREY[:6, :6]))
    assert env.observation_space.shape == (8, 12, 3)
    frame, _ = env.reset(seed=0)
    assert frame.shape == (8, 12, 3)
    with pytest.raises(WrongReturn, match="a frame of 6x6x3 from step, and its first was 8x12x3"):
        env.step("go")
