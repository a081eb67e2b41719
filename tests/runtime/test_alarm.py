"""The alarm of a full disk: at once, again every second, and over only when nothing has failed for a while."""

from collections.abc import Sequence
from typing import Any

import pytest

from protocols.codec import unseal
from protocols.messages import Fault, Health
from runtime.alarm import StorageAlarm
from runtime.journal import Write
from runtime.storage import STORAGE_FULL

pytestmark = pytest.mark.anyio


class Hub:
    """Stands in for a hub's journal, its fan-out and its clock."""

    def __init__(self) -> None:
        self.refused: str | None = None
        self.now = 100.0
        self.said: list[tuple[float, float]] = []
        self.written: list[Fault] = []

    def send_nowait(self, frames: Sequence[bytes]) -> bool:
        health = unseal(frames[1]).body
        assert frames[0] == b"health" and isinstance(health, Health) and health.role == "hub"
        assert health.ready is not bool(health.gauges[STORAGE_FULL])
        self.said.append((self.now, health.gauges[STORAGE_FULL]))
        return True

    async def write(self, write: Write) -> None:
        (append,) = write.appends
        fault = unseal(append.envelope).body
        assert isinstance(fault, Fault) and append.topic == "faults"
        self.written.append(fault)


async def test_it_is_said_at_once_and_again_and_recorded_when_it_is_over() -> None:
    hub: Any = Hub()
    alarm = StorageAlarm(hub, hub, clock=lambda: hub.now)
    await alarm.look()
    assert not hub.said
    for refused in (*["disk is full"] * 25, None, "disk is full", *[None] * 12):
        hub.refused = refused
        await alarm.look()
        hub.now = round(hub.now + 0.1, 1)
    assert hub.said == [(100.0, 1.0), (101.0, 1.0), (102.0, 1.0), (103.6, 0.0)]
    (fault,) = hub.written
    assert fault.what == "nothing could be written for 2.6 s" and fault.why == "disk is full"
