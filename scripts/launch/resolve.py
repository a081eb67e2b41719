"""The settings of a run, whatever starts it: a profile's, over them those of the model's family, a method's, one's own.

`selu up`, `probe`, `experiment` and `doctor` all ask here, so that a model means the same settings to each of them.
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
"""The settings of a model's family, by the ``model_type`` in its config.json."""

STAGES = "stages.json"
"""What `scripts.pretrain` leaves in a model's folder: how it was made. Profiles are made for such models."""

LENGTH = ("model", "max_model_len")


def resolve(
    file: Path,
    *,
    model: str | Path | None = None,
    over: Sequence[Layer] = (),
    own: Sequence[Layer] = (),
    overrides: Sequence[str] = (),
) -> Settings:
    """Settings from `file`, then those of the family of `model`, those of `over`, of `own`, and the overrides.

    No prompt may be longer than the model takes: where a profile, a family or a method asks for more, the model's own
    length is taken. One that a person set, in `own` or in `overrides`, is left as it is, for the preflight to refuse.

    Args:
        file: the profile's, or a run's own settings.
        model: a model's folder, or the name of one in this package; None is what `file` says.
        over: layers of this package over the family's, such as a method's file.
        own: layers that a person wrote.
        overrides: ``section.key=value``, as given with --set.

    Raises:
        SettingsError: a file, a layer or an override cannot be used.
    """
    given: list[Layer] = []
    if model is not None:
        given += [*family_settings(model), ("--model", {"model": {"path": named(model)}})]
    settings = with_absolute_paths(load(Settings, file=file, over=[*given, *over, *own], overrides=overrides))
    if _sets_length(own, overrides) or settings.model.engine == "scripted":
        return settings
    if settings.model.engine == "openai" and not settings.model.path:  # somebody else's model
        return settings
    most = longest(object_or_empty(model_path(settings.model) / "config.json"))
    if most is None or most >= settings.model.max_model_len:
        return settings
    return msgspec.structs.replace(settings, model=msgspec.structs.replace(settings.model, max_model_len=most))


def named(model: str | Path) -> str:
    """The model as settings name it: a folder by a path that holds wherever it is read; a model of this package, or of
    a hub, by its name."""
    return absolute_model_path(str(model))


def family_settings(model: str | Path) -> list[Path]:
    """The file with the settings of a model's family; none where the family has none of its own, and none for models
    that were made for the household's profile."""
    folder = model_path(Model(path=str(model)))
    if (folder / STAGES).is_file():
        return []
    kind = object_or_empty(folder / "config.json").get("model_type")  # the preflight says what is wrong with the folder
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
