"""Every setting says what it is: in the code, in the JSON Schema, on the page and in errors."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from runtime.settings import SettingsError, load
from runtime.typed import describe, text_of, unit_of
from services.settings import Settings
from services.worlds.ai2thor.options import read_options
from services.worlds.load import options_type

WORLDS = ("household", "ai2thor", "virtualhome")

UNITS = {
    r"(^|_)seconds$": "seconds",
    r"(^|_)gib$": "GiB",
    r"(^|_)(len|tokens)$": "tokens",
    r"^(frame|width|height)$": "pixels",
    r"^(camera_)?fov$": "degrees",
    r"^(visibility|grid)$": "metres",
}
"""The unit of a number, by its setting's name."""

PRIVATE = ("D_c", "D_a", "fold", "ballot", "canary", "blob", "pilot", "keeper", "doubtful", "held back", "let go")
"""Words of this code that its users do not know."""


def named(struct: type[msgspec.Struct], above: str) -> Iterator[tuple[str, msgspec.structs.FieldInfo]]:
    """Every field of a struct and of those in it, by its dotted key."""
    for field in msgspec.structs.fields(struct):
        yield f"{above}{field.encode_name}", field
        if isinstance(field.default, msgspec.Struct):
            yield from named(type(field.default), f"{above}{field.encode_name}.")


OPTIONS = {f"{world}: world.options.{key}": field for world in WORLDS for key, field in named(options_type(world), "")}
FIELDS = {**dict(named(Settings, "")), **OPTIONS}
KEYS = {key.partition(": ")[2] or key for key in FIELDS}

every_setting = pytest.mark.parametrize("key", FIELDS)


@every_setting
def test_every_setting_has_a_text_of_whole_sentences(key: str) -> None:
    text = text_of(FIELDS[key].type)
    assert re.fullmatch(r"[A-Z\"].*[^.]\.", text), text
    assert "\n" not in text and "  " not in text


@every_setting
def test_a_text_uses_no_word_of_the_codes_own(key: str) -> None:
    words = re.findall(rf"\b({'|'.join(PRIVATE)})s?\b", text_of(FIELDS[key].type))
    assert not words


@every_setting
def test_the_settings_that_a_text_names_are_there(key: str) -> None:
    sections = "|".join(Settings.__struct_fields__)
    said = re.findall(rf"\b((?:{sections})(?:\.[a-z]\w*)+)", text_of(FIELDS[key].type))
    assert set(said) <= KEYS


@every_setting
def test_a_value_that_means_something_else_is_explained(key: str) -> None:
    field, text = FIELDS[key], text_of(FIELDS[key].type)
    if field.default == "":
        assert "Empty:" in text
    if field.default == -1:
        assert "-1 " in text
    if "auto" in describe(field.type):
        assert '"auto"' in text


@every_setting
def test_a_number_has_the_unit_of_its_kind(key: str) -> None:
    name = key.rpartition(".")[2]
    expected = next((unit for pattern, unit in UNITS.items() if re.search(pattern, name)), "")
    assert unit_of(FIELDS[key].type) == expected
    assert not expected or describe(FIELDS[key].type).endswith(f", in {expected}")


def test_no_two_settings_of_a_section_have_the_same_text() -> None:
    texts: dict[tuple[str, str], str] = {}
    for key, field in FIELDS.items():
        known = texts.setdefault((key.rpartition(".")[0], text_of(field.type)), key)
        assert known == key


@pytest.mark.parametrize("struct", [Settings, *map(options_type, WORLDS)])
def test_the_json_schema_has_texts_units_bounds_and_defaults(struct: type[msgspec.Struct]) -> None:
    definitions: dict[str, Any] = msgspec.json.schema(struct)["$defs"]
    shown = {name: part for one in definitions.values() for name, part in one["properties"].items()}
    assert all("description" in part for name, part in shown.items() if "$ref" not in part), shown
    if struct is Settings:
        assert shown["max_model_len"].items() >= {"x-unit": "tokens", "minimum": 1, "default": 256}.items()


def test_an_error_quotes_what_the_setting_is() -> None:
    with pytest.raises(
        SettingsError, match=r"it takes a finite number over 0, in GiB, .* cache_gib: Key-value cache of"
    ):
        load(Settings, overrides=["model.cache_gib=0"])
    with pytest.raises(SettingsError, match=r"in degrees.*\. fov: Vertical field of view of the agent's camera\.$"):
        load(Settings, overrides=["world.name=ai2thor", "world.options.fov=3"])
    with pytest.raises(ValueError, match=r"from 64 to 4096, in pixels\. width: Width of the frames, first-person"):
        read_options({"width": 3})
