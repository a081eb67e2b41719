"""Outcomes of trials, made up: what figures and tables are tested with."""

from protocols.messages import Estimate, Evaluation, Role
from scripts.trials.outcome import Outcome, Standing
from scripts.trials.results import Results, Setting, results
from services.proportions import wilson

TASKS, JUDGED = 40, 60

SETTING = Setting(
    name="made-up", about="Is the table right?", split="dev",
    heldout_seeds={"tasks": (100, TASKS), "judgements": (200, JUDGED)}, final_round=1, quota=12, seeds=(0, 1),
    bases={"micro": "micro@1", "other": "other@2"}, settings_digest="a" * 64, hardware="a machine", software="selu 0",
    command="selu experiment made-up.toml",
)  # fmt: skip


def evaluation(role: Role, version: int, hits: int, labels: dict[str, Estimate] | None = None) -> Evaluation:
    score = wilson(hits, TASKS if role == "actor" else JUDGED)
    extra = {} if role == "actor" else {"base_rate": 0.5, "tpr": 0.6, "tnr": 0.8, "balanced_accuracy": 0.7}
    return Evaluation(
        role=role, version=version, round=version, score=score, by_task={"open": wilson(hits // 2, 30)}, extra=extra,
        labels=labels or {},
    )  # fmt: skip


def outcome(base: str, seed: int, actor: tuple[int, ...], critic: tuple[int, ...]) -> Outcome:
    """One run whose versions had so many hits, round by round."""
    rounds = tuple(
        Standing(
            actor=evaluation("actor", at, acted), critic=evaluation("critic", at, judged),
            labels={"d_c_accuracy": wilson(9, 10)} if at else {},
        )
        for at, (acted, judged) in enumerate(zip(actor, critic, strict=True))
    )  # fmt: skip
    return Outcome(
        base=base, seed=seed, teaches=len(rounds) > 1, base_model="scripted@1", engine="scripted 1 on cpu",
        rounds=rounds, trajectories=12 * (len(rounds) - 1),
        seconds={"collect": 10.0, "total": 30.0 + seed},
    )  # fmt: skip


def made() -> Results:
    """Two bases; the base method once each, SELU with two seeds each, of which one run is missing."""
    selu = [
        outcome("micro", 0, (20, 30), (30, 45)), outcome("micro", 1, (20, 34), (30, 51)),
        outcome("other", 0, (20, 26), (30, 42)),
    ]  # fmt: skip
    base = [outcome("micro", 0, (20,), (30,)), outcome("other", 0, (20,), (30,))]
    return results(SETTING, {"base": "The base.", "selu": "SELU."}, {"base": base, "selu": selu}, ["other selu seed 1"])
