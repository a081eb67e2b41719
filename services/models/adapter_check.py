"""Looks at a LoRA adapter's files before any engine does: an adapter that is broken or does nothing must not be served.

Only safetensors are read, and nothing is executed. What fits is decided by the base model's own tensor shapes.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from services.models.engine import AdapterRefused

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

CONFIG_BYTES = 1 << 20
HEADER_BYTES = 1 << 24

_NAME = re.compile(r"base_model\.model\.(?P<module>[\w.]+)\.lora_(?P<factor>[AB])\.weight")
_TYPES: dict[str, Any] = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}
_CODE = ("auto_mapping", "megatron_config", "layer_replication")
"""What makes PEFT import modules that the file names, or change the model's layers."""
_MODULE_PARTS = 3
"""The fewest trailing parts of a module's name that may identify it in a checkpoint with other prefixes."""


class AdapterFiles(msgspec.Struct, frozen=True, kw_only=True):
    """A checked adapter. ``digest`` covers both files; ``size`` is the largest absolute value of its B factors, 0 for
    an adapter that changes nothing."""

    digest: str
    rank: int
    modules: int
    size: float


class _Tensor(msgspec.Struct, frozen=True):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def check_adapter(folder: Path, *, max_rank: int, base: Mapping[str, tuple[int, ...]] | None) -> AdapterFiles:
    """Reads and judges an adapter folder.

    Args:
        folder: holds adapter_config.json and adapter_model.safetensors as PEFT writes them.
        max_rank: the largest rank the engine takes.
        base: the base model's tensor shapes by name, see `tensor_shapes`; without them only the pairs are checked.

    Raises:
        AdapterRefused: naming the file and what is wrong with it.
    """
    config = _config(folder / CONFIG, max_rank)
    blob = _read(folder / WEIGHTS)
    tensors, data = _header(folder / WEIGHTS, blob)
    factors: dict[str, dict[str, _Tensor]] = {}
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
    shapes = None if base is None else _by_suffix(base)
    for module, pair in factors.items():
        _check_pair(folder / WEIGHTS, module, pair, rank, shapes)
    digest = hashlib.sha256((folder / CONFIG).read_bytes() + b"\0" + blob).hexdigest()
    return AdapterFiles(digest=digest, rank=rank, modules=len(factors), size=largest)


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors in a model folder, from the headers alone."""
    shapes: dict[str, tuple[int, ...]] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as weights:
            size = int.from_bytes(weights.read(8), "little")
            header = json.loads(weights.read(min(size, 1 << 28)))
        shapes |= {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
    return shapes


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise AdapterRefused(
            f"cannot read {file}: {error.strerror}; the adapter needs {CONFIG} and {WEIGHTS}"
        ) from None


def _config(file: Path, max_rank: int) -> dict[str, Any]:
    blob = _read(file)
    try:
        config = json.loads(blob) if len(blob) <= CONFIG_BYTES else None
    except ValueError as error:
        raise AdapterRefused(f"{file} is not JSON: {error}; fetch the adapter again") from None
    if not isinstance(config, dict):
        raise AdapterRefused(f"{file} is no adapter configuration; fetch the adapter again")
    rank = config.get("r")
    problem = (
        f"peft_type is {config.get('peft_type')!r}, not 'LORA'"
        if config.get("peft_type") != "LORA"
        else f"rank {rank!r} is not between 1 and {max_rank}"
        if not isinstance(rank, int) or not 1 <= rank <= max_rank
        else "it uses DoRA"
        if config.get("use_dora")
        else "it trains whole modules (modules_to_save)"
        if config.get("modules_to_save")
        else "it trains biases"
        if config.get("bias", "none") != "none"
        else "its rank differs by layer (rank_pattern)"
        if config.get("rank_pattern")
        else f"it sets {', '.join(odd)}"
        if (odd := [key for key in _CODE if config.get(key)])
        else ""
    )
    if problem:
        raise AdapterRefused(f"{file}: {problem}; train a plain LoRA of rank at most {max_rank}")
    return config


def _header(file: Path, blob: bytes) -> tuple[dict[str, _Tensor], memoryview]:
    """The tensors of a safetensors file and its data, after checking that the data is all there and nothing else."""
    size = int.from_bytes(blob[:8], "little")
    if len(blob) < 8 or size > min(HEADER_BYTES, len(blob) - 8):
        raise AdapterRefused(f"{file} is cut off or no safetensors file ({len(blob)} bytes); fetch the adapter again")
    try:
        header = json.loads(blob[8 : 8 + size])
        header.pop("__metadata__", None)
        tensors = msgspec.convert(header, dict[str, _Tensor])
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


def _peak(tensor: _Tensor, data: memoryview) -> float:
    """The largest absolute value; NaN or infinity where there is one."""
    start, stop = tensor.data_offsets
    values = np.frombuffer(data[start:stop], dtype=_TYPES[tensor.dtype])
    if tensor.dtype == "BF16":
        values = (values.astype(np.uint32) << 16).view(np.float32)
    return float(np.abs(values).max())


def _by_suffix(base: Mapping[str, tuple[int, ...]]) -> dict[str, set[tuple[int, ...]]]:
    """Weight shapes by every trailing part of the module's name that is long enough to identify it."""
    shapes: dict[str, set[tuple[int, ...]]] = {}
    for name, shape in base.items():
        parts = name.removesuffix(".weight").split(".")
        if name.endswith(".weight") and len(shape) == 2:
            for start in range(max(1, len(parts) - _MODULE_PARTS + 1)):
                shapes.setdefault(".".join(parts[start:]), set()).add(shape)
    return shapes


def _check_pair(
    file: Path, module: str, pair: Mapping[str, _Tensor], rank: int, shapes: Mapping[str, set[tuple[int, ...]]] | None
) -> None:
    a, b = pair.get("A"), pair.get("B")
    if a is None or b is None:
        raise AdapterRefused(f"{file}: {module} has only one of its two LoRA factors; train the adapter again")
    if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[0] != rank or b.shape[1] != rank:
        raise AdapterRefused(f"{file}: {module} has shapes {a.shape} and {b.shape}, its rank is {rank}")
    if shapes is None:
        return
    parts = module.split(".")
    for start in range(max(1, len(parts) - _MODULE_PARTS + 1)):
        if fitting := shapes.get(".".join(parts[start:])):
            if (b.shape[0], a.shape[1]) in fitting:
                return
            raise AdapterRefused(
                f"{file}: {module} changes a layer of shape {(b.shape[0], a.shape[1])}, the base model's has "
                f"{sorted(fitting)}; it was trained on another base model"
            )
    raise AdapterRefused(f"{file}: the base model has no layer {module}; it was trained on another base model")
