"""Writes settings as TOML, on request with the text of each setting as a comment."""

import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, cast

import msgspec

from runtime.typed import TypedTables, describe, key, text_of, toml

Table = Mapping[str, Any]
Keys = tuple[str, ...]
"""The names of the sections above a setting, and its own."""

COLUMNS = 100
"""The longest line of a comment."""


def dump(settings: msgspec.Struct, title: str = "", *, comments: bool = False) -> str:
    """The settings as TOML, every value written out; `load` reads the same settings back.

    ``title`` becomes comments at the head. TOML has no value for None, so a setting that is None is left out. With
    ``comments`` each section and setting follows its text and the values that it takes, and the keys that a free table
    could have and does not have are comments with their defaults.
    """
    import tomli_w  # only processes that write settings pay for it

    head = "".join(f"# {line}\n" for line in title.splitlines())
    text = tomli_w.dumps(_without_none(cast("dict[str, Any]", msgspec.to_builtins(settings))))
    if comments:
        text = _commented(text, dict(_comments(settings, ())))
    return head + ("\n" if head and text.startswith("[") else "") + text


def _without_none(table: Table) -> dict[str, Any]:
    return {
        name: _without_none(cast(Table, value)) if isinstance(value, Mapping) else value
        for name, value in table.items()
        if value is not None
    }


class _Comment(msgspec.Struct, frozen=True):
    """The text of a section or a setting; with the ``default`` that holds for one that is not set."""

    text: str
    default: Any = msgspec.UNSET

    @property
    def lines(self) -> list[str]:
        wrapped = textwrap.wrap(self.text, COLUMNS - 2, break_on_hyphens=False)
        return [f"# {line}" for line in wrapped]


_NO_COMMENT = _Comment("")


def _commented(text: str, comments: Mapping[Keys, _Comment]) -> str:
    """tomli_w's text with comments. Its lines are headers, ``key = value``, and the indented rest of a list."""
    lines: list[str] = []
    table: Keys = ()
    written: set[Keys] = set()

    def unset() -> None:
        """The keys that the table which ends here could have."""
        for path, comment in comments.items():
            if path[:-1] == table and path not in written and comment.default is not msgspec.UNSET:
                lines.extend(["", *comment.lines, f"# {key(path[-1])} = {toml(comment.default)}"])

    for line in text.removesuffix("\n").split("\n"):
        if line.startswith("["):
            table = _path(line)
            lines += [*comments.get(table, _NO_COMMENT).lines, line]
        elif not line:  # before the next header
            unset()
            lines.append(line)
        elif line[0] in " ]":
            lines.append(line)
        else:
            (name,) = tomllib.loads(line[:-1] + "0" if line.endswith(" = [") else line)
            path = (*table, name)
            written.add(path)
            about = comments.get(path, _NO_COMMENT).lines
            lines += [*([""] if about else []), *about, line]
    unset()
    return "\n".join(lines).lstrip("\n") + "\n"


def _path(header: str) -> Keys:
    """The keys of a table's header."""
    path: Keys = ()
    inside: dict[str, Any] = tomllib.loads(header)
    while inside:
        ((name, inside),) = inside.items()
        path += (name,)
    return path


def _comments(settings: msgspec.Struct, above: Keys) -> Iterator[tuple[Keys, _Comment]]:
    """The comments of every section and every setting, by their paths."""
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
    """The text of a setting and the values that it takes."""
    return f"{text} Takes {describe(kind)}." if (text := text_of(kind)) else ""
