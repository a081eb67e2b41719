"""Sends mutated requests to a hub in a process of its own, while a well-behaved client, the neighbour, works on."""

import random
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import anyio
import anyio.lowlevel
import msgspec
import psutil
import zmq

from protocols import commands as c
from protocols import limits
from protocols.errors import ProtocolError
from protocols.messages import Fault
from runtime.mesh import Mesh, connect
from runtime.refusals import AT_ONCE, EVERY_SECONDS, MALFORMED
from runtime.sockets import Socket, background, open_socket
from scripts.fuzzing.mutations import mutated, requests
from scripts.soaking.hubs import Hubs, hubs
from services.patience import Changes

ATTACKERS = 3
BATCH = 100
"""Requests sent before the client waits for their answers."""
ANSWER_SECONDS = 60.0
"""Time limit for the answers of a batch."""
MEMORY_BYTES = 192 << 20
"""Limit of the hub's growth: twice its cache of the newest messages, and the memory that SQLite and Python keep."""
NEIGHBOUR = "neighbour"


class Verdict(msgspec.Struct, kw_only=True):
    """The result. ``problems`` is empty if the hub kept its guarantees.

    ``unheard`` counts live messages, whose refusal is not answered; ``neighbour`` the messages that the neighbour
    published and read; ``recorded`` the hub's faults; ``grown`` the hub's growth in bytes.
    """

    sent: int = 0
    accepted: int = 0
    refused: Counter[str] = msgspec.field(default_factory=Counter)
    unheard: int = 0
    neighbour: int = 0
    recorded: int = 0
    seconds: float = 0.0
    grown: int = 0
    problems: list[str] = []


async def attack(folder: Path, messages: int, seed: int) -> Verdict:
    """Sends so many requests, divided among the attackers. The same seed sends the same requests."""
    verdict = Verdict()
    async with hubs(folder, session_seconds=30.0) as hub:
        key = hub.key(NEIGHBOUR)
        async with connect(hub.run.endpoint, role="launcher", instance=NEIGHBOUR, key=key, timeout=30) as mesh:
            before = await mesh.status()
            hub_process = psutil.Process(hub.pid)
            memory, begun = hub_process.memory_info().rss, time.monotonic()
            async with background() as beside:
                neighbour = Neighbour(mesh, verdict)
                beside.start_soon(neighbour.live)
                async with anyio.create_task_group() as tasks:
                    for index in range(ATTACKERS):
                        share = messages // ATTACKERS + (index < messages % ATTACKERS)
                        tasks.start_soon(_throw, hub, index, share, random.Random(f"{seed}/{index}"), verdict)
                await _throw_the_largest(hub)
                with anyio.move_on_after(ANSWER_SECONDS) as waiting:
                    await neighbour.more(10)
                if waiting.cancelled_caught:
                    verdict.problems.append("the neighbour came to a halt")
            verdict.seconds = time.monotonic() - begun
            verdict.grown = hub_process.memory_info().rss - memory
            after = await mesh.status()
            verdict.recorded = await _recorded(mesh)
        _judge(verdict, before, after, hub)
    return verdict


async def _throw(hub: Hubs, index: int, count: int, rng: random.Random, verdict: Verdict) -> None:
    """Runs one attacker: it sends batches, and waits for the answers of each before the next."""
    name = f"attacker-{index}"
    key = hub.key(name, "simulator")
    async with open_socket(zmq.DEALER, connect=hub.run.endpoint) as socket:
        thrown = 0
        while thrown < count:
            await socket.send(c.pack(1, c.Hello(role="simulator", instance=name, ticket=key.ticket)))
            batch = min(BATCH, count - thrown)
            sound = requests(name, key.ticket, thrown)
            await _batch(socket, (mutated(rng, sound, 2 + n) for n in range(batch)), verdict)
            thrown += batch


async def _batch(socket: Socket, batch: Iterable[list[bytes]], verdict: Verdict) -> None:
    due = Counter([1])
    for frames in batch:
        verdict.sent += 1
        number, how = _answered(frames)
        if how == "at once":
            due[number] += 1
        elif how == "never":
            verdict.unheard += len(frames) - 3
        await socket.send(frames)
        await anyio.lowlevel.checkpoint()  # lets the neighbour run, which is in this process too
    with anyio.move_on_after(ANSWER_SECONDS):
        while due.total():
            frames = await socket.receive()
            reply = c.parse_response(frames[2])
            if isinstance(reply, c.Work):
                continue
            number = int.from_bytes(frames[1], "big")
            if due[number]:
                due[number] -= 1
            if isinstance(reply, c.Refused):
                verdict.refused[reply.code] += 1
            else:
                verdict.accepted += 1
        return
    verdict.problems.append(f"{due.total()} requests were not answered, of numbers {sorted(+due)[:5]}")


def _answered(frames: list[bytes]) -> tuple[int, str]:
    """Returns the number under which a request is answered, and when: "at once", "later" or "never"."""
    number = int.from_bytes(frames[1], "big") if len(frames) > 1 and len(frames[1]) == 8 else 0
    try:
        _, body, _ = c.split(frames)
        command = c.parse_request(body)
    except ProtocolError:
        return number, "at once"
    match command:
        case c.Emit():
            return number, "never"
        case c.Result():
            return number, "later"
        case c.Fetch() | c.Pull() if command.wait:
            return number, "later"
        case c.Call():
            return number, "later"
        case _:
            return number, "at once"


async def _throw_the_largest(hub: Hubs) -> None:
    """Sends a frame over ZeroMQ's limit, which closes the sender's connection and must affect no other client."""
    async with open_socket(zmq.DEALER, connect=hub.run.endpoint) as socket:
        await socket.send([c.MAGIC, b"\0" * 7 + b"\1", bytes(limits.FRAME_BYTES + 1)])


class Neighbour:
    """A well-behaved client: publishes a message, reads it, consumes it as a group, and counts it. It must not fail."""

    def __init__(self, mesh: Mesh, verdict: Verdict) -> None:
        self._mesh = mesh
        self._verdict = verdict
        self._changes = Changes()

    async def more(self, count: int) -> None:
        """Waits until it has processed `count` more messages."""
        goal = self._verdict.neighbour + count
        await self._changes.until(lambda: self._verdict.neighbour >= goal)

    async def live(self) -> None:
        mesh, verdict = self._mesh, self._verdict
        begin = await mesh.tail() + 1
        async with (
            mesh.subscribe("faults", start=begin) as told,
            mesh.consume("faults", group=NEIGHBOUR, start=begin) as work,
        ):
            while True:
                said = Fault(service=NEIGHBOUR, what=f"{verdict.neighbour}", why="")
                id = f"{NEIGHBOUR}/{verdict.neighbour}"
                offset = await mesh.publish("faults", said, id=id)
                for stream in (told, work):
                    async for delivery in stream:
                        if stream is work:
                            await delivery.ack()
                        if delivery.producer == NEIGHBOUR:
                            if (delivery.offset, delivery.message) != (offset, said):
                                verdict.problems.append(f"the neighbour said {id} and read {delivery.id}")
                            break
                verdict.neighbour += 1
                self._changes.notify()


async def _recorded(mesh: Mesh) -> int:
    """Returns the number of faults that the hub has published."""
    found = 0
    async with mesh.subscribe("faults", start="start") as stream:
        async for delivery in stream.past():
            found += delivery.producer == "hub"
    return found


def _judge(verdict: Verdict, before: c.Report, after: c.Report, hub: Hubs) -> None:
    def counted(name: str) -> int:
        return after.counts.get(name, 0) - before.counts.get(name, 0)

    names = [MALFORMED, c.UNKNOWN_SESSION, *(name for name in after.counts if name.startswith("refused_"))]
    refused, total = verdict.refused.total(), sum(map(counted, names))
    # Refused live messages get no answer, so up to ``unheard`` more may have been counted.
    if not refused <= total <= refused + verdict.unheard:
        verdict.problems.append(f"{refused} refusals were answered, {verdict.unheard} perhaps not, {total} counted")
    bound = AT_ONCE + verdict.seconds / EVERY_SECONDS + 1
    if not min(AT_ONCE, refused) <= verdict.recorded <= bound:
        verdict.problems.append(f"{verdict.recorded} faults were recorded, at most {bound:.0f} may be")
    if verdict.grown > MEMORY_BYTES:
        verdict.problems.append(f"the hub grew by {verdict.grown >> 20} MiB")
    if hub.deaths:
        verdict.problems.append(f"the hub died: {dict(hub.deaths)}")
