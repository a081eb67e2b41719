"""Measures the mesh's throughput against alternatives in the same run: sockets against zmq.asyncio; durable publishing
against Redis Streams (appendfsync always; if redis-server is installed) and against one commit per message.

    python -m scripts.bench.mesh [--messages 5000] [--pairs 5]
"""

import argparse
import asyncio
import json
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
import zmq
import zmq.asyncio

from protocols.messages import Round
from runtime.hub import HubSettings, serve_hub
from runtime.mesh import Mesh, connect
from runtime.sockets import Socket, open_socket

PUBLISHERS = 32
"""Concurrent publishes, as when many episodes end at the same time."""
BODY = b"x" * 300
"""A payload of about the size of a verdict."""

Measure = Callable[[], Awaitable[float]]
"""Measures one run; returns messages per second."""


async def sockets_ours(count: int, folder: Path) -> float:
    endpoint = f"ipc://{folder}/ours"
    async with open_socket(zmq.PULL, bind=endpoint) as pull, open_socket(zmq.PUSH, connect=endpoint) as push:

        async def send() -> None:
            for _ in range(count):
                await push.send([BODY])

        return await _timed(count, send, pull)


async def _timed(count: int, send: Callable[[], Coroutine[Any, Any, None]], pull: Socket) -> float:
    begun = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        for _ in range(count):
            await pull.receive()
    return count / (time.perf_counter() - begun)


async def sockets_asyncio(count: int, folder: Path) -> float:
    context = zmq.asyncio.Context()
    pull, push = context.socket(zmq.PULL), context.socket(zmq.PUSH)
    pull.bind(f"ipc://{folder}/theirs")
    push.connect(f"ipc://{folder}/theirs")

    async def send() -> None:
        for _ in range(count):
            await push.send_multipart([BODY])

    begun = time.perf_counter()
    sender = asyncio.create_task(send())
    for _ in range(count):
        await pull.recv_multipart()
    await sender
    context.destroy(linger=0)
    return count / (time.perf_counter() - begun)


async def publish_ours(count: int, mesh: Mesh) -> float:
    message = Round(number=1, phase="collect", quota=1, actor_version=0, critic_version=0)

    async def publisher() -> None:
        for _ in range(count // PUBLISHERS):
            await mesh.publish("rounds", message)

    begun = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for _ in range(PUBLISHERS):
            tasks.start_soon(publisher)
    return count / (time.perf_counter() - begun)


async def publish_one_commit_each(count: int, folder: Path) -> float:
    db = sqlite3.connect(folder / "single.sqlite", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE IF NOT EXISTS log (id INTEGER PRIMARY KEY, body BLOB)")
    begun = time.perf_counter()
    for _ in range(count):
        db.execute("INSERT INTO log (body) VALUES (?)", (BODY,))
    seconds = time.perf_counter() - begun
    db.close()
    return count / seconds


async def publish_redis(count: int, port: int) -> float:
    """Publishes by XADD from `PUBLISHERS` connections, each of which waits for its answers, without a Redis client."""
    command = b"*5\r\n$4\r\nXADD\r\n$1\r\ns\r\n$1\r\n*\r\n$1\r\nb\r\n$%d\r\n%s\r\n" % (len(BODY), BODY)

    async def publisher() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(count // PUBLISHERS):
            writer.write(command)
            await reader.readline()
            await reader.readline()
        writer.close()

    begun = time.perf_counter()
    await asyncio.gather(*(publisher() for _ in range(PUBLISHERS)))
    return count / (time.perf_counter() - begun)


def start_redis(folder: Path) -> tuple[subprocess.Popen[bytes], int] | None:
    if shutil.which("redis-server") is None:
        return None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--appendonly", "yes"]
    process = subprocess.Popen(
        ["redis-server", *options, "--appendfsync", "always", "--save", ""], stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return process, port
        except OSError:
            time.sleep(0.05)
    process.kill()
    raise TimeoutError("redis-server did not answer within 10 s")


async def compare(ours: Measure, peer: Measure, pairs: int) -> dict[str, float | int]:
    """Runs the two alternately. The median ratio of adjacent runs is robust against changes of the machine's speed."""
    rates = [(await ours(), await peer()) for _ in range(pairs)]
    return {
        "ours_per_second": round(statistics.median(a for a, _ in rates)),
        "peer_per_second": round(statistics.median(b for _, b in rates)),
        "ratio": round(statistics.median(a / b for a, b in rates), 2),
        "pairs": pairs,
    }


async def bench(messages: int, pairs: int) -> dict[str, object]:
    results: dict[str, object] = {"publishers": PUBLISHERS, "body_bytes": len(BODY)}
    with tempfile.TemporaryDirectory(prefix="selu-") as name:
        folder = Path(name)
        results["socket_vs_zmq_asyncio"] = await compare(
            lambda: sockets_ours(messages, folder), lambda: sockets_asyncio(messages, folder), pairs
        )
        settings = HubSettings(
            endpoint=f"ipc://{folder}/hub",
            fanout=f"ipc://{folder}/fanout",
            log_file=folder / "log.sqlite",
            blobs=folder / "blobs",
        )
        redis = start_redis(folder)
        try:
            async with serve_hub(settings), connect(settings.endpoint, role="trainer", instance="bench") as mesh:
                results["publish_vs_commit_each"] = await compare(
                    lambda: publish_ours(messages, mesh), lambda: publish_one_commit_each(messages, folder), pairs
                )
                if redis is not None:
                    results["publish_vs_redis_streams"] = await compare(
                        lambda: publish_ours(messages, mesh), lambda: publish_redis(messages, redis[1]), pairs
                    )
        finally:
            if redis is not None:
                redis[0].kill()
                redis[0].wait()
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--pairs", type=int, default=5)
    given = parser.parse_args()
    json.dump(anyio.run(bench, given.messages, given.pairs), sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
