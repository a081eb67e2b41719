"""Parses action texts ("find apple", "put apple in fridge", "done") and maps each act to a THOR action.

The flags are those of the objects' metadata. They describe what an object can be used for, never a goal.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from services.worlds.ai2thor.names import Thing, words

DONE = "done"
"""The action with which the actor ends an episode."""


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """An act's phrase, its THOR action, and the objects that it applies to.

    ``needs`` is a flag that the object must have. ``state`` is a flag and the value it must have for the act to be
    listed. ``says`` are further arguments of the THOR action.
    """

    phrase: str
    action: str = ""
    needs: str = ""
    state: tuple[str, bool] | None = None
    says: dict[str, Any] = {}

    def suits(self, thing: Thing) -> bool:
        return bool(not self.needs or thing.get(self.needs)) and (
            self.state is None or bool(thing.get(self.state[0])) == self.state[1]
        )


ACTS: dict[str, Act] = {
    "find": Act(phrase="find"),
    "pick": Act(phrase="pick up", action="PickupObject", needs="pickupable", state=("isPickedUp", False)),
    "put": Act(phrase="put", action="PutObject", needs="receptacle"),
    "drop": Act(phrase="drop", action="DropHandObject", needs="pickupable", state=("isPickedUp", True)),
    "open": Act(phrase="open", action="OpenObject", needs="openable", state=("isOpen", False), says={"openness": 1.0}),
    "close": Act(phrase="close", action="CloseObject", needs="openable", state=("isOpen", True)),
    "break": Act(phrase="break", action="BreakObject", needs="breakable", state=("isBroken", False)),
    "slice": Act(phrase="slice", action="SliceObject", needs="sliceable", state=("isSliced", False)),
    "on": Act(phrase="turn on", action="ToggleObjectOn", needs="toggleable", state=("isToggled", False)),
    "off": Act(phrase="turn off", action="ToggleObjectOff", needs="toggleable", state=("isToggled", True)),
    "fill": Act(
        phrase="fill", action="FillObjectWithLiquid", needs="canFillWithLiquid",
        state=("isFilledWithLiquid", False), says={"fillLiquid": "water"},
    ),
    "empty": Act(
        phrase="empty", action="EmptyLiquidFromObject", needs="canFillWithLiquid", state=("isFilledWithLiquid", True)
    ),
    "clean": Act(phrase="clean", action="CleanObject", needs="dirtyable", state=("isDirty", True)),
    "dirty": Act(phrase="dirty", action="DirtyObject", needs="dirtyable", state=("isDirty", False)),
    "cook": Act(phrase="cook", action="CookObject", needs="cookable", state=("isCooked", False)),
    "use": Act(phrase="use up", action="UseUpObject", needs="canBeUsedUp", state=("isUsedUp", False)),
}  # fmt: skip

LIQUIDS = ("water", "coffee", "wine")

INSIDE = frozenset(
    ("bathtub", "bathtub basin", "bowl", "box", "coffee machine", "cup", "garbage can", "laundry hamper", "mug", "pan",
     "pot", "sink", "sink basin", "toaster", "vase")
)  # fmt: skip
"""Receptacles without a door that objects are put in."""
HOLLOW = INSIDE | frozenset(("cabinet", "drawer", "fridge", "microwave", "safe"))
"""All receptacles that objects are put in; on others they are put on."""

SHELL = frozenset(("floor", "wall", "ceiling", "room decor", "undefined"))
"""Object types that make up the room and cannot be acted on."""

_TEXT = re.compile(
    r"(?P<phrase>{}) (?:the |a |an )?(?P<object>.+?)"
    r"(?: (?:in|into|on|onto) (?:the |a |an )?(?P<target>.+?)| with (?P<liquid>{}))?".format(
        "|".join(act.phrase for act in ACTS.values()), "|".join(LIQUIDS)
    )
)
_BY_PHRASE = {act.phrase: name for name, act in ACTS.items()}


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """An act on an object; ``target`` is the receptacle, ``liquid`` the liquid to fill in."""

    act: str
    object: str
    target: str | None = None
    liquid: str | None = None


def parse_action(text: str) -> Action | None:
    """Parses an action text, ignoring articles and case; None if it is not an action. "done" is not one."""
    found = _TEXT.fullmatch(" ".join(text.lower().rstrip(" .!").split()))
    if found is None:
        return None
    act = _BY_PHRASE[found["phrase"]]
    if (act == "put") != (found["target"] is not None) or (found["liquid"] is not None and act != "fill"):
        return None
    return Action(act=act, object=found["object"], target=found["target"], liquid=found["liquid"])


def preposition(receptacle: Thing) -> str:
    return "in" if receptacle["openable"] or words(receptacle["objectType"]) in INSIDE else "on"


def admissible(things: Sequence[Thing]) -> tuple[str, ...]:
    """Returns the acts that the flags of visible and held objects allow, and "find" for all objects.

    Acts that THOR may refuse (out of reach, no room, still on) are included: the actor has to find that out.
    """
    held = next((thing for thing in things if thing["isPickedUp"]), None)
    found: dict[str, None] = {}
    acts: dict[str, None] = {}
    listed: Callable[[str], Any] = acts.setdefault
    for thing in things:
        name = words(thing["objectType"])
        if name in SHELL:
            continue
        found[f"find {name}"] = None
        if not (thing["visible"] or thing["isPickedUp"]):
            continue
        for act_name, act in ACTS.items():
            if act_name in ("find", "put") or not act.suits(thing):
                continue
            if act_name == "pick" and held is not None:
                continue
            listed(f"{act.phrase} {name}")
        if (
            held is not None
            and thing["receptacle"]
            and thing is not held
            and (thing["isOpen"] or not thing["openable"])
        ):
            listed(f"put {words(held['objectType'])} {preposition(thing)} {name}")
    return (*sorted(found), *sorted(acts), DONE)
