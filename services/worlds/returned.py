"""Validates the values that a world returns, for all callers of a world, and normalises frames to RGB in uint8.

Frames are converted if this is unambiguous and lossless: grey pictures, an opaque alpha channel, channels first, other
number types. Anything else raises `WrongReturn`, whose text gives the value, the method that returned it, and what is
allowed.
"""

from typing import Any, NoReturn, cast

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from protocols.limits import TEXT_CHARS
from protocols.messages import Task
from services.worlds.world import Frame, Observation, Truth, WorldError

SMALLEST = 4
"""The least height and width of a frame, in pixels. A shorter side could be mistaken for the channels."""
PIXELS = 8192 * 8192
"""The largest frame, in pixels; equal to the limit of the models' picture decoder."""
WANTED = f"a frame is height x width x 3, RGB, uint8, from {SMALLEST} x {SMALLEST} to {PIXELS:,} pixels"
_PLAIN = {"1": "L", "L": "L", "P": "RGB", "RGB": "RGB", "RGBA": "RGBA", "LA": "RGBA"}
"""PIL modes whose pixels have a fixed meaning, and the mode to which each is converted."""
_NEAR = 1e-3
"""How far a value of 0..1 may be from a multiple of 1/255, in units of 1/255 (an error of single precision)."""


class WrongReturn(WorldError):
    """A world returned a value that its interface does not allow."""


def as_reset(value: Any, world: object) -> tuple[Task, Observation]:
    """Validates the value that `World.reset` returned."""
    if not isinstance(value, tuple | list) or len(cast("tuple[Any, ...]", value)) != 2:
        _refuse(world, "reset", _shown(value), "it returns a Task and an Observation")
    task, observation = cast("tuple[Any, Any]", value)
    if not isinstance(task, Task):
        _refuse(world, "reset", _shown(task), "a Task comes first")
    try:
        msgspec.convert(msgspec.to_builtins(task), Task)
        msgspec.msgpack.encode(task)
    except (msgspec.MsgspecError, TypeError, UnicodeError) as error:
        _refuse(world, "reset", "a Task that cannot be sent", str(error))
    return task, as_observation(observation, world, "reset")


def as_step(value: Any, world: object) -> tuple[Observation, bool, bool]:
    """Validates the value that `World.step` returned."""
    if not isinstance(value, tuple | list) or len(cast("tuple[Any, ...]", value)) != 3:
        _refuse(world, "step", _shown(value), "it returns an Observation, terminated and truncated")
    observation, *ends = cast("tuple[Any, Any, Any]", value)
    for name, end in zip(("terminated", "truncated"), ends, strict=True):
        if not isinstance(end, bool | np.bool_):
            _refuse(world, "step", f"{_shown(end)} for {name}", "it is True or False")
    return as_observation(observation, world, "step"), bool(ends[0]), bool(ends[1])


def as_observation(value: Any, world: object, where: str) -> Observation:
    if not isinstance(value, Observation):
        _refuse(world, where, _shown(value), "an Observation belongs there")
    frame, error = as_frame(value.frame, world, where), cast(Any, value.error) or None
    if error is not None:
        error = _text(error, "an error", world, where)[:TEXT_CHARS]
    admissible: Any = () if value.admissible is None else value.admissible
    if not isinstance(admissible, tuple | list):
        _refuse(world, where, f"{_shown(admissible)} for admissible", "it is a tuple of texts")
    acts = tuple(dict.fromkeys(_text(act, "an admissible action", world, where) for act in admissible))
    if "" in acts:
        _refuse(world, where, "an admissible action without words", "each is a text like 'open fridge'")
    return Observation(frame=frame, admissible=acts, error=error)


def as_truth(value: Any, world: object) -> Truth:
    """Validates the value that `World.truth` returned."""
    if not isinstance(value, Truth):
        _refuse(world, "truth", _shown(value), "a Truth belongs there")
    success, satisfied = cast(Any, value.success), cast(Any, value.satisfied)
    if not isinstance(success, bool | np.bool_):
        _refuse(world, "truth", f"{_shown(success)} for success", "it is True or False")
    if not isinstance(satisfied, tuple | list | set | frozenset):
        _refuse(world, "truth", f"{_shown(satisfied)} for satisfied", "it is a tuple of task ids")
    ids = tuple(_text(id, "a task id", world, "truth") for id in satisfied)
    return Truth(success=bool(success), satisfied=tuple(sorted(ids)) if isinstance(satisfied, set | frozenset) else ids)


def as_frame(value: Any, world: object, where: str) -> Frame:
    """Converts a picture that ``where`` returned to height x width x 3, RGB, uint8. Copies only if needed."""
    try:
        array = _array(value)
    except Exception as error:  # a foreign type may raise any error when it is converted to an array
        _refuse(world, where, f"{_shown(value)} as a frame", f"it cannot be read as a picture ({error}); {WANTED}")
    said = f"a frame of {array.dtype} and shape {'x'.join(map(str, array.shape)) or 'of one value'}"
    if array.dtype == object or array.ndim not in (2, 3):
        _refuse(world, where, _shown(value) if array.ndim == 0 else said, WANTED)
    array = _channels_last(array)
    height, width = array.shape[:2]
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4):
        _refuse(world, where, said, f"it has {array.shape[2]} channels; {WANTED}")
    if min(height, width) < SMALLEST or height * width > PIXELS:
        _refuse(world, where, said, WANTED)
    pixels = array
    if array.dtype != np.uint8:
        pixels, why = _in_bytes(array)
        if why:
            _refuse(world, where, said, f"{why}; {WANTED}")
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        if (pixels[:, :, 3] != 255).any():
            _refuse(world, where, said, f"some of its pixels are transparent and have no colour; {WANTED}")
        pixels = pixels[:, :, :3]
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        pixels = np.repeat(pixels.reshape(height, width, 1), 3, axis=2)
    return cast(Frame, pixels)


def _array(value: Any) -> NDArray[Any]:
    if isinstance(value, Image.Image):
        if value.mode not in _PLAIN:
            raise ValueError(f"a picture in PIL's mode {value.mode}")
        see_through = value.mode == "P" and "transparency" in value.info
        return np.asarray(value.convert("RGBA" if see_through else _PLAIN[value.mode]))
    if type(value).__module__.partition(".")[0] == "torch":  # it may be on a GPU or require gradients
        value = value.detach().cpu()
    return np.asarray(value)  # drops subclasses: a numpy matrix cannot have three dimensions


def _channels_last(array: NDArray[Any]) -> NDArray[Any]:
    """Moves the channels to the last axis if they can only be the first one."""
    first = array.ndim == 3 and array.shape[2] not in (1, 3, 4) and array.shape[0] in (1, 3, 4)
    return np.moveaxis(array, 0, 2) if first else array


def _in_bytes(array: NDArray[Any]) -> tuple[NDArray[Any], str]:
    """Returns the values as uint8, or the reason why this needs guessing or rounding."""
    kind = array.dtype.kind
    if kind not in "iuf" or array.dtype == np.uint16:
        return array, "its values are no brightness from 0 to 255"
    if kind == "f" and not np.isfinite(array).all():
        return array, "it has values that are no number"
    low, high = array.min(), array.max()
    if low < 0 or high > 255:
        return array, f"its values go from {low:g} to {high:g}"
    whole = array.astype(np.uint8)
    if kind != "f" or high == 0:
        return whole, ""
    if high > 1:
        return whole, "" if (whole == array).all() else "its values are neither whole nor from 0 to 1"
    if (whole == array).all():
        return array, "whether its 1 is of 255 or is white cannot be told"
    scaled = array.astype(np.float64) * 255
    whole = np.rint(scaled)
    if np.abs(scaled - whole).max() > max(_NEAR, 255 * float(np.finfo(array.dtype).eps)):
        return array, "its values from 0 to 1 are no 255ths: round them, (255 * frame).round().astype('uint8')"
    return whole.astype(np.uint8), ""


def _text(value: Any, what: str, world: object, where: str) -> str:
    if not isinstance(value, str):
        _refuse(world, where, f"{_shown(value)} for {what}", "it is a text")
    try:
        value.encode()
    except UnicodeError as error:
        _refuse(world, where, f"{what} that cannot be sent", str(error))
    return str(value)


def _shown(value: Any) -> str:
    """Describes a value briefly, for error texts."""
    if value is None:
        return "None"
    text = repr(value) if isinstance(value, bool | int | float | str) else ""
    return f"a {type(value).__name__}" + (f" ({text[:60]})" if text else "")


def name_of(world: object) -> str:
    return str(getattr(world, "name", None) or type(world).__name__)


def _refuse(world: object, where: str, what: str, wanted: str) -> NoReturn:
    raise WrongReturn(f"the world {name_of(world)!r} returned {what} from {where}: {wanted}")
