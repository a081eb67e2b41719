"""Renders metrics in Prometheus' text exposition format, version 0.0.4, by prometheus_client. Pure."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from prometheus_client import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]


class Family(msgspec.Struct, frozen=True):
    """All samples of one metric, which must have the same label names. Names are in snake case and end with the unit
    (``_seconds``, ``_bytes``); those of counters end with ``_total``."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    samples: Sequence[tuple[Labels, float]]


class Histogram(msgspec.Struct, frozen=True):
    """Observations by labels, counted into buckets with these upper bounds and an infinite one. All must have the same
    label names."""

    name: str
    help: str
    bounds: Sequence[float]
    observed: Sequence[tuple[Labels, Sequence[float]]]


def render(families: Iterable[Family | Histogram]) -> str:
    """Returns the text of a scrape, without families that have no samples.

    Raises:
        ValueError: samples of a family have different label names, or a name is invalid in Prometheus.
    """
    # Imported here, because only launchers that serve metrics need it. The global registry adds this process's metrics.
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(_Scrape(families))
    return generate_latest(registry).decode()


class _Scrape:
    """A prometheus_client collector for one scrape."""

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
    """Returns the label ``le``; integers have no ".0", as in Prometheus and its Go client."""
    return "+Inf" if bound == math.inf else repr(float(bound)).removesuffix(".0")
