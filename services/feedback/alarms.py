"""Alarms: signs in a round's self-feedback that learning goes wrong, as texts with a remedy. Pure.

They detect the method's known failures: drift to one answer, an actor that degrades under inaccurate feedback, too
little data, and a plateau on which self-asking no longer corrects anything.
"""

from collections.abc import Iterator, Sequence

import msgspec

from protocols.messages import Estimate
from services.feedback.figures import RoundFeedback
from services.proportions import difference
from services.settings import Alarms


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """``id`` is unique and stable, for example "r3/all-yes"."""

    id: str
    what: str
    why: str
    do: str


def alarms(rounds: Sequence[RoundFeedback], settings: Alarms) -> list[Alarm]:
    """The alarms of the last of these consecutive rounds, as far as its metrics are known.

    A share is beyond a threshold only if its whole 95% interval is. Small rounds therefore raise few alarms by chance.
    """
    if not rounds:
        return []
    now, before = rounds[-1], rounds[-2] if len(rounds) > 1 else None
    found = [*_one_answer(now, settings), *_disagreement(now, settings), *_few(now, settings)]
    if before is not None:
        found += [*_degrading(now, before), *_plateau(now, before, settings)]
    return [
        msgspec.structs.replace(alarm, id=f"r{now.round}/{alarm.id}", what=f"round {now.round}: {alarm.what}")
        for alarm in found
    ]


def _one_answer(now: RoundFeedback, settings: Alarms) -> Iterator[Alarm]:
    shares = (
        ("all-yes", "all-no", "the critic's own judgements", now.yes),
        ("all-success", "no-success", "the verdicts that stand after asking", now.success),
    )
    for high, low, name, share in shares:
        if share is None:
            continue
        if share.ci95[0] > settings.all_yes:
            yield Alarm(
                id=high,
                what="self-feedback says yes to nearly everything",
                why=f"yes in {_said(share)} of {name}, above alarms.all_yes = {settings.all_yes}",
                do="either all is learned, or the critic drifts: look at its answers in the report, and let it "
                "question its yes too (critic.self_ask = confirm)",
            )
        elif share.ci95[1] < settings.all_no:
            yield Alarm(
                id=low,
                what="self-feedback says no to nearly everything",
                why=f"yes in {_said(share)} of {name}, below alarms.all_no = {settings.all_no}",
                do="there is hardly a success to learn from: collect more (simulator.quota), explore more "
                "(simulator.temperature), or begin with easier tasks",
            )


def _disagreement(now: RoundFeedback, settings: Alarms) -> Iterator[Alarm]:
    if now.agreement is not None and now.agreement.ci95[1] < settings.agreement:
        yield Alarm(
            id="disagreement",
            what="the tuned critic contradicts what it was taught",
            why=f"it repeats {_said(now.agreement)} of the round's verdicts, below alarms.agreement = "
            f"{settings.agreement}",
            do="it judges this round's successes: look at trainer.critic (learning rate, epochs, rows) before trusting "
            "its actor",
        )


def _few(now: RoundFeedback, settings: Alarms) -> Iterator[Alarm]:
    sets = (
        ("few-judgements", "critic", {answer: now.critic_rows.get(answer, 0) for answer in ("yes", "no")}),
        ("few-steps", "actor", {verb: now.actor_rows.get(verb, 0) for verb in now.verbs}),
    )
    for id, role, counts in sets:
        rows = now.critic_rows if role == "critic" else now.actor_rows
        scarce = {name: count for name, count in counts.items() if count < settings.few_rows}
        if rows and scarce:
            listed = ", ".join(f"{count} of {name!r}" for name, count in sorted(scarce.items()))
            yield Alarm(
                id=id,
                what=f"the {role} has too little to learn from",
                why=f"{listed} among its rows, fewer than alarms.few_rows = {settings.few_rows}",
                do="collect more a round (simulator.quota), or more kinds of success (simulator.temperature, "
                "trainer.relabels)",
            )


def _degrading(now: RoundFeedback, before: RoundFeedback) -> Iterator[Alarm]:
    if now.yes is None or before.yes is None or now.success is None or before.success is None:
        return
    _, _, fall = difference(now.success, before.success)
    _, rise, _ = difference(now.yes, before.yes)
    if fall < 0 < rise:
        yield Alarm(
            id="degrading",
            what="the actor gets worse while the critic gets kinder",
            why=f"self-judged success fell from {_said(before.success)} to {_said(now.success)}, and the critic's yes "
            f"rose from {_said(before.yes)} to {_said(now.yes)}: both beyond their 95% intervals",
            do="the critic's yes teaches what is no success: question it too (critic.self_ask = confirm, "
            "trainer.accept = agree)",
        )


def _plateau(now: RoundFeedback, before: RoundFeedback, settings: Alarms) -> Iterator[Alarm]:
    if now.turned is None or now.agreement is None or now.success is None or before.success is None:
        return
    gained = now.success.value - before.success.value
    silent = now.turned.value <= settings.plateau_turned and now.agreement.value >= settings.plateau_agreement
    if silent and gained < settings.plateau_gain and now.success.value < settings.all_yes:
        yield Alarm(
            id="plateau",
            what="self-feedback has nothing left to correct, and the actor does not improve",
            why=f"asking turned {_said(now.turned)} of the verdicts, the tuned critic repeats {_said(now.agreement)}, "
            f"and self-judged success went from {_said(before.success)} to {_said(now.success)}",
            do="more of the same rounds will not help: explore more (simulator.temperature), use hindsight more "
            "(trainer.relabels), or stop here",
        )


def _said(share: Estimate) -> str:
    return f"{100 * share.value:.0f}% (n={share.n})"
