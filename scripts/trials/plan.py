"""Experiment files and their trials: one run for each method, seed and base model. Writes nothing."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from protocols.codec import digest
from runtime.paths import expanded, given_path, is_file
from runtime.settings import Layer, SettingsError, dump, load
from runtime.text import TextError, read_text
from scripts.launch.plan import method_file, profile_file
from scripts.launch.resolve import resolve
from scripts.launch.resume import differences
from services import setting_kinds
from services.models.engine import EngineError
from services.models.folder import MICRO, base_model_name, model_folder
from services.setting_kinds import EXECUTION, PATHS, WORLD_EXECUTION, contents, kind_of, leaves
from services.settings import Section, Settings

_NAME_CHARS = 60
"""Most characters of a row's name in a folder's name, which is limited to 255 bytes."""

READY = Path(__file__).parents[1] / "experiments"
"""The experiments in this package."""


class Variant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A further row of the table: a method with additional settings."""

    method: str = "selu"
    settings: dict[str, Any] = {}


class Experiment(Section, frozen=True, kw_only=True):
    """An experiment file. ``methods`` and ``variants`` are the rows of its table.

    Each row is run for every seed on every base model, or once per base model if it trains nothing. ``about`` is the
    question that the experiment answers, in a sentence. ``bases`` are model folders or names of models in this package.
    ``split`` "dev" is for choosing settings, "heldout" for one final report. ``parallel`` is the number of trials at a
    time; 0 takes it from the machine. ``settings`` override the profile's, and each method's settings override these.
    """

    about: str = ""
    profile: str = "household"
    methods: tuple[str, ...] = ()
    variants: dict[str, Variant] = msgspec.field(default_factory=dict[str, Variant])
    seeds: tuple[Annotated[int, Meta(ge=0, le=800)], ...] = (0,)
    bases: tuple[str, ...] = (MICRO.name,)
    rounds: Annotated[int, Meta(ge=1, le=900)] = 2
    quota: Annotated[int, Meta(ge=1, le=10_000)] = 300
    split: Literal["dev", "heldout"] = "dev"
    parallel: Annotated[int, Meta(ge=0, le=1000)] = 0
    settings: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One run. ``row`` is its row in the table, ``base`` the label of its base model. ``overrides`` are settings for
    this machine, which also apply when a run that was begun elsewhere is resumed here."""

    row: str
    base: str
    seed: int
    settings: Settings
    folder: Path
    overrides: tuple[str, ...] = ()

    @property
    def teaches(self) -> bool:
        return self.settings.run.rounds > 0

    @property
    def name(self) -> str:
        return f"{self.base} {self.row}" + (f" seed {self.seed}" if self.teaches else "")


def find(name: str) -> Path:
    """The file of the experiment with that name in this package, else the file with that path."""
    ready = READY / f"{name}.toml"
    return ready if is_file(ready) else expanded(name)


def name_of(file: Path) -> str:
    """A name with which `find` finds the file, on any machine if the experiment is in this package."""
    return file.stem if file.parent == READY else str(file)


def read(file: Path) -> Experiment:
    """Reads an experiment file.

    Raises:
        SettingsError: it cannot be read, or is not valid.
    """
    found = load(Experiment, file=file)
    if not (found.methods or found.variants) or not found.seeds or not found.bases:
        raise SettingsError(f"{file}: give methods or variants, seeds and bases, at least one of each")
    for name, many in (("methods", found.methods), ("seeds", found.seeds), ("bases", found.bases)):
        if len(set(many)) < len(many):
            raise SettingsError(f"{file}: {name} has something twice")
    if both := sorted(set(found.methods) & found.variants.keys()):
        raise SettingsError(f"{file}: {both[0]} is a method and a variant: give the variant another name")
    return found


def labels(bases: tuple[str, ...]) -> dict[str, str]:
    """A short name for each base model: its folder's name, with a number for duplicates."""
    found: dict[str, str] = {}
    for base in bases:
        name = Path(base).name if base else MICRO.name
        if name in ("", ".."):  # the paths "." and ".."
            name = given_path(base).resolve().name or "root"
        taken = [label for label in found.values() if label.rpartition("-")[0] == name or label == name]
        found[base] = f"{name}-{len(taken) + 1}" if taken else name
    return found


def trials(experiment: Experiment, folder: Path, *, file: Path, overrides: Sequence[str] = ()) -> list[Trial]:
    """All trials: base by base, first the rows that train nothing, then seed by seed.

    ``overrides`` are ``a.b=c`` for this machine, of settings that affect only how a trial is executed.

    Raises:
        SettingsError: a profile, method or setting is not valid, or an override would change what is compared.
    """
    for override in overrides:
        key = override.partition("=")[0].strip()
        if key == "run.rounds" or not any(kind_of(key, world) == "execution" for world in WORLD_EXECUTION):
            raise SettingsError(
                f"--set {override}: {key} is part of what is compared: set it in {file}. Here may be set what says how "
                f"a run is executed, e.g. {', '.join(EXECUTION[1:])} (docs/SETTINGS.md has the table)"
            )
    return [
        trial
        for base, label in labels(experiment.bases).items()
        for trial in sorted(_of_base(experiment, folder, file, base, label, overrides), key=lambda trial: trial.teaches)
    ]


def _of_base(
    experiment: Experiment, folder: Path, file: Path, base: str, label: str, overrides: Sequence[str]
) -> Iterator[Trial]:
    rows = {name: Variant(method=name) for name in experiment.methods} | experiment.variants
    for seed in experiment.seeds:
        for row, variant in rows.items():
            settings = _settings(experiment, variant, file, folder, overrides, base=base, seed=seed, row=row)
            if settings.run.rounds or seed == experiment.seeds[0]:
                place = folder / "trials" / label / _plain(row) / (f"seed-{seed}" if settings.run.rounds else "once")
                yield Trial(row=row, base=label, seed=seed, settings=settings, folder=place, overrides=tuple(overrides))


def _settings(
    experiment: Experiment, variant: Variant, file: Path, folder: Path, overrides: Sequence[str], *,
    base: str, seed: int, row: str,
) -> Settings:  # fmt: skip
    common = {
        "run": {"rounds": experiment.rounds, "seed": seed},
        "simulator": {"quota": experiment.quota},
        "evaluator": {"split": experiment.split, "judgement_sets": str(given_path(folder) / "judgements")},
    }
    own: list[Layer] = [
        (str(file), common),
        (f"{file}: settings", experiment.settings),
        method_file(variant.method),
        (f"{file}: variants.{row}.settings", variant.settings),
    ]
    return resolve(profile_file(experiment.profile), model=base, own=own, overrides=overrides)


def _plain(name: str) -> str:
    """A folder's name for a row: the row's name if it is valid, else with a digest, which keeps folders distinct."""
    plain = "".join(letter if letter.isalnum() or letter in "-_.=" else "-" for letter in name)[:_NAME_CHARS]
    odd = plain != name or not name.strip(".")
    return f"{plain}-{digest(name.encode())[:8]}" if odd else plain


def about(experiment: Experiment, row: str) -> str:
    """A row's description: the first line of its method's file, and the variant's settings."""
    variant = experiment.variants.get(row, Variant(method=row))
    line = _first_line(variant.method)
    own = ", ".join(f"{key} = {value}" for key, value in _leaves(variant.settings))
    return f"{line.rstrip('.')}; {own}." if own else line


def _first_line(method: str) -> str:
    """The first line of a method's file if it is a comment, else the file's name."""
    try:
        first = (read_text(method_file(method)).splitlines() or [""])[0]
    except (OSError, TextError, SettingsError):  # deleted since the trials were planned; the row is written without it
        first = ""
    return first.removeprefix("#").strip() if first.startswith("#") and first.strip("# ") else Path(method).stem


def _leaves(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


# -- identity of a trial -------------------------------------------------------------------------


def essence(settings: Settings) -> dict[str, Any]:
    """The settings that define a trial, by dotted key: those of learning, and the number of rounds. Base models are
    fixed in bases.json instead."""
    return {**setting_kinds.essence(settings), "run.rounds": settings.run.rounds}


def settings_digest(settings: list[Settings]) -> str:
    """One digest of the defining settings of all trials."""
    found = [{**essence(one), **contents(one)} for one in settings]
    return digest(msgspec.json.encode(found, order="sorted"))


def base_model(settings: Settings) -> str:
    """The base model's name with its digest; for a server, its address.

    Raises:
        SettingsError: there is no such model.
    """
    if settings.model.engine == "openai":
        return settings.model.url
    if settings.model.engine == "scripted":
        from services.models.scripted_engine import BASE_MODEL

        return BASE_MODEL
    try:
        return base_model_name(model_folder(settings.model))
    except EngineError as error:
        raise SettingsError(str(error)) from error


def check(trial: Trial) -> bool:
    """Whether the trial was begun and can be resumed.

    Raises:
        SettingsError: it was begun with other settings.
    """
    file = trial.folder / "settings.toml"
    if not file.exists():
        return False
    for key, old, new in differences(essence(load(Settings, file=file)), essence(trial.settings)):
        raise SettingsError(
            f"{trial.folder} was run with {key} = {old!r}, but now {key} is to be {new!r}: give --out another folder, "
            "or move this one away"
        )
    return True


def moved(trial: Trial) -> list[str]:
    """Overrides with the current paths, for a trial that was begun before: the experiment's folder, the base model or
    other files may have been moved."""
    before, now = leaves(load(Settings, file=trial.folder / "settings.toml")), leaves(trial.settings)
    keys = [key for key in ("model.path", *PATHS) if now.get(key) and before.get(key) != now.get(key)]
    return [f"{key}={json.dumps(now[key], ensure_ascii=False)}" for key in keys]


def to_toml(trial: Trial) -> str:
    return dump(trial.settings, f"The trial {trial.name}.")
