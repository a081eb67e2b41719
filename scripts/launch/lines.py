"""A run as plain lines: one for each event of interest, and one for the current status. Pure."""

from typing import assert_never

from protocols.messages import Adapter, Estimate, Evaluation, Fault, Round, Swap
from runtime.streams import Delivery
from runtime.supervisor import Exit
from scripts.launch.watch import Watch
from services.feedback.figures import RoundFeedback
from services.report.numbers import percent, points

_PHASES = {
    "collect": "collecting {quota} trajectories with actor@{actor}, judged by critic@{critic}",
    "train_critic": "training the critic",
    "rejudge": "critic@{critic} judges the round again",
    "train_actor": "training the actor",
    "finished": "finished, with actor@{actor} and critic@{critic}",
}

LAUNCHER = "launcher"
"""The launcher's instance name in the mesh."""

NAMES = {"actor": "success", "critic": "accuracy"}
"""The name of each role's held-out metric."""


def event(delivery: Delivery, watch: Watch) -> str | None:
    """One line for a message that the user should see, or None."""
    match delivery.message:
        case Round() as m:
            text = _PHASES[m.phase].format(quota=m.quota, actor=m.actor_version, critic=m.critic_version)
            figures = watch.state.feedback.figures(m.number)
            seen = {"train_critic": judged, "train_actor": judged_again}.get(m.phase, lambda _: "")(figures)
            return f"round {m.number}/{watch.settings.run.rounds}: {text}{f'; {seen}' if seen else ''}"
        case Adapter() as m if m.promoted:
            return f"{m.role}@{m.version} trained on {m.rows} rows in {m.seconds:.1f} s{_loss(m)}"
        case Adapter() as m:
            return f"{m.role}@{m.version} refused: {m.reason}"
        case Swap() as m if m.served:
            return (
                f"{m.role}@{m.version} serves in {m.instance} after {m.seconds:.2f} s, "
                f"with {m.in_flight} requests in flight"
            )
        case Swap() as m:
            return f"{m.role}@{m.version} not served by {m.instance}: {m.reason}"
        case Evaluation() as m:
            gain = watch.against_base(m)
            against = "" if gain is None else f", {points(gain)} against the base"
            return f"{m.role}@{m.version}: held-out {NAMES[m.role]} {estimate(m.score)}{against}"
        case Fault() as m if delivery.producer != LAUNCHER:  # the launcher has shown its own faults already
            return f"fault in {m.service}: {m.what}: {_first_line(m.why)}" + (f"; {m.do}" if m.do else "")
        case _:
            return None


def judged(figures: RoundFeedback) -> str:
    """The round's self-feedback so far."""
    parts = {
        "critic says yes to {}": figures.yes,
        "asking turned {}": figures.turned,
        "{} succeeded": figures.success,
        "{} of the failures relabelled": figures.relabelled,
        "{} ended by done": figures.done,
        "{} of the actions refused": figures.refused,
    }
    return ", ".join(text.format(whole(share)) for text, share in parts.items() if share is not None)


def judged_again(figures: RoundFeedback) -> str:
    """The result of judging a round again; empty if no critic was tuned."""
    if figures.agreement is None:
        return ""
    text = f"the tuned critic repeats {whole(figures.agreement)} of the verdicts"
    if figures.held_after is None or figures.held_before is None:
        return text
    before, after, n = whole(figures.held_before), whole(figures.held_after), figures.held_after.n
    return f"{text}, and {after} of the {n} held back (the critic before it: {before})"


def whole(share: Estimate) -> str:
    return f"{100 * share.value:.0f}%"


def _loss(adapter: Adapter) -> str:
    first, last = adapter.metrics.get("loss_first"), adapter.metrics.get("loss_last")
    return "" if first is None or last is None else f", loss {first:.3g} to {last:.3g}"


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def estimate(found: Estimate) -> str:
    """For example "65.0% [61.1, 68.7] (n=300)"."""
    low, high = found.ci95
    return f"{percent(found.value)} [{100 * low:.1f}, {100 * high:.1f}] (n={found.n})"


def exited(exit: Exit) -> str:
    """One line about a process's exit."""
    if exit.again_in is not None:
        after = f"started again in {exit.again_in:.1f} s (death {exit.deaths})"
    elif exit.code == 0:
        return f"{exit.instance} has done its work"
    else:
        after = "given up"
    last = f"; its last words: {exit.tail[-1].strip()}" if exit.tail else ""
    return f"{exit.instance} {exit.how}: {after}{last}"


def status(watch: Watch) -> str:
    """The run's current status in one line."""
    now = watch.state.round
    if watch.storage_full:
        return "the disk is full: nothing is lost, and nothing goes on until there is space"
    waiting = f"waiting for {', '.join(watch.unready)} to be ready" if watch.unready else ""
    if now is None:
        return waiting or "waiting for the first round"
    counts = watch.round_counts()
    head = f"round {now.number}/{watch.settings.run.rounds}"
    match now.phase:
        case "collect":
            (collected, quota), (judged, _), (asked, _) = counts["collected"], counts["judged"], counts["asked"]
            text = (
                f"{collected}/{quota} collected, {judged} judged, {asked} self-asked, "
                f"{counts['relabeled'][0]} of {counts['relabeled'][1]} failures relabelled"
            )
        case "train_critic" | "train_actor":
            text = f"training the {now.phase.removeprefix('train_')}" + _training(watch)
        case "rejudge":
            text = f"{counts['rejudged'][0]}/{now.quota} judged again"
        case "finished":
            due = watch.evaluations_due
            text = "evaluating " + ", ".join(f"{role}@{version}" for role, version in due) if due else "finished"
        case _:
            assert_never(now.phase)
    figures = waiting or f"{watch.requests_per_second:.0f} requests/s, {watch.memory / 2**30:.1f} GiB"
    return f"{head}: {text}; {figures}"


def _training(watch: Watch) -> str:
    steps = [p for (role, _), p in watch.progress.items() if role == "trainer" and 0 < p.done < p.total]
    return f", {steps[-1].what} {steps[-1].done}/{steps[-1].total}" if steps else ""
