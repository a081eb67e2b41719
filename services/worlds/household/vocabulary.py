"""The household's object types with their affordances, and the rooms that have them."""

from typing import Literal

import msgspec

Affordance = Literal["open", "contain", "hold", "sit", "toggle", "pick", "break", "slice"]
"""What can be done to or with an object. ``contain``: objects go in it and are out of reach while it is closed;
``hold``: objects go on it."""


class Kind(msgspec.Struct, frozen=True):
    """An object type. ``room`` is the number of objects that fit in or on it."""

    name: str
    affordances: frozenset[Affordance]
    room: int = 0

    @property
    def fixed(self) -> bool:
        return "pick" not in self.affordances

    @property
    def preposition(self) -> str:
        return "in" if "contain" in self.affordances else "on"


def _kinds(table: dict[str, tuple[str, int]]) -> dict[str, Kind]:
    return {name: Kind(name, frozenset(can.split()), room) for name, (can, room) in table.items()}  # pyright: ignore[reportArgumentType]


FIXTURES = _kinds(
    {
        "fridge": ("open contain", 4),
        "cabinet": ("open contain", 4),
        "microwave": ("open contain toggle", 2),
        "drawer": ("open contain", 3),
        "table": ("hold", 3),
        "counter": ("hold", 3),
        "shelf": ("hold", 4),
        "desk": ("hold", 3),
        "sofa": ("hold sit", 2),
        "bed": ("hold sit", 2),
        "chair": ("sit", 0),
        "stove": ("toggle", 0),
        "sink": ("toggle", 0),
        "toilet": ("open sit", 0),
        "lamp": ("toggle", 0),
        "tv": ("toggle", 0),
        "fan": ("toggle", 0),
    }
)
"""Objects in a row along a room's wall, which never move."""

SMALLS = _kinds(
    {
        "apple": ("pick slice", 0),
        "bread": ("pick slice", 0),
        "tomato": ("pick slice", 0),
        "potato": ("pick slice", 0),
        "lettuce": ("pick slice", 0),
        "knife": ("pick", 0),
        "mug": ("pick break", 0),
        "bowl": ("pick break", 0),
        "plate": ("pick break", 0),
        "bottle": ("pick break", 0),
        "vase": ("pick break", 0),
        "egg": ("pick break", 0),
        "statue": ("pick break", 0),
        "phone": ("pick break", 0),
        "book": ("pick open", 0),
        "laptop": ("pick open", 0),
        "candle": ("pick toggle", 0),
        "pillow": ("pick", 0),
        "towel": ("pick", 0),
        "remote": ("pick", 0),
    }
)
"""Objects in or on fixtures, which can be carried."""

KINDS = {**FIXTURES, **SMALLS}


class Room(msgspec.Struct, frozen=True):
    name: str
    fixtures: tuple[str, ...]
    smalls: tuple[str, ...]


ROOMS = {
    name: Room(name, tuple(fixtures.split()), tuple(smalls.split()))
    for name, fixtures, smalls in (
        (
            "kitchen",
            "fridge cabinet microwave drawer table counter stove sink chair fan",
            "apple bread tomato potato lettuce knife mug bowl plate bottle egg",
        ),
        (
            "living room",
            "sofa tv shelf table drawer lamp cabinet chair fan",
            "vase book remote phone pillow statue candle laptop mug apple knife bowl bread",
        ),
        (
            "bedroom",
            "bed desk drawer lamp cabinet chair shelf fan tv",
            "book phone laptop pillow candle vase bottle mug statue remote",
        ),
        (
            "bathroom",
            "toilet sink cabinet shelf lamp counter fan",
            "towel candle vase bottle mug egg book phone statue plate",
        ),
    )
}

MAX_FIXTURES = min(len(room.fixtures) for room in ROOMS.values())
MAX_SMALLS = min(len(room.smalls) for room in ROOMS.values())
FLOOR_ROOM = 3
"""How many objects fit on the floor in front of one fixture."""
