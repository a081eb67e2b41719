"""Reads settings from TOML files and ``--set a.b=c`` into a msgspec struct, and writes them as TOML.

The struct defines the settings: fields that are structs are TOML tables, `msgspec.Meta` bounds and `Literal`s are the
allowed values, and field defaults apply to everything that no file sets. This module knows no particular setting.
"""

import difflib
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from runtime.settings_text import Keys, Table, dump
from runtime.text import TextError, is_utf8, read_toml
from runtime.typed import (
    NotAllowedError,
    TypedTables,
    check,
    describe,
    dotted,
    joined,
    parsed,
    read,
    summary,
    toml,
    without_meta,
)

__all__ = ["Layer", "SettingsError", "Table", "TypedTables", "describe", "dump", "load"]

T = TypeVar("T", bound=msgspec.Struct)
Layer = Path | tuple[str, Table]
"""Settings that override others: a file, or a pair of the name to show in errors and a table."""


class SettingsError(Exception):
    """A setting that cannot be used. The text names its source, key, value and the allowed values.

    A process that fails with it is not restarted, because only a person can correct it.
    """


def load(kind: type[T], *, file: Path | None = None, over: Sequence[Layer] = (), overrides: Sequence[str] = ()) -> T:
    """Reads settings: the defaults of `kind`, then `file`, then the layers in `over`, then each ``a.b=c`` of
    `overrides`. Later values replace earlier ones.

    The value of an override is read as its setting's type (`runtime.typed.read`). In a free table with unknown types
    it is read as TOML if it is valid TOML (``3``, ``0.5``, ``true``, ``"text"``), else as text.

    Raises:
        SettingsError: a file cannot be read, a key does not exist, or a value is not allowed.
    """
    settings = kind()
    for one in (*([] if file is None else [file]), *over):
        where, table = (str(one), _read(one)) if isinstance(one, Path) else one
        settings = _apply(settings, table, where, ())
    tables: list[tuple[Sequence[str], str]] = []  # applied last, when the settings that define their types are known
    for override in overrides:
        name, equals, text = override.partition("=")
        path = tuple(part.strip() for part in name.split("."))
        if not equals or not all(path):
            raise SettingsError(f"--set {override}: give it as section.key=value, for example --set run.seed=1")
        if _no_text(text) or _no_text(str(parsed(text))):
            raise SettingsError(f"--set {override}: {name} has bytes that are not text in UTF-8, or a zero byte")
        if _in_table(settings, path):
            tables.append((path, override))
        else:
            settings = _apply(settings, _nested(path, _Text(text.strip())), f"--set {override}", ())
    for path, override in tables:
        text = _Text(override.partition("=")[2].strip())
        settings = _apply(settings, _nested(path, text), f"--set {override}", ())
    return settings


def _in_table(settings: Any, path: Sequence[str]) -> bool:
    """Returns whether a path ends inside a free table."""
    for name in path:
        if isinstance(settings, dict):
            return True
        settings = getattr(settings, name, None) if isinstance(settings, msgspec.Struct) else None
    return False


def _no_text(text: str) -> bool:
    """Returns whether a text cannot be written to a file: it has bytes that are not UTF-8, or a zero byte."""
    return "\0" in text or not is_utf8(text)


def _read(file: Path) -> Table:
    try:
        return read_toml(file)
    except OSError as error:
        raise SettingsError(f"cannot read settings from {file}: {error.strerror or error}") from error
    except TextError as error:
        raise SettingsError(str(error)) from error
    except ValueError as error:  # an invalid path, for example with a zero byte
        raise SettingsError(f"cannot read settings from {file}: {error}") from error


class _Text(str):
    """The value of an override as typed by the user, not yet converted to the setting's type."""


def _nested(path: Sequence[str], value: _Text) -> Table:
    return {path[0]: value if len(path) == 1 else _nested(path[1:], value)}


# -- applying ------------------------------------------------------------------------------------


def _apply(settings: T, table: Table, where: str, above: Keys) -> T:
    """Returns `settings` with the values of `table` applied."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(settings)}
    changes: dict[str, Any] = {}
    free: dict[str, Table] = {}
    for name, value in table.items():
        path = (*above, name)
        if name not in fields:
            raise SettingsError(f"{where}: {_unknown(settings, above, name)}")
        field = fields[name]
        old = getattr(settings, field.name)
        if isinstance(old, msgspec.Struct):
            if isinstance(value, _Text) or not isinstance(value, Mapping):
                names = ", ".join(f.encode_name for f in msgspec.structs.fields(old))
                raise SettingsError(f"{where}: {dotted(path)} is a section, not a value; it has {names}")
            changes[field.name] = _apply(old, cast(Table, value), where, path)
        elif isinstance(old, dict) and isinstance(value, Mapping):
            free[name] = cast(Table, value)
        else:
            changes[field.name] = _leaf(value, field.type, where, path, old)
    settings = msgspec.structs.replace(settings, **changes)
    for name, value in free.items():
        field, path = fields[name], (*above, name)
        old = cast("dict[str, Any]", getattr(settings, field.name))
        both = {**old, **_typed(value, settings, field.name, where, path)}
        settings = msgspec.structs.replace(settings, **{field.name: _leaf(both, field.type, where, path, old)})
    return settings


def _typed(value: Table, settings: msgspec.Struct, field: str, where: str, path: Keys) -> Table:
    """Converts the values of a free table to the types of its keys, as far as they are known."""
    struct = settings.table_type(field) if isinstance(settings, TypedTables) else None
    known = {} if struct is None else {one.encode_name: one for one in msgspec.structs.fields(struct)}

    def read_as(name: str, given: Any) -> Any:
        one = known.get(name)
        if one is None:
            return parsed(given) if isinstance(given, _Text) else given
        return (
            _leaf(given, one.type, where, (*path, name), one.default)
            if isinstance(given, _Text)
            else joined(given, one.type)
        )

    return {name: read_as(name, given) for name, given in value.items()}


def _leaf(value: Any, kind: Any, where: str, path: Keys, old: Any) -> Any:
    shown = parsed(value) if isinstance(value, _Text) else value
    try:
        return read(value, kind) if isinstance(value, _Text) else check(value, kind)
    except NotAllowedError:
        text = f"{where}: {dotted(path)} = {toml(shown)} is not allowed; it takes {describe(kind)}"
    choice = without_meta(kind)
    if typing.get_origin(choice) is typing.Literal:
        text += _did_you_mean(str(shown), [str(one) for one in typing.get_args(choice)])
    if isinstance(value, _Text) and not isinstance(old, msgspec.UnsetType | dict) and old is not None:
        text += f", for example --set {dotted(path)}={old if isinstance(old, str) else toml(old)}"
    raise SettingsError(text + summary(dotted(path[-1:]), kind))


def _unknown(settings: msgspec.Struct, above: Keys, name: str) -> str:
    known = [field.encode_name for field in msgspec.structs.fields(settings)]
    where = f"[{dotted(above)}]" if above else "the settings"
    meant = _did_you_mean(name, known)
    if not meant and not above:  # a key without its section
        meant = _listed([path for path in _paths(settings, ()) if path.rpartition(".")[2] == name])
    return f"there is no setting {dotted((*above, name))}{meant}; {where} has {', '.join(known)}"


def _paths(settings: msgspec.Struct, above: Keys) -> Iterator[str]:
    """Yields the dotted keys of all settings."""
    for field in msgspec.structs.fields(settings):
        old, path = getattr(settings, field.name), (*above, field.encode_name)
        if isinstance(old, msgspec.Struct):
            yield from _paths(old, path)
        else:
            yield dotted(path)


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    same = {one.lower().replace("-", "_"): one for one in known}
    close = difflib.get_close_matches(word.lower().replace("-", "_"), same, n=2)
    return _listed([same[one] for one in close])


def _listed(names: Sequence[str]) -> str:
    return f" (did you mean {' or '.join(names[:3])}?)" if names else ""
