"""Every setting says how a run is executed or what is learned."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast, get_args

import msgspec
import pytest

from runtime.settings import SettingsError, load
from runtime.typed import without_meta
from services import setting_kinds
from services.models.folder import MICRO
from services.setting_kinds import (
    EXECUTION,
    LEARNING,
    MODEL,
    WORLD_EXECUTION,
    WORLD_FILES,
    WORLD_LEARNING,
    contents,
    essence,
    kind_of,
    with_absolute_paths,
)
from services.settings import Model, Settings, World
from services.worlds.load import options_type

WORLDS = ("household", "ai2thor", "virtualhome")


def names(table: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name, value in table.items():
        if isinstance(value, Mapping) and f"{above}{name}" != "world.options":
            yield from names(cast("Mapping[str, Any]", value), f"{above}{name}.")
        elif f"{above}{name}" != "world.options":
            yield f"{above}{name}"


LEAVES = list(names(msgspec.to_builtins(Settings())))


@pytest.mark.parametrize("key", LEAVES)
def test_every_setting_is_of_one_kind(key: str) -> None:
    groups = (EXECUTION, MODEL, LEARNING)
    found = [name for group in groups for name in group if key == name or key.startswith(f"{name}.")]
    assert len(found) == 1, f"name {key} once in services/setting_kinds.py"


@pytest.mark.parametrize("world", WORLDS)
def test_every_option_of_a_world_is_of_one_kind(world: str) -> None:
    named = [*WORLD_EXECUTION[world], *WORLD_FILES[world], *WORLD_LEARNING[world]]
    assert sorted(named) == sorted(options_type(world).__struct_fields__)


def test_every_world_and_every_name_is_there() -> None:
    assert set(WORLD_EXECUTION) == set(WORLD_FILES) == set(WORLD_LEARNING) == set(WORLDS)
    assert set(get_args(without_meta(World.__annotations__["name"]))) == set(WORLDS)
    for name in (*EXECUTION, *MODEL, *LEARNING):
        assert any(key == name or key.startswith(f"{name}.") for key in LEAVES), name
    assert kind_of("world.options.no_such", "household") is None and kind_of("no.such", "household") is None


def test_options_that_are_not_given_count_as_their_defaults() -> None:
    plain = load(Settings, overrides=["world.name=virtualhome"])
    said = load(Settings, overrides=["world.name=virtualhome", "world.options.mode=graph", "world.options.per_verb=3"])
    assert essence(plain) == essence(said)
    assert essence(plain) != essence(load(Settings, overrides=["world.name=virtualhome", "world.options.per_verb=4"]))


def test_every_path_is_written_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    given = [
        "world.name=virtualhome", "model.path=models/mine", "mesh.keys=~/keys", "metrics.token_file=token ü#1",
        "evaluator.judgement_sets=./sets", "world.options.tasks=~/tasks.toml", "world.options.graphs=graphs",
        'world.options.player="./player.x86_64 -x 1"',
    ]  # fmt: skip
    made = with_absolute_paths(load(Settings, overrides=given))
    assert made.model.path == f"{tmp_path}/models/mine"
    assert made.mesh.keys == f"{tmp_path}/home/keys" and made.metrics.token_file == f"{tmp_path}/token ü#1"
    assert made.evaluator.judgement_sets == f"{tmp_path}/sets"
    assert made.world.options == {
        "tasks": f"{tmp_path}/home/tasks.toml",
        "graphs": f"{tmp_path}/graphs",
        "player": f"{tmp_path}/player.x86_64 -x 1",
    }
    assert with_absolute_paths(made) == made


def test_names_and_what_is_empty_stay_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = ["world.name=virtualhome", f"model.path={MICRO.name}", 'world.options.player="xvfb-run -a /opt/player"']
    settings = load(Settings, overrides=given)
    assert with_absolute_paths(settings) == settings
    assert with_absolute_paths(Settings()) == Settings()


def test_a_path_that_cannot_be_written_down_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"model\.path .* is not valid UTF-8"):
        with_absolute_paths(Settings(model=Model(path="caf\udce9")))


def test_the_contents_of_a_file_do_not_hang_on_its_place_or_its_editor(tmp_path: Path) -> None:
    def of(name: str, data: bytes) -> str:
        (tmp_path / name).write_bytes(data)
        return contents(load(Settings, overrides=["world.name=ai2thor", f"world.options.tasks={tmp_path / name}"]))[
            "world.options.tasks"
        ]

    first = of("a.toml", b"[[task]]\nverb = 'open'\n")
    assert of("b.toml", b"\xef\xbb\xbf[[task]]\r\nverb = 'open'\r\n") == first != of("c.toml", b"[[task]]\n")
    assert setting_kinds.contents(Settings()) == {}
