"""Templates of the questions about object states: the wording used in pretraining, and paraphrases."""

import msgspec

from services.worlds.verbs import VERBS

PLAIN = "plain"


class Phrasing(msgspec.Struct, frozen=True):
    """One wording. ``closed`` asks whether an object is in a state, ``which`` asks for the object in a state.
    ``holding`` and ``sitting`` ask about the robot, ``where`` about an object's place."""

    closed: str
    which: str
    holding: str
    sitting: str
    where: str


PHRASINGS: dict[str, Phrasing] = {
    "plain": Phrasing(
        "Is the {object} {state}?",
        "Which object is {state}?",
        "Which object is the robot holding?",
        "What is the robot sitting on?",
        "Where is the {object}?",
    ),
    "now": Phrasing(
        "Is the {object} {state} now?",
        "Which object is {state} now?",
        "Which object is the robot holding now?",
        "What is the robot sitting on now?",
        "Where is the {object} now?",
    ),
    "picture": Phrasing(
        "In the picture, is the {object} {state}?",
        "In the picture, which object is {state}?",
        "In the picture, which object is the robot holding?",
        "In the picture, what is the robot sitting on?",
        "In the picture, where is the {object}?",
    ),
    "look": Phrasing(
        "Look at the {object}. Is it {state}?",
        "Look at the room. What is {state}?",
        "Look at the robot. What is it holding?",
        "Look at the robot. What is it sitting on?",
        "Look for the {object}. Where is it?",
    ),
    "statement": Phrasing(
        "The {object} is {state}. Is that so?",
        "Name the object that is {state}.",
        "Name the object in the robot's hand.",
        "Name what the robot is sitting on.",
        "Name the place of the {object}.",
    ),
    "see": Phrasing(
        "Do you see that the {object} is {state}?",
        "What do you see that is {state}?",
        "What do you see in the robot's hand?",
        "What do you see the robot sitting on?",
        "Where do you see the {object}?",
    ),
}
"""Wordings by name; "plain" is the wording of pretraining and of the method."""


def closed(verb: str, object: str, phrasing: str = PLAIN) -> str:
    """Returns the question whether the object is in the state that the verb brings about."""
    return PHRASINGS[phrasing].closed.format(object=object, state=VERBS[verb].state)


def which(verb: str, phrasing: str = PLAIN) -> str:
    """Returns the question which object is in the verb's state; for "pick" and "sit", what the robot has or sits on."""
    words = PHRASINGS[phrasing]
    own = {"pick": words.holding, "sit": words.sitting}
    return own[verb] if verb in own else words.which.format(state=VERBS[verb].state)


def where(object: str, phrasing: str = PLAIN) -> str:
    return PHRASINGS[phrasing].where.format(object=object)
