"""Models for the engine tests: the micro model where it is there, and a tiny one with random weights."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from services.models.folder import MICRO
from tests.models.tiny import build_model


@pytest.fixture(scope="module", autouse=True)
def _environment() -> Generator[None]:
    """vLLM sets variables for its own processes, LD_PRELOAD among them, which no later test's processes may inherit."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_model(tmp_path_factory.mktemp("tiny") / "tiny")


@pytest.fixture(scope="session")
def served_model(request: pytest.FixtureRequest) -> Path:
    """What the engines of these tests serve."""
    return MICRO if (MICRO / "config.json").is_file() else request.getfixturevalue("tiny_model")
