"""AI2-THOR's object types as names: each has one, which every spelling of it means."""

from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from protocols.messages import Task
from services.worlds.ai2thor.actions import admissible, parse_action
from services.worlds.ai2thor.names import called, meant, type_of, words
from services.worlds.ai2thor.options import read_options
from services.worlds.ai2thor.tasks import offers, satisfied
from services.worlds.ai2thor.types import TYPES
from services.worlds.instructions import carried
from services.worlds.load import load_world
from services.worlds.process import ProcessWorld
from services.worlds.threaded import ThreadedWorld
from services.worlds.world import TaskRefused, World
from tests.standins.ai2thor.command import standin

pytestmark = pytest.mark.anyio

FLAGS = (
    *("openable", "breakable", "sliceable", "toggleable", "canFillWithLiquid", "dirtyable", "cookable", "canBeUsedUp"),
    *("isOpen", "isPickedUp", "receptacle", "pickupable", "isToggled", "isBroken", "isSliced", "isFilledWithLiquid"),
    *("isDirty", "isCooked", "isUsedUp"),
)


def thing(type: str, **flags: Any) -> dict[str, Any]:
    seen = {"objectId": f"{type}|1|2|3", "objectType": type, "distance": 1.0, "parentReceptacles": None}
    return {**dict.fromkeys(FLAGS, False), "visible": True, **seen, **flags}


def spellings(type: str) -> tuple[str, ...]:
    name = words(type)
    return type, name, name.title(), name.replace(" ", "_"), name.replace(" ", "-"), name.replace(" ", ""), type.lower()


@pytest.mark.parametrize("type", TYPES)
def test_every_type_is_found_again_in_every_spelling_and_has_one_name(type: str) -> None:
    one = thing(type)
    for name in spellings(type):
        assert type_of(name) == type
        assert called(name) == words(type)
        assert meant([thing("Vase" if type != "Vase" else "Mug"), one], name) is one
        assert meant([one], f"{name} 1") is one
        assert meant([one], f"{name} 2") is None


def test_types_are_told_apart_by_their_words() -> None:
    assert len({words(type) for type in TYPES}) == len(TYPES) > 120
    assert [words(type) for type in ("TVStand", "CD", "RemoteControl", "BreadSliced")] == [
        "tv stand", "cd", "remote control", "sliced bread",
    ]  # fmt: skip


@pytest.mark.parametrize("target", ["TVStand", "tv stand", "TV stand", "tvstand", "tv_stand"])
def test_a_task_its_action_and_its_goal_have_one_id(tmp_path: Path, target: str) -> None:
    file = tmp_path / "tasks.toml"
    file.write_text(f'[[task]]\nverb = "put"\nobject = "CD"\ntarget = "{target}"\n')
    (written,) = read_options({"tasks": str(file)}).written_tasks
    stand = thing("TVStand", receptacle=True)
    held = thing("CD", pickupable=True, isPickedUp=True)
    lying = thing("CD", pickupable=True, parentReceptacles=[stand["objectId"]])
    assert written.task.instruction == "put the cd on the tv stand"
    assert offers([stand, held], written.task)
    (offered,) = [act for act in admissible([stand, held]) if act.startswith("put")]
    done = carried(offered)
    assert done is not None and done.id == written.task.id and written.task.id in satisfied([stand, lying])
    said = parse_action(f"put the cd on the {target}")
    assert said is not None and said.target is not None and meant([stand, held], said.target) is stand


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ('verb = "pick"\nobject = "lap top stand"', "task 1: AI2-THOR has no object 'lap top stand'"),
        ('verb = "pick"\nobject = "aple"', r"no object 'aple' \(did you mean apple"),
        ('verb = "put"\nobject = "cd"\ntarget = "tv stnd"', r"no object 'tv stnd' \(did you mean tv stand\?\)"),
    ],
)
def test_a_misspelt_object_is_refused_when_the_file_is_read(tmp_path: Path, task: str, says: str) -> None:
    file = tmp_path / "tasks.toml"
    file.write_text(f"[[task]]\n{task}\n")
    with pytest.raises(ValueError, match=says):
        read_options({"tasks": str(file)})


def test_a_player_of_ones_own_may_have_types_of_its_own_but_no_misspelt_ones(tmp_path: Path) -> None:
    file = tmp_path / "tasks.toml"
    file.write_text('[[task]]\nverb = "pick"\nobject = "Zeppelin"\n')
    assert read_options({"tasks": str(file), "executable": "sh"}).written_tasks[0].task.id == "pick:zeppelin"
    file.write_text('[[task]]\nverb = "pick"\nobject = "Appel"\n')
    with pytest.raises(ValueError, match="did you mean apple"):
        read_options({"tasks": str(file), "executable": "sh"})


def test_scenes_and_verbs_are_taken_as_people_write_them(tmp_path: Path) -> None:
    for rooms in ("living_room", "Living Room", "livingrooms", "living-room"):
        assert read_options({"scenes": rooms}).scene_names[0] == "FloorPlan201"
    assert read_options({"scenes": "floorplan3, Floor_Plan 4-5, FLOORPLAN6"}).scene_names == (
        "FloorPlan3", "FloorPlan4", "FloorPlan5", "FloorPlan6",
    )  # fmt: skip
    assert read_options({"verbs": "Pick up, turn on"}).verb_names == ("pick", "toggle")
    file = tmp_path / "tasks.toml"
    file.write_text('[[task]]\nscene = 201\nverb = "Turn on"\nobject = "Desk_Lamp"\n')
    (written,) = read_options({"tasks": str(file)}).written_tasks
    assert (written.task.id, written.task.instruction) == ("toggle:desk lamp", "turn on the desk lamp")
    for text, says in (("garage", "names 'garage': scenes"), ("kichen", "did you mean kitchen")):
        with pytest.raises(ValueError, match=says):
            read_options({"scenes": text})
    file.write_text('[[task]]\nverb = "opn"\nobject = "fridge"\n')
    with pytest.raises(ValueError, match=r"no verb 'opn' here \(did you mean open\?\)"):
        read_options({"tasks": str(file)})


async def test_a_task_that_no_scene_offers_costs_an_episode_and_no_player(tmp_path: Path) -> None:
    file = tmp_path / "tasks.toml"
    file.write_text('[[task]]\nverb = "pick"\nobject = "Zeppelin"\n')
    made: list[World] = []

    def make() -> World:
        made.append(load_world("ai2thor", executable=standin(), scenes="1,2", tasks=str(file), width=96, height=96))
        return made[-1]

    world = ThreadedWorld(make, seconds=30, limiter=anyio.CapacityLimiter(1))
    try:
        with anyio.fail_after(60):
            for _ in range(2):
                with pytest.raises(TaskRefused, match=r"'pick:zeppelin' cannot be done in any of FloorPlan[12], F"):
                    await world.reset(None, 0)
            pid = made[0].pid if isinstance(made[0], ProcessWorld) else None
            assert pid is not None and psutil.pid_exists(pid) and len(made) == 1
            given, _ = await world.reset(Task(id="x", instruction="i", verb="open", object="FRIDGE"), 0)
        assert (given.id, pid) == ("open:fridge", made[0].pid if isinstance(made[0], ProcessWorld) else None)
    finally:
        await world.close()
