"""The sheet has every run's figures after every round, as anybody's table program reads them."""

import csv
import io

from scripts.trials.sheet import COLUMNS, sheet
from tests.trials.made import JUDGED, TASKS, outcome


def lines(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_each_round_of_each_run_is_a_line_with_its_own_figures() -> None:
    runs = {"base": [outcome("micro", 0, (20,), (30,))], "selu": [outcome("micro", 7, (20, 30), (30, 45))]}
    found = lines(sheet(runs))
    assert [(line["method"], line["seed"], line["round"]) for line in found] == [
        ("base", "0", "0"), ("selu", "7", "0"), ("selu", "7", "1"),
    ]  # fmt: skip
    last = found[-1]
    assert float(last["actor_success"]) == 30 / TASKS and int(last["actor_episodes"]) == TASKS
    assert float(last["critic_accuracy"]) == 45 / JUDGED and int(last["critic_frames"]) == JUDGED
    assert (float(last["critic_tpr"]), float(last["critic_tnr"])) == (0.6, 0.8)
    assert (last["engine"], last["trajectories"], last["seconds"]) == ("scripted 1 on cpu", "12", "37.0")


def test_what_was_not_measured_is_empty_and_not_nought() -> None:
    base, learned = lines(sheet({"selu": [outcome("micro", 0, (0, 30), (30, 45))]}))
    assert float(base["actor_success"]) == 0
    assert base["d_c_accuracy"] == "" and float(learned["d_c_accuracy"]) == 0.9
    assert learned["d_a_precision"] == ""


def test_without_any_run_only_the_columns_stand_there() -> None:
    assert sheet({"selu": []}) == ",".join(COLUMNS) + "\n"
