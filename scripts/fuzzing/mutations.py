"""Valid requests of every kind, and their mutations, from a random generator. Pure."""

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from protocols import commands as c
from protocols import limits
from protocols.codec import digest, encode, seal
from protocols.messages import Act, Fault, LiveStep, Progress, Step, Task, Trajectory

Frames = list[bytes]

FRAME = digest(b"a frame")
TASK = Task(id="open:fridge", instruction="open the fridge", verb="open", object="fridge")
OVERSIZE = 2000
"""One mutation in so many makes a frame larger than the message limit."""
WEIRD: tuple[Any, ...] = (
    None, True, -1, 0, 1 << 31, (1 << 63) - 1, (1 << 64) - 1, math.nan, math.inf, -0.0, 1e308, "", "\0", "x" * 300,
    "../../etc/passwd", "\U0001f916", b"\xff\xfe", [], {}, [[]] * 8, {"op": "hello"}, ["a"] * 600, "gossip", FRAME[:-1],
)  # fmt: skip
LIKELY: tuple[Any, ...] = (
    0, 1, 2, 7, 512, 513, 4096, (1 << 63) - 1, 0.0, 0.01, True, "fuzz", "fuzz/2", "trajectories", "outcomes", "faults",
    "steps", "act", "ask", "simulator", "observer", "open", FRAME, [1], [2, 2, 2], list(range(1, 500)), ["faults"],
)  # fmt: skip
"""Values that are likely to be valid in their place."""
OPS = tuple(str(kind.__struct_config__.tag) for kind in c.Request.__args__)
HEADERS = (
    b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\x7f\xff\xff\xff", b"\xc1",
    b"\xd9\xff", b"\xc9\xff\xff\xff\xff\x00", b"\xcb\x7f\xf8\0\0\0\0\0\0",
)  # fmt: skip
"""msgpack headers that announce more data than follows, the unused type byte, and a NaN."""


def trajectory(number: int) -> Trajectory:
    return Trajectory(
        id=f"r1-{number:05d}", round=1, index=number, world="household", seed=number, task=TASK,
        steps=(Step(frame=FRAME, action="find fridge", admissible=("done", "find mug")),), final_frame=FRAME,
        actor_version=0, ended="done",
    )  # fmt: skip


def requests(instance: str, ticket: str, number: int) -> list[tuple[c.Command, Frames]]:
    """Returns valid requests of every kind, as from this instance with the role simulator."""

    def sealed(topic: str, body: Any) -> bytes:
        return seal(topic, body, id=f"{instance}/{number}", producer=instance, seq=number)

    group = f"fuzz/{number // 100 % 50}"  # a new group at times, to mutate its first pull as well
    live = LiveStep(trajectory="r1-00001", task=TASK, index=1, action="done")
    fault = Fault(service=instance, what="w", why="y", offending=FRAME)
    return [
        (c.Hello(role="simulator", instance=instance, ticket=ticket), []),
        (c.Ping(), []),
        (c.Publish(), [sealed("trajectories", trajectory(number))]),
        (c.Publish(), [sealed("trajectories", trajectory(number)), sealed("faults", fault)]),
        (c.Emit(), [sealed("steps", live)]),
        (c.Emit(), [sealed("progress", Progress(role="simulator", what="x", done=1, total=2))]),
        (c.Fetch(topics=("trajectories", "faults"), after=number % 50, limit=8), []),
        (c.Pull(group=group, topic="trajectories", limit=4), []),
        (c.Acknowledge(group=group, topic="trajectories", offsets=(1, 2, number)), []),
        (c.Release(group=group, topic="trajectories", offsets=(1, 2, number)), []),
        (c.Serve(method="act", capacity=1), []),
        (c.Call(method="act", timeout=0.001), [encode(Act(episode="e", frame=FRAME, task=TASK))]),
        (c.Result(call=number, text="t"), [b"\x80"]),
        (c.PutBlob(digest=FRAME, size=7, at=0), [b"a frame"]),
        (c.GetBlob(digest=FRAME), []),
        (c.Status(), []),
    ]


def mutated(rng: random.Random, sound: Sequence[tuple[c.Command, Frames]], number: int) -> Frames:
    """Returns one of the valid requests, under this number, with one to three mutations."""
    command, payload = rng.choice(sound)
    frames = c.pack(number, command, payload)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        frames = _mutated(rng, frames, sound)
    return frames


def _mutated(rng: random.Random, frames: Frames, sound: Sequence[tuple[c.Command, Frames]]) -> Frames:
    if rng.random() < 0.1:
        return _reframed(rng, frames)
    # Magic and number are rarely mutated, because the hub rejects such a request before it reads the rest.
    at = rng.randrange(2, len(frames)) if len(frames) > 2 and rng.random() < 0.97 else rng.randrange(len(frames))
    data = frames[at]
    if rng.randrange(OVERSIZE) == 0:
        data = data + bytes(limits.MESSAGE_BYTES + 1)
    elif rng.random() < 0.6:
        data = _restructured(rng, data)
    else:
        data = rng.choice(_BYTES)(rng, data)
    if rng.random() < 0.03:
        other = c.pack(1, *rng.choice(sound))[-1]
        data = data[: rng.randint(0, len(data))] + other[rng.randint(0, len(other)) :]
    return [*frames[:at], data, *frames[at + 1 :]]


def _reframed(rng: random.Random, frames: Frames) -> Frames:
    at = rng.randrange(len(frames))
    match rng.randrange(5):
        case 0:
            return frames[:at] + frames[at + 1 :] if len(frames) > 1 else [b""]
        case 1:
            return [*frames, *[frames[-1]] * rng.randint(1, 40)]
        case 2:
            return [*frames[:at], b"", *frames[at:]]
        case 3:
            return rng.sample(frames, len(frames))
        case _:
            return [rng.randbytes(rng.randint(0, 12)) for _ in range(rng.randint(1, 6))]


def _restructured(rng: random.Random, data: bytes) -> bytes:
    """Decodes msgpack, replaces, removes or adds one value, and encodes it again; else flips bits."""
    try:
        value = msgspec.msgpack.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return _flipped(rng, data)
    value = _replaced(rng, value, rng.randint(0, 4))
    try:
        return msgspec.msgpack.encode(value)
    except (TypeError, OverflowError, ValueError):
        return _flipped(rng, data)


def _replaced(rng: random.Random, value: Any, depth: int) -> Any:
    if depth and isinstance(value, dict) and value:
        key = rng.choice(list(value))
        if rng.random() < 0.15:
            return {name: found for name, found in value.items() if name != key}
        if rng.random() < 0.1:
            return {**value, rng.choice(("schema", "op", "type", "added")): rng.choice(WEIRD)}
        new = rng.choice(OPS) if key == "op" and rng.random() < 0.5 else _replaced(rng, value[key], depth - 1)
        return {**value, key: new}
    if depth and isinstance(value, list) and value:
        at = rng.randrange(len(value))
        return [*value[:at], _replaced(rng, value[at], depth - 1), *value[at + 1 :]]
    return rng.choice(WEIRD if rng.random() < 0.4 else LIKELY)


def _flipped(rng: random.Random, data: bytes) -> bytes:
    if not data:
        return rng.randbytes(1)
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randint(0, len(data))]


def _lengthened(rng: random.Random, data: bytes) -> bytes:
    at = rng.randint(0, len(data))
    return data[:at] + rng.randbytes(rng.randint(1, 16)) + data[at:]


def _shortened(rng: random.Random, data: bytes) -> bytes:
    at = rng.randint(0, len(data))
    return data[:at] + data[at + rng.randint(1, 8) :]


def _repeated(rng: random.Random, data: bytes) -> bytes:
    at = rng.randint(0, len(data))
    return data[:at] + data[at : at + 32] * rng.randint(2, 8) + data[at:]


def _announced(rng: random.Random, data: bytes) -> bytes:
    at = rng.randint(0, len(data))
    return data[:at] + rng.choice(HEADERS) + data[at + 1 :]


def _nested(rng: random.Random, data: bytes) -> bytes:
    at = rng.randint(0, len(data))
    return data[:at] + rng.choice((b"\x91", b"\x81\xa1a", b"\x81\xa4body")) * rng.choice((10, 500, 5000))


def _random(rng: random.Random, data: bytes) -> bytes:
    return rng.randbytes(rng.randint(0, 64))


_BYTES: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _flipped, _flipped, _cut, _lengthened, _shortened, _repeated, _announced, _nested, _random,
)  # fmt: skip
