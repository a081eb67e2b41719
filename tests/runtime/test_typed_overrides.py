"""What is typed after --set: the type of the setting decides how it is read."""

from typing import Any

import pytest

from runtime.settings import SettingsError, load
from runtime.typed import NotAllowedError, read
from services.settings import Settings
from services.worlds.load import load_world


def options(*overrides: str) -> dict[str, Any]:
    return load(Settings, overrides=[f"world.{one}" for one in overrides]).world.options


@pytest.mark.parametrize("text", ["5", "1e3", "1_000", "true", "nan", "[1]", "2026-01-01", "a=b", "a,b", "it's", "0x1"])
def test_a_text_is_what_was_typed(text: str) -> None:
    loaded = load(Settings, overrides=[f"metrics.host={text}", f"model.url={text}"])
    assert (loaded.metrics.host, loaded.model.url) == (text, text)
    assert options("name=ai2thor", f"options.display={text}") == {"display": text}


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("yes", bool, True), ("True", bool, True), ("ON", bool, True), ("1", bool, True), ("No", bool, False),
        ("off", bool, False), ("0", bool, False), ("false", bool, False), ("1e3", int, 1000), ("1_000", int, 1000),
        ("05", int, 5), ("+5", int, 5), ("2.0", int, 2), (".5", float, 0.5), ("3", float, 3.0), ("1e-4", float, 1e-4),
        ('"5"', str, "5"), ("'a b'", str, "a b"), ("", str, ""), ('say "hi"', str, 'say "hi"'),
        ("a", tuple[str, ...], ("a",)), ("a, b", list[str], ["a", "b"]), ("[a, b]", list[str], ["a", "b"]),
        ("1,2", tuple[int, ...], (1, 2)), ("1,2", tuple[str, ...], ("1", "2")), ('["A,B"]', list[str], ["A,B"]),
        ("", tuple[str, ...], ()), ("[FloorPlan1,2]", tuple[str, ...], ("FloorPlan1", "2")),
    ],
)  # fmt: skip
def test_the_type_decides_how_a_text_is_read(text: str, kind: Any, value: Any) -> None:
    assert read(text, kind) == value
    assert type(read(text, kind)) is type(value)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("nan", float), ("inf", float), ("1e999", float), ("2.5", int), ("", int), ("", bool), ("maybe", bool),
        ("2", bool), ("ten", int), ("1,a", tuple[int, ...]), ("nan", list[float]),
    ],
)  # fmt: skip
def test_what_the_type_cannot_take_is_not_read(text: str, kind: Any) -> None:
    with pytest.raises(NotAllowedError):
        read(text, kind)


@pytest.mark.parametrize(
    ("override", "name", "value"),
    [
        ("display=1", "display", "1"), ("scenes=FloorPlan1,FloorPlan2", "scenes", "FloorPlan1,FloorPlan2"),
        ("scenes=5", "scenes", "5"), ("scenes=['FloorPlan1', '2']", "scenes", "FloorPlan1, 2"),
        ("scenes=[1, 2]", "scenes", "1, 2"), ("verbs=[pick, turn on]", "verbs", "pick, turn on"),
        ("scenes=[]", "scenes", ""), ("shuffle=yes", "shuffle", True), ("grid=.5", "grid", 0.5),
        ("width=3e2", "width", 300), ("executable=sh -c 'a=b'", "executable", "sh -c 'a=b'"),
        ("tasks=2026", "tasks", "2026"), ("verbs=open", "verbs", "open"),
    ],
)  # fmt: skip
def test_a_worlds_own_options_decide_whichever_is_set_first(override: str, name: str, value: object) -> None:
    found = options(f"options.{override}", "name=ai2thor")[name]
    assert found == value and type(found) is type(value)
    assert options("name=ai2thor", f"options.{override}")[name] == value


def test_virtualhome_and_the_household_decide_too() -> None:
    assert options("name=virtualhome", "options.connect=8080") == {"connect": "8080"}
    assert options("options.open_first=no", "options.shift=.5", "options.rules=a,b") == {
        "open_first": False, "shift": 0.5, "rules": "a,b",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("world.options.width=wide", ['= "wide" is not', "integer from 64 to 4096", "--set world.options.width=300"]),
        ("world.options.shuffle=maybe", ["it takes true or false", "--set world.options.shuffle=false"]),
        ("world.options.gpu=99", ["world.options.gpu = 99", "an integer from -1 to 63"]),
        ("world.options.server=pipe", ['one of "fifo", "wsgi"']),
        ("world.name=1", ['world.name = 1 is not allowed; it takes one of "household"', "--set world.name="]),
        ("simulator.quota=1,000", ["it takes an integer from 1 to 10000, for example --set simulator.quota=300"]),
        ("relabeler.enabled=", ['relabeler.enabled = ""', "true or false"]),
        ("seed=1", ["there is no setting seed (did you mean run.seed?)"]),
        ("run.Seed=1", ["did you mean seed?"]),
        ("mesh.call-seconds=1", ["did you mean call_seconds"]),
        ("model.path=\udcff", ["model.path has bytes that are not text in UTF-8"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_the_type_and_an_example(override: str, says: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load(Settings, over=[("here", {"world": {"name": "ai2thor"}})], overrides=[override])
    assert not [part for part in says if part not in str(caught.value)], str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_may_give_a_list_or_a_number_for_a_text() -> None:
    table = {"world": {"options": {"scenes": ["FloorPlan1", "FloorPlan2"], "display": 1}, "name": "ai2thor"}}
    loaded = load(Settings, over=[("here", table)])
    assert loaded.world.options == {"scenes": "FloorPlan1, FloorPlan2", "display": 1}
    load_world(loaded.world).close()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"dispaly": ":1"}, r"no option 'dispaly' \(did you mean display\?\)"),
        ({"Frame": 3}, r"did you mean frame\?"),
        ({"frame": "x"}, "it takes an integer from 32 to 2048"),
    ],
)
def test_a_world_says_what_its_options_take(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        load_world("virtualhome", **given)
