"""A share of `scripts/fuzz`: mutated requests at a live hub hurt nobody, and each that is refused is counted."""

import random
from collections import Counter
from pathlib import Path

import anyio
import pytest

from protocols import commands as c
from protocols.errors import ProtocolError
from scripts.fuzzing.attack import attack
from scripts.fuzzing.mutations import mutated, requests

MESSAGES, SEED = 30_000, 20241003
SECONDS = 120


@pytest.mark.anyio
async def test_neighbours_of_an_attacked_hub_are_undisturbed(short_path: Path) -> None:
    with anyio.fail_after(SECONDS):
        verdict = await attack(short_path / "run", MESSAGES, SEED)
    assert verdict.problems == []
    assert verdict.sent == MESSAGES and verdict.neighbour >= 10
    assert verdict.accepted > MESSAGES // 50 and verdict.refused.total() > MESSAGES // 2
    assert verdict.refused.keys() >= {"decode", "forbidden", "too_large", "schema", "unknown_topic", "not_admitted"}


def test_mutations_reach_every_command_and_the_same_seed_makes_the_same() -> None:
    sound = requests("attacker", "ticket", 1)

    def thrown() -> list[list[bytes]]:
        rng = random.Random(SEED)
        return [mutated(rng, sound, number) for number in range(2, 3000)]

    taken: Counter[type] = Counter()
    for frames in thrown():
        try:
            taken[type(c.parse_request(c.split(frames)[1]))] += 1
        except ProtocolError:
            taken[ProtocolError] += 1
    assert taken.keys() == {*c.Request.__args__, ProtocolError}
    assert thrown() == thrown()
