"""What the options of worlds have in common: read by name, and complaints that say what there is; tasks of users."""

import shlex
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from runtime.paths import given_path
from runtime.text import TextError, read_toml

Seconds = Annotated[float, Meta(gt=0, le=86_400)]

T = TypeVar("T", bound=msgspec.Struct)


def convert_options(given: Mapping[str, Any], kind: type[T], world: str) -> T:
    """The options of a ``world`` by name. Raises ValueError that names the option, what is wrong and what there is."""
    unknown = sorted(set(given) - set(kind.__struct_fields__))
    if unknown:
        raise ValueError(f"{world} has no option {unknown[0]!r}: its options are {', '.join(kind.__struct_fields__)}")
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        name = where.rstrip("`") or "?"
        raise ValueError(f"option {name!r} of {world} is {given.get(name)!r}: {what}") from error


def parts(text: str) -> list[str]:
    """The parts of a list that is written with commas, single spaces in them."""
    return [part for part in (" ".join(piece.split()) for piece in text.split(",")) if part]


def command_words(text: str, option: str) -> list[str]:
    """A command line in words, its program by an absolute path. Raises ValueError for one that cannot be run."""
    try:
        program, *arguments = shlex.split(text) or [""]
    except ValueError as error:
        raise ValueError(f"option {option!r} is {text!r}, which is no command line: {error}") from error
    found = shutil.which(program)
    if found is None:
        raise ValueError(f"option {option!r}: {text!r} cannot be run; is it there, and executable?")
    return [str(Path(found).absolute()), *arguments]


class WrittenTask(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ``[[task]]`` of a person's TOML file. Without an ``instruction`` it is made from the rest."""

    verb: str
    object: Annotated[str, Meta(min_length=1)]
    target: Annotated[str, Meta(min_length=1)] | None = None
    instruction: Annotated[str, Meta(min_length=1, max_length=500)] | None = None


W = TypeVar("W", bound=WrittenTask)


def read_task_file(name: str, kind: type[W], verbs: Collection[str]) -> list[W]:
    """The tasks of a file, with one of these verbs each. Raises ValueError that says which one is wrong, and how."""
    file = given_path(name)
    try:
        read = read_toml(file)
        if not read.get("task"):
            raise ValueError("it has no [[task]]")
        tasks = msgspec.convert(read.pop("task"), list[kind])
        if read:
            raise ValueError(f"it has {sorted(read)[0]!r} beside its [[task]] tables")
    except OSError as error:
        raise ValueError(f"cannot read the task file {file}: {error.strerror or error}") from error
    except TextError as error:
        raise ValueError(f"the task file {error}; see the README for one") from error
    except ValueError as error:
        raise ValueError(f"the task file {file}: {error}; see the README for one") from error
    for number, task in enumerate(tasks, 1):
        try:
            check_task(task.verb, task.target, verbs)
        except ValueError as error:
            raise ValueError(f"the task file {file}, task {number}: {error}") from error
    return tasks


def check_task(verb: str, target: str | None, verbs: Collection[str]) -> None:
    """Raises ValueError for a verb there is not, and for a target where none belongs."""
    if verb not in verbs:
        raise ValueError(f"there is no verb {verb!r} here: use one of {', '.join(verbs)}")
    if (verb == "put") != (target is not None):
        raise ValueError(f"{verb!r} with target {target!r}: a target is for 'put', and 'put' needs one")


def task_id(verb: str, object: str, target: str | None = None) -> str:
    """E.g. "put:apple:fridge": the same for every world and seed."""
    return ":".join(part for part in (verb, object, target) if part)
