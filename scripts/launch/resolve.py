"""Resolves a run's settings from layers: profile, the model's family, the method, the user's own settings.

`selu up`, `probe`, `experiment` and `doctor` use it, which gives a model the same settings in each of them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from runtime.settings import Layer, load
from services.models.examine import absolute_model_path, model_path
from services.models.model_json import object_or_empty
from services.models.model_kinds import longest
from services.setting_kinds import with_absolute_paths
from services.settings import Model, Settings

MODELS = Path(__file__).parents[1] / "profiles" / "models"
"""Settings of model families, in files named after the ``model_type`` of config.json."""

STAGES = "stages.json"
"""The file that `scripts.pretrain` writes into a model's folder. The profiles' settings fit such models."""

LENGTH = ("model", "max_model_len")


def resolve(
    file: Path,
    *,
    model: str | Path | None = None,
    over: Sequence[Layer] = (),
    own: Sequence[Layer] = (),
    overrides: Sequence[str] = (),
) -> Settings:
    """Settings from `file`, then the family of `model`, then `over`, then `own`, then the overrides; later ones win.

    If a profile, family or method sets a longer prompt than the model supports, the model's maximum is used. A length
    that the user set, in `own` or in `overrides`, stays, and the preflight refuses it.

    Args:
        file: a profile, or a run's own settings.
        model: a model's folder, or the name of a model in this package; None keeps the model of `file`.
        over: layers of this package that override the family's, such as a method's file.
        own: layers that the user wrote.
        overrides: ``section.key=value``, as given with --set.

    Raises:
        SettingsError: a file, a layer or an override is not valid.
    """
    given: list[Layer] = []
    if model is not None:
        given += [*family_settings(model), ("--model", {"model": {"path": named(model)}})]
    settings = with_absolute_paths(load(Settings, file=file, over=[*given, *over, *own], overrides=overrides))
    if _sets_length(own, overrides) or settings.model.engine == "scripted":
        return settings
    if settings.model.engine == "openai" and not settings.model.path:  # the server's model, without a local folder
        return settings
    most = longest(object_or_empty(model_path(settings.model) / "config.json"))
    if most is None or most >= settings.model.max_model_len:
        return settings
    return msgspec.structs.replace(settings, model=msgspec.structs.replace(settings.model, max_model_len=most))


def named(model: str | Path) -> str:
    """The model as settings name it: a folder by its absolute path, a model of this package or of a hub by its name."""
    return absolute_model_path(str(model))


def family_settings(model: str | Path) -> list[Path]:
    """The settings file of the model's family, as a list of one.

    Empty if the family has none, or if the model was made by `scripts.pretrain`.
    """
    folder = model_path(Model(path=str(model)))
    if (folder / STAGES).is_file():
        return []
    kind = object_or_empty(folder / "config.json").get("model_type")  # the preflight reports a broken folder
    return [file for file in MODELS.glob("*.toml") if file.stem == kind]


def _sets_length(own: Sequence[Layer], overrides: Sequence[str]) -> bool:
    if any(
        ".".join(part.strip() for part in one.partition("=")[0].split(".")) == ".".join(LENGTH) for one in overrides
    ):
        return True
    for layer in own:
        section = None if isinstance(layer, Path) else layer[1].get(LENGTH[0])
        if isinstance(section, Mapping) and LENGTH[1] in section:
            return True
    return False
