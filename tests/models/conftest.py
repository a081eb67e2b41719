"""Models for the engine tests: the micro model where it is there, and a tiny one with random weights."""

from pathlib import Path

import pytest

from services.models.folder import MICRO
from tests.models.tiny import build_model


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_model(tmp_path_factory.mktemp("tiny") / "tiny")


@pytest.fixture(scope="session")
def served_model(request: pytest.FixtureRequest) -> Path:
    """What the engines of these tests serve."""
    return MICRO if (MICRO / "config.json").is_file() else request.getfixturevalue("tiny_model")
