"""Reads a scrape with prometheus_client's parser, and fails where a family or a sample is there twice or is empty."""

import math

import msgspec
from prometheus_client.parser import text_string_to_metric_families

Key = tuple[str, tuple[tuple[str, str], ...]]


class Read(msgspec.Struct):
    help: str
    kind: str
    samples: dict[Key, float] = {}

    def value(self, **labels: str) -> float:
        """The sum of the samples with these labels, whatever others they have."""
        found = [value for (_, have), value in self.samples.items() if labels.items() <= dict(have).items()]
        assert found, f"no sample with {labels}"
        return math.fsum(found)


def parse(text: str) -> dict[str, Read]:
    """Families by the names that stand in the text: a counter's ends with ``_total``."""
    families: dict[str, Read] = {}
    for metric in text_string_to_metric_families(text):
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        assert metric.type in ("counter", "gauge", "histogram"), f"{name} is {metric.type}"
        assert name not in families, f"{name} is told twice"
        samples = {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in metric.samples}
        assert 0 < len(samples) == len(metric.samples), f"{name} has no samples, or one twice"
        families[name] = Read(metric.documentation, metric.type, samples)
    return families
