"""A strict reader of Prometheus' text exposition format: what is not in it, fails."""

import math
import re
from itertools import pairwise

import msgspec

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
HEAD = re.compile(rf"# (HELP|TYPE) ({NAME}) ?(.*)")
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')
NUMBER = re.compile(r"[+-]?(Inf|\d+(\.\d+)?(e[+-]?\d+)?)|NaN")

Key = tuple[str, tuple[tuple[str, str], ...]]


class Read(msgspec.Struct):
    help: str
    kind: str = ""
    samples: dict[Key, float] = {}

    def value(self, **labels: str) -> float:
        """The sum of the samples with these labels, whatever others they have."""
        found = [value for (_, have), value in self.samples.items() if labels.items() <= dict(have).items()]
        assert found, f"no sample with {labels}"
        return math.fsum(found)


def parse(text: str) -> dict[str, Read]:
    """Families by name. Asserts that each has its help and type before its samples, and none twice."""
    families: dict[str, Read] = {}
    now = ""
    assert text == "" or text.endswith("\n")
    for line in text.split("\n")[:-1]:
        if head := HEAD.fullmatch(line):
            word, name, rest = head.groups()
            if word == "HELP":
                assert name not in families, f"{name} is told twice"
                now, families[name] = name, Read(_unescaped(rest))
            else:
                assert name == now and not families[name].kind and rest in ("counter", "gauge", "histogram")
                families[name].kind = rest
            continue
        found = SAMPLE.fullmatch(line)
        assert found, f"not a sample: {line!r}"
        name, labels, value = found.groups()
        family = families[now]
        ends = ("_bucket", "_sum", "_count") if family.kind == "histogram" else ("",)
        assert family.kind and name in [now + end for end in ends], f"{name} stands under {now}"
        assert family.kind != "counter" or now.endswith("_total")
        assert NUMBER.fullmatch(value), value
        key = (name, tuple(sorted(_labels(labels or ""))))
        assert key not in family.samples, f"{line!r} is told twice"
        family.samples[key] = float(value)
    for name, family in families.items():
        assert family.samples, f"{name} has no samples"
        if family.kind == "histogram":
            _check_buckets(name, family)
    return families


def _labels(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    while at < len(text):
        label = LABEL.match(text, at)
        assert label, f"not labels: {text!r}"
        found.append((label[1], _unescaped(label[2])))
        at = label.end()
    assert len({name for name, _ in found}) == len(found)
    return found


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], text)


def _check_buckets(name: str, family: Read) -> None:
    series: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
    for (sample, labels), value in family.samples.items():
        if sample == f"{name}_bucket":
            bound = float(dict(labels)["le"])
            series.setdefault(tuple(item for item in labels if item[0] != "le"), []).append((bound, value))
    for labels, buckets in series.items():
        assert all(low <= high for (_, low), (_, high) in pairwise(sorted(buckets)))
        assert max(buckets) == (math.inf, family.samples[f"{name}_count", labels])
        assert (f"{name}_sum", labels) in family.samples
