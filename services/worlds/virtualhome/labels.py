"""Draws objects without drawings of their own: labelled plain shapes that show whether they are open or on."""

import zlib

import cv2

from services.worlds.household.art.brush import Brush, Color, shade
from services.worlds.household.art.storage import BRASS, Place, top_face
from services.worlds.virtualhome.graph import Node

_INK: Color = (36, 32, 40)


def color_of(name: str) -> Color:
    """Returns the colour of a class."""
    bits = zlib.crc32(name.encode())
    return 90 + bits % 120, 90 + (bits >> 8) % 120, 90 + (bits >> 16) % 120


def write(b: Brush, text: str, x: float, y: float, width: float) -> None:
    """Draws text of at most ``width`` units, centred at x, y."""
    font, thick = cv2.FONT_HERSHEY_SIMPLEX, max(1, round(b.sx * 0.8))
    (wide, high), _ = cv2.getTextSize(text, font, 1.0, thick)
    scale = min(width * b.sx / max(wide, 1), 9 * b.sx / max(high, 1))
    left = round(b.x0 + x * b.sx - wide * scale / 2)
    cv2.putText(b.image, text, (left, round(b.y0 - y * b.sy + high * scale / 2)), font, scale, _INK, thick, cv2.LINE_AA)


def fixture(b: Brush, node: Node, place: Place) -> None:
    """Draws a piece of furniture; calls ``place(slot, x, y)`` at the positions of objects in or on it."""
    c = color_of(node.class_name)
    opened, on = "OPEN" in node.states, "ON" in node.states
    if on:
        b.glow(0, 40, 46, 52, (255, 240, 160), 0.8)
    if node.can("SITTABLE"):
        b.rounded(-32, 18, 32, 62, 6, shade(c, 0.8))
        b.rounded(-34, 4, 34, 30, 5, c)
    else:
        b.panel(-34, 0, 34, 56, shade(c, 1.4) if on else c)
    if node.can("CAN_OPEN"):
        b.rect(-28, 6, 28, 40, shade(c, 0.28 if opened else 0.8))
        if opened:
            b.poly([(28, 40), (43, 34), (43, -2), (28, 6)], shade(c, 1.2))
            for slot, x in enumerate((-18, 0, 18)):
                place(slot, x, 8)
        else:
            b.oval(20, 23, 3, 3, BRASS)
    elif node.can("SURFACES"):
        top_face(b, -38, 38, 56, c)
        for slot, x in enumerate((-25, 0, 25)):
            place(slot, x, 58)
    if node.can("HAS_SWITCH"):
        b.oval(-24, 49, 3.4, 3.4, (90, 240, 120) if on else (200, 60, 50))
    b.rounded(-30, 42, 30, 54, 2, (250, 250, 246))
    write(b, node.class_name, 0, 48, 54)


def small(b: Brush, node: Node) -> None:
    c = color_of(node.class_name)
    if "ON" in node.states:
        b.glow(0, 10, 16, 16, (255, 240, 160), 0.8)
    b.rounded(-12, 0, 12, 16, 3, c)
    if "OPEN" in node.states:
        b.poly([(-12, 16), (12, 16), (15, 24), (-9, 24)], shade(c, 1.3))
    b.rounded(-12, 4, 12, 12, 1, (250, 250, 246), None)
    write(b, node.class_name, 0, 8, 23)
