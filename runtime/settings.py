"""Settings from TOML files and ``--set a.b=c`` into a msgspec struct and back, with errors a person can act on.

The struct says what can be set: its fields that are structs are TOML tables, `msgspec.Meta` bounds and `Literal`s are
the allowed values, and its defaults stand for what no file names. Nothing here knows which settings there are.
"""

import difflib
import json
import math
import tomllib
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from runtime.text import TextError, read_toml

T = TypeVar("T", bound=msgspec.Struct)
Table = Mapping[str, Any]
Layer = Path | tuple[str, Table]
"""Settings that go over others: a file, or a table and what to call it in an error."""


class SettingsError(Exception):
    """A setting that cannot be used. The text names where it was set, its key, its value and what is allowed.

    A process that ends with it is not started again: only a person can mend it.
    """


def load(kind: type[T], *, file: Path | None = None, over: Sequence[Layer] = (), overrides: Sequence[str] = ()) -> T:
    """Reads settings: the defaults of `kind`, then the file's values over them, then those of the layers in `over`, one
    over the other, then each ``a.b=c`` of `overrides`.

    A value of an override is read as TOML where it is TOML (``3``, ``0.5``, ``true``, ``[1, 2]``, ``"text"``) and as
    text where it is not.

    Raises:
        SettingsError: a file cannot be read, a key does not exist, or a value is not allowed.
    """
    settings = kind()
    for one in (*([] if file is None else [file]), *over):
        where, table = (str(one), _read(one)) if isinstance(one, Path) else one
        settings = _apply(settings, table, where, ())
    for override in overrides:
        key, equals, text = override.partition("=")
        path = tuple(part.strip() for part in key.split("."))
        if not equals or not all(path):
            raise SettingsError(f"--set {override}: give it as section.key=value, for example --set run.seed=1")
        if _no_text(text) or _no_text(str(_parsed(_Text(text)))):
            raise SettingsError(f"--set {override}: it has bytes that are not text in UTF-8, or a zero byte")
        settings = _apply(settings, _nested(path, _Text(text.strip())), f"--set {override}", ())
    return settings


def _no_text(text: str) -> bool:
    """Whether it cannot be written into a file: bytes of a name that are not UTF-8, or a zero byte."""
    return "\0" in text or text != text.encode(errors="replace").decode()


def _read(file: Path) -> Table:
    try:
        return read_toml(file)
    except OSError as error:
        raise SettingsError(f"cannot read settings from {file}: {error.strerror or error}") from error
    except TextError as error:
        raise SettingsError(str(error)) from error
    except ValueError as error:  # a path that can be none
        raise SettingsError(f"cannot read settings from {file}: {error}") from error


class _Text(str):
    """An override's value as it was typed: a text to a setting that takes text, else what it is as TOML."""


def _nested(path: Sequence[str], value: _Text) -> Table:
    return {path[0]: value if len(path) == 1 else _nested(path[1:], value)}


def _parsed(text: _Text) -> Any:
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # no TOML, a number with thousands of digits, brackets in brackets
        return str(text)
    # A newline inside the text could otherwise say more than one thing.
    return table["value"] if len(table) == 1 else str(text)


# -- applying ------------------------------------------------------------------------------------


def _apply(settings: T, table: Table, where: str, above: tuple[str, ...]) -> T:
    """`settings` with the values of `table` over it."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(settings)}
    changes: dict[str, Any] = {}
    for name, value in table.items():
        path = (*above, name)
        if name not in fields:
            raise SettingsError(f"{where}: {_unknown(above, name, list(fields))}")
        field = fields[name]
        old = getattr(settings, field.name)
        if isinstance(old, msgspec.Struct):
            if isinstance(value, _Text) or not isinstance(value, Mapping):
                names = ", ".join(f.encode_name for f in msgspec.structs.fields(old))
                raise SettingsError(f"{where}: {_dotted(path)} is a section, not a value; it has {names}")
            changes[field.name] = _apply(old, cast(Table, value), where, path)
        else:
            if isinstance(old, dict) and isinstance(value, Mapping):
                table_value = cast(Table, value)
                typed = {k: _parsed(v) if isinstance(v, _Text) else v for k, v in table_value.items()}
                value = {**cast("dict[str, Any]", old), **typed}
            changes[field.name] = _leaf(value, field.type, where, path)
    return msgspec.structs.replace(settings, **changes)


def _leaf(value: Any, kind: Any, where: str, path: tuple[str, ...]) -> Any:
    tries = [_parsed(value), str(value)] if isinstance(value, _Text) else [value]
    for candidate in tries:
        try:
            converted = msgspec.convert(candidate, kind)
        except msgspec.ValidationError:
            continue
        if not isinstance(converted, float) or math.isfinite(converted):
            return converted
    shown = _toml(tries[0])
    text = f"{where}: {_dotted(path)} = {shown} is not allowed; it takes {describe(kind)}"
    if typing.get_origin(kind) is typing.Literal:
        text += _did_you_mean(str(tries[0]), [str(choice) for choice in typing.get_args(kind)])
    raise SettingsError(text)


def _unknown(above: tuple[str, ...], name: str, known: list[str]) -> str:
    where = f"[{_dotted(above)}]" if above else "the settings"
    path = _dotted((*above, name))
    return f"there is no setting {path}{_did_you_mean(name, known)}; {where} has {', '.join(known)}"


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def describe(kind: Any) -> str:
    """What a type of setting takes, in words: "an integer from 1 to 10000", "one of "off", "paper"", ..."""
    if typing.get_origin(kind) is typing.Literal:
        return "one of " + ", ".join(_toml(choice) for choice in typing.get_args(kind))
    return _in_words(msgspec.inspect.type_info(kind))


def _in_words(info: msgspec.inspect.Type) -> str:
    match info:
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.IntType():
            return "an integer" + _bounds(info)
        case msgspec.inspect.FloatType():
            return "a finite number" + _bounds(info)
        case msgspec.inspect.StrType():
            return "text"
        case msgspec.inspect.LiteralType():
            return "one of " + ", ".join(_toml(value) for value in info.values)
        case msgspec.inspect.DictType():
            return f"a table of {_in_words(info.value_type)}"
        case msgspec.inspect.ListType() | msgspec.inspect.VarTupleType():
            return f"a list of {_in_words(info.item_type)}"
        case msgspec.inspect.UnionType():
            return " or ".join(_in_words(part) for part in info.types if not isinstance(part, msgspec.inspect.NoneType))
        case _:
            return type(info).__name__.removesuffix("Type").lower()


def _bounds(info: msgspec.inspect.IntType | msgspec.inspect.FloatType) -> str:
    if info.ge is not None and info.le is not None:
        return f" from {info.ge:g} to {info.le:g}" if isinstance(info.ge, float) else f" from {info.ge} to {info.le}"
    parts = [
        f"{word} {bound}"
        for word, bound in (("at least", info.ge), ("over", info.gt), ("at most", info.le), ("under", info.lt))
        if bound is not None
    ]
    return " " + " and ".join(parts) if parts else ""


# -- writing -------------------------------------------------------------------------------------


def dump(settings: msgspec.Struct, title: str = "") -> str:
    """The settings as TOML, every value written out; `load` reads the same settings back."""
    lines = [f"# {line}" for line in title.splitlines()]
    _dump_table(cast("dict[str, Any]", msgspec.to_builtins(settings)), (), lines)
    return "\n".join(lines).lstrip("\n") + "\n"


def _dump_table(table: Table, path: tuple[str, ...], lines: list[str]) -> None:
    plain = {name: value for name, value in table.items() if not isinstance(value, Mapping) and value is not None}
    nested = {name: cast(Table, value) for name, value in table.items() if isinstance(value, Mapping)}
    if path and (plain or not nested):
        lines += ["", f"[{_dotted(path)}]"]
    lines += [f"{_key(name)} = {_toml(value)}" for name, value in plain.items()]
    for name, value in nested.items():
        _dump_table(value, (*path, name), lines)


def _dotted(path: Sequence[str]) -> str:
    return ".".join(_key(part) for part in path)


def _key(name: str) -> str:
    bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if bare else _toml(name)


def _toml(value: Any) -> str:
    """One value in TOML. What TOML cannot say (a date from a file, in an error) is shown as Python would."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            # A JSON text is a TOML text, but for DEL, which TOML wants escaped too.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case float() if math.isnan(value) or math.isinf(value):
            return f"{value}"
        case int() | float():
            return repr(value)
        case list() | tuple():
            return "[" + ", ".join(_toml(item) for item in cast("Sequence[Any]", value)) + "]"
        case dict():
            items = cast("dict[str, Any]", value).items()
            return "{" + ", ".join(f"{_key(name)} = {_toml(item)}" for name, item in items) + "}"
        case _:
            return str(value)
