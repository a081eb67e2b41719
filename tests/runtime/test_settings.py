"""Settings: what is set where, what is refused and how it is said, and that writing reads back."""

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from msgspec import Meta
from msgspec.structs import fields

from runtime.settings import SettingsError, dump, load
from services.settings import Lora, Settings
from tests.strategies import values


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    return file


def refusal(tmp_path: Path, text: str = "", *overrides: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(Settings, file=write(tmp_path, text) if text else None, overrides=overrides)
    return str(caught.value)


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    assert load(Settings, file=write(tmp_path, "")) == load(Settings) == Settings()


def test_the_file_overrides_defaults_and_set_overrides_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, "[simulator]\nquota = 5\nepisodes = 2\n")
    loaded = load(Settings, file=file, overrides=["simulator.quota=7", "simulator.quota=8"])
    assert (loaded.simulator.quota, loaded.simulator.episodes) == (8, 2)


def test_setting_one_key_of_a_nested_section_keeps_that_sections_own_defaults(tmp_path: Path) -> None:
    loaded = load(Settings, file=write(tmp_path, "[trainer.critic]\nrank = 8\n"))
    assert loaded.trainer.critic == Lora(rank=8, learning_rate=3e-3, epochs=8, dropout=0.2)


def test_free_tables_are_merged_key_by_key(tmp_path: Path) -> None:
    file = write(tmp_path, "[world.options]\nshift = 0.3\nrules = 'a'\n")
    loaded = load(Settings, file=file, overrides=["world.options.shift=0.5", "world.options.new=yes"])
    assert loaded.world.options == {"shift": 0.5, "rules": "a", "new": "yes"}


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("run.seed=3", ("run", "seed"), 3),
        ("model.cache_gib=1", ("model", "cache_gib"), 1.0),
        ("model.engine=vllm", ("model", "engine"), "vllm"),
        ('model.engine="vllm"', ("model", "engine"), "vllm"),
        ("relabeler.enabled=false", ("relabeler", "enabled"), False),
        ("model.path=123", ("model", "path"), "123"),
        ("model.path=/a/b=c", ("model", "path"), "/a/b=c"),
        ("model.path=", ("model", "path"), ""),
        ("model.url=2024-01-01", ("model", "url"), "2024-01-01"),
        ("model.path=1\nother = 2", ("model", "path"), "1\nother = 2"),
    ],
)
def test_set_reads_toml_values_and_bare_words(override: str, path: tuple[str, str], value: object) -> None:
    section, key = path
    assert getattr(getattr(load(Settings, overrides=[override]), section), key) == value


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[simulator]\nquota = 0\n", ["mine.toml", "simulator.quota = 0", "an integer from 1 to 10000"]),
        ("[simulator]\nquota = 2.5\n", ["simulator.quota = 2.5", "an integer from 1 to 10000"]),
        ("[simulator]\nquota = true\n", ["simulator.quota = true"]),
        ("[simulator]\nquotta = 1\n", ["simulator.quotta", "did you mean quota?", "[simulator] has quota, episodes"]),
        ("[simulaton]\nquota = 1\n", ["no setting simulaton", "did you mean simulator?", "run, world, model"]),
        ("[critic]\nself_ask = 'confrim'\n", ['= "confrim"', '"off", "paper", "confirm"', "did you mean confirm?"]),
        ("[trainer.actor]\nrank = 17\n", ["trainer.actor.rank = 17", "one of 8, 16, 32, 64, 128"]),
        ("[trainer.actor]\nlearning_rate = inf\n", ["learning_rate = inf", "a finite number over 0"]),
        ("[model]\ngpu_memory = nan\n", ["gpu_memory = nan", "a finite number from 0"]),
        ("[model]\npath = 2024-01-01\n", ["model.path = 2024-01-01", "it takes text"]),
        ("[relabeler]\nenabled = 'yes'\n", ["true or false"]),
        ("[world.options]\na = [1]\n", ["world.options", "a table of"]),
        ("simulator = 3\n", ["simulator is a section", "quota"]),
        ("[simulator\n", ["mine.toml", "not TOML", "line 1"]),
    ],
)
def test_a_bad_file_is_refused_with_file_key_value_and_what_is_allowed(
    tmp_path: Path, text: str, parts: list[str]
) -> None:
    said = refusal(tmp_path, text)
    for part in parts:
        assert part in said


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("simulator.quota=none", ["--set simulator.quota=none", 'simulator.quota = "none"', "an integer"]),
        ("simulator.quota", ["section.key=value"]),
        (".quota=1", ["section.key=value"]),
        ("simulator=1", ["simulator is a section"]),
        ("run.seed.x=1", ["run.seed = {x", "an integer from 0 to 800"]),
        ("run.sed=1", ["did you mean seed?"]),
        ("world.options=3", ["world.options = 3", "a table of"]),
    ],
)
def test_a_bad_override_is_refused_with_what_was_typed(tmp_path: Path, override: str, parts: list[str]) -> None:
    said = refusal(tmp_path, "", override)
    for part in parts:
        assert part in said


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path, text in ((tmp_path / "none.toml", "No such file"), (tmp_path, "directory")):
        with pytest.raises(SettingsError, match=text):
            load(Settings, file=path)
    (tmp_path / "bad.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(SettingsError, match=r"bad\.toml, line 1: byte 0xff is not UTF-8"):
        load(Settings, file=tmp_path / "bad.toml")


def test_the_default_settings_read_back(tmp_path: Path) -> None:
    assert load(Settings, file=write(tmp_path, dump(Settings(), "what\nthis is"))) == Settings()


@hypothesis_settings(max_examples=60)
@given(values(Settings))
def test_any_settings_of_the_product_read_back_and_are_written_the_same_again(
    tmp_path_factory: pytest.TempPathFactory, value: Settings
) -> None:
    file = tmp_path_factory.getbasetemp() / "product.toml"
    file.write_text(dump(value), encoding="utf-8", newline="")
    read = load(Settings, file=file)
    assert read == value and dump(read) == dump(value)


@hypothesis_settings(max_examples=30)
@given(values(Settings))
def test_comments_change_nothing_that_is_read(tmp_path_factory: pytest.TempPathFactory, value: Settings) -> None:
    text = dump(value, comments=True)
    file = tmp_path_factory.getbasetemp() / "commented.toml"
    file.write_text(text, encoding="utf-8", newline="")
    assert load(Settings, file=file) == value
    assert [line for line in text.split("\n") if line and line[0] != "#"] == [
        line for line in dump(value).split("\n") if line
    ]


def test_comments_say_what_each_section_and_setting_is() -> None:
    given = load(Settings, overrides=["world.name=ai2thor", "world.options.fov=80"])
    text = dump(given, "what this is", comments=True)
    assert text.startswith("# what this is\n")
    assert "\n# The processes of a run and how they reach each other.\n[mesh]\n" in text
    assert (
        "\n# CPU threads of training. 0 leaves the number to PyTorch. Takes an integer from 0 to 256.\nthreads = 2\n"
        in text
    )
    assert (
        "\n# Vertical field of view of the agent's camera. Takes a finite number from 20 to 120, in degrees.\nfov"
        in text
    )
    assert '\n# quality = "Ultra"\n' in text and "# fov" not in text
    assert max(map(len, text.splitlines())) <= 100
    bare = [
        line for above, line in pairwise(text.splitlines()) if " = " in line and line[0] != "#" and above[:1] != "#"
    ]
    assert not bare


PATHS = st.sampled_from([f"{s.name}.{f.name}" for s in fields(Settings) for f in fields(s.type)]) | st.text(max_size=20)

ODD = st.sampled_from(["-1", "1e999", "nan", "0x10", "[1]", "{a=1}", "''", "1_0", "true", "1979-05-27"])


@hypothesis_settings(max_examples=150)
@given(path=PATHS, text=st.text(max_size=20) | ODD)
def test_whatever_is_set_on_the_command_line_is_read_or_refused_with_what_was_typed(path: str, text: str) -> None:
    override = f"{path}={text}"
    try:
        loaded = load(Settings, overrides=[override])
    except SettingsError as error:
        assert f"--set {override}" in str(error)
    else:
        assert dump(loaded).count("[") >= len(fields(Settings))


Word = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
Number = st.floats(allow_nan=False, allow_infinity=False)


class Inner(msgspec.Struct, frozen=True, kw_only=True):
    count: Annotated[int, Meta(ge=-5, le=5)] = 0
    share: float = 0.5
    words: tuple[str, ...] = ()


class Outer(msgspec.Struct, frozen=True, kw_only=True):
    name: str = ""
    flag: bool = False
    kind: Literal["a", "b"] = "a"
    inner: Inner = Inner()
    options: dict[str, str | int | float | bool] = {}
    maybe: str | None = None
    last: float = 0.0


@hypothesis_settings(max_examples=150)
@given(
    st.builds(
        Outer,
        name=Word,
        flag=st.booleans(),
        kind=st.sampled_from(["a", "b"]),
        inner=st.builds(Inner, count=st.integers(-5, 5), share=Number, words=st.lists(Word, max_size=3).map(tuple)),
        options=st.dictionaries(Word, Word | st.integers(-(2**63), 2**63 - 1) | Number | st.booleans(), max_size=4),
        maybe=st.none() | Word,
        last=Number,
    )
)
def test_any_settings_written_read_back_the_same(tmp_path_factory: pytest.TempPathFactory, value: Outer) -> None:
    file = tmp_path_factory.getbasetemp() / "round.toml"
    file.write_text(dump(value), encoding="utf-8", newline="")
    assert load(Outer, file=file) == value


@hypothesis_settings(max_examples=100)
@given(
    st.recursive(
        st.booleans() | st.integers() | st.floats() | Word,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(Word, inner, max_size=3),
        max_leaves=6,
    ),
    st.sampled_from(["name", "flag", "kind", "inner", "options", "last", "maybe", "other"]),
)
def test_whatever_a_file_says_it_is_read_or_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, value: Any, key: str
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_text(dump(msgspec.defstruct("Any", [(key, Any)], kw_only=True)(**{key: value})), newline="")
    try:
        load(Outer, file=file)
    except SettingsError as error:
        assert "any.toml" in str(error) and key in str(error)
