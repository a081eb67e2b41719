"""Tasks drawn from a scene's affordances or read from a task file, and the goals that hold in a scene's metadata."""

import random
from collections.abc import Iterable, Sequence

import msgspec

from protocols.messages import Task
from services.worlds.ai2thor.actions import HOLLOW, preposition
from services.worlds.ai2thor.names import Thing, by_name, called, named, type_of, words
from services.worlds.ai2thor.types import TYPES
from services.worlds.options import WrittenTask, task_id
from services.worlds.spelling import did_you_mean
from services.worlds.verbs import VERBS


class Goal(msgspec.Struct, frozen=True):
    """A verb's goal. ``needs`` is the flag of objects that the verb applies to. The goal holds if ``state`` is
    ``value`` for one object of the kind, or for ``all`` of them."""

    needs: str
    state: str
    value: bool = True
    all: bool = False


GOALS = {
    "pick": Goal("pickupable", "isPickedUp"),
    "open": Goal("openable", "isOpen"),
    "close": Goal("openable", "isOpen", value=False, all=True),
    "break": Goal("breakable", "isBroken"),
    "slice": Goal("sliceable", "isSliced"),
    "toggle": Goal("toggleable", "isToggled"),
    "fill": Goal("canFillWithLiquid", "isFilledWithLiquid"),
    "empty": Goal("canFillWithLiquid", "isFilledWithLiquid", value=False, all=True),
    "clean": Goal("dirtyable", "isDirty", value=False, all=True),
    "dirty": Goal("dirtyable", "isDirty"),
    "cook": Goal("cookable", "isCooked"),
    "use": Goal("canBeUsedUp", "isUsedUp"),
}
PUT = "put"
OFFERED = (*GOALS, PUT)
"""The verbs of tasks."""

_PIECES = {"sliced ": "slice", "cracked ": "break"}

_SURFACES = "CounterTop DiningTable CoffeeTable SideTable Desk"
_FOOD = "Apple Bread Egg Lettuce Potato Tomato"
_DISHES = "Bowl Cup Mug Plate"
_PLACES: dict[str, str] = {
    **dict.fromkeys(_FOOD.split(), f"{_SURFACES} Fridge GarbageCan SinkBasin"),
    **dict.fromkeys(_DISHES.split(), f"{_SURFACES} Cabinet SinkBasin"),
    "WineBottle": f"{_SURFACES} Fridge Cabinet",
    "Pillow": "Sofa Bed ArmChair",
    "Cloth": f"{_SURFACES} BathtubBasin",
    "SoapBar": f"{_SURFACES} SinkBasin",
    "Book": f"{_SURFACES} Bed Sofa Dresser",
}
"""Receptacles for the objects of "put" tasks, as THOR's placement rules allow them. Tables accept any object."""


class SceneTask(WrittenTask, frozen=True, kw_only=True):
    """A task in a task file. Without a ``scene``, any of the option's scenes may be used."""

    scene: str | int | None = None

    @property
    def task(self) -> Task:
        object, target = called(self.object), called(self.target) if self.target else None
        said = f"{VERBS[self.verb].phrase} the {object}"
        if target is not None:
            said += f" {'in' if target in HOLLOW else 'on'} the {target}"
        return Task(
            id=task_id(self.verb, object, target), instruction=self.instruction or said, verb=self.verb, object=object,
            target=target,
        )  # fmt: skip

    def check_names(self, *, known: bool) -> None:
        """Raises ValueError for an object or target that is not a THOR type. If the player's types may differ (not
        ``known``), only names similar to a type are refused."""
        for name in filter(None, (self.object, self.target)):
            if type_of(name) is None and ((near := did_you_mean(name, map(words, TYPES))) or known):
                raise ValueError(f"AI2-THOR has no object {name!r}{near}; any spelling of its object types will do")


def make_task(verb: str, thing: Thing, receptacle: Thing | None = None) -> Task:
    """Returns the task with its id and instruction, e.g. "put the apple in the fridge"."""
    object = words(thing["objectType"])
    instruction, target = f"{VERBS[verb].phrase} the {object}", None
    if receptacle is not None:
        target = words(receptacle["objectType"])
        instruction += f" {preposition(receptacle)} the {target}"
    return Task(id=task_id(verb, object, target), instruction=instruction, verb=verb, object=object, target=target)


def draw_tasks(things: Sequence[Thing], scene: str, verbs: Iterable[str], count: int, seed: int) -> list[Task]:
    """Draws a scene's tasks: up to ``count`` objects or pairs for each verb. All episodes of a scene share them."""
    tasks: list[Task] = []
    for verb in verbs:
        rng = random.Random(f"ai2thor/tasks/{seed}/{scene}/{verb}")
        offered = _pairs(things) if verb == PUT else [make_task(verb, one) for one in _fitting(things, verb)]
        tasks += rng.sample(offered, min(count, len(offered)))
    return tasks


def choose(tasks: Sequence[Task], holding: Sequence[str], rng: random.Random) -> Task | None:
    """Returns a task whose goal does not hold yet; each verb is equally likely. None if there is none."""
    open_tasks = [task for task in tasks if task.id not in holding]
    if not open_tasks:
        return None
    verb = rng.choice(sorted({task.verb for task in open_tasks}))
    return rng.choice([task for task in open_tasks if task.verb == verb])


def offers(things: Sequence[Thing], task: Task) -> bool:
    """Whether the scene has the task's objects, with the flags that the verb needs."""
    return not lacks(things, task)


def lacks(things: Sequence[Thing], task: Task) -> str:
    """Returns the object that the task needs and the scene lacks; empty if it has all."""
    needs = "pickupable" if task.verb == PUT else GOALS[task.verb].needs
    if not any(thing[needs] for thing in named(things, task.object)):
        return task.object
    if task.target is not None and not any(thing["receptacle"] for thing in named(things, task.target)):
        return task.target
    return ""


def satisfied(things: Sequence[Thing]) -> tuple[str, ...]:
    """Returns the ids of all tasks whose goal holds, sorted."""
    ids: set[str] = set()
    kinds = {thing["objectId"]: words(thing["objectType"]) for thing in things}
    for name, same in by_name(things).items():
        for verb, goal in GOALS.items():
            fitting = [bool(thing[goal.state]) == goal.value for thing in same if thing[goal.needs]]
            if fitting and (all(fitting) if goal.all else any(fitting)):
                ids.add(task_id(verb, name))
        for opening, verb in _PIECES.items():
            if name.startswith(opening):
                ids.add(task_id(verb, name.removeprefix(opening)))
        for thing in same:
            if thing["pickupable"]:
                within = {kinds[holder] for holder in thing["parentReceptacles"] or () if holder in kinds}
                ids.update(task_id(PUT, name, holder) for holder in within)
    return tuple(sorted(ids))


def _fitting(things: Sequence[Thing], verb: str) -> list[Thing]:
    """Returns the first object of each kind that the verb applies to."""
    return [same[0] for _, same in sorted(by_name(things).items()) if all(one[GOALS[verb].needs] for one in same)]


def _pairs(things: Sequence[Thing]) -> list[Task]:
    kinds = by_name(things)
    fixed = [same[0] for _, same in sorted(kinds.items()) if same[0]["receptacle"] and not same[0]["pickupable"]]
    places = {thing["objectType"]: thing for thing in fixed}
    tasks: list[Task] = []
    for _, same in sorted(kinds.items()):
        thing = same[0]
        if thing["pickupable"]:
            wanted = _PLACES.get(thing["objectType"], _SURFACES).split()
            tasks += [make_task(PUT, thing, places[place]) for place in wanted if place in places]
    return tasks
