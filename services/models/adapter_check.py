"""Checks a LoRA adapter's files before an engine loads them, and refuses adapters that are broken or have no effect.

Reads only safetensors and executes nothing. The base model's own tensor shapes decide which layers fit.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from services.models.adapter_config import read_config, targeted
from services.models.adapter_layers import BaseLayers, check_layer
from services.models.engine import AdapterRefused
from services.models.tensor_files import Tensor, tensor_shapes

__all__ = ["AdapterFiles", "check_adapter", "tensor_shapes"]

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

HEADER_BYTES = 1 << 24

_NAME = re.compile(r"base_model\.model\.(?P<module>[\w.]+)\.lora_(?P<factor>[AB])\.weight")
_TYPES: dict[str, Any] = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}


class AdapterFiles(msgspec.Struct, frozen=True, kw_only=True):
    """A checked adapter. ``digest`` covers both files; ``size`` is the largest absolute value of its B factors,
    which is 0 for an adapter that changes nothing."""

    digest: str
    rank: int
    modules: int
    size: float


def check_adapter(folder: Path, *, max_rank: int, base: Mapping[str, tuple[int, ...]] | None) -> AdapterFiles:
    """Reads and checks an adapter folder.

    Args:
        folder: holds adapter_config.json and adapter_model.safetensors as PEFT writes them.
        max_rank: the largest rank that the engine accepts.
        base: the base model's tensor shapes by name (see `tensor_shapes`); None checks the factor pairs alone.

    Raises:
        AdapterRefused: the text names the file and its fault.
    """
    stated = _read(folder / CONFIG)
    config = read_config(folder / CONFIG, stated, max_rank)
    blob = _read(folder / WEIGHTS)
    tensors, data = _header(folder / WEIGHTS, blob)
    factors: dict[str, dict[str, Tensor]] = {}
    largest = 0.0
    for name, tensor in tensors.items():
        found = _NAME.fullmatch(name)
        if found is None:
            raise AdapterRefused(f"{folder / WEIGHTS}: tensor {name!r} is not a LoRA factor of a linear layer")
        factors.setdefault(found["module"], {})[found["factor"]] = tensor
        peak = _peak(tensor, data)
        if not np.isfinite(peak):
            raise AdapterRefused(f"{folder / WEIGHTS}: {name!r} is not finite; training diverged, do not serve it")
        if found["factor"] == "B":
            largest = max(largest, peak)
    if not factors:
        raise AdapterRefused(f"{folder / WEIGHTS} holds no tensors")
    rank = int(config["r"])
    layers = None if base is None else BaseLayers(base)
    for module, pair in factors.items():
        _check_pair(folder / WEIGHTS, module, pair, rank, layers)
    _check_targets(folder, config, factors)
    digest = hashlib.sha256(stated + b"\0" + blob).hexdigest()
    return AdapterFiles(digest=digest, rank=rank, modules=len(factors), size=largest)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise AdapterRefused(
            f"cannot read {file}: {error.strerror}; the adapter needs {CONFIG} and {WEIGHTS}"
        ) from None


def _header(file: Path, blob: bytes) -> tuple[dict[str, Tensor], memoryview]:
    """Returns a safetensors file's tensors and data, after checking that the tensors cover the data exactly."""
    size = int.from_bytes(blob[:8], "little")
    if len(blob) < 8 or size > min(HEADER_BYTES, len(blob) - 8):
        raise AdapterRefused(f"{file} is cut off or no safetensors file ({len(blob)} bytes); fetch the adapter again")
    try:
        header = json.loads(blob[8 : 8 + size])
        header.pop("__metadata__", None)
        tensors = msgspec.convert(header, dict[str, Tensor])
    except (ValueError, AttributeError, msgspec.ValidationError) as error:
        raise AdapterRefused(f"{file} has a broken header: {error}; fetch the adapter again") from None
    data = memoryview(blob)[8 + size :]
    end = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1].data_offsets):
        if tensor.dtype not in _TYPES:
            raise AdapterRefused(f"{file}: {name!r} has type {tensor.dtype}; save it as F32, F16 or BF16")
        start, stop = tensor.data_offsets
        bytes_needed = int(np.prod(tensor.shape)) * np.dtype(_TYPES[tensor.dtype]).itemsize
        if min(tensor.shape, default=0) < 1 or start != end or stop - start != bytes_needed:
            raise AdapterRefused(f"{file}: the header misplaces {name!r}; fetch the adapter again")
        end = stop
    if end != len(data):
        raise AdapterRefused(f"{file} has {len(data)} bytes of data, its header says {end}; fetch the adapter again")
    return tensors, data


def _peak(tensor: Tensor, data: memoryview) -> float:
    """Returns the largest absolute value; NaN or infinity if the tensor has one."""
    start, stop = tensor.data_offsets
    values = np.frombuffer(data[start:stop], dtype=_TYPES[tensor.dtype])
    if tensor.dtype == "BF16":
        values = (values.astype(np.uint32) << 16).view(np.float32)
    return float(np.abs(values).max())


def _check_pair(file: Path, module: str, pair: Mapping[str, Tensor], rank: int, base: BaseLayers | None) -> None:
    a, b = pair.get("A"), pair.get("B")
    if a is None or b is None:
        raise AdapterRefused(f"{file}: {module} has only one of its two LoRA factors; train the adapter again")
    if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[0] != rank or b.shape[1] != rank:
        raise AdapterRefused(f"{file}: {module} has shapes {a.shape} and {b.shape}, its rank is {rank}")
    check_layer(file, module, a.shape[1], b.shape[0], base)


def _check_targets(folder: Path, config: Mapping[str, Any], factors: Mapping[str, object]) -> None:
    """Raises AdapterRefused if there are factors for layers that the configuration excludes."""
    try:
        adapts = targeted(config)
        strange = sorted(module for module in factors if not adapts(module))
    except (ValueError, TypeError, re.error) as error:
        raise AdapterRefused(
            f"{folder / CONFIG}: target_modules, layers_to_transform or layers_pattern cannot be read ({error}); train "
            "the adapter again"
        ) from None
    if strange:
        raise AdapterRefused(
            f"{folder / WEIGHTS} has factors for {strange[0]}, which {CONFIG} leaves out (target_modules, "
            "layers_to_transform): PEFT does not apply them, and vLLM would; train the adapter again"
        )
