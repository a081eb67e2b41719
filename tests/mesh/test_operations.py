"""A live mesh is watched and looked after: scraped, looked at, let go of what is old, and afterwards still whole."""

import http.client
import json
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec
import pytest
import zmq

from runtime.sockets import open_socket
from scripts.selu import main
from services.report.summary import Summary
from tests.exposition import Read, parse
from tests.mesh.launched import launched, observer, seen

pytestmark = pytest.mark.anyio
SECONDS = 60
FAMILIES = {
    "selu_hub_up", "selu_ready", "selu_restarts_total", "selu_memory_bytes", "selu_event_loop_lag_seconds",
    "selu_service", "selu_log_bytes", "selu_disk_free_bytes", "selu_disk_full", "selu_messages_logged_total",
    "selu_published_total", "selu_duplicates_total", "selu_redelivered_total", "selu_rejected_total", "selu_hub_total",
    "selu_consumer_lag_messages", "selu_calls_running", "selu_calls_waiting", "selu_writes_waiting",
    "selu_requests_open", "selu_sessions", "selu_hub_loop_lag_seconds", "selu_round", "selu_phase",
    "selu_trajectories_total", "selu_trajectories_lost", "selu_faults_total", "selu_swap_seconds",
}  # fmt: skip


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


async def ask(port: int, path: str) -> tuple[int, str]:
    """The page, once somebody answers at the port."""
    while True:
        try:
            return await anyio.to_thread.run_sync(get, port, path)
        except OSError:
            await anyio.sleep(0.05)


async def scraped(port: int, until: Callable[[dict[str, Read]], bool]) -> dict[str, Read]:
    """The first scrape of which something is so."""
    while True:
        status, text = await ask(port, "/metrics")
        assert status == 200
        if until(found := parse(text)):
            return found
        await anyio.sleep(0.05)


async def test_a_live_mesh_can_be_scraped_and_looked_after_and_is_whole_afterwards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port, folder = free_port(), tmp_path / "run"
    overrides = (f"metrics.port={port}", "retention.rounds=1", "trainer.replay=false")
    with anyio.fail_after(SECONDS):
        async with launched(folder, *overrides) as run:
            early, said = await ask(port, "/healthz")
            assert (early == 503) == bool(json.loads(said)["unready"] or not json.loads(said)["hub"])
            await seen(run, "verdicts", 3)
            run.kill("critic-0")
            async with observer(run), open_socket(zmq.DEALER, connect=run.run.endpoint) as stranger:
                await stranger.send([b"SELU1", b"\0" * 8, b"\x91" * 500])
                await stranger.receive()
                found = await scraped(port, lambda f: f["selu_restarts_total"].value(instance="critic-0") >= 1)
                assert found["selu_rejected_total"].value(code="malformed") == 1
            for argument in ("--repair", "--json"):
                code = await anyio.to_thread.run_sync(partial(main, ["doctor", str(folder), argument]))
                said = capsys.readouterr()
                assert code == (2 if argument == "--repair" else 0), [f for f in json.loads(said.out) if f["do"]]
            assert await anyio.to_thread.run_sync(partial(main, ["compact", str(folder)])) == 2
            found = await scraped(
                port, lambda f: sum(v for k, v in f["selu_swap_seconds"].samples.items() if k[0].endswith("count")) >= 2
            )
            assert await run.process.wait() == 0, (tmp_path / "launcher.txt").read_text()
    assert found.keys() >= FAMILIES - {"selu_calls_running"}
    roles = {"simulator", "actor", "critic", "relabeler", "trainer", "evaluator"}
    assert {dict(labels)["role"] for _, labels in found["selu_ready"].samples} == roles
    assert found["selu_trajectories_total"].value() >= 12 and found["selu_trajectories_lost"].value() == 0
    assert found["selu_consumer_lag_messages"].value(group="critic", topic="trajectories") >= 0
    assert found["selu_log_bytes"].value() > 0 and found["selu_hub_up"].value() == 1
    assert 0 <= found["selu_published_total"].value() <= found["selu_messages_logged_total"].value() * 2

    for command in ("doctor", "replay"):
        assert main([command, str(folder)]) == 0, capsys.readouterr().out
    assert "frames of rounds 1 were let go on purpose" in capsys.readouterr().out
    summary = msgspec.json.decode((folder / "summary.json").read_bytes(), type=Summary)
    assert summary.let_go.rounds == (1,) and summary.trajectories.lost == 0
