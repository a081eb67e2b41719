"""Writes docs/SETTINGS.md: every setting with its text, its values, and whether a resumed run may change it.

    python -m scripts.settings_page

The page is made from the fields of `services.settings`, of the worlds' options, and from `services.setting_kinds`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from runtime.typed import describe, text_of, toml
from scripts.output import say
from services.setting_kinds import WORLD_LEARNING, Kind, kind_of
from services.settings import Settings
from services.worlds.load import options_type

PAGE = Path(__file__).parents[1] / "docs" / "SETTINGS.md"

INTRODUCTION = """\
# Settings

`python -m scripts.settings_page` writes this page from the code. A profile is a TOML file with these sections
([`scripts/profiles`](../scripts/profiles)), and `--set KEY=VALUE` sets one value. `selu up --dry-run` prints the
settings of a run as such a file, with these texts as comments. The options of each world are at the end.

The column "resume" says whether `selu up --resume RUN --set KEY=VALUE` may change the setting: yes, no, or only as long
as the base model or the contents of the file stay the same. `selu experiment --set` takes the settings that are marked
yes, but for `run.rounds`.
"""

RESUME: dict[Kind, str] = {"execution": "yes", "model": "same base model", "file": "same contents", "learning": "no"}

HEAD = ("| setting | what it does | takes | default | resume |", "|---|---|---|---|---|")


def page() -> str:
    """The whole page."""
    return "\n".join([INTRODUCTION, *_section("", "", Settings()), *_worlds()])


def _section(name: str, text: str, section: msgspec.Struct) -> Iterator[str]:
    """A section's settings, then its subsections."""
    fields = [(field, getattr(section, field.name)) for field in msgspec.structs.fields(section)]
    above = f"{name}." if name else ""
    rows = [
        _row(f"{above}{field.encode_name}", field.type, value)
        for field, value in fields
        if not isinstance(value, msgspec.Struct | dict)
    ]
    if rows:
        yield from _table(f"`[{name}]`", text, rows)
    for field, value in fields:
        if isinstance(value, msgspec.Struct):
            yield from _section(f"{above}{field.encode_name}", text_of(field.type), value)


def _worlds() -> Iterator[str]:
    for world in WORLD_LEARNING:
        options = options_type(world)
        rows = [
            _row(f"world.options.{field.encode_name}", field.type, field.default, world=world)
            for field in msgspec.structs.fields(options)
        ]
        yield from _table(f'`[world.options]` with `world.name = "{world}"`', text_of(options), rows)


def _table(title: str, text: str, rows: list[str]) -> Iterator[str]:
    yield from (f"## {title}", text, "", *HEAD, *rows, "")


def _row(key: str, kind: Any, default: Any, world: str = "household") -> str:
    said = kind_of(key, world)
    assert said is not None, f"name {key} in services/setting_kinds.py"
    cells = (f"`{key}`", text_of(kind), describe(kind), f"`{toml(default)}`", RESUME[said])
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    say(f"wrote {PAGE}")
