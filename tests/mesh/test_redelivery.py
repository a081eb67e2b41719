"""Services that are told everything twice, and their shares in the wrong order, learn the same."""

from pathlib import Path

import anyio
import msgspec
import pytest

from protocols.messages import Adapter, Fault
from runtime.streams import Consumption, Delivery, Subscription
from scripts.soaking.checker import examine
from services.settings import Evaluator, Simulator, Trainer
from tests.mesh.whole import SMALL, of, until_over, whole_mesh

pytestmark = pytest.mark.anyio
SECONDS = 120
TINY = msgspec.structs.replace(
    SMALL,
    simulator=Simulator(quota=12, episodes=4),
    trainer=Trainer(min_rows=2),
    evaluator=Evaluator(tasks=2, judgements=2, episodes=2),
)


@pytest.fixture
def _twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every message comes twice; what a group's member is given comes last first."""
    consume, fetch = Consumption.__anext__, Subscription.__anext__

    async def consumed(self: Consumption) -> Delivery:
        delivery = await consume(self)
        ready = self._ready  # pyright: ignore[reportPrivateUsage]
        if not delivery.redelivered:
            ready.appendleft(msgspec.structs.replace(delivery, redelivered=True))
            ready.reverse()
        return delivery

    async def fetched(self: Subscription) -> Delivery:
        delivery = await fetch(self)
        if not delivery.redelivered:
            self._ready.appendleft(msgspec.structs.replace(delivery, redelivered=True))  # pyright: ignore
        return delivery

    monkeypatch.setattr(Consumption, "__anext__", consumed)
    monkeypatch.setattr(Subscription, "__anext__", fetched)


async def learned(folder: Path) -> dict[tuple[str, int], tuple[str, str]]:
    with anyio.fail_after(SECONDS):
        async with whole_mesh(folder, TINY) as whole, whole.connect("onlooker", "onlooker-0") as mesh:
            log = await until_over(mesh)
    found = examine(whole.run)
    assert found.sound, found
    assert {fault.service for fault in of(log, Fault)} <= {"trainer-0"}
    return {(a.role, a.version): (a.dataset, a.digest) for a in of(log, Adapter)}


async def test_everything_twice_and_out_of_order_has_the_effect_of_once(
    short_path: Path, request: pytest.FixtureRequest
) -> None:
    for name in ("once", "twice"):
        (short_path / name).mkdir()
    once = await learned(short_path / "once")
    assert len(once) == 4
    request.getfixturevalue("_twice")
    assert await learned(short_path / "twice") == once
