"""VirtualHome as a `World`: text actions and frames, on either simulation."""

from collections.abc import Sequence
from typing import Any

from protocols.messages import Task
from services.worlds.options import check_task
from services.worlds.virtualhome.actions import DONE, PHRASES, Action, Names, parse_action, refusal, script_line
from services.worlds.virtualhome.affordances import admissible
from services.worlds.virtualhome.executor import GraphSimulation
from services.worlds.virtualhome.graph import Graph, Node, read_graph
from services.worlds.virtualhome.options import Options, read_options, rng
from services.worlds.virtualhome.simulation import Simulation, draw_arrangement
from services.worlds.virtualhome.tasks import NEEDS, afforded, affords, named, phrased, read_tasks, refused, satisfied
from services.worlds.virtualhome.unity import UnitySimulation
from services.worlds.world import Frame, Observation, Truth, WorldError

ROOMS = ("kitchen", "livingroom", "bedroom", "bathroom")
"""Rooms in which the player can place a character. The graph executor accepts any room."""

NO_ACTION = f"not an action: say {', '.join(PHRASES.values())} and what, or done"


class VirtualHome:
    """One home that runs one episode at a time. Keyword arguments are those of `Options`.

    Every `step` counts, even with text that is refused. An episode ends with "done" or at the step limit. A step after
    the end or before the first `reset` raises RuntimeError. The constructor raises ValueError for an invalid option. It
    starts no player: the first `reset` does, and so does the first one after a WorldError.
    """

    name = "virtualhome"

    def __init__(self, **options: Any) -> None:
        self._options = read_options(options)
        self._written = read_tasks(self._options.tasks) if self._options.tasks else []
        self._scenes = self._options.scene_numbers()
        self._simulation = _simulation(self._options, self._written)
        self._made: dict[int, list[Task]] = {}
        self._task: Task | None = None
        self._names: Names | None = None
        self._graph: Graph | None = None
        self._stored: dict[int, Node] = {}
        self._held: frozenset[int] = frozenset()
        self._steps = 0
        self._ended = False

    def reset(self, task: Task | None, seed: int) -> tuple[Task, Observation]:
        """Starts the episode of a seed. Raises ValueError if no scene of this world offers the task."""
        self._task = None
        if task is not None:
            check_task(task.verb, task.target, NEEDS)
            task = named(task)
        luck = rng("episode", seed)
        scenes = luck.sample(self._scenes, len(self._scenes))
        looked: list[Graph] = []
        for scene in scenes:
            self._simulation.load(scene)
            stored = self._simulation.graph()
            looked.append(stored)
            if task is None or affords(stored, task):
                break
        else:
            why = f"what {task.id} needs: {refused(looked, task)}" if task else "a task"
            raise ValueError(f"no scene of this world has {why}")
        if scene not in self._made:
            self._made[scene] = self._tasks_of(scene, stored)
        if self._options.arrange:
            self._simulation.arrange(draw_arrangement(stored, luck, task))
        rooms = self._rooms_to_start_in(stored)
        if not any(self._simulation.add_character(room) for room in luck.sample(rooms, len(rooms))):
            raise WorldError(f"no character ({self._options.character}) could be placed in scene {scene}")
        self._graph, self._steps, self._ended = None, 0, False
        graph = self._now()
        if graph.character is None:
            raise WorldError(f"scene {scene} has no character after one was added")
        self._stored, self._held = graph.nodes, frozenset[int]()
        self._names = Names(graph)
        self._task = phrased(graph, task) if task else self._draw(scene, graph, luck)
        return self._task, self._observe(None)

    def _rooms_to_start_in(self, graph: Graph) -> list[str]:
        there = {room.class_name for room in graph.rooms}
        known = [room for room in ROOMS if room in there]
        others = sorted(there.difference(ROOMS))
        return known or others if self._options.mode == "unity" else [*known, *others]

    def _tasks_of(self, scene: int, graph: Graph) -> list[Task]:
        options = self._options
        if self._written:
            return [phrased(graph, task) for task in self._written if affords(graph, task)]
        return afforded(graph, options.verb_names, options.per_verb, rng("tasks", options.task_seed, scene))

    def _draw(self, scene: int, graph: Graph, luck: Any) -> Task:
        """Draws a task whose goal does not hold yet: first the verb, with equal chances. Raises ValueError."""
        held = set(satisfied(graph))
        open = [task for task in self._made[scene] if task.id not in held]
        if not open:
            raise ValueError(f"no requested task can be done in scene {scene}: check world.options.tasks and verbs")
        verb = luck.choice(sorted({task.verb for task in open}))
        return luck.choice([task for task in open if task.verb == verb])

    def step(self, action: str) -> tuple[Observation, bool, bool]:
        self._running()
        if self._ended:
            raise RuntimeError("the episode has ended: call reset before the next step")
        self._steps += 1
        done, error = action.strip().lower() == DONE, None
        if not done:
            parsed = parse_action(action)
            error = self._act(parsed) if parsed else NO_ACTION
        truncated = not done and self._steps >= self._options.max_steps
        self._ended = done or truncated
        return self._observe(error), done, truncated

    def _act(self, action: Action) -> str | None:
        names = self._running()
        thing = self._meant(action.object) if action.object else None
        target = self._meant(action.target) if action.target else None
        for said, node in ((action.object, thing), (action.target, target)):
            if said and node is None:
                return f"there is no {said} here"
        if action.act == "find" and thing is not None and thing.id in self._held:
            return None  # the character holds it
        refused = self._simulation.act(script_line(action.act, thing, target, inside=action.inside))
        self._graph = None
        if refused is not None:
            return refusal(refused, names)
        if thing is not None and action.act in ("pick", "put"):
            self._held = self._held | {thing.id} if action.act == "pick" else self._held - {thing.id}
        return None

    def _meant(self, said: str) -> Node | None:
        """Returns the object that a name means. If only one object has the name, the current graph is not needed."""
        names = self._running()
        called = names.called(said)
        return self._stored[called[0]] if len(called) == 1 else names.choose(said, self._now())

    def third_person(self) -> Frame:
        self._running()
        return self._simulation.third_person()

    def truth(self) -> Truth:
        self._running()
        holding = satisfied(self._now())
        assert self._task is not None
        return Truth(success=self._task.id in holding, satisfied=holding)

    def close(self) -> None:
        self._task = self._names = self._graph = None
        self._simulation.close()

    def _observe(self, error: str | None) -> Observation:
        names = self._running()
        listed = (*admissible(self._now(), names), DONE) if self._options.admissible else ()
        return Observation(frame=self._simulation.first_person(), admissible=listed, error=error)

    def _now(self) -> Graph:
        if self._graph is None:
            self._graph = self._simulation.graph()
        return self._graph

    def _running(self) -> Names:
        if self._names is None or self._task is None:
            raise RuntimeError("no episode is running: call reset first")
        return self._names


def _simulation(options: Options, tasks: Sequence[Task]) -> Simulation:
    """Makes the simulation. Raises ValueError for an unreadable graph, and for a task that no used scene affords."""
    if options.mode == "unity":
        return UnitySimulation(options)
    read = [read_graph(file) for file in options.graph_files()]
    for task in tasks:
        graphs = [read[scene][1] for scene in options.scene_numbers()]
        if not any(affords(graph, task) for graph in graphs):
            raise ValueError(f"{options.tasks}: no scene graph has what {task.id!r} needs: {refused(graphs, task)}")
    return GraphSimulation([raw for raw, _ in read], options.frame)
