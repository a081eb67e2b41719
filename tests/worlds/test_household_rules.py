"""Preconditions: what must be done first, what the household says when it was not, and what follows when it was."""

import pytest

from services.worlds.household.actions import Action, parse_action
from services.worlds.household.rules import Rules
from services.worlds.household.state import HAND
from tests.worlds.household import LAX, do, done, kitchen, the


@pytest.mark.parametrize(
    ("state", "action", "refusal"),
    [
        (kitchen(), "find egg", "there is no egg here"),
        (kitchen(), "pick up knife", "the knife is not within reach"),
        (kitchen(), "pick up apple", "the fridge is closed"),
        (kitchen(location=1), "pick up table", "you cannot pick up the table"),
        (kitchen(location=1, held="book"), "pick up knife", "your hand is full: it holds the book"),
        (kitchen(fridge={"open": True}, mug={"broken": True}), "pick up mug", "the mug is in pieces"),
        (kitchen(location=1), "open table", "you cannot open the table"),
        (kitchen(location=1), "open fridge", "the fridge is not within reach"),
        (kitchen(fridge={"open": True}), "open fridge", "the fridge is already open"),
        (kitchen(), "close fridge", "the fridge is already closed"),
        (kitchen(book={"at": 0, "slot": 2}), "open book", "the fridge is closed"),
        (kitchen(), "put knife in fridge", "you do not hold the knife"),
        (kitchen(held="knife"), "put knife on lamp", "you cannot put things on the lamp"),
        (kitchen(held="knife"), "put knife on desk", "there is no desk here"),
        (kitchen(held="knife"), "put knife on table", "the table is not within reach"),
        (kitchen(held="knife"), "put knife in fridge", "the fridge is closed"),
        (kitchen(location=1), "drop knife", "you do not hold the knife"),
        (kitchen(), "turn on lamp", "the lamp is not within reach"),
        (kitchen(location=3), "turn off lamp", "the lamp is already off"),
        (kitchen(location=3, lamp={"on": True}), "turn on lamp", "the lamp is already on"),
        (kitchen(), "turn on fridge", "you cannot turn on the fridge"),
        (kitchen(fridge={"open": True}), "break mug", "you do not hold the mug"),
        (kitchen(), "break mug", "the fridge is closed"),
        (kitchen(location=1), "break knife", "you cannot break the knife"),
        (kitchen(fridge={"open": True}, mug={"broken": True}), "break mug", "the mug is already broken"),
        (kitchen(fridge={"open": True}), "slice apple", "you do not hold the knife"),
        (kitchen(held="knife"), "slice apple", "the fridge is closed"),
        (kitchen(held="knife", location=1), "slice apple", "the apple is not within reach"),
        (kitchen(apple={"sliced": True}, fridge={"open": True}), "slice apple", "the apple is already sliced"),
        (kitchen(), "sit on sofa", "the sofa is not within reach"),
        (kitchen(location=2, seated=True), "sit on sofa", "you already sit on the sofa"),
        (kitchen(location=1), "sit on table", "you cannot sit on the table"),
    ],
)  # fmt: skip
def test_what_is_not_possible_is_refused_with_the_reason_and_changes_nothing(state, action, refusal):
    after, error = do(state, action)
    assert error == refusal
    assert after is state


def test_finding_brings_the_robot_to_a_thing_and_stands_it_up():
    state = done(kitchen(location=2, seated=True), "find knife")
    assert (state.location, state.seated) == (1, False)


def test_finding_what_is_in_a_closed_container_brings_the_robot_to_the_container():
    state = done(kitchen(location=3), "find apple")
    assert state.location == 0
    assert not state.in_view(the(state, "apple"))


def test_finding_what_the_hand_holds_changes_nothing():
    state = kitchen(location=2, held="knife", seated=True)
    assert done(state, "find knife") == state


def test_a_thing_is_carried_from_a_container_into_another_place():
    state = done(kitchen(), "open fridge", "pick up apple", "find table", "put apple on table")
    apple = the(state, "apple")
    assert (apple.at, apple.slot, apple.floor) == (1, 2, False)
    assert state.held is None


def test_opening_and_closing_shows_and_hides_what_is_inside():
    state = done(kitchen(), "open fridge")
    assert state.in_view(the(state, "apple"))
    state = done(state, "close fridge")
    assert not state.in_view(the(state, "apple"))


def test_a_full_place_takes_no_more():
    state = kitchen(location=1, held="mug", apple={"at": 1, "slot": 2})
    assert do(state, "put mug on table") == (state, "there is no room on the table")


def test_what_is_dropped_lies_on_the_floor_where_it_can_be_picked_up_again():
    state = done(kitchen(location=3, held="mug"), "drop mug")
    mug = the(state, "mug")
    assert (mug.at, mug.floor) == (3, True)
    assert done(state, "pick up mug").held == the(done(state, "pick up mug"), "mug")


def test_what_lies_before_a_closed_container_is_not_shut_away():
    state = done(kitchen(held="mug"), "drop mug")
    assert state.in_view(the(state, "mug"))


def test_a_full_floor_takes_no_more():
    lying = {name: {"at": 3, "floor": True, "slot": slot} for slot, name in enumerate(("apple", "knife", "book"))}
    state = kitchen(location=3, held="mug", **lying)
    assert do(state, "drop mug") == (state, "there is no room on the floor here")
    assert do(state, "break mug") == (state, "there is no room on the floor here")


def test_what_is_broken_in_the_hand_falls_to_the_floor_in_pieces():
    state = done(kitchen(location=2, held="mug"), "break mug")
    mug = the(state, "mug")
    assert (mug.at, mug.floor, mug.broken) == (2, True, True)
    assert state.held is None


def test_slicing_needs_the_knife_and_leaves_it_in_the_hand():
    state = done(kitchen(fridge={"open": True}, held="knife"), "slice apple")
    assert the(state, "apple").sliced
    assert state.held is not None and state.held.name == "knife"


def test_picking_something_up_stands_the_robot_up():
    state = done(kitchen(location=2, book={"at": 2}), "sit on sofa", "pick up book")
    assert not state.seated


def test_lamps_go_on_and_off():
    on = done(kitchen(location=3), "turn on lamp")
    assert the(on, "lamp").on
    assert not the(done(on, "turn off lamp"), "lamp").on


@pytest.mark.parametrize(
    ("rule", "state", "action"),
    [
        ("navigate_first", kitchen(location=3), "pick up knife"),
        ("navigate_first", kitchen(location=3), "open fridge"),
        ("navigate_first", kitchen(location=3), "sit on sofa"),
        ("navigate_first", kitchen(), "turn on lamp"),
        ("navigate_first", kitchen(location=3, held="knife"), "put knife on sofa"),
        ("open_first", kitchen(), "pick up apple"),
        ("open_first", kitchen(held="knife"), "put knife in fridge"),
        ("hold_to_break", kitchen(fridge={"open": True}), "break mug"),
        ("knife_to_slice", kitchen(fridge={"open": True}), "slice apple"),
    ],
)  # fmt: skip
def test_where_a_rule_does_not_hold_the_world_does_without_or_by_itself(rule, state, action):
    assert do(state, action, Rules())[1] is not None
    after, error = do(state, action, Rules(**{rule: False}))
    assert error is None
    assert after != state


def test_without_having_to_open_first_the_container_is_open_afterwards():
    assert the(done(kitchen(), "pick up apple", rules=LAX), "fridge").open
    assert the(done(kitchen(held="knife"), "put knife in fridge", rules=LAX), "fridge").open


def test_a_refusal_under_lax_rules_does_not_move_the_robot_either():
    state = kitchen(location=3, mug={"broken": True}, fridge={"open": True})
    assert do(state, "pick up mug", LAX) == (state, "the mug is in pieces")


def test_what_breaks_where_it_stands_stays_there():
    state = done(kitchen(fridge={"open": True}), "break mug", rules=LAX)
    mug = the(state, "mug")
    assert (mug.at, mug.floor, mug.broken) == (0, False, True)


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("find apple", Action("find", "apple")),
        ("Pick up the apple.", Action("pick", "apple")),
        ("put apple in fridge", Action("put", "apple", "fridge")),
        ("put the apple onto the table", Action("put", "apple", "table")),
        ("turn on  lamp", Action("on", "lamp")),
        ("turn off the lamp", Action("off", "lamp")),
        ("sit on sofa", Action("sit", "sofa")),
        ("done", None),
        ("", None),
        ("apple", None),
        ("put apple", None),
        ("pick up", None),
        ("find apple in fridge", None),
        ("find the big apple", None),
        ("please find apple", None),
        ("find apple\nfind mug", None),
    ],
)  # fmt: skip
def test_action_texts_are_read_with_or_without_articles_and_nothing_else(text, action):
    assert parse_action(text) == action


def test_the_hand_is_no_place_of_its_own():
    assert HAND not in range(len(kitchen().fixtures))
