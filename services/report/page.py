"""What a report is made of, and the small pieces of HTML that its sections share. Pure."""

from collections.abc import Iterable, Sequence
from html import escape

import msgspec

from protocols.messages import Digest, Estimate, Evaluation, Fault, Role
from services.report.samples import Sample
from services.report.summary import Summary

ROLES: tuple[Role, ...] = ("critic", "actor")
FIGURES = {"critic": "Critic accuracy", "actor": "Actor success"}


class Material(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a report shows. ``frames`` maps digests to data URIs, ``settings`` is TOML."""

    summary: Summary
    evaluations: dict[tuple[Role, int], Evaluation]
    faults: tuple[Fault, ...]
    samples: tuple[Sample, ...]
    frames: dict[Digest, str]
    settings: str


def section(title: str, note: str, *parts: str) -> str:
    said = f'<p class="note">{note}</p>' if note else ""
    return f"<section><h2>{escape(title)}</h2>{said}{''.join(parts)}</section>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already; a cell that begins with "<td" stands as it is."""
    heads = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(
        "<tr>" + "".join(cell if cell.startswith("<td") else f"<td>{cell}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def wide(text: str) -> str:
    return f'<td class="wide">{escape(text)}</td>'


def estimate(found: Estimate | None) -> str:
    if found is None:
        return '<span class="range">not evaluated</span>'
    low, high = found.ci95
    return f'{100 * found.value:.1f}%<span class="range">{100 * low:.1f} to {100 * high:.1f}, n={found.n}</span>'


def bar(found: Estimate | None, role: Role) -> str:
    share = 0.0 if found is None else found.value
    meter = f'<span class="bar"><i style="width:{100 * share:.1f}%"></i></span>'
    return f'<div class="share {role}">{meter}<span>{estimate(found)}</span></div>'


def chip(text: str, mood: str = "") -> str:
    return f'<span class="chip {mood}">{escape(text)}</span>'


def tile(value: str, name: str, *, bad: bool = False) -> str:
    return f'<div class="tile{" bad" if bad else ""}"><b>{escape(value)}</b><span>{escape(name)}</span></div>'
