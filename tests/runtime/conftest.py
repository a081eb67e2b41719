"""A hub with keys for the tests of this folder."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.runtime.keyed import Keyed, keyed_hub


@pytest.fixture
async def keyed(short_path: Path, anyio_backend: str) -> AsyncGenerator[Keyed]:
    async with keyed_hub(short_path) as running:
        yield running
