"""Graph mode: the package's evolving-graph executor provides the dynamics, and frames are drawn from the graph."""

import copy
from typing import Any

from services.worlds.spelling import spelled
from services.worlds.virtualhome import shims
from services.worlds.virtualhome.graph import CHARACTER, Graph
from services.worlds.virtualhome.layout import place_of
from services.worlds.virtualhome.simulation import Arrangement
from services.worlds.virtualhome.view import View
from services.worlds.world import Frame, WorldError

_PUT = {"PUT": "PUTBACK"}
"""Actions that have other names in the executor than in the player."""


class GraphSimulation:
    """Implements `Simulation` on scene graphs (decoded JSON). ``size``: frame height and width in pixels."""

    def __init__(self, scenes: list[dict[str, Any]], size: int) -> None:
        self._package = shims.executor()
        self._scenes = scenes
        self._size = size
        self._state: Any = None
        self._view: View | None = None
        self._read: Graph | None = None
        self.at: int | None = None
        """The id of the character's last destination: a room, a fixture, or an object on the floor."""

    def load(self, scene: int) -> None:
        stored = self._scenes[scene % len(self._scenes)]
        characters = {node["id"] for node in stored["nodes"] if node["class_name"] == CHARACTER}
        nodes = [node for node in stored["nodes"] if node["id"] not in characters]
        edges = [e for e in stored["edges"] if e["from_id"] not in characters and e["to_id"] not in characters]
        self._view = View(scene, self._size)
        self.at = None
        self.replace({"nodes": nodes, "edges": edges})

    def replace(self, graph: dict[str, Any]) -> None:
        """Continues from another graph of the same scene."""
        environment = self._package.environment
        known = {state.name for state in environment.State}
        nodes = [
            {**node, "states": [s for s in node["states"] if s in known], "properties": self._properties(node)}
            for node in graph["nodes"]
        ]
        there, relations = {node["id"] for node in nodes}, environment.Relation.__members__
        edges = [
            edge
            for edge in graph["edges"]
            if edge["relation_type"] in relations and edge["from_id"] in there and edge["to_id"] in there
        ]
        made = environment.EnvironmentGraph({"nodes": nodes, "edges": edges})
        self._state = environment.EnvironmentState(made, {}, instance_selection=True)
        self._read = None

    def _properties(self, node: dict[str, Any]) -> list[str]:
        return [p for p in node.get("properties", ()) if p in self._package.environment.Property.__members__]

    def arrange(self, arrangement: Arrangement) -> None:
        graph = copy.deepcopy(self.as_dict())
        for node in graph["nodes"]:
            if node["id"] in arrangement.states:
                node["states"] = sorted(arrangement.states[node["id"]])
        rooms = {node["id"] for node in graph["nodes"] if node["category"] == "Rooms"}
        moved = arrangement.places

        def stays(edge: dict[str, Any]) -> bool:
            placed = edge["from_id"] in moved and edge["relation_type"] in ("ON", "INSIDE", "CLOSE", "FACING")
            reverse = edge["to_id"] in moved and edge["relation_type"] == "CLOSE"
            return not reverse and (not placed or edge["to_id"] in rooms)

        graph["edges"] = [edge for edge in graph["edges"] if stays(edge)]
        for thing, (relation, place) in moved.items():
            graph["edges"] += [
                {"from_id": thing, "to_id": place, "relation_type": relation},
                {"from_id": thing, "to_id": place, "relation_type": "CLOSE"},
                {"from_id": place, "to_id": thing, "relation_type": "CLOSE"},
            ]
        self.replace(graph)

    def add_character(self, room: str) -> bool:
        graph = self.as_dict()
        found = next((n for n in graph["nodes"] if n["category"] == "Rooms" and spelled(n["class_name"]) == room), None)
        if found is None:
            return False
        id = max(node["id"] for node in graph["nodes"]) + 1
        character = {
            "id": id, "class_name": CHARACTER, "category": "Characters", "properties": [], "states": [],
            "prefab_name": None, "bounding_box": None,
        }  # fmt: skip
        edge = {"from_id": id, "to_id": found["id"], "relation_type": "INSIDE"}
        self.replace({"nodes": [*graph["nodes"], character], "edges": [*graph["edges"], edge]})
        self.at = found["id"]
        return True

    def act(self, line: str) -> str | None:
        scripts, execution = self._package.scripts, self._package.execution
        text = line.partition("> ")[2]
        for ours, theirs in _PUT.items():
            text = text.replace(f"[{ours.lower()}]", f"[{theirs}]")
        try:
            parsed = scripts.parse_script_line(text, 0)
        except scripts.ScriptParseException as error:
            return f"this is no script line: {error}"
        if refused := self._surface(parsed):
            return refused
        runner = execution.ScriptExecutor(None, {})
        try:
            done, state = runner.execute_one_step(scripts.Script([parsed]), self._state)
            if done:
                self._tidy(state)
        except Exception as error:  # the executor's asserts and lookups fail on an incomplete graph
            raise WorldError(f"the graph executor failed at {text!r}: {type(error).__name__}: {error}") from error
        if not done:
            return runner.info.get_error_string() or "that cannot be done now"
        self._state, self._read = state, None
        if parsed.action.name in ("WALK", "FIND", "RUN"):
            self.at = place_of(self.graph(), parsed.parameters[0].instance)
        return None

    def _surface(self, parsed: Any) -> str | None:
        """Returns a refusal unless the target is a surface or container, as the player does; the executor does not
        check it."""
        if parsed.action.name not in ("PUTBACK", "PUTIN"):
            return None
        place = self.graph().nodes.get(parsed.parameters[1].instance)
        if place is None:
            return f"{parsed.parameters[1]} cannot be found"
        if parsed.action.name == "PUTBACK" and not place.can("SURFACES"):
            return f"<{place.class_name}> ({place.id}) is no surface"
        if parsed.action.name == "PUTIN" and not place.can("CONTAINERS", "CAN_OPEN"):
            return f"<{place.class_name}> ({place.id}) is no container"
        return None

    def _tidy(self, state: Any) -> None:
        """Corrects the executor's graph: a character that stood up is no longer on the seat, and held or carried
        objects are in the character's room, not in the room where they were picked up."""
        environment = self._package.environment
        states, relation = environment.State, environment.Relation
        (person,) = state.get_char_node(0)
        if states.SITTING not in person.states and states.LYING not in person.states:
            for seat in state.get_nodes_from(person, relation.ON):
                state.delete_edge(person, relation.ON, seat)
        room = next((node for node in state.get_nodes_from(person, relation.INSIDE) if node.category == "Rooms"), None)
        held = [node for hand in (relation.HOLDS_RH, relation.HOLDS_LH) for node in state.get_nodes_from(person, hand)]
        if room is not None:
            for node in held:
                self._move_to(state, node, room)

    def _move_to(self, state: Any, node: Any, room: Any) -> None:
        inside = self._package.environment.Relation.INSIDE
        for other in state.get_nodes_from(node, inside):
            if other.category == "Rooms" and other.id != room.id:
                state.delete_edge(node, inside, other)
        state.add_edge(node, inside, room)

    def as_dict(self) -> dict[str, Any]:
        """Returns the current graph in the simulator's own format."""
        if self._state is None:
            raise WorldError("no scene is loaded: call reset first")
        return self._state.to_dict()

    def graph(self) -> Graph:
        if self._read is None:
            self._read = Graph.convert(self.as_dict())
        return self._read

    def first_person(self) -> Frame:
        return self._drawn().first_person(self.graph(), self.at)

    def third_person(self) -> Frame:
        return self._drawn().third_person(self.graph(), self.at)

    def _drawn(self) -> View:
        if self._view is None:
            raise WorldError("no scene is loaded: call reset first")
        return self._view

    def close(self) -> None:
        self._state = self._view = self._read = None
