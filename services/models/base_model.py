"""Compares base models by their content instead of their paths."""

from services.models.folder import base_model_name, model_folder
from services.settings import Model

REMOTE = "remote"
"""Stands in place of the content digest for a model that only a server has."""


def base_model(settings: Model) -> str | None:
    """Returns the base model's name with its content digest, as engines report it; None if only a server knows it.

    Raises:
        EngineError: there is no model.
    """
    if settings.engine == "scripted":
        from services.models.scripted_engine import BASE_MODEL

        return BASE_MODEL
    if settings.engine == "openai" and not settings.path:
        return None
    return base_model_name(model_folder(settings))


def same_base_model(one: str, other: str) -> bool:
    """Whether two names of base models have the same content, even if their folders' names differ."""
    content, also = one.rpartition("@")[2], other.rpartition("@")[2]
    return one == other or (content == also and "@" in one and "@" in other and content != REMOTE)
