"""Worlds by name, and the seeds of their splits."""

import subprocess
import sys
from itertools import combinations

import msgspec.structs
import pytest

from services import settings
from services.worlds.load import load_world
from services.worlds.world import SEED_STARTS, seeds


def test_a_world_is_made_by_its_name_and_options():
    world = load_world("household", frame=64, max_steps=3)
    assert world.name == "household"
    assert world.reset(None, 1)[1].frame.shape == (64, 64, 3)


def test_a_world_is_made_from_settings_whose_options_win():
    world = load_world(settings.World(options={"frame": 96}), frame=64, max_steps=3)
    assert world.reset(None, 1)[1].frame.shape == (96, 96, 3)


def test_an_unknown_world_is_named_with_those_there_are():
    with pytest.raises(ValueError, match="there is no world 'moon': use one of ai2thor, household, virtualhome"):
        load_world("moon")


def test_asking_for_worlds_imports_no_simulator_until_one_is_made():
    heavy = "any(name in sys.modules for name in ('cv2', 'torch', 'gymnasium'))"
    code = f"import sys; import services.worlds.load; sys.exit({heavy})"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_splits_runs_and_rounds_never_share_a_seed():
    drawn = [seeds(split, 1000) for split in SEED_STARTS if split != "train"]
    drawn += [seeds("train", 10_000, run_seed=run, round=round) for run in (0, 1, 800) for round in (0, 1, 999)]
    for one, other in combinations(drawn, 2):
        assert one[-1] < other[0] or other[-1] < one[0]


def test_held_out_seeds_are_the_same_for_every_run_and_round():
    assert seeds("heldout", 10) == seeds("heldout", 10, run_seed=5, round=3)
    assert seeds("heldout", 10) == seeds("heldout", 20)[:10]


def test_splits_can_be_moved():
    assert seeds("dev", 3, starts={"dev": 7}) == range(7, 10)
    assert seeds("train", 1, run_seed=1, round=2, starts={"train": 2_000_000_000})[0] == 2_010_020_000


def test_the_splits_starts_are_settings_with_the_same_defaults():
    assert msgspec.structs.asdict(settings.Seeds()) == SEED_STARTS


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"split": "test", "count": 1}, "unknown split 'test': use dev, dev_judge, heldout, heldout_judge, train"),
        ({"split": "train", "count": 10_001}, "at most 10000 episodes, not 10001"),
        ({"split": "train", "count": 1, "round": 1000}, "rounds 0 to 999, not 1000"),
        ({"split": "dev", "count": 100_000_001}, "would reach those of 'dev_judge', which start at 200000000"),
        ({"split": "dev", "count": 10, "starts": {"heldout": 100_000_005}}, "would reach those of 'heldout'"),
        ({"split": "dev", "count": 1, "starts": {"heldout": 100_000_000}}, "would reach those of 'heldout'"),
    ],
)
def test_seeds_that_would_be_in_two_splits_are_refused(arguments, why):
    with pytest.raises(ValueError, match=why):
        seeds(**arguments)
