"""Probing a base model: what is asked, what counts as right, and what is written."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import anyio
import pytest

from scripts.probing.bench import Bench, Line
from scripts.probing.capability import capability
from scripts.probing.page import above_chance
from scripts.probing.templates import Case, templates, wording
from scripts.selu import main
from services import settings
from services.models.engine import Generation, Request
from services.worlds.household.options import Options
from services.worlds.phrasings import PHRASINGS
from services.worlds.verbs import VERBS

pytestmark = pytest.mark.anyio

OPTIONS = Options(frame=32)
SEEDS = range(200_000_000, 200_000_012)


class Knowing:
    """An engine that knows the truth of every picture it has been told of, and nothing about acting."""

    def __init__(self) -> None:
        self.true: dict[tuple[str, str], str] = {}
        self.asked: list[Request] = []

    async def generate(self, requests: Sequence[Request]) -> list[Generation]:
        self.asked += requests
        return [Generation(text=self._said(request), version=0) for request in requests]

    def _said(self, request: Request) -> str:
        if request.prompt.endswith("Next action?"):
            return request.choices[0] if request.choices else "find fridge"
        return self.true.get((request.image_id, request.prompt), "no")


def bench(engine: Any) -> Bench:
    return Bench(engine, OPTIONS, SEEDS)


async def test_the_mismatched_control_asks_the_same_questions_about_other_frames() -> None:
    engine = Knowing()
    with anyio.fail_after(60):
        lines = {line.name: line for line in await capability(bench(engine))}
    judged = [request for request in engine.asked if request.prompt.endswith("Is the task done?")]
    own, other = judged[: len(SEEDS)], judged[len(SEEDS) :]
    assert [request.prompt for request in own] == [request.prompt for request in other]
    assert all(a.image_id != b.image_id for a, b in zip(own, other, strict=True))
    assert sorted(request.image_id for request in own) == sorted(request.image_id for request in other)
    always_no = lines["judges success"]
    assert always_no.hits == lines["judges: failures seen"].n and lines["judges: failures seen"].hits == always_no.hits
    assert lines["chooses it among 4"].chance == 0.25 and lines["acts: episodes done"].n == len(SEEDS)


async def test_forced_choices_hold_the_action_that_is_due_in_no_fixed_place() -> None:
    engine = Knowing()
    asked = bench(engine)
    with anyio.fail_after(60):
        await capability(asked)
    due = [action for _, action in asked.demonstrated()]
    forced = [request.choices for request in engine.asked if request.choices and "Next action?" in request.prompt]
    assert all(action in choices and len(set(choices)) == 4 for action, choices in zip(due, forced, strict=True))
    assert len({choices.index(action) for action, choices in zip(due, forced, strict=True)}) > 1


def test_luck_is_the_same_every_time() -> None:
    wandered = [[moment.history for moment in bench(Knowing()).wander()] for _ in range(2)]
    assert wandered[0] == wandered[1] and all(len(history) == OPTIONS.max_steps for history in wandered[0])


async def test_all_wordings_ask_the_same_about_the_same_frames() -> None:
    engine = Knowing()
    with anyio.fail_after(60):
        found = await templates(bench(engine))
    assert found.keys() == {"closed", "which", "holding", "sitting", "where"}
    assert all([one.name for one in wordings] == list(PHRASINGS) for wordings in found.values())
    assert all(len({one.n for one in wordings}) == 1 and wordings[0].n > 0 for wordings in found.values())
    asked = [request for request in engine.asked if not request.prompt.endswith("Next action?")]
    each = len(asked) // len(PHRASINGS)
    frames = [[request.image_id for request in asked[at : at + each]] for at in range(0, len(asked), each)]
    assert all(one == frames[0] for one in frames)


def test_the_plain_wording_is_the_methods_own() -> None:
    plain = PHRASINGS["plain"]
    assert (plain.holding, plain.sitting) == (VERBS["pick"].which, VERBS["sit"].which)
    assert tuple(PHRASINGS) == get_args(settings.Phrasing)
    assert len(PHRASINGS) >= 6 and len({phrasing.closed for phrasing in PHRASINGS.values()}) == len(PHRASINGS)


def test_naming_what_is_not_there_is_a_hallucination_and_words_that_name_nothing_are_malformed() -> None:
    case = Case(template="which", moment=0, blanks={"state": "open"}, right=frozenset({"fridge"}))
    said = ["fridge", "cabinet", "tv", "nothing", "the open one"]
    found = wording("plain", "?", [(case, word) for word in said], [{"fridge", "cabinet"}] * 5)
    assert (found.n, found.right, found.hallucinated, found.malformed) == (5, 1, 1, 1)
    closed = Case(template="closed", moment=0, blanks={}, right=frozenset({"yes"}))
    found = wording("plain", "?", [(closed, "no")], [set()])
    assert (found.right, found.hallucinated, found.malformed) == (0, 0, 0)


def test_above_chance_is_measured_on_the_way_that_is_left() -> None:
    assert above_chance(Line(name="x", hits=80, n=100, chance=0.6)) == pytest.approx(0.5)
    assert above_chance(Line(name="x", hits=80, n=100)) is None


@pytest.mark.parametrize("probe", ["capability", "templates"])
def test_a_probe_writes_a_page_and_json_with_counts_and_intervals(
    probe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["probe", probe, "--profile", "scripted", "--episodes", "4", "--out", str(tmp_path)]
    assert main([*argv, "--set", "world.options.frame=32"]) == 0
    assert (tmp_path / f"{probe}.md").read_text() in capsys.readouterr().out
    found = json.loads((tmp_path / f"{probe}.json").read_text())
    assert (found["episodes"], found["base_model"], found["split"]) == (4, "scripted@1", "dev")
    figure = found["figures"]["judges success"] if probe == "capability" else found["figures"]["which"]["see"]["right"]
    assert figure["n"] == 4 and figure["ci95"][0] <= figure["value"] <= figure["ci95"][1]


def test_what_cannot_be_probed_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", "capability", "--profile", "scripted", "--set", "world.name=virtualhome"]) == 2
    assert "probes ask about the household" in capsys.readouterr().err
