"""Waiting for space: an attempt is made again until there is some, and a process knows that it waits."""

import errno

import anyio
import pytest

from protocols.errors import StorageFull
from runtime import storage
from runtime.storage import Waits, when_there_is_room

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> Waits:
    monkeypatch.setattr(storage, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(storage, "HERE", Waits())
    return storage.HERE


class Disk:
    """Takes what is written once it was tried so often; notes whether the process was known to wait meanwhile."""

    def __init__(self, tries: int, error: Exception) -> None:
        self.left = tries
        self.error = error
        self.known: list[bool] = []

    async def write(self) -> str:
        self.known.append(bool(storage.HERE))
        if self.left:
            self.left -= 1
            raise self.error
        return "written"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "no"), StorageFull("no"), OSError(errno.EFBIG, "no")])
async def test_an_attempt_is_made_until_there_is_space_and_the_wait_is_known_while_it_lasts(error: Exception) -> None:
    disk = Disk(3, error)
    with anyio.fail_after(10):
        assert await when_there_is_room(disk.write) == "written"
    assert disk.known == [False, True, True, True] and not storage.HERE
    (waited,) = storage.HERE.take_over()
    assert waited.why == str(error) and not storage.HERE.take_over()


async def test_what_another_process_writes_is_no_wait_of_this_one() -> None:
    disk = Disk(3, StorageFull("no"))
    with anyio.fail_after(10):
        assert await when_there_is_room(disk.write, own=False) == "written"
    assert not any(disk.known) and not storage.HERE.take_over()


@pytest.mark.parametrize("own", [True, False])
async def test_another_failure_and_one_that_lasts_too_long_are_the_callers(own: bool) -> None:
    with anyio.fail_after(10):
        with pytest.raises(PermissionError):
            await when_there_is_room(Disk(1, PermissionError("no")).write, own=own)
        with pytest.raises(StorageFull):
            await when_there_is_room(Disk(9, StorageFull("no")).write, seconds=-1, own=own)
    assert not storage.HERE


def test_waits_that_overlap_are_one() -> None:
    now = [10.0]
    waits = Waits(clock=lambda: now[0])
    with waits.one("first"):
        now[0] = 11.0
        with waits.one("second"):
            now[0] = 12.0
        assert waits and not waits.take_over()
        now[0] = 15.0
    assert not waits
    assert [(w.seconds, w.why) for w in waits.take_over()] == [(5.0, "first")]
