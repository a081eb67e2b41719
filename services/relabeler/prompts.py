"""The relabeler's prompts: which object is in the state an instruction's verb brings about (hindsight, paper 4.2)."""

from services.worlds.verbs import VERBS


def which_object(verb: str, object: str | None = None) -> str:
    """The question whose answer completes an instruction with that verb. A placing verb needs the object placed."""
    known = VERBS[verb]
    if known.which:
        return known.which
    if known.state:
        return f"Which object is {known.state}?"
    return f"Where is the {object}?"
