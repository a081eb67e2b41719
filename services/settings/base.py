"""The base of the settings' sections, and the types of several fields."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Positive = Annotated[int, Meta(ge=1)]
Rate = Annotated[float, Meta(gt=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Samples = Annotated[int, Meta(ge=1, le=64)]
Phrasing = Literal["plain", "now", "picture", "look", "statement", "see"]
"""The wordings of `services.worlds.phrasings`."""


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all sections. Unknown keys are an error."""
