"""A home of its own for the client's files, and players that are gone when their test is."""

from collections.abc import Callable, Generator
from typing import Any

import psutil
import pytest

from services.worlds.ai2thor.simulator import Simulator
from tests.standins.ai2thor.command import standin


@pytest.fixture(scope="session", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.delenv("DISPLAY", raising=False)
        yield


Start = Callable[..., Simulator]


def simulator(*, told: dict[str, object] | None = None, **options: Any) -> Simulator:
    """A simulator in this process, with a small picture, its player told ``told``."""
    defaults = {"executable": standin(**(told or {})), "scenes": "1", "width": 96, "height": 96, "max_steps": 99}
    return Simulator(**{**defaults, **options})


@pytest.fixture
def start() -> Generator[Start]:
    """Starts a simulator for one test."""
    started: list[Simulator] = []

    def starter(**options: Any) -> Simulator:
        started.append(simulator(**options))
        return started[-1]

    yield starter
    for one in started:
        one.close()


@pytest.fixture(scope="package")
def shared() -> Generator[Simulator]:
    """A simulator of all kinds of rooms that tests share; each resets it."""
    one = simulator(scenes="kitchen, living room, bedroom, bathroom")
    yield one
    one.close()


def _players() -> set[psutil.Process]:
    return {one for one in psutil.Process().children(recursive=True) if "tests.standins.ai2thor" in _command(one)}


def _command(process: psutil.Process) -> list[str]:
    """None of a process that has ended: other tests' may still wait to be reaped."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.fixture
def no_players_left() -> Generator[None]:
    """Fails where a test's own players outlive it."""
    before = _players()
    yield
    assert _players() <= before
