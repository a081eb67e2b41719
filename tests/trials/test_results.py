"""What an experiment writes: the schema others read, the table and the picture."""

import io
import json

import msgspec
from PIL import Image

from scripts.trials.chart import draw
from scripts.trials.results import Results, to_json
from scripts.trials.table import page
from tests.trials.made import JUDGED, TASKS, made


def test_the_json_has_every_figure_with_its_count_and_interval_and_reads_back() -> None:
    text = to_json(made())
    assert msgspec.json.decode(text, type=Results) == made()
    found = json.loads(text)
    assert list(found["methods"]) == ["base", "selu"]
    selu, base = found["methods"]["selu"], found["methods"]["base"]
    for name in ("actor_success", "critic_accuracy", "critic_balanced", "critic_tpr", "critic_tnr"):
        for row in (selu, base, *selu["rounds"]):
            low, high = row[name]["ci95"]
            assert low <= row[name]["value"] <= high and row[name]["n"] > 0
    assert (selu["actor_success"]["unit"], selu["actor_success"]["n"]) == ("seeds", 2)
    assert (base["actor_success"]["unit"], base["actor_success"]["n"]) == ("episodes", TASKS)
    assert base["critic_accuracy"]["n"] == JUDGED and base["actor_gain"] is None
    assert [one["round"] for one in selu["rounds"]] == [0, 1]
    assert selu["rounds"][1]["labels"]["d_c_accuracy"]["episodes"] == 30
    assert selu["by_base"].keys() == {"micro", "other"} and selu["trajectories"] == 12
    made_how = ("heldout_seeds", "split", "final_round", "bases", "settings_digest", "hardware", "command", "missing")
    assert all(found[key] for key in made_how) and found["engines"] == {"scripted 1 on cpu": 5}


def test_the_value_of_a_row_is_the_mean_over_seeds_of_the_mean_over_bases() -> None:
    selu = made().methods["selu"]
    assert selu.actor_success.value == ((30 + 26) / 2 / TASKS + 34 / TASKS) / 2
    assert selu.actor_gain is not None and round(selu.actor_gain.value, 6) == round(selu.actor_success.value - 0.5, 6)


def test_rows_are_held_against_selu_run_by_run_and_what_learns_nothing_against_each_of_its_runs() -> None:
    found = made()
    base, selu = found.methods["base"], found.methods["selu"]
    assert found.reference == "selu" and selu.actor_against is None
    assert base.actor_against is not None and base.actor_against.n == 2
    assert round(base.actor_against.value, 6) == round(0.5 - selu.actor_success.value, 6)
    low, high = base.actor_against.ci95
    assert low < base.actor_against.value < high


def test_the_page_says_how_it_was_made_what_is_missing_and_every_table() -> None:
    text = page(made())
    for part in (
        "# made-up", "Is the table right?", "`selu experiment made-up.toml`", "a machine",
        "scripted 1 on cpu (5)",
        "Missing, and not in the tables: other selu seed 1", "## After the last round", "## By base model",
        "## Against selu", "## By round", "## Actor success by task", "## What was learned from", "D_c accuracy",
        "| base | 50.0 [35.2, 64.8] (40 ep.)", "- `selu`: SELU.",
    ):  # fmt: skip
        assert part in text
    for block in text.split("\n\n"):
        widths = {line.count("|") for line in block.splitlines() if line.startswith("|")}
        assert len(widths) <= 1


def test_the_picture_is_one_and_grows_with_the_rows() -> None:
    found = made()
    image = Image.open(io.BytesIO(draw(found)))
    more = msgspec.structs.replace(found, methods={**found.methods, "another": found.methods["selu"]})
    assert image.format == "PNG" and Image.open(io.BytesIO(draw(more))).height > image.height
    assert len(image.convert("RGB").getcolors(1 << 20) or ()) > 10


def test_an_experiment_without_any_finished_run_still_has_a_page() -> None:
    empty = msgspec.structs.replace(made(), methods={})
    assert "Missing" in page(empty) and draw(empty)
