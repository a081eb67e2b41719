"""Something removes the hub's Unix sockets while it runs: who is connected stays, and others find it again."""

import shutil
from pathlib import Path

import anyio
import msgspec
import pytest

from protocols.messages import Progress
from runtime.hub import HubSettings, serve_hub
from runtime.mesh import connect

pytestmark = pytest.mark.anyio

SECONDS = 20.0


async def until_there(*paths: Path) -> None:
    while not all(path.exists() for path in paths):  # noqa: ASYNC110  the hub looks again and again
        await anyio.sleep(0.02)


async def test_sockets_that_were_removed_are_there_again_in_the_same_place_or_in_another(
    hub_settings: HubSettings, short_path: Path
) -> None:
    first, second = short_path / "first", short_path / "second"
    first.mkdir()
    at = [first]

    def where() -> tuple[str, str]:
        return f"ipc://{at[0]}/hub", f"ipc://{at[0]}/fan"

    endpoint, fanout = where()
    settings = msgspec.structs.replace(hub_settings, endpoint=endpoint, fanout=fanout, where=where)
    with anyio.fail_after(SECONDS):
        async with serve_hub(settings), connect(endpoint, role="trainer", instance="trainer-0") as early:
            for place in (first, second):
                shutil.rmtree(at[0])
                at[0] = place
                place.mkdir()
                await until_there(place / "hub", place / "fan")
                async with (
                    connect(where()[0], role="observer", instance="late") as late,
                    late.listen("progress") as heard,
                ):
                    async with anyio.create_task_group() as tasks:

                        async def speak() -> None:
                            while True:  # who has just subscribed may miss the first
                                await early.emit("progress", Progress(role="trainer", what="x", done=1, total=2))
                                await anyio.sleep(0.02)

                        tasks.start_soon(speak)
                        delivery = await anext(aiter(heard))
                        tasks.cancel_scope.cancel()
                    assert isinstance(delivery.message, Progress)
                    assert set((await early.status()).sessions) == {"trainer-0", "late"}
