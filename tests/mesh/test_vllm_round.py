"""A real round: vLLM engines, PEFT training, and adapters swapped in while requests run."""

import json
from collections import defaultdict
from pathlib import Path

import anyio
import pytest

from protocols.messages import Act, Action, Answer, Ask, Trajectory
from runtime.mesh import Mesh
from services.critic.prompts import NO, YES, judge
from tests.mesh.launched import launched, observer

pytestmark = [pytest.mark.anyio, pytest.mark.vllm]
SECONDS = 400
CALL_SECONDS = 60

Seen = dict[int, set[tuple[str, float | None]]]
"""Answers to one question, by the version that gave them."""


async def asked(mesh: Mesh, of: Trajectory, seen: Seen) -> None:
    """Asks the critic the same until a trained version has answered."""
    assert of.final_frame is not None
    ask = Ask(frame=of.final_frame, question=judge(of.task.instruction), choices=(YES, NO))
    while not any(seen):
        answer = await mesh.call("ask", ask, timeout=CALL_SECONDS)
        assert isinstance(answer, Answer)
        assert answer.log_odds is not None
        seen[answer.version].add((answer.answer, round(answer.log_odds, 2)))
    base = await mesh.call(
        "ask", Ask(frame=ask.frame, question=ask.question, choices=ask.choices, version=0), timeout=9
    )
    seen[base.version].add((base.answer, round(base.log_odds, 2)))


async def acted(mesh: Mesh, of: Trajectory, seen: Seen) -> None:
    """Asks the actor the same, greedily, until a trained version has answered."""
    act = Act(episode="watched", frame=of.steps[0].frame, task=of.task)
    while not any(seen):
        action = await mesh.call("act", act, timeout=CALL_SECONDS)
        assert isinstance(action, Action)
        assert action.log_prob is not None
        seen[action.version].add((action.action, round(action.log_prob, 2)))


async def test_answers_before_and_after_a_swap_come_from_different_adapters(tmp_path: Path) -> None:
    small = (
        "run.rounds=1", "simulator.quota=32", "simulator.episodes=16", "evaluator.tasks=16", "evaluator.judgements=16",
        "mesh.session_seconds=10", "trainer.collapse=1.0",
    )  # fmt: skip
    critic: Seen = defaultdict(set)
    actor: Seen = defaultdict(set)
    with anyio.fail_after(SECONDS):
        async with launched(tmp_path / "run", *small, profile="household") as run:
            async with observer(run) as mesh, mesh.subscribe("trajectories", start="start") as stream:
                of = (await anext(stream)).message
                assert isinstance(of, Trajectory)
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(asked, mesh, of, critic)
                    tasks.start_soon(acted, mesh, of, actor)
            assert await run.process.wait() == 0, (tmp_path / "launcher.txt").read_text()
    for seen in (critic, actor):
        assert seen.keys() == {0, 1}
        assert seen[0].isdisjoint(seen[1])
    assert len(critic[0]) == 1, "pinned to the base model, the answer stays what it was before the swap"
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["engine"]["name"] == "vllm"
    assert summary["trajectories"]["lost"] == 0
    assert (summary["answers"]["wrong_version"], summary["answers"]["failed"]) == (0, 0)
    assert {(a["role"], a["promoted"], a["in_flight"] > 0) for a in summary["adapters"]} == {
        ("actor", True, True),
        ("critic", True, True),
    }
