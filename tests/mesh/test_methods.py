"""Each method on a real mesh with scripted models: what of the loop it touches, and what it leaves alone."""

from pathlib import Path

import anyio
import msgspec
import pytest

from protocols.messages import Adapter, Evaluation, Relabel, Round, Trajectory, Verdict
from runtime.blobs import BlobStore
from runtime.runfolder import RunFolder
from runtime.settings import load
from runtime.streams import Delivery
from scripts.launch.plan import method_file
from services.critic.prompts import self_ask
from services.evaluator.judgements import Held
from services.models.scripted_engine import BASE_SKILL
from services.models.scripted_household import answer
from services.settings import Settings
from services.trainer.dataset import Example
from tests.mesh.whole import of, until_over, whole_mesh

pytestmark = pytest.mark.anyio

SECONDS = 60
SMALL = [
    "run.rounds=1", "model.engine=scripted", "simulator.quota=16", "simulator.episodes=8", "trainer.min_rows=1",
    "evaluator.tasks=6", "evaluator.judgements=8", "evaluator.episodes=6",
]  # fmt: skip


class Ran:
    """What a finished run's log holds, and the rows each adapter was trained on."""

    def __init__(self, log: list[Delivery], run: RunFolder) -> None:
        blobs = BlobStore(run.blobs)
        self.log = log
        lines = (run.path / "evaluation" / "heldout_judge.jsonl").read_bytes().splitlines()
        self.judgements = {held.index: held for held in (msgspec.json.decode(line, type=Held) for line in lines)}
        self.adapters = {f"{a.role}@{a.version}": a for a in of(log, Adapter)}
        self.rows = {
            name: [msgspec.json.decode(line, type=Example) for line in blobs.get(adapter.dataset).splitlines()]
            for name, adapter in self.adapters.items()
        }
        self.first = [v for v in of(log, Verdict) if v.critic_version < v.round]
        self.again = [v for v in of(log, Verdict) if v.critic_version >= v.round]

    def sources(self, adapter: str) -> set[str]:
        return {row.source for row in self.rows[adapter]}


async def ran(folder: Path, method: str, *more: str) -> Ran:
    taught = load(Settings, file=method_file(method)).run.rounds
    overrides = SMALL if taught else [setting for setting in SMALL if not setting.startswith("run.")]
    settings = load(Settings, file=method_file(method), overrides=[*overrides, *more])
    with anyio.fail_after(SECONDS):
        async with whole_mesh(folder, settings) as whole, whole.connect("onlooker", "onlooker-0") as mesh:
            log = await until_over(mesh)
    return Ran(log, whole.run)


RUNS: dict[str, Ran] = {}
"""Runs that several tests look at, none of which changes anything."""


async def ran_once(folder: Path, method: str) -> Ran:
    if method not in RUNS:
        (folder / method).mkdir()
        RUNS[method] = await ran(folder / method, method)
    return RUNS[method]


async def test_what_is_not_taught_spends_no_interaction_and_is_measured_on_the_same_tasks(short_path: Path) -> None:
    scores, judgements = {}, {}
    sets = f"evaluator.judgement_sets={short_path / 'sets'}"
    for method, shared in (("base", [sets]), ("self-refine", []), ("sc", [sets])):
        (short_path / method).mkdir()
        run = await ran(short_path / method, method, *shared)
        judgements[method] = run.judgements
        assert of(run.log, Trajectory) == of(run.log, Verdict) == of(run.log, Adapter) == []
        assert [round.phase for round in of(run.log, Round)] == ["finished"]
        scores[method] = {e.role: e for e in of(run.log, Evaluation)}
        assert {role: (e.version, e.score.n) for role, e in scores[method].items()} == {
            "actor": (0, 6),
            "critic": (0, 8),
        }
    assert len(judgements["base"]) == 8
    assert judgements["base"] == judgements["self-refine"] == judgements["sc"]
    assert len(list((short_path / "sets").glob("*.jsonl"))) == 1
    critic = {method: (found["critic"].score, found["critic"].extra) for method, found in scores.items()}
    assert critic["self-refine"] == critic["base"]
    assert critic["sc"][1]["base_rate"] == critic["base"][1]["base_rate"]  # the same frames, judged otherwise


async def test_lmsi_learns_from_everything_by_majority_and_asks_nothing(short_path: Path) -> None:
    run = await ran(short_path, "lmsi")
    assert all(not verdict.questions for verdict in run.first)
    assert {round(verdict.log_odds, 3) for verdict in run.first} <= {-2.398, -1.099, -0.336, 0.336, 1.099, 2.398}
    assert all(relabel.task is None and not relabel.questions for relabel in of(run.log, Relabel))
    assert {row.trajectory for row in run.rows["actor@1"]} == {t.id for t in of(run.log, Trajectory)}
    assert run.sources("critic@1") == {"verdict"} and run.sources("actor@1") == {"rollout"}


async def test_without_self_asking_there_are_no_questions_but_hindsights(short_path: Path) -> None:
    run = await ran_once(short_path, "selu-no-self-ask")
    assert all(not verdict.questions and not verdict.flipped for verdict in run.first)
    assert any(relabel.questions for relabel in of(run.log, Relabel))
    assert "self_asking" not in run.sources("critic@1")


async def test_without_hindsight_failures_teach_nothing_about_other_instructions(short_path: Path) -> None:
    run = await ran(short_path, "selu-no-hindsight")
    assert any(verdict.questions for verdict in run.first)
    assert all(relabel.task is None and not relabel.questions for relabel in of(run.log, Relabel))
    assert run.sources("critic@1") <= {"verdict", "self_asking"} and run.sources("actor@1") <= {"rollout"}


async def test_the_papers_variant_questions_a_no_only_and_keeps_the_instructions_verb(short_path: Path) -> None:
    run = await ran(short_path, "selu-paper")
    assert all(bool(verdict.questions) != verdict.judged for verdict in run.first)
    verbs = {verdict.trajectory: verdict.task.verb for verdict in run.first}
    assert all(relabel.task.verb == verbs[relabel.trajectory] for relabel in of(run.log, Relabel) if relabel.task)
    accepted = {v.trajectory for v in run.again if v.subject == "task" and v.judged}
    assert {row.trajectory for row in run.rows["actor@1"] if row.source == "rollout"} == accepted
    labels = {(e.role, e.version): e.labels for e in of(run.log, Evaluation)}
    assert labels["actor", 0] == labels["critic", 0] == {}
    assert labels["critic", 1]["d_c_accuracy"].n == len(run.rows["critic@1"])
    assert labels["actor", 1]["d_a_precision_rollout"].n == len(accepted)


async def test_an_actor_that_checks_itself_is_not_done_where_the_answer_contradicts_it(short_path: Path) -> None:
    contradicted = {}
    for method in ("selu-no-self-ask", "selu-refine"):
        played = of((await ran_once(short_path, method)).log, Trajectory)
        assert len(played) == 16 and all(t.final_frame for t in played)
        contradicted[method] = 0
        for one in played:
            prompt, expected = self_ask(one.task)
            said = answer(prompt, one.final_frame or "", skill=BASE_SKILL, seed=0, temperature=0.0)
            contradicted[method] += one.ended == "done" and said != expected
    assert contradicted["selu-refine"] < contradicted["selu-no-self-ask"]


async def test_one_adapter_serves_both_roles(short_path: Path) -> None:
    run = await ran(short_path, "selu-one")
    critic, actor = run.adapters["critic@1"], run.adapters["actor@1"]
    assert (actor.digest, actor.dataset) == (critic.digest, critic.dataset) and actor.promoted
    assert run.again == []
    assert {"verdict", "rollout"} <= run.sources("critic@1")
    assert {(e.role, e.version) for e in of(run.log, Evaluation)} == {
        (r, v) for r in ("actor", "critic") for v in (0, 1)
    }
