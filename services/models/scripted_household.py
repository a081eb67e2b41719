"""The scripted engine's answers: a small household policy that makes fewer errors with more skill. No torch, no pixels.

It parses the prompts of actor, critic and relabeler. It never decodes a picture; the digest stands for the content. The
same picture, prompt, skill and seed always give the same answer, and two questions about one state agree.
"""

import hashlib
import random
import re

YES, NO, NOTHING, DONE = "yes", "no", "nothing", "done"

_ACT = re.compile(
    r"Task: (?P<task>.+?)\. Done so far: (?P<done>.*?)\.(?: You can: (?P<can>.*)\.)? Next action\?", re.DOTALL
)
_JUDGE = re.compile(r"Task: (?P<task>.+)\. Is the task done\?")
_STATE = re.compile(r"Is the (?P<object>.+?) (?P<state>used up|\w+)\?")
_WHERE = re.compile(r"Where is the (?P<object>.+)\?")
_WHICH = re.compile(r"(?:Which object is|What is the robot) (?P<state>.+)\?")
_TASK = re.compile(
    r"(?P<verb>pick up|put|open|close|break|slice|turn on|sit on|fill|empty|clean|dirty|cook|use up) "
    r"(?:the |a |an )?(?P<object>.+?)(?: (?P<where>in|on|into|onto) (?:the |a |an )?(?P<target>.+))?"
)

_STATE_OF = {
    "open": "open", "close": "closed", "break": "broken", "slice": "sliced", "turn on": "on", "fill": "filled",
    "empty": "empty", "clean": "clean", "dirty": "dirty", "cook": "cooked", "use up": "used up",
}  # fmt: skip
_OBJECTS = {
    "open": "fridge cabinet microwave drawer book laptop toilet",
    "closed": "fridge cabinet microwave drawer book laptop toilet",
    "broken": "mug bowl plate bottle vase egg statue phone",
    "sliced": "apple bread tomato potato lettuce",
    "on": "tv lamp fan stove microwave candle",
    "filled": "mug bowl bottle cup pot",
    "empty": "mug bowl bottle cup pot",
    "clean": "mug bowl plate pan cloth",
    "dirty": "mug bowl plate pan cloth",
    "cooked": "potato bread egg",
    "the robot holding": "apple mug book knife bowl phone pillow bottle",
    "sitting on": "sofa chair bed toilet",
}
_PLACES = ("table", "counter", "fridge", "cabinet", "shelf", "drawer", "desk", "sofa", "bed")

WORST, BEST = 0.35, 0.04
"""The probability that one action or answer is wrong, at skill 0 and at skill 1."""


def answer(prompt: str, image_id: str, *, skill: float, seed: int, temperature: float) -> str:
    """Returns the answer of a model with this skill (0 to 1) to a prompt; "nothing" if the prompt does not parse."""
    luck = _rng(image_id, prompt, f"{skill:.6f}", str(seed if temperature else 0))
    wrong = luck.random() < (WORST + (BEST - WORST) * skill) * (1 + 0.4 * min(temperature, 1.0))
    if found := _ACT.fullmatch(prompt):
        can = tuple(found["can"].split("; ")) if found["can"] else ()
        return _act(found["task"], found["done"], can, luck if wrong else None)
    if found := _JUDGE.fullmatch(prompt):
        task = _TASK.fullmatch(found["task"])
        state = _STATE_OF.get(task["verb"], task["verb"]) if task else found["task"]
        return _holds(image_id, state, task["object"] if task else "", wrong)
    if found := _STATE.fullmatch(prompt):
        return _holds(image_id, found["state"], found["object"], wrong)
    if found := _WHERE.fullmatch(prompt):
        return luck.choice(_PLACES) if wrong else _rng(image_id, "where", found["object"]).choice(_PLACES)
    if found := _WHICH.fullmatch(prompt):
        objects = _OBJECTS.get(found["state"], "").split() or [NOTHING]
        there = [thing for thing in objects if _holds(image_id, found["state"], thing, False) == YES]
        return luck.choice(objects) if wrong else (there or [NOTHING])[0]
    return NOTHING


def _rng(*parts: str) -> random.Random:
    return random.Random(hashlib.sha256("\0".join(parts).encode()).digest())


def _holds(image_id: str, state: str, thing: str, wrong: bool) -> str:
    return YES if (_rng(image_id, state, thing).random() < 0.45) != wrong else NO


def _act(instruction: str, done: str, can: tuple[str, ...], mistake: random.Random | None) -> str:
    plan = _plan(instruction)
    history = [] if done == NOTHING else done.split(", ")
    if mistake is not None:
        strays = can or tuple(f"find {thing}" for thing in _OBJECTS["the robot holding"].split())
        return DONE if history and mistake.random() < 0.4 else mistake.choice(strays)
    kept = 0
    for act in history:
        kept += kept < len(plan) and act == plan[kept]
    return plan[kept] if kept < len(plan) else DONE


def _plan(instruction: str) -> list[str]:
    task = _TASK.fullmatch(instruction)
    if task is None:
        return []
    verb, thing = task["verb"], task["object"]
    take = [f"find {thing}", f"pick up {thing}"]
    if verb == "pick up":
        return take
    if verb == "put":
        where, target = task["where"] or "on", task["target"] or "table"
        opened = [f"open {target}"] if where.startswith("in") else []
        return [*take, f"find {target}", *opened, f"put {thing} {where} {target}"]
    if verb == "break":
        return [*take, f"break {thing}"]
    if verb == "slice":
        return ["find knife", "pick up knife", f"find {thing}", f"slice {thing}"]
    return [f"find {thing}", f"{verb} {thing}"]
