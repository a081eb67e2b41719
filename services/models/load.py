"""Starts the engine that the settings name. An engine's module is imported only if it is chosen, which keeps this
import cheap."""

import importlib.util

import anyio.to_thread

from protocols.messages import Role
from services.models.engine import Engine, ModelUnusable
from services.models.examine import check_model
from services.settings import Model


def choose_engine(settings: Model) -> str:
    """Returns the engine's name. "auto" means vllm if it is installed, else transformers."""
    if settings.engine != "auto":
        return settings.engine
    for name in ("vllm", "transformers"):
        if _installed(name):
            return name
    raise ModelUnusable(
        "no engine is installed: neither vllm nor transformers can be imported; "
        "install selu[cpu] or selu[gpu], or set model.engine to scripted"
    )


async def load_engine(
    settings: Model, *, role: Role, max_versions: int, max_rank: int = 16, adapters: bool = True
) -> Engine:
    """Starts an engine and returns it after its canary has succeeded.

    Args:
        role: the role whose adapters it serves; part of the adapters' names.
        max_versions: the most adapters that are loaded at once, without the base model: staleness + 2.
        max_rank: the largest LoRA rank of an adapter.
        adapters: whether adapters will be loaded; if not, a server that cannot load any is accepted.

    Raises:
        EngineError: the engine cannot be started; the text names the cause and the remedy.
    """
    name = choose_engine(settings)
    if name == "scripted":
        from services.models.scripted_engine import ScriptedEngine

        return ScriptedEngine(role=role, max_versions=max_versions, max_in_flight=settings.max_in_flight)
    if name == "openai":
        from services.models.openai_engine import OpenAIEngine

        return await OpenAIEngine.start(
            settings, role=role, max_versions=max_versions, max_rank=max_rank, adapters=adapters
        )
    check_installed(name)
    await anyio.to_thread.run_sync(check_model, settings, name)
    if name == "vllm":
        from services.models.vllm_engine import VllmEngine

        return await VllmEngine.start(settings, role=role, max_versions=max_versions, max_rank=max_rank)
    from services.models.transformers_engine import TransformersEngine

    return await TransformersEngine.start(settings, role=role, max_versions=max_versions, max_rank=max_rank)


def check_installed(engine: str) -> None:
    """Raises ModelUnusable if the package of an in-process engine is not installed."""
    if engine in ("vllm", "transformers") and not _installed(engine):
        raise ModelUnusable(f"model.engine is {engine!r}, which is not installed; install selu[cpu] or selu[gpu]")


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
