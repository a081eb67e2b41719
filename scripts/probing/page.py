"""A probe's results as a Markdown page and as JSON. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from scripts.probing.bench import Line
from scripts.probing.horizon import MODES, Score
from scripts.probing.templates import Wording
from services.proportions import wilson


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """How a probe was made."""

    probe: str
    about: str
    base_model: str
    world: dict[str, Any]
    split: str
    first_seed: int
    episodes: int
    hardware: str
    command: str


def page(made: Made, sections: Sequence[str]) -> str:
    parts = [
        f"# {made.probe}",
        made.about,
        f'{made.base_model}; {made.episodes} episodes of the split "{made.split}" (seeds from {made.first_seed} on). '
        f"`{made.command}`, {made.hardware}. Brackets are 95% Wilson intervals.",
        *sections,
    ]
    return "\n\n".join(parts) + "\n"


def to_json(made: Made, figures: Mapping[str, Any]) -> bytes:
    whole = {**msgspec.structs.asdict(made), "figures": figures}
    return msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"


# -- capability


def lines_table(lines: Sequence[Line]) -> str:
    rows = (
        (
            line.name, share(line.hits, line.n), str(line.n), "" if line.chance is None else f"{100 * line.chance:.1f}",
            "" if (above := above_chance(line)) is None else f"{100 * above:.1f}", line.note,
        )
        for line in lines
    )  # fmt: skip
    return _table(("", "%", "n", "chance", "above chance", "note"), rows)


def lines_figures(lines: Sequence[Line]) -> dict[str, Any]:
    return {
        line.name: {**_figure(line.hits, line.n), "chance": line.chance, "above_chance": above_chance(line)}
        for line in lines
    }


def above_chance(line: Line) -> float | None:
    """The share of the distance from chance to perfect: Cohen's kappa with a fixed chance. Negative below chance."""
    if line.chance is None or line.chance >= 1 or not line.n:
        return None
    return (line.hits / line.n - line.chance) / (1 - line.chance)


# -- templates


def wordings_sections(found: Mapping[str, Sequence[Wording]]) -> list[str]:
    """The spread of each template first, then every wording of it."""
    spread = _table(
        ("template", "best", "worst", "spread, points", "most hallucinated", "n"),
        (
            (
                template, _named(max(wordings, key=_right)), _named(min(wordings, key=_right)),
                f"{100 * (max(map(_right, wordings)) - min(map(_right, wordings))):.1f}",
                f"{100 * max(one.hallucinated / max(1, one.n) for one in wordings):.1f}", str(wordings[0].n),
            )
            for template, wordings in found.items()
        ),
    )  # fmt: skip
    sections = ["## Spread", spread]
    for template, wordings in found.items():
        rows = (
            (
                one.name, one.text, share(one.right, one.n), share(one.hallucinated, one.n),
                share(one.malformed, one.n), str(one.n),
            )
            for one in wordings
        )  # fmt: skip
        sections += [f"## {template}", _table(("wording", "", "right", "hallucinated", "malformed", "n"), rows)]
    return sections


def wordings_figures(found: Mapping[str, Sequence[Wording]]) -> dict[str, Any]:
    return {
        template: {
            one.name: {
                "text": one.text, "right": _figure(one.right, one.n),
                "hallucinated": _figure(one.hallucinated, one.n), "malformed": _figure(one.malformed, one.n),
            }
            for one in wordings
        }
        for template, wordings in found.items()
    }  # fmt: skip


def _right(one: Wording) -> float:
    return one.right / max(1, one.n)


def _named(one: Wording) -> str:
    return f"{one.name} {100 * _right(one):.1f}"


# -- horizon


def scores_sections(scores: Sequence[Score], names: Mapping[int, str]) -> list[str]:
    """Two tables for each version, by mode and number of goals: tasks with all goals holding, and goals holding."""
    lengths = sorted({score.goals for score in scores})
    sections = ["\n".join(f"- {mode}: {words}." for mode, words in MODES.items())]
    for version, name in names.items():
        of = {(score.mode, score.goals): score for score in scores if score.version == version}
        rows = (
            (mode, *(f"{share(found.done, found.n)} ({found.n})" for length in lengths if (found := of[mode, length])))
            for mode in MODES
        )
        goals = (
            (
                mode,
                *(
                    f"{100 * found.reached / max(1, found.n * length):.1f}"
                    for length in lengths
                    if (found := of[mode, length])
                ),
            )
            for mode in MODES
        )
        head = ("", *(f"{length} goal{'s' * (length > 1)}" for length in lengths))
        sections += [f"## {name}: all goals hold at the end", _table(head, rows)]
        sections += [f"## {name}: share of goals that hold at the end", _table(head, goals)]
    return sections


def scores_figures(scores: Sequence[Score], names: Mapping[int, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for score in scores:
        mine = {
            **_figure(score.done, score.n), "goals_held": score.reached / max(1, score.n * score.goals),
            "steps": score.steps / max(1, score.n),
        }  # fmt: skip
        found.setdefault(names[score.version], {}).setdefault(score.mode, {})[str(score.goals)] = mine
    return found


# -- all


def share(hits: int, n: int) -> str:
    found = wilson(hits, n)
    return f"{100 * found.value:.1f} [{100 * found.ci95[0]:.1f}, {100 * found.ci95[1]:.1f}]"


def _figure(hits: int, n: int) -> dict[str, Any]:
    return msgspec.structs.asdict(wilson(hits, n))


def _table(head: Sequence[str], rows: Any) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
