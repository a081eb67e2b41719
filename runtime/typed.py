"""Types of settings: converts typed text to a setting's type, and describes the type in words.

The type of a setting carries the setting's text and unit (`doc`). Errors, comments and pages are made from them.
"""

import json
import math
import re
import tomllib
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

import msgspec

LISTED = {"listed": True}
"""`msgspec.Meta.extra` of a text that is a comma-separated list; a TOML list is accepted as well."""

UNIT = "x-unit"
"""The key of a unit in a JSON Schema, which has no standard key for units and allows "x-" keys."""

_WORDS = {"yes": True, "on": True, "true": True, "1": True, "no": False, "off": False, "false": False, "0": False}
_SENTENCE_END = re.compile(r"(?<=[.!?]) (?=[A-Z0-9\"])")
_ITEM = re.compile(r"""\s*("[^"]*"|'[^']*'|[^,]*?)\s*(?:,|$)""")


class NotAllowedError(ValueError):
    """The type does not accept the value, or any interpretation of the text."""


@typing.runtime_checkable
class TypedTables(typing.Protocol):
    """A struct with a free table whose keys' types depend on other settings."""

    def table_type(self, field: str) -> type[msgspec.Struct] | None:
        """Returns the struct whose fields define the types of the table's keys, or None if they are unknown."""
        ...


def read(text: str, kind: Any) -> Any:
    """Converts a text to a type: a TOML value if the type accepts that; also "5" as text, yes and no as booleans, 1e3
    as an integer, and comma-separated words as a list. Raises NotAllowedError."""
    for candidate in _readings(text, kind):
        with suppress(NotAllowedError):
            return check(candidate, kind)
    raise NotAllowedError


def check(value: Any, kind: Any) -> Any:
    """Validates a value and converts it to the type. Raises NotAllowedError."""
    try:
        converted = msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise NotAllowedError from error
    if not _finite(converted):
        raise NotAllowedError
    return converted


def parsed(text: str) -> Any:
    """Parses a text as a TOML value; returns the text itself if it is not one."""
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # not TOML, too many digits, or too deeply nested
        return str(text)
    # A newline in the text could define further keys.
    return table["value"] if len(table) == 1 else str(text)


def joined(value: Any, kind: Any) -> Any:
    """Converts a list to comma-separated text if the type is such a text; returns other values unchanged."""
    if isinstance(value, list) and _is_listed(kind):
        return ", ".join(map(str, cast("list[Any]", value)))
    return cast(Any, value)


def _readings(text: str, kind: Any) -> Iterator[Any]:
    """Yields the possible interpretations of a text, the most likely first."""
    value = parsed(text)
    bracketed = len(text) > 1 and text[0] == "[" and text[-1] == "]"
    if bracketed and isinstance(value, str) and _is_listed(kind):
        yield ", ".join(_items(text[1:-1]))
    yield joined(value, kind)
    yield str(text)
    word = text.strip().lower()
    if word in _WORDS:
        yield _WORDS[word]
    try:
        number = float(word)
    except ValueError:
        pass
    else:
        yield number
        if math.isfinite(number) and number.is_integer():
            yield int(number)
    if _takes_list(kind):
        items = _items(text[1:-1] if bracketed else text)
        yield [parsed(item) for item in items]
        yield [item.strip("\"'") for item in items]


def _items(text: str) -> list[str]:
    """Splits a comma-separated list. Quoted items may contain commas."""
    return [found[1] for found in _ITEM.finditer(text) if found[1]]


def _finite(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_finite, cast("tuple[Any, ...]", value)))
    return not isinstance(value, float) or math.isfinite(value)


def _parts(info: msgspec.inspect.Type) -> tuple[msgspec.inspect.Type, ...]:
    if isinstance(info, msgspec.inspect.Metadata):
        return _parts(info.type)
    return info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)


def _takes_list(kind: Any) -> bool:
    return any(
        isinstance(part, msgspec.inspect.ListType | msgspec.inspect.VarTupleType)
        for part in _parts(msgspec.inspect.type_info(kind))
    )


def _is_listed(kind: Any) -> bool:
    return any(getattr(one, "extra", None) == LISTED for one in typing.get_args(kind)[1:])


# -- in words ------------------------------------------------------------------------------------


def doc(description: str, *, unit: str = "") -> msgspec.Meta:
    """Attaches a text and a unit to a setting's type: ``rank: Annotated[int, doc("Rank of the adapter.")]``.

    `msgspec.json.schema` writes both into the JSON Schema. Errors show the first sentence.
    """
    return msgspec.Meta(description=description, extra_json_schema={UNIT: unit} if unit else None)


def text_of(kind: Any) -> str:
    """Returns the text from `doc`; for a struct without one, the first paragraph of its docstring; else empty."""
    said = _schema(kind).get("description")
    if said is None and isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        said = " ".join((kind.__doc__ or "").partition("\n\n")[0].split())
    return said or ""


def summary(name: str, kind: Any) -> str:
    """Returns the first sentence of a setting's text, to append to an error; empty without a text."""
    text = text_of(kind)
    return f". {name}: {_SENTENCE_END.split(text, maxsplit=1)[0]}" if text else ""


def unit_of(kind: Any) -> str:
    """Returns the unit from `doc`, or an empty text."""
    return _schema(kind).get(UNIT, "")


def without_meta(kind: Any) -> Any:
    """Returns the type without text, bounds and unit."""
    return typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind


def _schema(kind: Any) -> Mapping[str, str]:
    """Returns the entries that a type adds to its JSON Schema."""
    if typing.get_origin(kind) is not typing.Annotated:
        return {}
    info = msgspec.inspect.type_info(kind)
    schema = info.extra_json_schema if isinstance(info, msgspec.inspect.Metadata) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return cast("Mapping[str, str]", schema or {})


def describe(kind: Any) -> str:
    """Describes the values that a type of setting allows: "an integer from 1 to 10000", "one of "off", "paper"", ..."""
    choice, unit = without_meta(kind), unit_of(kind)
    if typing.get_origin(choice) is typing.Literal:
        return "one of " + ", ".join(toml(one) for one in typing.get_args(choice))  # in their own order
    return _in_words(msgspec.inspect.type_info(kind)) + (f", in {unit}" if unit else "")


def _in_words(info: msgspec.inspect.Type) -> str:
    match info:
        case msgspec.inspect.Metadata():
            listed = ", a list with commas" if cast(Any, info.extra) == LISTED else ""
            return _in_words(info.type) + listed
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.IntType():
            return "an integer" + _bounds(info)
        case msgspec.inspect.FloatType():
            return "a finite number" + _bounds(info)
        case msgspec.inspect.StrType():
            return "text"
        case msgspec.inspect.LiteralType():
            return ("one of " if len(info.values) > 1 else "") + ", ".join(toml(value) for value in info.values)
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


# -- as TOML, on one line of an error --------------------------------------------------------------


def key(name: str) -> str:
    """Returns a TOML key, quoted if necessary."""
    bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if bare else toml(name)


def dotted(path: Sequence[str]) -> str:
    """Returns the TOML key of a path, as in a table's header."""
    return ".".join(key(part) for part in path)


def toml(value: Any) -> str:
    """Returns a value as TOML. Other types (a date from a file, in an error) are shown by `str`."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            # A JSON string is a TOML string, except that TOML requires DEL to be escaped.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case float() if math.isnan(value) or math.isinf(value):
            return f"{value}"
        case int() | float():
            return repr(value)
        case list() | tuple():
            return "[" + ", ".join(toml(item) for item in cast("Sequence[Any]", value)) + "]"
        case dict():
            items = cast("dict[str, Any]", value).items()
            return "{" + ", ".join(f"{key(name)} = {toml(item)}" for name, item in items) + "}"
        case _:
            return str(value)
