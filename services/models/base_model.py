"""Whether two settings are about the same base model, by its content and not by where it lies."""

from services.models.folder import base_model_name, model_folder
from services.settings import Model

REMOTE = "remote"
"""What stands for the content of a model that only a server has."""


def base_model(settings: Model) -> str | None:
    """The base model by its content, as an engine calls it; None where only a server can tell.

    Raises:
        EngineError: there is none.
    """
    if settings.engine == "scripted":
        from services.models.scripted_engine import BASE_MODEL

        return BASE_MODEL
    if settings.engine == "openai" and not settings.path:
        return None
    return base_model_name(model_folder(settings))


def same_base_model(one: str, other: str) -> bool:
    """Whether two names of base models mean the same content: their folders may be called otherwise."""
    content, also = one.rpartition("@")[2], other.rpartition("@")[2]
    return one == other or (content == also and "@" in one and "@" in other and content != REMOTE)
