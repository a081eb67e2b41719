"""Finds which model classes the installed transformers and vLLM have, by parsing their sources without importing them.

An import takes seconds, and importing a broken package may end the process. Unclear sources give None.
"""

import ast
import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path

MAPPING = "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES"
"""transformers' name for its mapping of model_type to image-text-to-text classes."""

DEPTH = 5
"""How many levels of base classes are searched for LoRA support."""

NO_MODEL = ("nn.Module", "Module", "Protocol", "Generic", "object")


def answers_about_pictures(model_type: str) -> bool | None:
    """Whether transformers has an image-text-to-text class for this ``model_type``; None if that is unknown."""
    known = _mapping(_package("transformers"))
    return model_type in known if known else None


def takes_adapters(architecture: str) -> bool | None:
    """Whether vLLM's class for this architecture supports LoRA adapters; None if that is unknown. vLLM can also
    serve models for which it has no class."""
    package = _package("vllm")
    place = None if package is None else _registry(package).get(architecture)
    if package is None or place is None:
        return None
    return _has(package / "model_executor" / "models", place[0], place[1], "SupportsLoRA", DEPTH)


def _package(name: str) -> Path | None:
    found = importlib.util.find_spec(name)
    return Path(found.origin).parent if found and found.origin else None


@cache
def _tree(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return ast.Module(body=[], type_ignores=[])


@cache
def _mapping(package: Path | None) -> frozenset[str]:
    if package is None:
        return frozenset()
    tree = _tree(package / "models" / "auto" / "modeling_auto.py")
    return frozenset(
        one.elts[0].value
        for value in _assigned(tree, MAPPING)
        for one in ast.walk(value)
        if isinstance(one, ast.Tuple)
        and one.elts
        and isinstance(one.elts[0], ast.Constant)
        and isinstance(one.elts[0].value, str)
    )


@cache
def _registry(package: Path) -> dict[str, tuple[str, str]]:
    """Returns the module and class of each multimodal architecture in vLLM's registry."""
    found: dict[str, tuple[str, str]] = {}
    for value in _assigned(_tree(package / "model_executor" / "models" / "registry.py"), "_MULTIMODAL_MODELS"):
        if isinstance(value, ast.Dict):
            for key, place in zip(value.keys, value.values, strict=True):
                parts = place.elts if isinstance(place, ast.Tuple) else []
                said = [str(part.value) for part in parts if isinstance(part, ast.Constant)]
                if isinstance(key, ast.Constant) and len(said) == 2:
                    found[str(key.value)] = (said[0], said[1])
    return found


def _assigned(tree: ast.Module, name: str) -> Iterator[ast.expr]:
    for node in tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            yield node.value


def _has(folder: Path, module: str, name: str, wanted: str, depth: int) -> bool | None:
    """Whether `wanted` is among a class's direct and indirect base classes; None if some of them are not found."""
    tree = _tree(folder / f"{module}.py")
    own = next((node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == name), None)
    if own is None or depth == 0:
        return None
    elsewhere = {
        (alias.asname or alias.name): (node.module.rpartition(".")[2], alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    open_ends = False
    for base in map(ast.unparse, own.bases):
        plain = base.partition("[")[0]
        if plain == wanted:
            return True
        if plain in NO_MODEL or plain.startswith("Supports") or plain == "IsHybrid":
            continue
        place = elsewhere.get(plain, (module, plain))
        above = _has(folder, *place, wanted, depth - 1)
        if above:
            return True
        open_ends = open_ends or above is None
    return None if open_ends else False
