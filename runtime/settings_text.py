"""Writes settings as TOML, optionally with the text of each setting as a comment."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, cast

import msgspec

from runtime.typed import TypedTables, describe, dotted, key, text_of, toml

Table = Mapping[str, Any]
Keys = tuple[str, ...]
"""The path of a setting: its sections' names, then its own."""

COLUMNS = 100
"""The longest line of a comment."""


def dump(settings: msgspec.Struct, title: str = "", *, comments: bool = False) -> str:
    """Returns the settings as TOML, including all defaults; `load` reads the same settings back.

    ``title`` becomes comments at the head. TOML has no null value, so settings that are None are left out. With
    ``comments``, a comment before each section and setting gives its text and the allowed values. Keys that a free
    table could have and does not have are commented out, with their defaults.
    """
    lines = [f"# {line}" for line in title.splitlines()]
    texts = dict(_comments(settings, ())) if comments else {}
    _write(cast("Table", msgspec.to_builtins(settings)), (), texts, lines)
    return "\n".join(lines).lstrip("\n") + "\n"


class _Comment(msgspec.Struct, frozen=True):
    """The text of a section or a setting, and the ``default`` of a setting that is not set."""

    text: str
    default: Any = msgspec.UNSET

    @property
    def lines(self) -> list[str]:
        wrapped = textwrap.wrap(self.text, COLUMNS - 2, break_on_hyphens=False)
        return [f"# {line}" for line in wrapped]


_NO_COMMENT = _Comment("")


def _write(table: Table, path: Keys, comments: Mapping[Keys, _Comment], lines: list[str]) -> None:
    """Appends a table's header, its values, its unset keys as comments, and its subtables."""
    import tomli_w  # imported here: only processes that write settings need it

    plain = {name: value for name, value in table.items() if not isinstance(value, Mapping) and value is not None}
    nested = {name: cast("Table", value) for name, value in table.items() if isinstance(value, Mapping)}
    if path and (plain or not nested):
        lines += ["", *comments.get(path, _NO_COMMENT).lines, f"[{dotted(path)}]"]
    for name, value in plain.items():
        about = comments.get((*path, name), _NO_COMMENT).lines
        lines += [*([""] if about else []), *about, tomli_w.dumps({name: value}).removesuffix("\n")]
    for one, comment in comments.items():
        if one[:-1] == path and one[-1] not in table and comment.default is not msgspec.UNSET:
            lines += ["", *comment.lines, f"# {key(one[-1])} = {toml(comment.default)}"]
    for name, value in nested.items():
        _write(value, (*path, name), comments, lines)


def _comments(settings: msgspec.Struct, above: Keys) -> Iterator[tuple[Keys, _Comment]]:
    """Yields the path and comment of every section and setting."""
    for field in msgspec.structs.fields(settings):
        value, path = getattr(settings, field.name), (*above, field.encode_name)
        if isinstance(value, msgspec.Struct):
            yield path, _Comment(text_of(field.type))
            yield from _comments(value, path)
        elif isinstance(value, dict):
            yield path, _Comment(text_of(field.type))
            struct = settings.table_type(field.name) if isinstance(settings, TypedTables) else None
            for one in () if struct is None else msgspec.structs.fields(struct):
                yield (*path, one.encode_name), _Comment(_about(one.type), one.default)
        else:
            yield path, _Comment(_about(field.type))


def _about(kind: Any) -> str:
    """Returns the text of a setting and the values that it takes."""
    return f"{text} Takes {describe(kind)}." if (text := text_of(kind)) else ""
