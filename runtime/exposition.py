"""Figures in Prometheus' text exposition format, version 0.0.4. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]


class Family(msgspec.Struct, frozen=True):
    """All samples of one metric. Names are snake case and end with their unit (``_seconds``, ``_bytes``), counters with
    ``_total``."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    samples: Sequence[tuple[Labels, float]]


class Histogram(msgspec.Struct, frozen=True):
    """Observations by labels, counted into buckets with these upper bounds and one without."""

    name: str
    help: str
    bounds: Sequence[float]
    observed: Sequence[tuple[Labels, Sequence[float]]]


def render(families: Iterable[Family | Histogram]) -> str:
    """The text of a scrape; families without samples are left out."""
    return "".join(_histogram(found) if isinstance(found, Histogram) else _family(found) for found in families)


def _family(family: Family) -> str:
    if not family.samples:
        return ""
    return _head(family.name, family.kind, family.help) + "".join(
        _sample(family.name, labels, value) for labels, value in family.samples
    )


def _histogram(found: Histogram) -> str:
    if not found.observed:
        return ""
    lines = [_head(found.name, "histogram", found.help)]
    for labels, values in found.observed:
        for bound in (*found.bounds, math.inf):
            within = sum(value <= bound for value in values)
            lines.append(_sample(f"{found.name}_bucket", {**labels, "le": _number(bound)}, within))
        lines.append(_sample(f"{found.name}_sum", labels, math.fsum(values)))
        lines.append(_sample(f"{found.name}_count", labels, len(values)))
    return "".join(lines)


def _head(name: str, kind: str, help: str) -> str:
    said = help.replace("\\", r"\\").replace("\n", r"\n")
    return f"# HELP {name} {said}\n# TYPE {name} {kind}\n"


def _sample(name: str, labels: Labels, value: float) -> str:
    told = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"{name}{{{told}}} {_number(value)}\n" if told else f"{name} {_number(value)}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(float(value))
