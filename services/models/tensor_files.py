"""Reads the headers of safetensors files: which tensors they hold, and whether all of the data is there."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from services.models.engine import EngineError
from services.models.model_json import Unreadable, first_bytes, read_object

HEADER_BYTES = 1 << 28
"""The largest accepted header of a safetensors file, in bytes."""

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
"""File names: all weights in one file, and the index from tensors to shards."""

BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "F64": 64, "I64": 64, "U64": 64, "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip


class Tensor(msgspec.Struct, frozen=True):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def read_header(file: Path) -> dict[str, Tensor]:
    """Returns the tensors of a safetensors file by name.

    Raises:
        Unreadable: it is not a safetensors file, or it is incomplete.
    """
    size = int.from_bytes(first_bytes(file, 8), "little")
    try:
        there = file.stat().st_size
        if there < 8 or size > min(HEADER_BYTES, there - 8):
            raise Unreadable(f"is cut off or no safetensors file ({there} bytes)")
        with file.open("rb") as data:
            data.seek(8)
            header = json.loads(data.read(size))
        header.pop("__metadata__", None)
        tensors = msgspec.convert(header, dict[str, Tensor])
    except OSError as error:
        raise Unreadable(f"cannot be read ({error.strerror})") from None
    except (ValueError, AttributeError, TypeError, RecursionError, msgspec.ValidationError) as error:
        raise Unreadable(f"has a broken header ({error})") from None
    _check_offsets(tensors)
    end = max((tensor.data_offsets[1] for tensor in tensors.values()), default=0)
    if 8 + size + end != there:
        raise Unreadable(f"has {there} bytes where its header asks for {8 + size + end}: it was not copied whole")
    return tensors


def _check_offsets(tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        start, stop = tensor.data_offsets
        bits = BITS.get(tensor.dtype)
        wanted = None if bits is None else math.prod(tensor.shape) * bits // 8
        if start < 0 or stop < start or (wanted is not None and stop - start != wanted):
            raise Unreadable(f"has a broken header (the place of {name})")


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Returns the names and shapes of all tensors in a model folder, from the headers alone.

    Raises:
        EngineError: a safetensors file's header cannot be read.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for file in sorted(folder.glob("*.safetensors")):
        try:
            shapes |= {name: tensor.shape for name, tensor in read_header(file).items()}
        except Unreadable as error:
            raise EngineError(f"{file} {error}; copy the model again") from None
    return shapes


class Weights(msgspec.Struct, kw_only=True):
    """The tensors of a model folder by name, and the faults of its weight files."""

    tensors: dict[str, Tensor] = {}
    flaws: list[str] = []


def read_weights(folder: Path) -> Weights:
    """Reads the headers of all files that a loader would read.

    Reports each file that is missing, cut off or a pointer, and tensors that the index lists but no file holds.
    """
    tensors: dict[str, Tensor] = {}
    flaws: list[str] = []
    promised: dict[str, str] = {}
    index = folder / INDEX
    if index.exists() or index.is_symlink():
        try:
            promised = _promised(index)
        except Unreadable as error:
            flaws.append(f"{index} {error}")
    files = sorted({*promised.values(), *_loaded(folder)} if promised else _loaded(folder))
    broken: set[str] = set()
    for name in files:
        try:
            tensors |= read_header(folder / name)
        except Unreadable as error:
            broken.add(name)
            flaws.append(f"{folder / name} {error}")
    if not promised and not flaws:
        flaws += _unlisted(folder, files)
    absent = sorted(name for name, file in promised.items() if file not in broken and name not in tensors)
    if absent:
        flaws.append(f"{index} names {len(absent)} tensors that its files do not have, e.g. {absent[0]}")
    return Weights(tensors=tensors, flaws=flaws)


def _promised(index: Path) -> dict[str, str]:
    """Returns the index: the file name of each tensor."""
    found: Any = read_object(index).get("weight_map")
    if not isinstance(found, dict) or not found:
        raise Unreadable("names no tensors (weight_map)")
    named = cast("dict[str, Any]", found)
    for file in named.values():
        if not isinstance(file, str) or "/" in file or not file.endswith(".safetensors"):
            raise Unreadable(f"names {file!r}, which is no safetensors file of this folder")
    return named


def _loaded(folder: Path) -> list[str]:
    """Returns the safetensors files of the model: `SINGLE`, or its shards."""
    names = [file.name for file in folder.glob("*.safetensors")]
    return [name for name in names if name == SINGLE or _place(name)]


def _place(name: str) -> tuple[int, int] | None:
    """Returns a shard's number and the number of shards from its name, e.g. model-00001-of-00002.safetensors."""
    parts = name.removesuffix(".safetensors").split("-")
    if len(parts) != 4 or parts[0] != "model" or parts[2] != "of" or not (parts[1].isdigit() and parts[3].isdigit()):
        return None
    return int(parts[1]), int(parts[3])


def _unlisted(folder: Path, files: list[str]) -> Iterator[str]:
    """Reports faults of a folder without an index: no model file, a missing shard, or shards that need an index."""
    if SINGLE in files:
        return
    places = [place for name in files if (place := _place(name))]
    if not places:
        odd = sorted(file.name for file in folder.glob("*.safetensors"))
        yield f"{folder} has neither {SINGLE} nor {INDEX}, only {', '.join(odd[:3])}"
        return
    count = max(total for _, total in places)
    missing = sorted(set(range(1, count + 1)) - {number for number, _ in places})
    if missing:
        yield f"{folder} has {len(places)} of {count} weight files: number {missing[0]} is missing"
    else:
        yield f"{folder} has {count} weight files and no {INDEX}, which says what is where"
