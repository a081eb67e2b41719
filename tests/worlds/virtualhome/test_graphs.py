"""Scene graphs as VirtualHome and people write them: read where they cannot be misunderstood, else refused by place."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from services.worlds.instructions import carried
from services.worlds.virtualhome.actions import Names, script_line
from services.worlds.virtualhome.graph import GraphError, read_graph
from services.worlds.virtualhome.options import rng
from services.worlds.virtualhome.tasks import DRAWN, afforded, affords, make_task
from services.worlds.virtualhome.world import VirtualHome


def home() -> dict[str, Any]:
    """A bathroom and a dining room, as VirtualHome's own programs write them."""
    nodes = [
        {"id": 1, "class_name": "bathroom", "category": "Rooms", "properties": [], "states": []},
        {"id": 2, "class_name": "dining_room", "category": "Rooms", "properties": [], "states": []},
        {"id": 4, "class_name": "bathroom_cabinet", "category": "Furniture", "states": ["CLOSED"],
         "properties": ["SURFACES", "CAN_OPEN", "CONTAINERS"]},
        {"id": 5, "class_name": "Coffee_Maker", "category": "Appliances", "states": ["OFF", "CLOSED"],
         "properties": ["HAS_SWITCH", "CAN_OPEN", "HAS_PLUG"]},
        {"id": 6, "class_name": "towel", "category": "Props", "properties": ["GRABBABLE"], "states": []},
        {"id": 8, "class_name": "towel", "category": "Props", "properties": ["GRABBABLE"], "states": []},
    ]  # fmt: skip
    inside = ((4, 1), (5, 2), (6, 1), (8, 1))
    edges = [{"from_id": a, "to_id": b, "relation_type": "INSIDE"} for a, b in inside]
    return {"nodes": nodes, "edges": edges}


def saved(tmp_path: Path, graph: Any, name: str = "home.json") -> Path:
    file = tmp_path / name
    file.write_text(json.dumps(graph))
    return file


@pytest.mark.parametrize("name", ["bathroom cabinet", "bathroom_cabinet", "bathroomcabinet", "Bathroom Cabinet"])
def test_a_task_is_accepted_and_played_however_its_object_is_written(tmp_path: Path, name: str) -> None:
    tasks = tmp_path / "tasks.toml"
    tasks.write_text(f'[[task]]\nverb = "open"\nobject = "{name}"\n')
    world = VirtualHome(frame=32, graphs=str(saved(tmp_path, home())), tasks=str(tasks), arrange=False)
    task, seen = world.reset(None, 0)
    assert (task.id, task.instruction) == ("open:bathroomcabinet", "open the bathroomcabinet")
    while not any(act.startswith("find bathroomcabinet") for act in seen.admissible):
        seen, _, _ = world.step("find bathroom")
    seen, _, _ = world.step(f"find {name}")
    assert seen.error is None and "open bathroomcabinet" in seen.admissible
    world.step(f"open the {name}")
    assert world.truth().success
    given, _ = world.reset(make_task("open", name), 0)
    assert given.id == task.id


def test_drawn_tasks_offered_acts_and_goals_have_the_same_ids(tmp_path: Path) -> None:
    _, graph = read_graph(saved(tmp_path, home()))
    names = Names(graph)
    for task in afforded(graph, [verb for verb in DRAWN if verb not in ("put", "sit")], 5, rng(0)):
        node = next(one for one in graph.things if one.class_name == task.object)
        phrase = {"pick": "pick up", "open": "open", "toggle": "turn on"}[task.verb]
        done = carried(f"{phrase} {names.of(node.id)}")
        assert done is not None and (done.id, done.instruction) == (task.id, task.instruction)


def test_the_simulator_is_told_its_own_spelling(tmp_path: Path) -> None:
    _, graph = read_graph(saved(tmp_path, home()))
    assert script_line("open", graph.nodes[4], None, inside=False) == "<char0> [open] <bathroom_cabinet> (4)"


def test_episodes_start_in_every_room_of_a_graph(tmp_path: Path) -> None:
    world = VirtualHome(frame=32, graphs=str(saved(tmp_path, home())))
    seen = {act for seed in range(12) for act in world.reset(None, seed)[1].admissible if act.endswith("room")}
    assert seen == {"find bathroom", "find diningroom"}  # each is where one can go from the other


def test_a_misspelt_object_is_refused_with_what_there_is(tmp_path: Path) -> None:
    tasks = tmp_path / "tasks.toml"
    tasks.write_text('[[task]]\nverb = "open"\nobject = "bathroom cabnet"\n')
    with pytest.raises(ValueError, match=r"no bathroomcabnet to open \(did you mean bathroomcabinet\?\)"):
        VirtualHome(graphs=str(saved(tmp_path, home())), tasks=str(tasks))
    world = VirtualHome(frame=32, graphs=str(saved(tmp_path, home())))
    with pytest.raises(ValueError, match=r"no towl to pick up \(did you mean towel\?\)"):
        world.reset(make_task("pick", "towl"), 0)
    world.reset(None, 0)


def _plain(graph: Any) -> Any:
    return graph


def _lower(graph: Any) -> Any:
    for node in graph["nodes"]:
        node["states"] = [state.lower() for state in node["states"]]
        node["properties"] = [one.lower() for one in node["properties"]]
        node["category"] = node["category"].lower()
    for edge in graph["edges"]:
        edge["relation_type"] = edge["relation_type"].lower()
    return graph


def _bare(graph: Any) -> Any:
    for node in graph["nodes"]:
        if not node["states"]:
            del node["states"]
        if not node["properties"]:
            del node["properties"]
        del node["category"]
    return graph


def _null(graph: Any) -> Any:
    for node in graph["nodes"]:
        node |= {"bounding_box": None, "prefab_name": None, "obj_transform": {"position": [0, 1, 2]}, "new": [1]}
        node |= {key: node[key] or None for key in ("states", "properties")}
    return graph


def _boxes(graph: Any) -> Any:
    for node in graph["nodes"]:
        node["bounding_box"] = {"center": [1, 2, 3], "size": [1.5, 1, 1], "rotation": None}
    return graph


def _odd_ids(graph: Any) -> Any:
    graph["nodes"] = {str(node["id"]): {k: v for k, v in node.items() if k != "id"} for node in graph["nodes"]}
    for edge in graph["edges"]:
        edge["from_id"], edge["to_id"] = str(edge["from_id"]), float(edge["to_id"])
    return graph


def _more(graph: Any) -> Any:
    graph["nodes"].append(dict(graph["nodes"][2]))  # the same once more
    graph["edges"] += [
        {"from_id": 4, "to_id": 99, "relation_type": "ON"}, {"from_id": 4, "to_id": 1, "relation_type": "LOOKS_AT"},
    ]  # fmt: skip
    return graph


@pytest.mark.parametrize("change", [_plain, _lower, _bare, _null, _boxes, _odd_ids, _more])
@pytest.mark.parametrize("wrap", [lambda g: g, lambda g: {"init_graph": g, "final_graph": {}}, lambda g: [g]])
def test_a_graph_written_in_another_way_is_read_and_played(tmp_path: Path, change: Any, wrap: Any) -> None:
    file = saved(tmp_path, wrap(change(home())))
    _, graph = read_graph(file)
    assert [room.class_name for room in graph.rooms] == ["bathroom", "diningroom"]
    assert affords(graph, make_task("open", "bathroom_cabinet")) and affords(graph, make_task("toggle", "coffee maker"))
    assert graph.room(graph.nodes[4]) == graph.nodes[1]
    world = VirtualHome(frame=32, graphs=str(file))
    world.reset(None, 1)
    world.step("find bathroom")
    assert world.third_person().shape == (32, 32, 3)


def test_a_packed_graph_and_one_with_a_mark_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(json.dumps(home()).encode()))
    (tmp_path / "b.json").write_text(json.dumps(home()), encoding="utf-8-sig")
    world = VirtualHome(frame=32, graphs=str(tmp_path), scenes="0-1")
    world.reset(None, 0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda g: g["nodes"][2].pop("class_name"), r"missing required field `class_name` at nodes\[2\]"),
        (lambda g: g["nodes"][2].update(id="four"), r"Expected `int`, got `str` at nodes\[2\]\.id"),
        (lambda g: g["nodes"][2].update(id=None), r"Expected `int`, got `null` at nodes\[2\]\.id"),
        (lambda g: g["nodes"][2].update(id=5), r"nodes\[2\] \('bathroom_cabinet'\) and nodes\[3\] \('Coffee_Maker'\)"),
        (lambda g: g["nodes"][2].update(states=[3]), r"got `int` at nodes\[2\]\.states\[0\]"),
        (lambda g: g["nodes"][2].update(states="OPEN"), r"Expected `array`, got `str` at nodes\[2\]\.states"),
        (lambda g: g["nodes"][2].update(bounding_box={"center": [1, 2]}), r"at nodes\[2\]\.bounding_box"),
        (lambda g: g["nodes"].insert(1, 7), r"Expected `object`, got `int` at nodes\[1\]"),
        (lambda g: g["edges"][1].pop("relation_type"), r"`relation_type` at edges\[1\]"),
        (lambda g: g["edges"].append([4, "ON", 5]), r"got `array` at edges\[4\]"),
        (lambda g: g.pop("edges"), "it needs nodes and edges"),
        (lambda g: g.update(nodes="none"), "must be lists"),
        (lambda g: g["nodes"].__delitem__(slice(0, 2)), "has no rooms"),
    ],
)
def test_what_cannot_be_read_is_refused_by_file_and_place(tmp_path: Path, change: Any, says: str) -> None:
    graph = home()
    change(graph)
    with pytest.raises(GraphError, match=says) as caught:
        read_graph(saved(tmp_path, graph))
    assert "home.json" in str(caught.value)


def test_a_packed_graph_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "home.json.gz"
    file.write_bytes(gzip.compress(json.dumps(home()).encode())[:-20])
    with pytest.raises(GraphError, match=r"cannot read the scene graph .*home\.json\.gz"):
        read_graph(file)
