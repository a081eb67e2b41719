"""What can be set: checked before any player starts, and every complaint says what there is."""

from pathlib import Path

import pytest

from services.settings import World
from services.worlds.ai2thor.options import read_options
from services.worlds.load import load_world
from services.worlds.process import ProcessWorld
from tests.standins.ai2thor.command import standin
from tests.worlds.ai2thor.conftest import Start


def test_scenes_are_named_by_room_number_and_range() -> None:
    assert read_options({}).scene_names[0] == "FloorPlan1"
    assert len(read_options({}).scene_names) == 60
    assert read_options({"scenes": "FloorPlan3, 301-302, FloorPlan3, FloorPlan401_physics"}).scene_names == (
        "FloorPlan3", "FloorPlan301", "FloorPlan302", "FloorPlan401",
    )  # fmt: skip
    assert len(read_options({"scenes": "bathrooms"}).scene_names) == 30
    assert read_options({"scenes": "FloorPlan_Val2_1"}).scene_names == ("FloorPlan_Val2_1",)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"colour": 1}, "no option 'colour': its options are platform, executable"),
        ({"width": 3}, "option 'width' of ai2thor is 3: Expected `int` >= 64"),
        ({"quality": "Best"}, "option 'quality' of ai2thor is 'Best': Invalid enum value"),
        ({"scenes": "garage"}, "names 'garage': scenes are FloorPlan1-30"),
        ({"scenes": "29-33"}, "names '29-33'"),
        ({"scenes": "1-99999999999"}, "names '1-99999999999'"),
        ({"scenes": "3-1"}, "names '3-1'"),
        ({"scenes": " , "}, "option 'scenes' of ai2thor is empty"),
        ({"verbs": "open, fly"}, "option 'verbs' of ai2thor is 'open, fly': use some of pick, open"),
        ({"headless": True}, "On a machine without a display leave it false: platform = 'CloudRendering' draws"),
        ({"executable": "/no/such/player"}, "option 'executable': '/no/such/player' cannot be run"),
        ({"executable": "xvfb-run 'player"}, "no command line: No closing quotation"),
        ({"platform": "Linux64"}, "'Linux64', which needs an X display: set option 'display'"),
        ({"server": "pipe"}, "option 'server' of ai2thor is 'pipe'"),
        ({"tasks": "/no/such/tasks.toml"}, "cannot read the task file /no/such/tasks.toml"),
    ],
)
def test_a_setting_that_cannot_be_is_named(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        load_world("ai2thor", **options)


def test_a_gpu_can_only_be_chosen_where_the_package_can_find_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda tool: None)
    with pytest.raises(ValueError, match="'gpu' of ai2thor is 1, and the package finds GPUs with vulkaninfo"):
        load_world("ai2thor", gpu=1)


def test_making_the_world_starts_no_player(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    world = load_world(World(name="ai2thor", options={"executable": standin(pids=pids)}), max_steps=7)
    assert isinstance(world, ProcessWorld)
    assert world.pid is None
    world.close()
    assert not pids.exists()


TASKS = """
[[task]]
scene = "FloorPlan2"
instruction = "Put a cold snack away."
verb = "put"
object = "Apple"
target = "fridge"

[[task]]
instruction = "Make coffee."
verb = "toggle"
object = "CoffeeMachine"

[[task]]
scene = "7-12"
verb = "put"
object = "mug"
target = "cabinet"
"""


def test_a_persons_tasks_are_played_in_their_own_words_and_scenes(tmp_path: Path, start: Start) -> None:
    file = tmp_path / "tasks.toml"
    file.write_text(TASKS)
    one = start(tasks=str(file), scenes="4-6")
    seen = {}
    for seed in range(30):
        task, _ = one.reset(None, seed)
        seen.setdefault(task.instruction, set()).add(one.player.scene)
        assert task.id in ("put:apple:fridge", "toggle:coffee machine", "put:mug:cabinet")
    assert seen["Put a cold snack away."] == {"FloorPlan2_physics"}
    assert len(seen["Make coffee."]) > 1
    assert len(seen["put the mug in the cabinet"]) > 1


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("task = 3", "each task begins with \\[\\[task\\]\\]"),
        ("", r"it has no \[\[task\]\]"),
        ("[task]\nverb = 'open'\nobject = 'fridge'", r"each task begins with \[\[task\]\]"),
        ("[[tasks]]\nverb = 'open'", r"it has 'tasks', where it may have \[\[task\]\] tables alone"),
        ("task = [3]", "task 1 is no table"),
        ("[[task]]\nverb = 'open'", "task 1 has no 'object', which every task needs"),
        ("[[task]]\nverb='open'\nobject='fridge'\ninstructions='x'", "task 1 has a key 'instructions' .did you mean"),
        ("[[task]]\nverb='open'\nobject=3", "task 1 has object = 3: Expected `str`, got `int`; it takes text"),
        ("[[task]]\nverb='open'\nobject='fridge'\nscene=[1, 2]", r"task 1 has scene = \[1, 2\]: Expected"),
        ("[[task]]\nverb='open'\nobject='fridge'\ninstruction=' '", "task 1 has an empty 'instruction'"),
        ("[[task]]\nverb='fly'\nobject='a'", "task 1: there is no verb 'fly' here: use one of pick, open"),
        ("[[task]]\nverb='put'\nobject='a'", "task 1: .*a target is for 'put'"),
        ("[[task]]\nverb='open'\nobject='a'\nscene='Shed'", "task 1: .*names 'Shed'"),
    ],
)
def test_a_wrong_task_is_named_with_its_number(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "tasks.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=complaint):
        load_world("ai2thor", tasks=str(file))


def test_a_scene_offers_a_few_objects_a_verb_always_the_same(start: Start) -> None:
    one = start(verbs="open, slice, put", objects_per_verb=2)
    tasks: dict[str, set[str]] = {}
    for seed in range(40):
        task, _ = one.reset(None, seed)
        tasks.setdefault(task.verb, set()).add(task.id)
        assert not one.truth().success
    assert set(tasks) == {"open", "slice", "put"}
    assert all(len(ids) == 2 for ids in tasks.values())
