"""The results of an experiment: the contents of ``results.json``, computed from the trials' outcomes. Pure."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import mean
from typing import Any

import msgspec

from protocols.messages import Digest, Estimate
from scripts.trials.figures import Figure, Sample, figure, gain, rates
from scripts.trials.outcome import Outcome, Standing

METRICS = ("actor_success", "critic_accuracy", "critic_balanced", "critic_tpr", "critic_tnr")


class RoundFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The metrics of the active versions after a round, over all runs; round 0 is the base model.

    ``labels`` are `Evaluation.labels`.
    """

    round: int
    actor_success: Figure
    critic_accuracy: Figure
    critic_balanced: Figure | None
    critic_tpr: Figure | None
    critic_tnr: Figure | None
    labels: dict[str, Figure]


class MethodFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One row: the metrics after the last round, the gains over round 0 of the same runs, and those of each round.

    ``actor_against`` and ``critic_against`` are the differences to the final metrics of `Results.reference`, paired by
    base model and seed. ``trajectories`` and ``seconds`` (by stage) are means over runs. ``by_base`` has the metrics of
    each base model alone.
    """

    about: str
    runs: int
    seeds: tuple[int, ...]
    actor_success: Figure
    critic_accuracy: Figure
    critic_balanced: Figure | None
    critic_tpr: Figure | None
    critic_tnr: Figure | None
    actor_gain: Figure | None
    critic_gain: Figure | None
    actor_against: Figure | None
    critic_against: Figure | None
    actor_by_task: dict[str, Figure]
    critic_by_task: dict[str, Figure]
    rounds: tuple[RoundFigures, ...]
    trajectories: float
    seconds: dict[str, float]
    by_base: dict[str, dict[str, Figure]]


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """How an experiment was made.

    ``heldout_seeds`` are (first, count) of the episode seeds measured on, for tasks and judgements of the split.
    ``bases`` maps labels to base models with their digests. ``settings_digest`` covers the settings of all trials.
    """

    name: str
    about: str
    split: str
    heldout_seeds: dict[str, tuple[int, int]]
    final_round: int
    quota: int
    seeds: tuple[int, ...]
    bases: dict[str, str]
    settings_digest: Digest
    hardware: str
    software: str
    command: str


REFERENCE = "selu"
"""The row that the others are compared with, if the experiment has it; else the last row is used."""


class Results(Setting, frozen=True, kw_only=True):
    """``reference`` is the row that the others are compared with. ``engines`` counts runs by engine: trials may have
    run on other machines than ``hardware``, which is where the results were written. ``missing`` names the trials
    without an outcome; the metrics are those of the others."""

    methods: dict[str, MethodFigures]
    reference: str
    engines: dict[str, int]
    missing: tuple[str, ...]


def results(
    setting: Setting, abouts: Mapping[str, str], outcomes: Mapping[str, Sequence[Outcome]], missing: Sequence[str]
) -> Results:
    """The results by row, in the rows' order. Rows without outcomes appear only in ``missing``."""
    there = {row: found for row, found in outcomes.items() if found}
    reference = REFERENCE if REFERENCE in there else next(reversed(there), "")
    rows = {
        row: _method(abouts[row], found, [] if row == reference else there[reference]) for row, found in there.items()
    }
    engines = Counter(run.engine for found in there.values() for run in found)
    return Results(
        **msgspec.structs.asdict(setting),
        methods=rows,
        reference=reference,
        engines=dict(sorted(engines.items())),
        missing=tuple(missing),
    )


def _method(about: str, runs: Sequence[Outcome], reference: Sequence[Outcome]) -> MethodFigures:
    last = {name: _samples(runs, -1, name) for name in METRICS}
    first = {name: _samples(runs, 0, name) for name in METRICS}
    taught = len(runs[0].rounds) > 1
    labels = sorted({run.base for run in runs})
    stages = sorted({stage for run in runs for stage in run.seconds})
    return MethodFigures(
        about=about,
        runs=len(runs),
        seeds=tuple(sorted({run.seed for run in runs})),
        **_metrics(runs, -1),
        actor_gain=gain(last["actor_success"], first["actor_success"]) if taught else None,
        critic_gain=gain(last["critic_accuracy"], first["critic_accuracy"]) if taught else None,
        actor_against=_against(runs, reference, "actor_success"),
        critic_against=_against(runs, reference, "critic_accuracy"),
        actor_by_task=_grouped(runs, lambda run: run.rounds[-1].actor.by_task),
        critic_by_task=_grouped(runs, lambda run: run.rounds[-1].critic.by_task),
        rounds=tuple(
            RoundFigures(
                round=at,
                **_metrics(runs, at),
                labels=_grouped(runs, lambda run, at=at: run.rounds[at].labels, shared=False),
            )
            for at in range(len(runs[0].rounds))
        ),
        trajectories=mean(run.trajectories for run in runs),
        seconds={stage: round(mean(run.seconds.get(stage, 0.0) for run in runs), 1) for stage in stages},
        by_base={label: _named([run for run in runs if run.base == label]) for label in labels},
    )


def _against(runs: Sequence[Outcome], reference: Sequence[Outcome], name: str) -> Figure | None:
    """The difference to the reference's runs, paired by base model, and by seed if both rows train."""
    pairs = [
        (msgspec.structs.replace(mine, seed=other.seed if other.teaches else mine.seed), other)
        for other in reference
        for mine in runs
        if mine.base == other.base and (mine.seed == other.seed or not (mine.teaches and other.teaches))
    ]
    return gain(_samples([mine for mine, _ in pairs], -1, name), _samples([other for _, other in pairs], -1, name))


def _named(runs: Sequence[Outcome]) -> dict[str, Figure]:
    return {name: found for name, found in _metrics(runs, -1).items() if found is not None}


def _metrics(runs: Sequence[Outcome], at: int) -> dict[str, Any]:
    """The metrics after a round. Only a critic's rates may be None."""
    return {name: figure(_samples(runs, at, name)) for name in METRICS}


def _samples(runs: Sequence[Outcome], at: int, name: str) -> list[Sample]:
    found = ((run.seed, _estimate(run.rounds[at], name)) for run in runs)
    return [Sample(seed=seed, value=one.value, episodes=one) for seed, one in found if one is not None]


def _estimate(standing: Standing, name: str) -> Estimate | None:
    if name == "actor_success":
        return standing.actor.score
    if name == "critic_accuracy":
        return standing.critic.score
    return rates(standing.critic.score, standing.critic.extra).get(name.removeprefix("critic_"))


def _grouped(
    runs: Sequence[Outcome], groups: Callable[[Outcome], Mapping[str, Estimate]], *, shared: bool = True
) -> dict[str, Figure]:
    found: dict[str, list[Sample]] = {}
    for run in runs:
        for name, one in groups(run).items():
            found.setdefault(name, []).append(Sample(seed=run.seed, value=one.value, episodes=one))
    figures = {name: figure(found[name], shared=shared) for name in sorted(found)}
    return {name: one for name, one in figures.items() if one is not None}


def to_json(found: Results) -> bytes:
    return msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"
