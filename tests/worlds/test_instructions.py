"""Which instruction an action carries out."""

import pytest

from services.worlds.household.tasks import draw_episode, make_task
from services.worlds.instructions import carried, carried_out


def test_every_instruction_of_the_household_said_as_an_action_carries_itself_out() -> None:
    tasks = [draw_episode(seed, "unknown").task for seed in range(200)]
    assert {task.verb for task in tasks} == {"pick", "put", "open", "break", "slice", "toggle", "sit"}
    for task in tasks:
        assert carried(task.instruction) == task == carried(task.instruction.upper().replace(" THE ", " ") + ".")


@pytest.mark.parametrize(
    "action", ["done", "find mug", "drop mug", "turn off lamp", "put mug", "pick up", "opening mug", ""]
)
def test_other_actions_carry_out_no_instruction(action: str) -> None:
    assert carried(action) is None


def test_an_instruction_counts_once_with_the_last_action_that_carries_it_out() -> None:
    found = carried_out(["open fridge", "pick up apple", "open fridge", "put apple in fridge", "done"])
    assert [(item.task, item.act) for item in found] == [
        (make_task("pick", "apple"), 1), (make_task("open", "fridge"), 2), (make_task("put", "apple", "fridge"), 3)
    ]  # fmt: skip
