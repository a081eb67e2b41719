"""Metrics in Prometheus' text exposition format, version 0.0.4, which prometheus_client writes. Pure."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from prometheus_client import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]


class Family(msgspec.Struct, frozen=True):
    """All samples of one metric, with the same label names each. Names are snake case and end with their unit
    (``_seconds``, ``_bytes``), counters with ``_total``."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    samples: Sequence[tuple[Labels, float]]


class Histogram(msgspec.Struct, frozen=True):
    """Observations by labels, counted into buckets with these upper bounds and one without. Each has the same label
    names."""

    name: str
    help: str
    bounds: Sequence[float]
    observed: Sequence[tuple[Labels, Sequence[float]]]


def render(families: Iterable[Family | Histogram]) -> str:
    """The text of a scrape; families without samples are left out.

    Raises:
        ValueError: two samples of a family have other label names, or a name is none that Prometheus takes.
    """
    # Only launchers that serve metrics pay for this import. The registry is ours: the global one adds this process.
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(_Scrape(families))
    return generate_latest(registry).decode()


class _Scrape:
    """What prometheus_client collects for one scrape."""

    def __init__(self, families: Iterable[Family | Histogram]) -> None:
        self._families = families

    def collect(self) -> Iterator["Metric"]:
        for found in self._families:
            if isinstance(found, Histogram):
                if found.observed:
                    yield _histogram(found)
            elif found.samples:
                yield _family(found)


def _family(found: Family) -> "Metric":
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    names = list(found.samples[0][0])
    kind = CounterMetricFamily if found.kind == "counter" else GaugeMetricFamily
    metric = kind(found.name, found.help, labels=names)
    for labels, value in found.samples:
        metric.add_metric(_values(found.name, labels, names), value)
    return metric


def _histogram(found: Histogram) -> "Metric":
    from prometheus_client.core import HistogramMetricFamily

    names = list(found.observed[0][0])
    metric = HistogramMetricFamily(found.name, found.help, labels=names)
    for labels, values in found.observed:
        buckets = [(_bound(bound), sum(value <= bound for value in values)) for bound in (*found.bounds, math.inf)]
        metric.add_metric(_values(found.name, labels, names), buckets, sum_value=math.fsum(values))
    return metric


def _values(name: str, labels: Labels, names: Sequence[str]) -> list[str]:
    if set(labels) != set(names):
        raise ValueError(f"{name} has samples with the labels {sorted(names)} and {sorted(labels)}: give all the same")
    return [labels[label] for label in names]


def _bound(bound: float) -> str:
    """The label ``le``: a whole number without ".0", as Prometheus and its Go client write it."""
    return "+Inf" if bound == math.inf else repr(float(bound)).removesuffix(".0")
