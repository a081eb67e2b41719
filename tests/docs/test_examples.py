"""The TOML and Python that README and docs show is read, or run, as it stands there."""

import contextlib
import io
import tomllib
from pathlib import Path
from typing import Any

import anyio
import pytest

from runtime.hub import HubSettings, serve_hub
from runtime.mesh import connect
from runtime.runfolder import RunFolder
from scripts.trials.plan import read
from services.worlds.ai2thor.options import read_options
from services.worlds.virtualhome.tasks import read_tasks
from tests.builders import trajectory, verdict
from tests.docs.fences import Block, blocks

TOML = [block for block in blocks() if block.language == "toml"]
PYTHON = [block for block in blocks() if block.language == "python"]
SECONDS = 20


@pytest.mark.parametrize("block", TOML, ids=lambda block: block.id)
def test_a_toml_example_is_an_experiment_or_a_task_file_that_reads(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "example.toml"
    file.write_text(block.text, encoding="utf-8")
    shown = tomllib.loads(block.text)
    if "methods" in shown:
        assert read(file).methods == tuple(shown["methods"])
    elif "scene" in shown["task"][0]:
        (written,) = read_options({"tasks": str(file)}).written_tasks
        assert written.task.instruction == shown["task"][0]["instruction"]
    else:
        (task,) = read_tasks(str(file))
        assert task.instruction == shown["task"][0]["instruction"]


@pytest.mark.anyio
@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.id)
async def test_the_consumer_prints_every_verdict_of_a_run(
    block: Block, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(short_path)
    run = RunFolder.create("runs/mine")
    run.listen_at()
    endpoint, fanout = run.listening
    hub = HubSettings(endpoint=endpoint, fanout=fanout, log_file=run.log_file, blobs=run.blobs, ping_seconds=0.1)
    main, of = _defined(block), trajectory()
    printed, said = io.StringIO(), anyio.Event()

    def note(text: str) -> int:
        if of.id in text:
            said.set()
        return len(text)

    monkeypatch.setattr(printed, "write", note)
    with anyio.fail_after(SECONDS), contextlib.redirect_stdout(printed):
        async with serve_hub(hub), connect(endpoint, role="critic", instance="critic-0", run=run) as critic:
            await critic.publish("verdicts", verdict(of), id=f"{of.id}/task/c0")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(main)
                await said.wait()
                tasks.cancel_scope.cancel()
    run.stop_listening()


def _defined(block: Block) -> Any:
    """The example's ``main``, whose last line would run it in an event loop of its own."""
    body, run = block.text.rstrip().rsplit("\n", 1)
    assert run == "anyio.run(main)"
    names: dict[str, Any] = {}
    exec(compile(body, block.id, "exec"), names)  # noqa: S102 - the page's own code is what is tested
    return names["main"]
