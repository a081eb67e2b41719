"""A critic that was taught the opposite, and an actor that got worse, are stopped by what the model says to itself."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from protocols.messages import Adapter, Fault, Round, Task, Trajectory
from runtime.streams import Delivery
from services.critic.prompts import NO, YES, judge, self_ask
from services.models.engine import Generation, Request
from services.models.scripted_engine import BASE_SKILL, ScriptedEngine
from services.models.scripted_household import answer
from services.settings import Critic, Evaluator, Run, Simulator, Trainer
from services.trainer.dataset import Example
from services.worlds.household.tasks import NEEDS, make_task
from services.worlds.household.vocabulary import FIXTURES, KINDS
from tests.mesh.whole import SMALL, of, until_over, whole_mesh

pytestmark = pytest.mark.anyio

SECONDS = 60
SETTINGS = msgspec.structs.replace(
    SMALL,
    critic=Critic(questions=1),
    simulator=Simulator(quota=40, episodes=12),
    trainer=Trainer(min_rows=2, holdback=0.5, collapse=1.0),
    evaluator=Evaluator(tasks=2, judgements=2, episodes=2),
)
TASKS: dict[str, Task] = {
    judge(task.instruction): task
    for verb in NEEDS
    for thing in KINDS
    for task in (make_task(verb, thing, target) for target in (FIXTURES if verb == "put" else (None,)))
}
"""By the critic's question about it."""


class Judging(ScriptedEngine):
    """A critic that judges as the base model would answer: the base rightly 3 times of 4, tuned versions always."""

    def judged(self, request: Request, holds: bool) -> bool:
        noise = hashlib.sha256(f"{request.image_id}/{request.prompt}".encode()).digest()[0] < 64
        return holds != (request.version == 0 and noise)

    async def generate(self, requests: Sequence[Request]) -> list[Generation]:
        said = await super().generate(requests)
        return [self._said(request, found) for request, found in zip(requests, said, strict=True)]

    def _said(self, request: Request, found: Generation) -> Generation:
        if (task := TASKS.get(request.prompt)) is None:
            return self.answered(request, found)
        question, expected = self_ask(task)
        holds = answer(question, request.image_id, skill=BASE_SKILL, seed=0, temperature=0.0) == expected
        yes = self.judged(request, holds)
        return Generation(text=YES if yes else NO, version=request.version, log_odds=2.0 if yes else -2.0)

    def answered(self, request: Request, found: Generation) -> Generation:
        """What it says to any other question."""
        return found


class Sabotaged(Judging):
    """Its first tuned version learned from flipped labels."""

    def judged(self, request: Request, holds: bool) -> bool:
        return super().judged(request, holds) != (request.version == 1)


class Disappointed(Judging):
    """The base model sees no goal reached any more once a tuned critic was loaded: after round 1, that is."""

    def answered(self, request: Request, found: Generation) -> Generation:
        if request.version == 0 and 1 in self.versions:
            return msgspec.structs.replace(found, text=NO, log_odds=-2.0)
        return found


Rows = dict[str, list[Example]]
"""What each adapter was trained on."""


async def played(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Judging], rounds: int
) -> tuple[list[Delivery], Rows]:
    async def load(settings: Any, *, role: str, max_versions: int, **_: object) -> ScriptedEngine:
        return kind(role=role, max_versions=max_versions)

    monkeypatch.setattr("services.critic.service.load_engine", load)
    settings = msgspec.structs.replace(SETTINGS, run=Run(rounds=rounds))
    with anyio.fail_after(SECONDS):
        async with whole_mesh(folder, settings) as whole, whole.connect("onlooker", "onlooker-0") as mesh:
            log = await until_over(mesh)
            sets = {f"{a.role}@{a.version}": await mesh.get_blob(a.dataset) for a in of(log, Adapter)}
    return log, {
        name: [msgspec.json.decode(line, type=Example) for line in data.splitlines()] for name, data in sets.items()
    }


def phases(log: list[Delivery]) -> dict[tuple[int, str], Round]:
    return {(r.number, r.phase): r for r in of(log, Round)}


async def test_a_critic_taught_the_opposite_is_withdrawn_and_teaches_nobody(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, rows = await played(short_path, monkeypatch, Sabotaged, 2)
    assert [(a.role, a.version, a.promoted) for a in of(log, Adapter)] == [
        ("critic", 1, True), ("actor", 1, True), ("critic", 2, True), ("actor", 2, True),
    ]  # fmt: skip
    (fault,) = of(log, Fault)
    assert (fault.service, fault.what) == ("trainer-0", "critic@1 was withdrawn")
    assert "it agrees with 0%" in fault.why
    found = phases(log)
    assert found[1, "rejudge"].critic_version == 1
    assert found[1, "train_actor"].critic_version == found[2, "collect"].critic_version == 0
    assert (found[2, "finished"].actor_version, found[2, "finished"].critic_version) == (2, 2)
    assert {row.critic_version for row in rows["actor@1"]} == {0}
    (second,) = [a for a in of(log, Adapter) if (a.role, a.version) == ("critic", 2)]
    assert second.parent == 0


async def test_an_actor_after_which_less_succeeds_gives_way_to_the_one_before_it(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, rows = await played(short_path, monkeypatch, Disappointed, 3)
    (fault,) = [fault for fault in of(log, Fault) if "withdrawn" in fault.what]
    assert fault.what == "actor@1 was withdrawn"
    alarms = [fault.what for fault in of(log, Fault) if fault.what.startswith("round 2")]
    assert alarms == ["round 2: self-feedback says no to nearly everything"]
    found = phases(log)
    assert found[2, "collect"].actor_version == 1
    assert found[2, "train_critic"].actor_version == found[3, "collect"].actor_version == 0
    acted = {(t.round, t.actor_version) for t in of(log, Trajectory)}
    assert acted == {(1, 0), (2, 1), (3, 0)}
    assert "actor@2" not in rows
