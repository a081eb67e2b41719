"""What can be said to VirtualHome, and what it says back."""

import pytest

from services.worlds.virtualhome.actions import Action, Names, parse_action, refusal, script_line
from services.worlds.virtualhome.graph import Edge, Graph, Node


def scene() -> Graph:
    nodes = (
        Node(id=1, class_name="kitchen", category="Rooms"), Node(id=2, class_name="bedroom", category="Rooms"),
        Node(id=5, class_name="kitchentable", properties=frozenset({"SURFACES"})),
        Node(id=6, class_name="chair"), Node(id=9, class_name="chair"), Node(id=12, class_name="mug"),
        Node(id=20, class_name="character", category="Characters"),
    )  # fmt: skip
    inside = ((5, 1), (6, 1), (9, 2), (12, 2), (20, 2))
    return Graph(nodes, [Edge(from_id=a, to_id=b, relation_type="INSIDE") for a, b in inside])


@pytest.mark.parametrize(
    ("text", "act", "object", "target", "inside"),
    [
        ("find apple", "find", "apple", "", False),
        ("Walk to the Kitchen.", "find", "kitchen", "", False),
        ("pick up the apple", "pick", "apple", "", False),
        ("grab apple 2", "pick", "apple 2", "", False),
        ("put the apple in the fridge", "put", "apple", "fridge", True),
        ("put apple on kitchen table", "put", "apple", "kitchen table", False),
        ("place mug 1 onto chair 2", "put", "mug 1", "chair 2", False),
        ("open fridge", "open", "fridge", "", False),
        ("close fridge", "close", "fridge", "", False),
        ("turn on the tv", "on", "tv", "", False),
        ("switch off tv", "off", "tv", "", False),
        ("sit on sofa", "sit", "sofa", "", False),
        ("stand up", "stand", "", "", False),
        ("drink from waterglass", "drink", "waterglass", "", False),
        ("touch book", "touch", "book", "", False),
    ],
)
def test_actions_are_read_from_text(text: str, act: str, object: str, target: str, inside: bool) -> None:
    assert parse_action(text) == Action(act=act, object=object, target=target, inside=inside)


@pytest.mark.parametrize(
    "text", ["", "done", "fridge", "find", "put apple", "put in fridge", "stand up sofa!?", "<char0>"]
)
def test_what_is_no_action_is_none(text: str) -> None:
    assert parse_action(text) is None


def test_names_have_numbers_only_where_there_are_several() -> None:
    names = Names(scene())
    assert [names.of(id) for id in (1, 5, 6, 9, 12)] == ["kitchen", "kitchentable", "chair 1", "chair 2", "mug"]
    assert names.called("kitchen table") == [5]
    assert names.called("Kitchen_Table") == [5]
    assert names.called("chair") == [6, 9]
    assert names.called("chair 2") == [9]
    assert names.called("chair 3") == names.called("unicorn") == []


def test_a_name_without_number_means_the_nearest() -> None:
    graph = scene()
    names = Names(graph)
    chosen = names.choose("chair", graph)
    assert chosen is not None and chosen.id == 9  # the character is in the bedroom, too
    first = names.choose("chair 1", graph)
    assert first is not None and first.id == 6


def test_the_one_that_a_bare_name_means_is_called_by_it_and_the_others_keep_their_numbers() -> None:
    graph = scene()
    called = Names(graph).now(graph)
    assert (called[9], called[6], called[12]) == ("chair", "chair 1", "mug")


def test_actions_become_script_lines() -> None:
    mug, table = Node(id=12, class_name="mug"), Node(id=5, class_name="kitchentable")
    assert script_line("pick", mug, None, inside=False) == "<char0> [grab] <mug> (12)"
    assert script_line("find", table, None, inside=False) == "<char0> [walk] <kitchentable> (5)"
    assert script_line("put", mug, table, inside=False) == "<char0> [put] <mug> (12) <kitchentable> (5)"
    assert script_line("put", mug, table, inside=True) == "<char0> [putin] <mug> (12) <kitchentable> (5)"
    assert script_line("stand", None, None, inside=False) == "<char0> [standup]"


def test_refusals_speak_of_you_and_of_things_by_their_names() -> None:
    said = 'ScriptExcutor 0: EXECUTION: <character> (20) is not close to <chair> (9) when executing "[SIT] ..."\n'
    assert refusal(said, Names(scene())) == "you are not close to the chair 2"
    assert refusal("", Names(scene())) == "that cannot be done now"
