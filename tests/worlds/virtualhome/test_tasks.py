"""Instructions made from a scene, written by a user, and whether their goals hold."""

from pathlib import Path

import pytest

from services.worlds.virtualhome.graph import GraphError, read_graph
from services.worlds.virtualhome.options import FLAT, rng
from services.worlds.virtualhome.tasks import DRAWN, afforded, affords, make_task, read_tasks
from services.worlds.virtualhome.world import VirtualHome


def test_a_scene_gives_the_same_few_tasks_of_each_type_and_affords_all_of_them() -> None:
    _, graph = read_graph(FLAT)
    tasks = afforded(graph, DRAWN, 3, rng("tasks", 0, 0))
    assert tasks == afforded(graph, DRAWN, 3, rng("tasks", 0, 0))
    assert [task.verb for task in tasks] == [verb for verb in DRAWN for _ in range(3)]
    assert len({task.id for task in tasks}) == len(tasks)
    assert all(affords(graph, task) for task in tasks)
    assert not affords(graph, make_task("open", "sofa"))


def test_no_task_is_done_when_its_episode_begins_and_all_types_are_drawn() -> None:
    world = VirtualHome(frame=32)
    seen = set()
    for seed in range(60):
        task, _ = world.reset(None, seed)
        assert not world.truth().success
        seen.add(task.verb)
    assert seen == set(DRAWN)


def test_a_given_task_is_not_done_either() -> None:
    world = VirtualHome(frame=32)
    for task in (make_task("open", "fridge"), make_task("put", "apple", "fridge"), make_task("toggle", "tv")):
        for seed in range(20):
            world.reset(task, seed)
            assert not world.truth().success, task.id


def test_tasks_are_read_from_a_file_with_their_own_words(tmp_path: Path) -> None:
    file = tmp_path / "tasks.toml"
    file.write_text(
        '[[task]]\nverb = "put"\nobject = "apple"\ntarget = "fridge"\ninstruction = "cool the apple"\n'
        '[[task]]\nverb = "sit"\nobject = "sofa"\n[[task]]\nverb = "put"\nobject = "Mug"\ntarget = "Fridge"\n'
    )
    first, second, third = read_tasks(str(file))
    assert (first.id, first.instruction) == ("put:apple:fridge", "cool the apple")
    assert [second.id, third.id] == ["sit:sofa", "put:mug:fridge"]
    world = VirtualHome(frame=32, tasks=str(file))
    given = {task.id: task.instruction for task in (world.reset(None, seed)[0] for seed in range(16))}
    assert given == {
        first.id: "cool the apple", second.id: "sit on the sofa", third.id: "put the mug in the fridge",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "task"),
        ("[[task]]\nverb = 'fly'\nobject = 'sofa'", "no verb 'fly'"),
        ("[[task]]\nverb = 'put'\nobject = 'apple'", "needs one"),
        ("[[task]]\nverb = 'sit'\nobject = 'sofa'\ncolour = 1", "colour"),
        ("[[task]\n", "task file"),
        ("[[task]]\nverb = 'sit'\nobject = 'throne'", "no scene graph has what 'sit:throne' needs"),
        ("[[task]]\nverb = 'sit'\nobject = 'sofa'\nscene = '1'", "scene"),
    ],
)
def test_a_task_file_that_cannot_be_used_says_why(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "tasks.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=says):
        VirtualHome(tasks=str(file))


def test_a_missing_task_file_and_graph_are_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot read the task file"):
        VirtualHome(tasks=str(tmp_path / "none.toml"))
    with pytest.raises(GraphError, match="cannot read the scene graph"):
        VirtualHome(graphs=str(tmp_path / "none.json"))
    (tmp_path / "bad.json").write_text('{"nodes": 3}')
    with pytest.raises(GraphError, match=r"bad\.json"):
        VirtualHome(graphs=str(tmp_path))


def test_graphs_of_ones_own_are_played_in_their_order(tmp_path: Path) -> None:
    text = FLAT.read_text()
    (tmp_path / "a.json").write_text(text)
    (tmp_path / "b.json").write_text('{"init_graph": ' + text.replace('"apple"', '"pear"') + "}")
    only_b = VirtualHome(frame=32, graphs=str(tmp_path), scenes="1")
    only_b.reset(make_task("pick", "pear"), 0)
    with pytest.raises(ValueError, match="no scene of this world"):
        only_b.reset(make_task("pick", "apple"), 0)
    both = VirtualHome(frame=32, graphs=str(tmp_path))
    both.reset(make_task("pick", "apple"), 0)
    both.reset(make_task("pick", "pear"), 0)
    with pytest.raises(ValueError, match="scenes 0 to 1"):
        VirtualHome(graphs=str(tmp_path), scenes="0-2")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"moode": "graph"}, "no option 'moode'"),
        ({"mode": "godot"}, "'mode' of virtualhome is 'godot'"),
        ({"verbs": "pick,fly"}, "'verbs'"),
        ({"scenes": "a"}, "'scenes'"),
        ({"scenes": "²"}, "'²' is none of it"),
        ({"scenes": "0-"}, "'0-' is none of it"),
        ({"scenes": "0-99999999999"}, "there are scenes 0 to 0"),
        ({"mode": "unity"}, "needs either 'player'"),
        ({"mode": "unity", "player": "/nowhere/player"}, "cannot be run"),
        ({"mode": "unity", "player": "'player"}, "no command line"),
        ({"mode": "unity", "connect": "8080"}, "HOST:PORT"),
        ({"mode": "unity", "connect": "a:1", "scenes": "48-50"}, "there are scenes 0 to 49"),
        ({"scenes": "1"}, "there are scenes 0 to 0"),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(options: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        VirtualHome(**options)
