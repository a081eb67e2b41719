"""The appearance of one episode: palette, proportions, hinges, camera, light and decoration.

With ``shift``, each range moves from the source's (0) to the unknown household's (1), which lies mostly outside it.
"""

import colorsys
import random
from typing import Literal

import msgspec

from services.worlds.household.art.brush import Color, mix
from services.worlds.household.vocabulary import KINDS

COLORS: dict[str, Color] = {
    "fridge": (214, 226, 232),
    "cabinet": (168, 116, 70),
    "microwave": (128, 134, 146),
    "drawer": (200, 154, 104),
    "table": (178, 122, 74),
    "counter": (206, 200, 190),
    "shelf": (140, 96, 62),
    "desk": (122, 92, 78),
    "sofa": (90, 128, 190),
    "bed": (178, 140, 206),
    "chair": (196, 146, 88),
    "stove": (150, 152, 160),
    "sink": (226, 232, 238),
    "toilet": (238, 240, 244),
    "lamp": (206, 110, 96),
    "tv": (56, 58, 68),
    "fan": (120, 176, 184),
    "apple": (214, 54, 58),
    "bread": (206, 146, 76),
    "tomato": (236, 92, 50),
    "potato": (186, 146, 96),
    "lettuce": (120, 186, 80),
    "knife": (170, 178, 186),
    "mug": (62, 122, 200),
    "bowl": (236, 196, 92),
    "plate": (236, 238, 242),
    "bottle": (54, 150, 96),
    "vase": (150, 92, 178),
    "egg": (244, 228, 200),
    "statue": (172, 170, 160),
    "phone": (52, 54, 70),
    "book": (182, 62, 74),
    "laptop": (130, 136, 148),
    "candle": (238, 222, 196),
    "pillow": (232, 150, 180),
    "towel": (84, 184, 190),
    "remote": (58, 58, 66),
}
"""Each type's own colour, before the episode's variation."""

_FIXED = random.Random("household/unknown/palette")
_UNKNOWN = {name: (_FIXED.uniform(0.06, 0.16) * _FIXED.choice((-1, 1)), _FIXED.uniform(0.72, 1.05)) for name in KINDS}
"""The unknown household's palette: a hue turn and a value gain for each type, the same in all episodes."""


class Decor(msgspec.Struct, frozen=True):
    """A decoration on the wall; ``x`` 0..1 along it, ``y`` units above the floor."""

    what: Literal["picture", "window", "clock", "plant", "garland"]
    x: float
    y: float
    color: Color


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """``hinge`` and ``side`` are -1 (left) or 1: the side of doors' hinges, and the side on which the robot stands.
    ``zoom`` scales the view, ``drop`` lowers it (pixels at 128), ``tilt`` turns it (degrees). ``gain`` is the
    light's colour, ``noise`` the sensor's standard deviation in grey levels, ``glare`` the brightest place along the
    wall."""

    seed: int
    colors: dict[str, Color]
    stretch: tuple[float, float]
    hinge: int
    side: int
    wall: Color
    floor: Color
    robot: Color
    pattern: Literal["plain", "panels", "stripes", "dots", "checks"]
    ground: Literal["planks", "tiles", "carpet"]
    zoom: float
    drop: float
    tilt: float
    gain: tuple[float, float, float]
    noise: float
    glare: float
    decor: tuple[Decor, ...]


def turn(color: Color, hue: float, saturation: float = 1.0, value: float = 1.0) -> Color:
    """Returns the colour with its hue turned (1 is the full circle), and its saturation and value multiplied."""
    h, s, v = colorsys.rgb_to_hsv(color[0] / 255, color[1] / 255, color[2] / 255)
    r, g, b = colorsys.hsv_to_rgb((h + hue) % 1, min(1, s * saturation), min(1, v * value))
    return int(255 * r), int(255 * g), int(255 * b)


def draw_look(seed: int, domain: str, shift: float, names: tuple[str, ...], room: str) -> Look:
    """Draws the appearance of an episode with these objects."""
    rng = random.Random(f"household/look/{domain}/{seed}")

    def slide(source: tuple[float, float], unknown: tuple[float, float]) -> float:
        low, high = (a + shift * (b - a) for a, b in zip(source, unknown, strict=True))
        return rng.uniform(low, high)

    def color(name: str) -> Color:
        hue, value = _UNKNOWN[name]
        return turn(
            COLORS[name],
            shift * hue + rng.uniform(-0.04, 0.04),
            rng.uniform(0.85, 1.15),
            rng.uniform(0.88, 1.06) * (1 + shift * (value - 1)),
        )

    walls: tuple[Color, ...] = ((240, 226, 198), (206, 224, 232), (230, 230, 220), (232, 214, 214))
    wall = turn(
        rng.choice(walls),
        rng.uniform(-0.06, 0.06) + shift * rng.choice((-1, 1)) * rng.uniform(0.1, 0.35),
        1 + 1.6 * shift * rng.random(),
        1 - shift * rng.uniform(0.05, 0.3),
    )
    grounds: tuple[Color, ...] = ((200, 154, 108), (184, 138, 98), (210, 188, 160))
    floor = turn(
        rng.choice(grounds),
        rng.uniform(-0.02, 0.02) + shift * rng.choice((-1, 1)) * rng.uniform(0.05, 0.4),
        1 - 0.3 * shift,
        rng.uniform(0.92, 1.06) * (1 - shift * rng.uniform(0.1, 0.4)),
    )
    bold = rng.random() < 0.12 + 0.8 * shift
    many = rng.random() < shift
    return Look(
        seed=seed,
        colors={name: color(name) for name in names},
        stretch=(slide((0.94, 1.04), (0.84, 0.94)), slide((0.9, 1.02), (1.0, 1.12))),
        hinge=-1 if rng.random() < 0.25 + 0.55 * shift else 1,
        side=1 if rng.random() < 0.3 + 0.4 * shift else -1,
        wall=wall,
        floor=floor,
        robot=mix(
            turn((96, 140, 190), rng.uniform(-0.06, 0.06)),
            turn((240, 148, 70), rng.uniform(-0.04, 0.04)),
            min(1.0, 2 * shift),
        ),
        pattern=rng.choice(("stripes", "dots", "checks") if bold else ("plain", "plain", "panels")),
        ground=_ground(room, rng.random() < 0.15 + 0.5 * shift, rng),
        zoom=slide((0.95, 1.06), (0.86, 0.96)),
        drop=slide((-2.0, 2.0), (2.0, 6.0)),
        tilt=rng.choice((-1, 1)) * slide((0, 1), (2, 6)),
        gain=(slide((0.97, 1.07), (0.92, 1.04)), slide((0.96, 1.05), (0.84, 0.97)), slide((0.93, 1.04), (0.7, 0.88))),
        noise=slide((0.5, 2.5), (3.0, 6.0)),
        glare=rng.random(),
        decor=tuple(_decor(rng) for _ in range(rng.randint(2, 4) if many else rng.randint(0, 2))),
    )


def _ground(room: str, other: bool, rng: random.Random) -> Literal["planks", "tiles", "carpet"]:
    usual: dict[str, Literal["planks", "tiles", "carpet"]] = {
        "kitchen": "tiles",
        "bathroom": "tiles",
        "bedroom": "carpet",
    }
    return rng.choice(("planks", "tiles", "carpet")) if other else usual.get(room, "planks")


def _decor(rng: random.Random) -> Decor:
    return Decor(
        rng.choice(("picture", "picture", "window", "clock", "plant", "garland")),
        rng.random(),
        rng.uniform(88, 122),
        turn((214, 110, 90), rng.random(), rng.uniform(0.6, 1.1), rng.uniform(0.75, 1.1)),
    )
