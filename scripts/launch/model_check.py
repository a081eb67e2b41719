"""Checks whether a model can be served and trained with given settings, before anything starts.

Used by `selu up` and its dry run, `selu probe` and `selu experiment`. `selu doctor` checks a folder only.
"""

from collections.abc import Iterator
from typing import Any

import anyio
import msgspec

from services.models.devices import check_device
from services.models.engine import EngineError, ModelUnusable
from services.models.examine import MICRO, PACKAGED, examine
from services.models.http_client import HttpBroken, HttpClient, HttpFailed
from services.models.load import check_installed, choose_engine
from services.models.picture_tokens import LISTED_TOKENS, PROMPT_TOKENS
from services.models.server import check_server, server_key
from services.models.server_check import Served, check_adapters, served_model
from services.settings import Settings, World
from services.worlds.load import options_type


def model_problems(settings: Settings, *, learns: bool | None = None) -> list[str]:
    """All problems of the model, its folder or its server, each with a remedy; empty if there are none.

    Args:
        learns: whether adapters will be trained and served; None takes it from the settings.
    """
    learning = trains(settings) if learns is None else learns
    try:
        engine = choose_engine(settings.model)
        check_installed(engine)
        if engine == "scripted" and not (learning and settings.trainer.learner == "peft"):
            return []
        if engine == "openai":
            return list(_server(settings, learning))
        return _folder(settings, engine)
    except EngineError as error:
        return [str(error)]


def device_problems(*all_settings: Settings) -> list[str]:
    """The devices in the settings that this machine lacks, each reported once. Takes seconds per engine.

    Separate from `model_problems`, because a dry run is useful on a machine without a GPU too.
    """
    problems: dict[str, None] = {}
    for settings in all_settings:
        try:
            engine = choose_engine(settings.model)
            for name in (engine, "transformers") if trains(settings) else (engine,):
                check_device(settings.model, name)
        except EngineError as error:
            problems[str(error)] = None
    return list(problems)


def trains(settings: Settings) -> bool:
    """Whether these settings train adapters of a real model."""
    name = settings.trainer.learner
    scripted = name == "scripted" or (name == "auto" and settings.model.engine == "scripted")
    return settings.run.rounds > 0 and not scripted


def _options(world: World) -> dict[str, Any]:
    """A world's options by name, including defaults."""
    return {
        **{field.name: field.default for field in msgspec.structs.fields(options_type(world.name))},
        **world.options,
    }


def frame_size(world: World) -> tuple[int, int] | None:
    """Width and height of a world's frames in pixels; None if its options are not valid."""
    said = _options(world)
    width, height = (said.get(name, said.get("frame")) for name in ("width", "height"))
    if isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0:
        return width, height
    return None  # the world reports what is wrong with its options


def prompt_tokens(world: World) -> int:
    """A lower bound of the tokens in a world's prompts."""
    return PROMPT_TOKENS + (LISTED_TOKENS if _options(world).get("admissible") is True else 0)


def _folder(settings: Settings, engine: str) -> list[str]:
    world = settings.world
    lacks = examine(settings.model, engine, frame=frame_size(world), prompt=prompt_tokens(world))
    return [str(lack) for lack in lacks]


def _server(settings: Settings, learning: bool) -> Iterator[str]:
    """Checks the server if it answers. A server that does not answer yet is accepted: the run waits for it."""
    url = check_server(settings.model)
    served, why = None, ""
    try:
        served = anyio.run(_met, url, learning)
    except ModelUnusable as error:
        yield str(error)
        return
    except (HttpFailed, HttpBroken) as error:
        why = f"no server answers there now ({error})"
    if not learning:
        return
    path = settings.model.path
    if path and (path not in PACKAGED or served is None or served.is_called(path)):
        yield from _folder(settings, "openai")
    elif path or served is None or not served.is_called(MICRO.name):
        trained = f"{path!r}, so that this" if path else "empty, so that the micro"
        which = why if served is None else f"that is {served.name!r}"
        yield (
            f"model.path is {trained} model of this package would be trained for the model at {url}, and {which}: set "
            "model.path to the folder of the model that the server serves (--model DIR; an experiment's bases), or "
            "serve the model that is trained"
        )


async def _met(url: str, learning: bool) -> Served:
    client = HttpClient(url, at_once=1, key=server_key())
    served = await served_model(client)
    if learning:
        await check_adapters(client)
    return served


def experiment_problems(all_settings: list[Settings]) -> list[str]:
    """The problems of all models of an experiment, each reported once."""
    asked: dict[str, Settings] = {}
    for settings in all_settings:
        key = (settings.model, frame_size(settings.world), prompt_tokens(settings.world), trains(settings))
        asked.setdefault(repr(key), settings)
    return list(dict.fromkeys(problem for settings in asked.values() for problem in model_problems(settings)))
