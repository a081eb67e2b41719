"""The report's section on self-feedback: how each round looked to the model itself. Pure."""

from protocols.messages import Estimate
from services.feedback.figures import RoundFeedback
from services.report.page import Material, estimate, section, table, wide

_NOTE = (
    "Told from the model's own judgements, answers and actions; nothing here knows the truth. "
    "What the gate and the alarms made of it is under Faults."
)

_JUDGED = {
    "yes": "critic says yes",
    "turned": "turned by asking",
    "success": "success after asking",
    "relabelled": "failures relabelled",
    "relabels_confirmed": "relabels confirmed",
    "agreement": "tuned critic repeats",
    "held_before": "held back: critic before",
    "held_after": "held back: tuned",
}
"""The columns of `RoundFeedback`'s shares."""


def feedback(material: Material) -> str:
    rounds = material.summary.feedback
    if not rounds:
        return ""
    judged = [[str(f.round), *(_share(getattr(f, name)) for name in _JUDGED)] for f in rounds]
    acted = [
        [
            str(f.round),
            _share(f.done),
            _share(f.refused),
            _bits(f),
            wide(_rows(f.critic_rows)),
            wide(_rows(f.actor_rows)),
        ]
        for f in rounds
    ]
    acts = ("round", "ended by done", "actions refused", "action entropy", "rows of D_c", "rows of D_a")
    return section("Self-feedback", _NOTE, table(("round", *_JUDGED.values()), judged), table(acts, acted))


def _share(found: Estimate | None) -> str:
    return "" if found is None else estimate(found)


def _bits(figures: RoundFeedback) -> str:
    return "" if figures.action_entropy is None else f"{figures.action_entropy:.1f} bits"


def _rows(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
