"""Shared handling of world options and task files: converts values by name and explains errors."""

import re
import shlex
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast, get_args, get_origin

import msgspec
from msgspec import Meta

from runtime.paths import given_path
from runtime.text import TextError, read_toml
from runtime.typed import LISTED, describe, joined, summary
from services.worlds.spelling import did_you_mean, spelled
from services.worlds.verbs import VERBS

Seconds = Annotated[float, Meta(gt=0, le=86_400)]

T = TypeVar("T", bound=msgspec.Struct)


Listed = Annotated[str, Meta(extra=LISTED)]
"""A list option: comma-separated text, or a list."""


def convert_options(given: Mapping[str, Any], kind: type[T], world: str) -> T:
    """Converts the options of a ``world``. Raises ValueError that names the option, the fault and the allowed values.

    A number for a text option becomes text, and a list for a `Listed` option is joined with commas.
    """
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    unknown = sorted(set(given) - set(fields))
    if unknown:
        near = did_you_mean(unknown[0], fields)
        raise ValueError(f"{world} has no option {unknown[0]!r}{near}: its options are {', '.join(fields)}")
    values = {name: _as_text(joined(value, fields[name].type), fields[name].type) for name, value in given.items()}
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        name = where.rstrip("`") or "?"
        takes = f"; it takes {describe(fields[name].type)}{summary(name, fields[name].type)}" if name in fields else ""
        raise ValueError(f"option {name!r} of {world} is {given.get(name)!r}: {what}{takes}") from error


def _as_text(value: Any, kind: Any) -> Any:
    """Converts a number to text if the option accepts only text."""
    text = kind is str or (get_origin(kind) is Annotated and get_args(kind)[0] is str)
    return str(value) if text and isinstance(value, int | float) and not isinstance(value, bool) else value


def parts(text: str) -> list[str]:
    """Splits comma-separated text; whitespace inside a part becomes single spaces."""
    return [part for part in (" ".join(piece.split()) for piece in text.split(",")) if part]


_RANGE = re.compile(r"(?P<first>[0-9]{1,9})(?:\s*-\s*(?P<last>[0-9]{1,9}))?")


def number_range(text: str, most: int) -> range | None:
    """Returns the numbers in "7" or "3-7"; None for any other text, or if a number is larger than ``most``."""
    found = _RANGE.fullmatch(text.strip())
    if found is None:
        return None
    first = int(found["first"])
    last = int(found["last"] or first)
    return range(first, last + 1) if first <= last <= most else None


def command_words(text: str, option: str) -> list[str]:
    """Splits a command line and makes its program's path absolute. Raises ValueError if the program cannot be run."""
    try:
        program, *arguments = shlex.split(text) or [""]
    except ValueError as error:
        raise ValueError(f"option {option!r} is {text!r}, which is no command line: {error}") from error
    found = shutil.which(program)
    if found is None:
        raise ValueError(f"option {option!r}: {text!r} cannot be run; is it there, and executable?")
    return [str(Path(found).absolute()), *arguments]


class WrittenTask(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ``[[task]]`` of a user's TOML file. Without ``instruction``, it is made from the other fields."""

    verb: str
    object: Annotated[str, Meta(min_length=1)]
    target: Annotated[str, Meta(min_length=1)] | None = None
    instruction: Annotated[str, Meta(min_length=1, max_length=500)] | None = None


W = TypeVar("W", bound=WrittenTask)


def read_task_file(name: str, kind: type[W], verbs: Collection[str]) -> list[W]:
    """Reads the tasks of a file, each with one of ``verbs``. Raises ValueError that names the invalid task and why."""
    file = given_path(name)
    try:
        read = read_toml(file)
        listed = read.pop("task", None)
        if read:
            raise ValueError(f"it has {sorted(read)[0]!r}, where it may have [[task]] tables alone")
        if not listed:
            raise ValueError("it has no [[task]]")
        if not isinstance(listed, list):
            raise ValueError("each task begins with [[task]], in two brackets")
        tasks = [_written(one, kind, number) for number, one in enumerate(cast("list[Any]", listed), 1)]
    except OSError as error:
        raise ValueError(f"cannot read the task file {file}: {error.strerror or error}") from error
    except TextError as error:
        raise ValueError(f"the task file {error}; README.md has an example") from error
    except ValueError as error:
        raise ValueError(f"the task file {file}: {error}; see the README for one") from error
    tasks = [msgspec.structs.replace(task, verb=verb_named(task.verb)) for task in tasks]
    for number, task in enumerate(tasks, 1):
        try:
            check_task(task.verb, task.target, verbs)
        except ValueError as error:
            raise ValueError(f"the task file {file}, task {number}: {error}") from error
    return tasks


def _written(table: Any, kind: type[W], number: int) -> W:
    """Converts one task of a file. Raises ValueError that names the task, the key and the allowed keys."""
    if not isinstance(table, dict):
        raise ValueError(f"task {number} is no table: begin it with [[task]]")
    given = cast("dict[str, Any]", table)
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    if unknown := sorted(given.keys() - fields.keys()):
        near = did_you_mean(unknown[0], fields)
        raise ValueError(f"task {number} has a key {unknown[0]!r}{near}: a task has {', '.join(fields)}")
    if missing := [name for name, field in fields.items() if field.required and name not in given]:
        raise ValueError(f"task {number} has no {missing[0]!r}, which every task needs")
    for name, value in given.items():
        if isinstance(value, str) and not value.strip():
            raise ValueError(f"task {number} has an empty {name!r}: write something there, or leave it out")
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        name = where.rstrip("`")
        takes = f"; it takes {describe(fields[name].type)}" if name in fields else ""
        raise ValueError(f"task {number} has {name} = {given.get(name)!r}: {what}{takes}") from error


def verb_named(name: str) -> str:
    """Returns the verb for a name or phrase: "Pick" and "pick up" give "pick". Any other text is returned unchanged."""
    wanted = spelled(name)
    return next((verb.name for verb in VERBS.values() if wanted in (verb.name, spelled(verb.phrase))), name)


def check_task(verb: str, target: str | None, verbs: Collection[str]) -> None:
    """Raises ValueError for an unknown verb, and for a target that is missing or not allowed."""
    if verb not in verbs:
        raise ValueError(f"there is no verb {verb!r} here{did_you_mean(verb, verbs)}: use one of {', '.join(verbs)}")
    if (verb == "put") != (target is not None):
        raise ValueError(f"{verb!r} with target {target!r}: a target is for 'put', and 'put' needs one")


def task_id(verb: str, object: str, target: str | None = None) -> str:
    """Returns e.g. "put:apple:fridge", which is the same for every world and seed."""
    return ":".join(part for part in (verb, object, target) if part)
