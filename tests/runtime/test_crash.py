"""A process dies at the point it was told to, at the time it was told to, and nowhere else."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runtime import crash
from runtime.settings import SettingsError

CODE = """
from runtime import crash
crash.arm("critic")
for turn in range(5):
    crash.at("publish", "verdicts", "before")
    print(turn, flush=True)
    crash.at("publish", "verdicts", "after")
"""


def live(**environ: str) -> tuple[int, int]:
    """How a process ended, and how many turns it made."""
    path = {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", CODE], env={**path, **environ}, capture_output=True, timeout=20, check=False
    )
    return done.returncode, len(done.stdout.split())


def test_without_being_told_nobody_dies() -> None:
    assert live() == (0, 5)
    assert live(SELU_CRASH="trainer/publish.verdicts.before") == (0, 5)
    assert live(SELU_CRASH="critic/publish.rounds.before") == (0, 5)


def test_death_comes_at_the_point_and_the_time() -> None:
    assert live(SELU_CRASH="critic/publish.verdicts.before") == (-signal.SIGKILL, 0)
    assert live(SELU_CRASH="critic/publish.verdicts.after") == (-signal.SIGKILL, 1)
    assert live(SELU_CRASH="critic/publish.verdicts.before:3") == (-signal.SIGKILL, 2)


def test_with_a_folder_each_death_is_died_once(tmp_path: Path) -> None:
    told = {
        "SELU_CRASH": "critic/publish.verdicts.before:2,critic/publish.verdicts.after",
        "SELU_CRASH_ONCE": str(tmp_path),
    }
    assert [live(**told) for _ in range(3)] == [(-signal.SIGKILL, 1), (-signal.SIGKILL, 1), (0, 5)]
    assert {file.name for file in tmp_path.iterdir()} == {
        "critic-publish.verdicts.before:2",
        "critic-publish.verdicts.after",
    }


@pytest.mark.parametrize(
    "text", ["critic", "critic/", "critic/nowhere", "critic/publish.verdicts", "critic/train.before:0"]
)
def test_a_point_that_does_not_exist_is_named(text: str) -> None:
    with pytest.raises(SettingsError, match="the points are publish"):
        crash.arm("critic", {"SELU_CRASH": text})
