"""Parses action texts, formats them and the simulator's script lines, and converts refusals to text.

The language is the household's: "find apple", "pick up apple", "put apple in fridge", "turn on tv", "sit on sofa".
Objects have the simulator's class names without gaps ("kitchentable"; "kitchen table" and "kitchen_table" are
accepted). If there are several of a class, "chair 2" is the second by id, and "chair" the nearest.
"""

import re
from collections import defaultdict

import msgspec

from services.worlds.spelling import spelled
from services.worlds.virtualhome.graph import Graph, Node

DONE = "done"
"""The action with which the actor ends an episode."""

PHRASES = {
    "find": "find",
    "pick": "pick up",
    "put": "put",
    "open": "open",
    "close": "close",
    "on": "turn on",
    "off": "turn off",
    "sit": "sit on",
    "stand": "stand up",
    "drink": "drink",
    "touch": "touch",
}
"""The phrase of each act."""

_SYNONYMS = {
    "walk to": "find", "go to": "find", "grab": "pick", "take": "pick", "place": "put", "switch on": "on",
    "switch off": "off", "sit down on": "sit", "sit in": "sit", "drink from": "drink",
}  # fmt: skip
_ACTS = {phrase: act for act, phrase in PHRASES.items()} | _SYNONYMS
_PHRASE = "|".join(sorted(map(re.escape, _ACTS), key=len, reverse=True))
_ONE = re.compile(rf"(?P<phrase>{_PHRASE}) (?:the |a |an )?(?P<object>[\w -]+)")
_TWO = re.compile(
    r"(?:put|place) (?:the |a |an )?(?P<object>[\w -]+?) (?P<where>inside|into|in|on top of|onto|on) "
    r"(?:the |a |an )?(?P<target>[\w -]+)"
)
_SCRIPT = {
    "find": "walk", "pick": "grab", "open": "open", "close": "close", "on": "switchon", "off": "switchoff",
    "sit": "sit", "drink": "drink", "touch": "touch",
}  # fmt: skip
_NODE = re.compile(r"<([^<>]+)> \((\d+)\)(?:\.\d+)?")


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """An act on the object called ``object``. ``target`` is the receptacle; ``inside`` means in it, otherwise on it."""

    act: str
    object: str = ""
    target: str = ""
    inside: bool = False


def parse_action(text: str) -> Action | None:
    """Parses an action text, ignoring articles and case; None if it is not an action. "done" is not one."""
    said = " ".join(text.lower().rstrip(" .!").split())
    if said == PHRASES["stand"]:
        return Action(act="stand")
    if found := _TWO.fullmatch(said):
        inside = found["where"] in ("in", "into", "inside")
        return Action(act="put", object=found["object"], target=found["target"], inside=inside)
    found = _ONE.fullmatch(said)
    if found is None or _ACTS[found["phrase"]] in ("put", "stand"):
        return None
    return Action(act=_ACTS[found["phrase"]], object=found["object"])


class Names:
    """The names of a scene's objects and rooms, which stay the same for the whole scene."""

    def __init__(self, graph: Graph) -> None:
        self._classes: dict[str, list[int]] = defaultdict(list)
        for node in sorted((*graph.rooms, *graph.things), key=lambda node: node.id):
            self._classes[node.class_name].append(node.id)
        self._spoken: dict[int, str] = {}
        for name, ids in self._classes.items():
            for number, id in enumerate(ids, 1):
                self._spoken[id] = f"{name} {number}" if len(ids) > 1 else name

    def of(self, node: int) -> str:
        return self._spoken.get(node, "character")

    def now(self, graph: Graph) -> dict[int, str]:
        """Returns the preferred name of each object now: the object that a class name alone means gets that name."""
        chosen = {name: self.choose(name, graph) for name, ids in self._classes.items() if len(ids) > 1}
        return self._spoken | {node.id: name for name, node in chosen.items() if node is not None}

    def called(self, said: str) -> list[int]:
        """Returns the ids that a name may mean, lowest first."""
        name = spelled(said)
        if name in self._classes:
            return self._classes[name]
        found = re.fullmatch(r"(.+?)(\d+)", name)
        ids = self._classes.get(found[1], []) if found else []
        return [ids[int(found[2]) - 1]] if found and 0 < int(found[2]) <= len(ids) else []

    def choose(self, said: str, graph: Graph) -> Node | None:
        """Returns the object that a name means: held objects first, then those in reach, in the room, elsewhere; or
        None."""
        nodes = [graph.nodes[id] for id in self.called(said) if id in graph.nodes]
        here = graph.room(graph.character) if graph.character else None

        def distance(node: Node) -> tuple[int, int]:
            if node.id in graph.held_ids:
                return 0, node.id
            if node.id in graph.near:
                return 1, node.id
            room = graph.room(node)
            return (2 if room and here and room.id == here.id else 3), node.id

        return min(nodes, key=distance, default=None)


def script_line(act: str, object: Node | None, target: Node | None, *, inside: bool) -> str:
    """Returns the line for `render_script`, e.g. "<char0> [grab] <apple> (12)"."""
    if object is None:
        return "<char0> [standup]"
    if target is None:
        return f"<char0> [{_SCRIPT[act]}] {_reference(object)}"
    return f"<char0> [{'putin' if inside else 'put'}] {_reference(object)} {_reference(target)}"


def _reference(node: Node) -> str:
    return f"<{node.written}> ({node.id})"


def refusal(message: str, names: Names) -> str:
    """Returns the simulator's reason with the actor's names of objects: "you are not close to the fridge"."""

    def name(found: re.Match[str]) -> str:
        return "you" if found[1] == "character" else f"the {names.of(int(found[2]))}"

    said = re.sub(r" when executing .*", "", message, flags=re.DOTALL)
    said = re.sub(r"ScriptExcutor \d+:\s*|EXECUTION:\s*", "", said)
    said = _NODE.sub(name, said).strip(" ,\n")
    said = re.sub(r"\byou is\b", "you are", said)
    said = re.sub(r"\byou does\b", "you do", said)
    return said[:1].lower() + said[1:400] if said else "that cannot be done now"
