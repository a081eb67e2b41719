"""The outcome of a finished trial, read from its run folder."""

import msgspec

from protocols.messages import Estimate, Evaluation, Role
from runtime.log import LogFormatError
from runtime.runfolder import RunFolder
from scripts.trials.plan import Trial
from services.report.load import load_state
from services.report.summary import Summary


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """The evaluations of the active versions after a round. ``labels`` are the audits of the round's training rows."""

    actor: Evaluation
    critic: Evaluation
    labels: dict[str, Estimate]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """``rounds`` begins with the base model. ``base_model`` is the engines' name for it, ``engine`` their name, version
    and device. ``seconds`` is by stage, and "total"."""

    base: str
    seed: int
    teaches: bool
    base_model: str
    engine: str
    rounds: tuple[Standing, ...]
    trajectories: int
    seconds: dict[str, float]


def finished(trial: Trial) -> bool:
    """Whether the trial finished with every evaluation."""
    try:
        summary = msgspec.json.decode((trial.folder / "summary.json").read_bytes(), type=Summary)
    except (OSError, msgspec.MsgspecError):
        return False
    figures = [figure for one in summary.rounds for figure in (one.actor_success, one.critic_accuracy)]
    return summary.finished and len(summary.rounds) == trial.settings.run.rounds + 1 and None not in figures


def outcome(trial: Trial) -> Outcome | None:
    """The outcome of a finished trial; None if its log cannot be read or an evaluation is missing."""
    try:
        state = load_state(RunFolder(trial.folder))
    except LogFormatError:
        return None
    summary = state.summary()
    rounds: list[Standing] = []
    for figures in summary.rounds:
        versions: list[tuple[Role, int]] = [("actor", figures.actor_version), ("critic", figures.critic_version)]
        found = [state.evaluations.get(version) for version in versions]
        if found[0] is None or found[1] is None:
            return None
        labels = {
            name: label for one in found if one is not None and one.version == figures.round
            for name, label in one.labels.items()
        }  # fmt: skip
        rounds.append(Standing(actor=found[0], critic=found[1], labels=labels))
    return Outcome(
        base=trial.base,
        seed=trial.seed,
        teaches=trial.teaches,
        base_model=summary.engine.base_model if summary.engine else "",
        engine=f"{summary.engine.name} {summary.engine.version} on {summary.engine.device}" if summary.engine else "",
        rounds=tuple(rounds),
        trajectories=summary.trajectories.collected,
        seconds=summary.seconds,
    )
