"""The relabeler's prompts: which object is in the state that an instruction's verb brings about (paper section 4.2)."""

from services.worlds.phrasings import PLAIN, where, which
from services.worlds.verbs import VERBS


def which_object(verb: str, object: str | None = None, phrasing: str = PLAIN) -> str:
    """The question whose answer completes an instruction with that verb. A placing verb needs the object placed."""
    return where(object or "", phrasing) if VERBS[verb].placed else which(verb, phrasing)
