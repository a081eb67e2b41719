"""The text of a scrape is what Prometheus's format asks for, whatever the names and figures are."""

import math

from hypothesis import given
from hypothesis import strategies as st

from runtime.exposition import Family, Histogram, render
from tests.exposition import parse

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LABELS = st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True).filter(lambda n: n != "le"), TEXT)
NUMBER = st.floats() | st.integers(-(2**70), 2**70).map(float)


@given(
    help=TEXT,
    samples=st.lists(st.tuples(LABELS, NUMBER), max_size=4, unique_by=lambda item: tuple(sorted(item[0].items()))),
)
def test_what_is_written_reads_back(help: str, samples: list[tuple[dict[str, str], float]]) -> None:
    found = parse(
        render([Family("selu_x", "gauge", help, samples), Family("selu_y_total", "counter", "other", [({}, 3)])])
    )
    assert found["selu_y_total"].samples == {("selu_y_total", ()): 3.0}
    if not samples:
        assert "selu_x" not in found
        return
    assert found["selu_x"].help == help and found["selu_x"].kind == "gauge"
    for labels, value in samples:
        read = found["selu_x"].samples["selu_x", tuple(sorted(labels.items()))]
        assert read == value or (math.isnan(read) and math.isnan(value))


def test_a_histogram_counts_what_is_within_each_bound() -> None:
    told = Histogram("selu_swap_seconds", "how long", (0.5, 1.0), [({"role": "actor"}, [0.2, 0.5, 3.0]), ({}, [])])
    samples = parse(render([told]))["selu_swap_seconds"].samples
    actor = ("role", "actor")
    assert [samples["selu_swap_seconds_bucket", (("le", le), actor)] for le in ("0.5", "1", "+Inf")] == [2, 2, 3]
    assert samples["selu_swap_seconds_sum", (actor,)] == 3.7 and samples["selu_swap_seconds_count", (actor,)] == 3
    assert samples["selu_swap_seconds_count", ()] == 0
