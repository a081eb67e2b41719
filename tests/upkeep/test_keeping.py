"""The launcher lets frames go beside a live hub: what nobody needs, and not what a group has yet to read."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from runtime.hub import HubSettings, serve_hub
from runtime.mesh import Mesh, connect
from runtime.runfolder import RunFolder
from runtime.sockets import background
from scripts.launch.keeping import Keeper
from scripts.launch.watch import Watch
from services.patience import Changes
from tests.trainer.story import Story
from tests.upkeep.folder import make_run, with_retention
from tests.upkeep.test_retention import frames, small, there

pytestmark = pytest.mark.anyio
SECONDS = 30


class Shown:
    """What is shown, and a way to wait for it."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self._changes = Changes()

    def __enter__(self) -> "Shown":
        return self

    def __exit__(self, *failure: object) -> None: ...

    def event(self, text: str) -> None:
        self.events.append(text)
        self._changes.notify()

    def tick(self, watch: Watch) -> None: ...

    async def seen(self, text: str) -> None:
        await self._changes.until(lambda: any(text in event for event in self.events))


@asynccontextmanager
async def hub_of(folder: Path) -> AsyncGenerator[tuple[RunFolder, Story, Mesh]]:
    run, story = make_run(folder / "run", with_retention(1, settings=small()))
    hub = HubSettings(
        endpoint=f"ipc://{folder}/hub", fanout=f"ipc://{folder}/fan", log_file=run.log_file, blobs=run.blobs
    )
    with anyio.fail_after(SECONDS):
        async with serve_hub(hub), connect(hub.endpoint, role="observer", instance="mine") as mesh:
            yield run, story, mesh


async def test_frames_of_old_rounds_go_while_the_mesh_runs_once_every_group_has_read_of_them(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.launch.keeping.grace_seconds", lambda settings: 0.0)
    monkeypatch.setattr("scripts.launch.keeping.LOOK_SECONDS", 0.01)
    shown = Shown()
    async with (
        hub_of(short_path) as (run, story, mesh),
        mesh.consume("trajectories", group="mine", max_in_flight=1) as stream,
        background() as tasks,
    ):
        held = await anext(stream)  # a group that has acknowledged nothing: the log knows nothing of it
        tasks.start_soon(Keeper(run, with_retention(1, settings=small()), shown).keep, mesh)
        await shown.seen("'mine', which has yet to read round 1")
        assert frames(story, 1) <= there(run)
        await held.ack()
        async for delivery in stream:
            await delivery.ack()
            if delivery.message.round == 3:  # type: ignore[union-attr]
                break
        await shown.seen("of frames, round 1")
    assert not there(run) & frames(story, 1) and frames(story, 3) <= there(run)
    assert len(shown.events) == len(set(shown.events))


async def test_by_default_the_launcher_looks_for_nothing(short_path: Path) -> None:
    shown = Shown()
    async with hub_of(short_path) as (run, _, mesh):
        await Keeper(run, small(), shown).keep(mesh)
    assert shown.events == []
