"""A real round: vLLM engines, PEFT training, and adapters swapped in while requests run."""

import json
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from protocols.messages import Act, Action, Adapter, Answer, Ask, Trajectory
from runtime.keys import read_key
from runtime.mesh import Mesh, connect
from services.critic.prompts import NO, YES, judge
from tests.mesh.launched import launched, observer

pytestmark = [pytest.mark.anyio, pytest.mark.vllm]
SECONDS = 400
CALL_SECONDS = 60
BURST = 64
"""Requests sent when an adapter is announced: more than an engine answers while it loads one."""

SMALL = (
    "run.rounds=1", "simulator.quota=32", "simulator.episodes=16", "evaluator.tasks=8", "evaluator.judgements=8",
    "mesh.session_seconds=10", "trainer.collapse=1.0",
)  # fmt: skip

Said = tuple[int, str, float]
"""An answer: the version that gave it, its text, and its log-odds or log-probability."""


NOISE = 0.02
"""Nats by which an answer's log-probability may differ: how requests are batched changes the order of sums."""


def same(answer: tuple[str, float], other: tuple[str, float]) -> bool:
    return answer[0] == other[0] and abs(answer[1] - other[1]) <= NOISE


class Watched:
    """One question asked again and again, and all answers to it."""

    def __init__(self, ask: Callable[[int | None], Awaitable[Said]]) -> None:
        self._ask = ask
        self.answers: dict[int, list[tuple[str, float]]] = defaultdict(list)

    async def ask(self, version: int | None = None) -> int:
        """Asks once, of the newest version by default; returns the version that answered."""
        given, text, number = await self._ask(version)
        assert version is None or given == version
        self.answers[given].append((text, number))
        return given

    async def through_the_swap(self) -> None:
        """Asks many at once while an adapter is being loaded, then until it answers, then the base model again."""
        async with anyio.create_task_group() as tasks:
            for _ in range(BURST):
                tasks.start_soon(self.ask)
        while await self.ask() == 0:
            pass
        await self.ask(0)


def watch_critic(mesh: Mesh, of: Trajectory) -> Watched:
    async def ask(version: int | None) -> Said:
        assert of.final_frame is not None
        question = judge(of.task.instruction)
        request = Ask(frame=of.final_frame, question=question, choices=(YES, NO), version=version)
        answer = await mesh.call("ask", request, timeout=CALL_SECONDS)
        assert isinstance(answer, Answer)
        assert answer.log_odds is not None
        return answer.version, answer.answer, answer.log_odds

    return Watched(ask)


def watch_actor(mesh: Mesh, of: Trajectory) -> Watched:
    async def act(version: int | None) -> Said:
        request = Act(episode="watched", frame=of.steps[0].frame, task=of.task, version=version)
        action = await mesh.call("act", request, timeout=CALL_SECONDS)
        assert isinstance(action, Action)
        assert action.log_prob is not None
        return action.version, action.action, action.log_prob

    return Watched(act)


async def test_answers_before_and_after_a_swap_come_from_different_adapters(tmp_path: Path) -> None:
    with anyio.fail_after(SECONDS):
        async with launched(tmp_path / "run", *SMALL, profile="household") as run:
            async with observer(run):  # then there is a hub, and keys that it lets in
                key = read_key(run.run.keys.make("watcher", "relabeler"))
            async with (
                connect(run.run.endpoint, role="relabeler", instance="watcher", key=key, run=run.run) as mesh,
                mesh.subscribe("trajectories", start="start") as trajectories,
                mesh.subscribe("adapters", start="start") as adapters,
            ):
                of = (await anext(trajectories)).message
                assert isinstance(of, Trajectory)
                watched = {"critic": watch_critic(mesh, of), "actor": watch_actor(mesh, of)}
                for one in watched.values():
                    assert await one.ask() == 0
                for _ in watched:
                    adapter = (await anext(adapters)).message
                    assert isinstance(adapter, Adapter)
                    assert adapter.promoted, adapter.reason
                    await watched[adapter.role].through_the_swap()
            assert await run.process.wait() == 0, (tmp_path / "launcher.txt").read_text()
    for one in watched.values():
        assert one.answers.keys() == {0, 1}
        first = one.answers[0][0]
        assert all(same(first, answer) for answer in one.answers[0]), "the swap changed the base model's answers"
        assert not any(same(first, answer) for answer in one.answers[1]), "the adapter changes nothing"
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["engine"]["name"] == "vllm"
    assert summary["trajectories"]["lost"] == 0
    assert (summary["answers"]["wrong_version"], summary["answers"]["failed"]) == (0, 0)
    assert {(a["role"], a["promoted"], a["in_flight"] > 0) for a in summary["adapters"]} == {
        ("actor", True, True),
        ("critic", True, True),
    }
