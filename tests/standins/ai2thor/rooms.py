"""Scenes: rooms of four metres with furniture along the walls and small things on and in it, one for each number."""

import math
import random
import re
from dataclasses import dataclass, field
from typing import Any

FLAGS = [
    *("receptacle", "toggleable", "isToggled", "breakable", "isBroken", "canFillWithLiquid", "isFilledWithLiquid"),
    *("dirtyable", "isDirty", "canBeUsedUp", "isUsedUp", "cookable", "isCooked", "isHeatSource", "isColdSource"),
    *("sliceable", "isSliced", "openable", "isOpen", "pickupable", "isPickedUp", "moveable", "isMoving"),
]

KINDS: dict[str, tuple[str, float, tuple[int, int, int]]] = {
    "Fridge": ("openable receptacle isColdSource", 0.7, (200, 205, 215)),
    "CounterTop": ("receptacle", 0.6, (150, 110, 80)),
    "Microwave": ("openable toggleable receptacle isHeatSource", 0.4, (70, 70, 75)),
    "CoffeeMachine": ("toggleable receptacle moveable", 0.35, (60, 40, 40)),
    "SinkBasin": ("receptacle", 0.45, (170, 190, 200)),
    "Faucet": ("toggleable", 0.15, (210, 210, 220)),
    "GarbageCan": ("receptacle moveable", 0.4, (80, 90, 80)),
    "Cabinet": ("openable receptacle", 0.5, (140, 90, 50)),
    "Toaster": ("toggleable receptacle moveable", 0.3, (170, 60, 60)),
    "DiningTable": ("receptacle moveable", 0.6, (160, 120, 70)),
    "Sofa": ("receptacle moveable", 0.7, (60, 90, 140)),
    "CoffeeTable": ("receptacle moveable", 0.5, (120, 80, 50)),
    "Television": ("toggleable breakable moveable", 0.5, (25, 25, 30)),
    "FloorLamp": ("toggleable moveable", 0.35, (190, 170, 120)),
    "Drawer": ("openable receptacle", 0.4, (130, 100, 70)),
    "Desk": ("receptacle moveable", 0.6, (150, 130, 100)),
    "Bed": ("receptacle moveable", 0.8, (170, 150, 190)),
    "Apple": ("pickupable sliceable", 0.16, (210, 40, 40)),
    "Bread": ("pickupable sliceable cookable", 0.2, (200, 150, 80)),
    "Tomato": ("pickupable sliceable", 0.16, (230, 70, 50)),
    "Egg": ("pickupable breakable sliceable cookable", 0.14, (250, 240, 220)),
    "Potato": ("pickupable sliceable cookable", 0.16, (160, 120, 60)),
    "Mug": ("pickupable breakable canFillWithLiquid dirtyable receptacle", 0.18, (40, 90, 210)),
    "Bowl": ("pickupable breakable canFillWithLiquid dirtyable receptacle", 0.2, (230, 230, 240)),
    "Plate": ("pickupable breakable dirtyable receptacle", 0.2, (220, 220, 200)),
    "ButterKnife": ("pickupable", 0.14, (180, 180, 190)),
    "Book": ("pickupable openable", 0.2, (60, 140, 80)),
    "Laptop": ("pickupable openable toggleable breakable", 0.25, (110, 110, 120)),
    "Vase": ("pickupable breakable canFillWithLiquid", 0.22, (150, 70, 160)),
    "Pillow": ("pickupable", 0.3, (220, 200, 120)),
    "RemoteControl": ("pickupable", 0.12, (50, 50, 50)),
    "TissueBox": ("pickupable canBeUsedUp", 0.16, (240, 200, 210)),
    "SoapBottle": ("pickupable canBeUsedUp", 0.16, (120, 210, 180)),
    "Cloth": ("pickupable dirtyable", 0.18, (230, 160, 60)),
}
"""Type: its flags, its size in metres, its colour."""

ROOMS = {
    0: ("Fridge CounterTop CounterTop Microwave CoffeeMachine SinkBasin Faucet GarbageCan Cabinet Cabinet Toaster",
        "Apple Bread Tomato Egg Potato Mug Mug Bowl Plate ButterKnife SoapBottle"),
    2: ("Sofa CoffeeTable Television FloorLamp Drawer Desk Cabinet",
        "Book Laptop Vase Pillow RemoteControl TissueBox Mug Bowl Plate"),
    3: ("Bed Desk Drawer FloorLamp Cabinet Television", "Book Laptop Pillow TissueBox Mug Vase"),
    4: ("SinkBasin Faucet CounterTop Cabinet GarbageCan", "Cloth SoapBottle TissueBox Vase Mug"),
}  # fmt: skip
"""Furniture and small things by the hundreds of a scene's number."""

SCENES = [f"FloorPlan{hundred * 100 + i}_physics" for hundred in ROOMS for i in range(1, 31)]
WALL, REACH, GRID, FLOOR = 2.0, 1.25, 0.25, 0.9
"""Half a room; how far from its middle the agent can stand; its grid; the height of its centre, in metres."""
ROOM = 3
"""How many things fit on or in a piece of furniture."""


@dataclass
class Thing:
    """An object. ``flags`` are those of the metadata; ``within`` is the id of what it is on or in."""

    id: str
    type: str
    size: float
    colour: tuple[int, int, int]
    flags: dict[str, bool]
    at: tuple[float, float, float]
    within: str | None = None
    liquid: str | None = None


@dataclass
class Room:
    """A scene's state. Angles in degrees, lengths in metres."""

    scene: str = SCENES[0]
    things: dict[str, Thing] = field(default_factory=dict)
    agent: dict[str, float] = field(default_factory=dict)
    cameras: list[dict[str, Any]] = field(default_factory=list)
    held: str | None = None
    reach: float = 1.5
    fov: float = 90.0

    def load(self, scene: str) -> None:
        self.scene, self.cameras, self.held, self.things = scene, [], None, {}
        self.agent = {"x": 0.0, "y": FLOOR, "z": -1.0, "yaw": 0.0, "horizon": 0.0}
        number = int(re.sub(r"\D", "", scene) or 1)
        rng = random.Random(number)
        furniture, smalls = (part.split() for part in ROOMS.get(number // 100, ROOMS[0]))
        along = (-1.0, 0.0, 1.0)
        places = [(side * 1.65, z) for side in (-1, 1) for z in along] + [
            (x, side * 1.65) for side in (-1, 1) for x in along
        ]
        rng.shuffle(places)
        self.add("DiningTable" if number < 100 else "CoffeeTable" if number < 300 else "Desk", (0.0, 0.5, 0.4))
        for kind, (x, z) in zip(furniture, places, strict=False):
            self.add(kind, (x, 0.9 if kind in ("Microwave", "Faucet", "Cabinet") else 0.6, z))
        holders = [thing for thing in self.things.values() if thing.flags["receptacle"]]
        for kind in smalls:
            free = [one for one in holders if len(self.inside(one.id)) < ROOM - 1]
            holder = rng.choice(free)
            self.add(kind, self.spot(holder), holder.id)

    def add(self, kind: str, at: tuple[float, float, float], within: str | None = None, **state: bool) -> Thing:
        base = kind.removesuffix("Sliced").removesuffix("Cracked")
        flags, size, colour = KINDS[base]
        if kind != base:
            flags, size = "pickupable cookable", size / 2
        known = dict.fromkeys(FLAGS, False) | dict.fromkeys(flags.split(), True) | state
        id = f"{kind}|{at[0]:+06.2f}|{at[1]:+06.2f}|{at[2]:+06.2f}"
        while id in self.things:
            id += "|1"
        self.things[id] = Thing(id, kind, size, colour, known, at, within)
        return self.things[id]

    def inside(self, id: str) -> list[Thing]:
        return [thing for thing in self.things.values() if thing.within == id]

    def spot(self, holder: Thing) -> tuple[float, float, float]:
        """Where the next thing on or in a piece of furniture lies."""
        beside = (len(self.inside(holder.id)) - 1) * 0.22
        x, y, z = holder.at
        return (x + beside * (abs(z) > abs(x)), y + holder.size / 2 + 0.05, z + beside * (abs(z) <= abs(x)))

    def hidden(self, thing: Thing) -> bool:
        """Whether it is shut away."""
        holder = self.things.get(thing.within or "")
        if holder is None:
            return False
        return (holder.flags["openable"] and not holder.flags["isOpen"]) or self.hidden(holder)

    def distance(self, thing: Thing, agent: dict[str, float] | None = None) -> float:
        at = agent or self.agent
        return math.hypot(thing.at[0] - at["x"], thing.at[2] - at["z"])

    def visible(self, thing: Thing, agent: dict[str, float] | None = None) -> bool:
        at = agent or self.agent
        if thing.id == self.held:
            return True
        if self.hidden(thing) or self.distance(thing, at) > self.reach:
            return False
        yaw = math.degrees(math.atan2(thing.at[0] - at["x"], thing.at[2] - at["z"])) - at["yaw"]
        down = (
            math.degrees(math.atan2(at["y"] + 0.675 - thing.at[1], max(self.distance(thing, at), 0.01))) - at["horizon"]
        )
        return abs((yaw + 180) % 360 - 180) < self.fov / 2 and abs(down) < self.fov / 2

    def free(self) -> list[dict[str, float]]:
        """Where the agent can stand: the middle of the room but for the table in it."""
        steps = round(REACH / GRID)
        grid = [(x * GRID, z * GRID) for x in range(-steps, steps + 1) for z in range(-steps, steps + 1)]
        return [{"x": x, "y": FLOOR, "z": z} for x, z in grid if math.hypot(x, z - 0.4) > 0.45]


def metadata(room: Room) -> list[dict[str, Any]]:
    """The objects as the client's users know them."""
    found: list[dict[str, Any]] = []
    for thing in room.things.values():
        x, y, z = thing.at
        flags = thing.flags
        found.append({
            **flags, "objectId": thing.id, "objectType": thing.type, "name": thing.id.replace("|", "_"),
            "position": {"x": x, "y": y, "z": z}, "rotation": {"x": 0.0, "y": 0.0, "z": 0.0},
            "visible": room.visible(thing), "obstructed": False, "distance": room.distance(thing),
            "openness": float(flags["isOpen"]), "fillLiquid": thing.liquid, "temperature": "RoomTemp", "mass": 1.0,
            "salientMaterials": [], "controlledObjects": None,
            "parentReceptacles": [thing.within] if thing.within else None,
            "receptacleObjectIds": [one.id for one in room.inside(thing.id)] if flags["receptacle"] else None,
            "axisAlignedBoundingBox": {"center": {"x": x, "y": y, "z": z}, "size": dict.fromkeys("xyz", thing.size)},
            "objectOrientedBoundingBox": None,
        })  # fmt: skip
    return found
