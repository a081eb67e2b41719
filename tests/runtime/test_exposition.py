"""The text of a scrape reads back, whatever the labels and figures are."""

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.exposition import Family, Histogram, render
from tests.exposition import parse

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMES = st.lists(
    st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True).filter(lambda n: n != "le"), max_size=3, unique=True
)
NUMBER = st.floats() | st.integers(-(2**70), 2**70).map(float)


@given(st.data(), NAMES)
def test_what_is_written_reads_back(data: st.DataObject, names: list[str]) -> None:
    labels = st.fixed_dictionaries(dict.fromkeys(names, TEXT))
    samples = data.draw(
        st.lists(st.tuples(labels, NUMBER), max_size=4, unique_by=lambda item: tuple(sorted(item[0].items())))
    )
    found = parse(
        render([Family("selu_x", "gauge", "one", samples), Family("selu_y_total", "counter", "other", [({}, 3)])])
    )
    assert found["selu_y_total"].samples == {("selu_y_total", ()): 3.0}
    if not samples:
        assert "selu_x" not in found
        return
    assert found["selu_x"].kind == "gauge" and len(found["selu_x"].samples) == len(samples)
    for labels, value in samples:
        read = found["selu_x"].samples["selu_x", tuple(sorted(labels.items()))]
        assert read == value or (math.isnan(read) and math.isnan(value))


def test_the_page_has_the_format_that_prometheus_reads() -> None:
    help = 'a\\b\n"c"'
    assert render([Family("selu_x_total", "counter", help, [({"b": 'ü"\\\n', "a": ""}, 2.5)])]).split("\n") == [
        r'# HELP selu_x_total a\\b\n"c"',
        "# TYPE selu_x_total counter",
        r'selu_x_total{a="",b="ü\"\\\n"} 2.5',
        "",
    ]


def test_a_histogram_counts_what_is_within_each_bound() -> None:
    observed = [({"role": "actor"}, [0.2, 0.5, 3.0]), ({"role": "critic"}, [])]
    samples = parse(render([Histogram("selu_swap_seconds", "how long", (0.5, 1.0), observed)]))[
        "selu_swap_seconds"
    ].samples
    actor, critic = ("role", "actor"), ("role", "critic")
    assert [samples["selu_swap_seconds_bucket", (("le", le), actor)] for le in ("0.5", "1", "+Inf")] == [2, 2, 3]
    assert samples["selu_swap_seconds_sum", (actor,)] == 3.7 and samples["selu_swap_seconds_count", (actor,)] == 3
    assert samples["selu_swap_seconds_count", (critic,)] == 0


@pytest.mark.parametrize("other", [{}, {"b": "1"}, {"a": "1", "b": "1"}])
def test_a_family_whose_samples_have_other_label_names_is_refused(other: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="selu_x has samples with the labels"):
        render([Family("selu_x", "gauge", "one", [({"a": "1"}, 1.0), (other, 2.0)])])


def test_a_launcher_that_serves_no_metrics_does_not_import_the_client() -> None:
    program = "import sys, scripts.launch.run; print('prometheus_client' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert said.stdout.strip() == "False"
