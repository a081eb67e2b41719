"""Fixtures for the whole suite: a hub in this process with real sockets, and who connects to it."""

import tempfile
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from hypothesis import settings

from runtime.hub import HubSettings, serve_hub
from runtime.mesh import Mesh, connect

settings.register_profile("same", derandomize=True, database=None, deadline=None)
settings.register_profile("random", database=None, deadline=None, print_blob=True)
settings.load_profile("same")
"""The suite tries the same examples every time. `scripts/fuzz --properties` searches at random and prints its seed."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def short_path() -> Generator[Path]:
    """A folder whose path is short enough for Unix sockets."""
    with tempfile.TemporaryDirectory(prefix="selu-") as folder:
        yield Path(folder)


@pytest.fixture
def hub_settings(short_path: Path) -> HubSettings:
    return HubSettings(
        endpoint=f"ipc://{short_path}/hub",
        fanout=f"ipc://{short_path}/fanout",
        log_file=short_path / "log.sqlite",
        blobs=short_path / "blobs",
        ping_seconds=0.1,
    )


@pytest.fixture
async def hub(hub_settings: HubSettings, anyio_backend: str) -> AsyncGenerator[HubSettings]:
    async with serve_hub(hub_settings):
        yield hub_settings


Joiner = Callable[..., AbstractAsyncContextManager[Mesh]]


@pytest.fixture
def join(hub_settings: HubSettings) -> Joiner:
    """Connects a role to the test's hub: ``async with join("critic") as mesh``."""

    def connector(role: str, instance: str | None = None, **options: object) -> AbstractAsyncContextManager[Mesh]:
        return connect(hub_settings.endpoint, role=role, instance=instance or f"{role}-0", **options)  # type: ignore[arg-type]

    return connector
