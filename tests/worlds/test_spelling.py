"""Names of several words: one thing has one name, however it is written."""

import pytest

from services.worlds.instructions import as_offered, carried, carried_out
from services.worlds.spelling import did_you_mean, kind_of, mentions, spelled, task_key


@pytest.mark.parametrize("name", ["tv stand", "TV stand", "tvstand", "tv_stand", "TVStand", "tv-stand", " TV  Stand "])
def test_a_name_is_the_same_in_all_spellings(name: str) -> None:
    assert spelled(name) == "tvstand"
    assert task_key(f"put:laptop:{name}") == task_key("put:laptop:tv stand")
    assert mentions(f"The laptop is on the {name} now", "tv stand")


@pytest.mark.parametrize(
    ("text", "name", "so"),
    [
        ("mug", "mug", True), ("the red mug", "mug", True), ("mugs", "mug", False), ("coffee", "coffee table", False),
        ("a coffee table", "table", True), ("coffeetable", "table", False), ("anything", "", False), ("", "mug", False),
    ],
)  # fmt: skip
def test_a_text_mentions_whole_names_only(text: str, name: str, so: bool) -> None:
    assert mentions(text, name) is so


def test_a_number_tells_like_things_apart_and_belongs_to_no_kind() -> None:
    assert [kind_of(name) for name in ("cabinet 2", "coffee_table 12", "cabinet_2", "mug", "2", "room2")] == [
        "cabinet", "coffee table", "cabinet", "mug", "2", "room2",
    ]  # fmt: skip
    task = carried("put the mug_1 on coffee_table 2")
    assert task is not None
    assert (task.id, task.instruction) == ("put:mug:coffee table", "put the mug on the coffee table")


def test_an_instruction_counts_once_in_whatever_spelling_it_was_carried_out() -> None:
    found = carried_out(["open coffee machine", "open coffeemachine", "open Coffee_Machine"])
    assert [item.act for item in found] == [2]


def test_near_names_are_offered_for_a_misspelt_one() -> None:
    known = ("tv stand", "coffee table", "apple")
    assert did_you_mean("tv stnd", known) == " (did you mean tv stand?)"
    assert did_you_mean("Coffee_Tabel", known) == " (did you mean coffee table?)"
    assert did_you_mean("stand", known) == " (did you mean tv stand?)"
    assert did_you_mean("zebra", known) == ""


@pytest.mark.parametrize(
    ("said", "recorded"),
    [
        ("put laptop on tvstand", "put laptop on tv stand"),
        ("put the laptop on the tv_stand", "put laptop on tv stand"),
        ("put the laptop on the tv stand", "put the laptop on the tv stand"),
        ("put laptop in tvstand", "put laptop in tvstand"),
        ("pickup laptop", "pickup laptop"),
        ("done", "done"),
    ],
)
def test_an_action_is_recorded_in_the_names_that_the_world_offers(said: str, recorded: str) -> None:
    assert as_offered(said, ("find tv stand", "pick up laptop", "put laptop on tv stand", "done")) == recorded
