"""Classifies settings: those that affect how a run is executed, and those that affect what is learned and measured.

Settings of execution may change when a run is resumed, for example on another machine. Settings of learning may not,
because the run's earlier results would not be comparable with its later ones. Resuming a run, continuing an experiment
and docs/SETTINGS.md use this classification.
"""

import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, cast

import msgspec

from protocols.codec import digest
from runtime.paths import given_path
from runtime.settings import SettingsError
from runtime.text import TextError, decode_text, is_utf8
from services.models.examine import absolute_model_path
from services.settings import Settings
from services.worlds.load import options_type

Kind = Literal["execution", "model", "file", "learning"]
"""Whether a resumed run may change a setting. ``execution``: yes. ``model``: if the base model stays the same.
``file``: if the file's contents stay the same. ``learning``: no."""

EXECUTION = (
    "run.rounds",
    "model.device", "model.threads", "model.max_in_flight", "model.max_model_len", "model.cache_gib",
    "model.gpu_memory", "model.trust_network",
    "simulator.episodes", "simulator.instances", "simulator.step_seconds", "simulator.restarts",
    "critic.in_flight", "relabeler.in_flight", "trainer.threads",
    "evaluator.enabled", "evaluator.episodes", "evaluator.judgement_sets",
    "alarms", "mesh", "retention", "metrics",
)  # fmt: skip
"""A section's name stands for all settings in it."""

MODEL = ("model.engine", "model.path", "model.url")

LEARNING = (
    "run.seed", "world.name", "world.seeds",
    "simulator.quota", "simulator.max_steps", "simulator.max_staleness", "simulator.temperature", "simulator.refine",
    "actor.samples",
    "critic.self_ask", "critic.questions", "critic.findings", "critic.asker", "critic.samples", "critic.phrasing",
    "relabeler.enabled", "relabeler.verbs", "relabeler.trace", "relabeler.asker", "relabeler.phrasing",
    "trainer.learner", "trainer.relabels", "trainer.drop", "trainer.prune", "trainer.rare", "trainer.accept",
    "trainer.shared", "trainer.cut", "trainer.balance", "trainer.negatives", "trainer.replay",
    "trainer.continue_from", "trainer.actor", "trainer.critic", "trainer.min_rows", "trainer.collapse",
    "trainer.holdback", "trainer.critic_margin", "trainer.actor_margin",
    "evaluator.split", "evaluator.tasks", "evaluator.judgements", "evaluator.samples", "evaluator.refine",
)  # fmt: skip

WORLD_EXECUTION = {
    "household": (),
    "ai2thor": (
        "platform", "executable", "display", "headless", "gpu", "server",
        "start_seconds", "reset_seconds", "step_seconds",
    ),
    "virtualhome": ("player", "connect", "display", "gpu", "start_seconds", "reset_seconds", "call_seconds", "starts"),
}  # fmt: skip
"""The options of each world that affect only how it is executed."""

WORLD_FILES = {"household": (), "ai2thor": ("tasks",), "virtualhome": ("tasks", "graphs")}

WORLD_LEARNING = {
    "household": (
        "domain", "shift", "navigate_first", "open_first", "hold_to_break", "knife_to_slice", "n_fixtures", "n_smalls",
        "frame", "max_steps", "admissible",
    ),
    "ai2thor": (
        "scenes", "width", "height", "quality", "fov", "camera_fov", "visibility", "grid", "camera", "start", "shuffle",
        "verbs", "objects_per_verb", "task_seed", "admissible", "max_steps",
    ),
    "virtualhome": (
        "mode", "scenes", "verbs", "per_verb", "task_seed", "arrange", "admissible", "frame", "max_steps", "character",
    ),
}  # fmt: skip

_OPTIONS = "world.options."

PATHS = ("mesh.keys", "metrics.token_file", "evaluator.judgement_sets", "world.options.tasks", "world.options.graphs")
"""The settings that are paths. ``model.path`` is not among them because it may be a model's name."""

COMMANDS = ("world.options.player", "world.options.executable")
"""The settings that are command lines. Their first word may be a path."""


def kind_of(key: str, world: str) -> Kind | None:
    """The kind of a setting, given its dotted key and the world's name. None if there is no such setting."""
    if key.startswith(_OPTIONS):
        option = key.removeprefix(_OPTIONS)
        tables: tuple[tuple[Kind, Mapping[str, tuple[str, ...]]], ...] = (
            ("execution", WORLD_EXECUTION),
            ("file", WORLD_FILES),
            ("learning", WORLD_LEARNING),
        )
        return next((kind for kind, table in tables if option in table.get(world, ())), None)
    groups: tuple[tuple[Kind, tuple[str, ...]], ...] = (
        ("execution", EXECUTION),
        ("model", MODEL),
        ("learning", LEARNING),
    )
    return next((kind for kind, names in groups if any(_is_in(key, name) for name in names)), None)


def _is_in(key: str, name: str) -> bool:
    return key == name or key.startswith(f"{name}.")


def leaves(settings: Settings) -> dict[str, Any]:
    """Every setting by its dotted key. Options of the world that are not set have their defaults."""
    found = dict(_leaves(cast("dict[str, Any]", msgspec.to_builtins(settings))))
    for field in msgspec.structs.fields(options_type(settings.world.name)):
        found.setdefault(f"{_OPTIONS}{field.encode_name}", field.default)
    return found


def _leaves(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(cast("Mapping[str, Any]", value), f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def essence(settings: Settings) -> dict[str, Any]:
    """The settings that define what is learned and measured, by dotted key. For those of kind ``file``: whether set."""
    found: dict[str, Any] = {}
    for key, value in leaves(settings).items():
        match kind_of(key, settings.world.name):
            case "file":
                found[key] = bool(value)
            case "learning" | None:
                found[key] = value
            case _:
                pass
    if settings.trainer.learner == "auto":
        found["trainer.learner"] = "scripted" if settings.model.engine == "scripted" else "peft"
    return found


def contents(settings: Settings) -> dict[str, str]:
    """The digests of the files that settings name, by dotted key. Files that cannot be read are left out."""
    named = [(key, value) for key, value in leaves(settings).items() if kind_of(key, settings.world.name) == "file"]
    return {key: found for key, value in named if value and (found := _content(given_path(str(value))))}


def _content(path: Path) -> str:
    try:
        files = sorted(path.glob("*.json")) if path.is_dir() else [path]
        return digest("\0".join(_text(file) for file in files).encode(errors="surrogateescape"))
    except OSError:
        return ""


def _text(file: Path) -> str:
    data = file.read_bytes()
    try:
        return decode_text(data, str(file))  # normalizes line ends, so that they do not change the digest
    except TextError:
        return data.decode(errors="surrogateescape")


def with_absolute_paths(settings: Settings) -> Settings:
    """The settings with absolute paths, which are valid in any working directory.

    Raises:
        SettingsError: a path is not valid UTF-8 and cannot be stored.
    """
    table = cast("dict[str, Any]", msgspec.to_builtins(settings))
    for key in (*PATHS, "model.path", *COMMANDS):
        *above, name = key.split(".")
        section = table
        for part in above:
            section = section[part]
        value = section.get(name)
        if not isinstance(value, str) or not value:
            continue
        made = _absolute(key, value)
        if not is_utf8(made):
            raise SettingsError(f"{key} {made!r} is not valid UTF-8, so it cannot be stored: rename it")
        section[name] = made
    return msgspec.convert(table, Settings)


def _absolute(key: str, value: str) -> str:
    if key == "model.path":
        return absolute_model_path(value)
    if key not in COMMANDS:
        return str(given_path(value))
    try:
        program, *arguments = shlex.split(value) or [""]
    except ValueError:  # the world reports the malformed command
        return value
    if os.sep not in program:
        return value
    return shlex.join([str(given_path(program)), *arguments])
