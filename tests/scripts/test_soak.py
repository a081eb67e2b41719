"""A soak that finds something says so, names the seed, keeps what is left, and fails."""

import sys
from collections import Counter
from pathlib import Path

import pytest

from scripts.soaking import __main__ as soak
from scripts.soaking.checker import Findings
from scripts.soaking.rounds import RunFailed

SOUND = Findings(messages=3, acknowledged=2, learned={"critic@1": ("rows", "adapter", True)})


@pytest.fixture
def verdicts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Findings | Exception]:
    """What storms and runs come to, for tests to change; and a soak of no time."""
    found: dict[str, Findings | Exception] = {"storm": SOUND, "run": SOUND}

    async def undisturbed(_: Path) -> Findings:
        return SOUND

    async def disturbed(_: Path, *, seed: int) -> tuple[Findings, Counter[str]]:
        return take("run"), Counter({"service killed": 2})

    async def storm(_: Path, *, seed: int, seconds: float) -> tuple[Findings, Counter[str]]:
        return take("storm"), Counter({"connections cut": 3})

    def take(what: str) -> Findings:
        if isinstance(verdict := found[what], Exception):
            raise verdict
        return verdict

    for name, stand_in in (("undisturbed", undisturbed), ("disturbed", disturbed), ("storm", storm)):
        monkeypatch.setattr(soak, name, stand_in)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["soak", "--seconds", "0", "--seed", "7"])
    monkeypatch.setattr("logging.disable", lambda _: None)
    return found


@pytest.mark.usefixtures("verdicts")
def test_a_sound_soak_says_how_much_it_injected_and_leaves_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert soak.main() == 0
    said = capsys.readouterr().out
    assert "5 faults in" in said and "4 acknowledged messages, seed 7" in said and "sound: nothing lost" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("what", "verdict", "part"),
    [
        ("storm", Findings(lost=["faults p-1, acknowledged at 3, is at None"]), "1 lost (faults p-1"),
        ("run", Findings(doubled=["('verdict', 'r1-00001') 2 times"], learned=SOUND.learned), "1 doubled"),
        ("run", Findings(learned={"critic@1": ("other rows", "adapter", True)}), "learned {'critic@1': ('other rows'"),
        ("run", RunFailed("no end after 180 s"), "run1 no end after 180 s"),
    ],
)
def test_a_soak_that_finds_something_fails_and_names_it_and_the_seed(
    what: str,
    verdict: Findings | Exception,
    part: str,
    verdicts: dict[str, Findings | Exception],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    verdicts[what] = verdict
    assert soak.main() == 1
    said = capsys.readouterr().out
    assert part in said and "seed 7" in said and f"FAILED: what is left of it is in {tmp_path}" in said
    assert list(tmp_path.iterdir())
