"""docs/SETTINGS.md is what the code says."""

import re

from scripts.settings_page import PAGE, page
from services.setting_kinds import leaves
from services.settings import Settings
from services.worlds.load import options_type


def test_the_page_is_made_from_the_code() -> None:
    written = PAGE.read_text(encoding="utf-8")
    assert written == page(), "write it again: python -m scripts.settings_page"


def test_the_page_has_a_row_for_every_setting() -> None:
    options = [
        f"world.options.{name}"
        for world in ("ai2thor", "virtualhome")
        for name in options_type(world).__struct_fields__
    ]
    rows = re.findall(r"^\| `([\w.]+)` \|", page(), re.MULTILINE)
    assert sorted(rows) == sorted([*leaves(Settings()), *options])
