"""Publishers, a consumer group and a subscriber against a hub that is killed, through a faulty network.

The hub is a real process that is killed by SIGKILL; the network is a proxy between real sockets. At the end, the
acknowledgements and messages that the clients received are compared with the log.
"""

import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import anyio
import anyio.abc
import zmq

from protocols.commands import MAGIC
from protocols.messages import Fault
from runtime.mesh import Mesh, connect
from runtime.sockets import Socket, background, open_socket
from runtime.witness import Acknowledged
from scripts.soaking.checker import Findings, examine, records
from scripts.soaking.disk import fill, free
from scripts.soaking.hubs import Hubs, hubs
from scripts.soaking.proxy import Proxy, proxied
from services.patience import Changes

TOPIC, GROUP = "faults", "storm"
PUBLISHERS, MEMBERS = 6, 3
AGAIN = 0.05
"""The share of messages that are published a second time."""
PAUSES = (0.02, 0.25)
"""Shortest and longest time in seconds between two faults."""
DRAIN_SECONDS = 60.0
"""Time limit for the delivery of all messages after the last fault."""
JOIN_SECONDS = 60.0
"""Time limit for a client to connect during the faults."""
POINTS = ("commit.before", "commit.half", "commit.after", "commit.told", "lease.after")
GARBAGE = (b"", b"GET / HTTP/1.1", b"\x91" * 5000, b"\x00", b"\x82\xa2op\xa7publish", b"\xdf\xff\xff\xff\xff")


class Storm:
    """Clients and faults. ``injected`` counts faults by kind; ``wrong`` lists violations that a client observed."""

    def __init__(self, hub: Hubs, proxy: Proxy, chance: random.Random) -> None:
        self.injected: Counter[str] = Counter()
        self.acknowledged: list[Acknowledged] = []
        self.wrong: list[str] = []
        self.ended = anyio.Event()
        self._hub = hub
        self._proxy = proxy
        self._chance = chance
        self._done: dict[int, int] = {}
        self._handled: set[str] = set()
        self._tail = 0
        self._seen: list[tuple[int, str]] = []
        self._seeing = Changes()
        self._members = [anyio.CancelScope() for _ in range(MEMBERS)]

    # -- clients

    def _join(self, name: str) -> AbstractAsyncContextManager[Mesh]:
        """Connects a client with this name through the proxy."""
        key = self._hub.key(name)
        return connect(self._proxy.endpoint, role=key.role, instance=name, key=key, timeout=JOIN_SECONDS)

    async def publish(self, name: str) -> None:
        """Publishes one message after another until the storm ends, some of them twice."""
        async with self._join(name) as mesh:
            number = 0
            while not self.ended.is_set():
                number += 1
                await self._publish(mesh, name, number)
                if self._chance.random() < AGAIN:
                    self.injected["published again"] += 1
                    await self._publish(mesh, name, self._chance.randint(1, number))

    async def _publish(self, mesh: Mesh, name: str, number: int) -> None:
        id = f"{name}-{number}"
        message = Fault(service=name, what=str(number), why="y" * self._chance.randint(0, 2000))
        self.acknowledged.append(Acknowledged(TOPIC, await mesh.publish(TOPIC, message, id=id), id))

    async def consume(self, index: int) -> None:
        """Consumes as a member of the group that is cancelled at times during its work and reconnects."""
        while True:
            with anyio.CancelScope() as self._members[index]:
                async with (
                    self._join(f"member-{index}") as mesh,
                    mesh.consume(TOPIC, group=GROUP, max_in_flight=1) as stream,
                ):
                    while True:
                        asked = len(self._done)
                        delivery = await anext(stream)
                        if self._done.get(delivery.offset, asked) < asked:
                            self.wrong.append(f"{delivery.id} was handed out again after it was done")
                        self._handled.add(delivery.id)
                        await delivery.ack()
                        self._done.setdefault(delivery.offset, len(self._done))

    async def subscribe(self) -> None:
        """Reads all messages from the start of the log."""
        async with (
            self._join("reader") as mesh,
            mesh.subscribe(TOPIC, start="start") as stream,
        ):
            async for delivery in stream:
                self._seen.append((delivery.offset, delivery.id))
                self._seeing.notify()

    # -- faults

    async def rage(self, *, faults: int | None = None, messages: int = 0) -> None:
        """Injects random faults until there were `faults` faults and `messages` acknowledged messages, or until
        cancelled. `faults=None` means no end."""
        kinds: dict[str, tuple[int, Callable[[], Awaitable[None]]]] = {
            "hub killed": (3, self._kill),
            "hub stopped": (1, self._stop),
            "connections cut": (6, self._cut),
            "frames torn": (4, self._tear),
            "half-open": (1, self._forget),
            "partition": (2, self._hold),
            "slow network": (1, self._slow),
            "disk full": (1, self._fill),
            "malformed requests": (3, self._garble),
            "member left": (6, self._leave),
        }
        names, weights = [*kinds], [weight for weight, _ in kinds.values()]
        while faults is None or self.count < faults or len(self.acknowledged) < messages:
            await anyio.sleep(self._chance.uniform(*PAUSES))
            (name,) = self._chance.choices(names, weights)
            await kinds[name][1]()
            if name != "hub killed":  # counted in `Hubs.deaths`
                self.injected[name] += 1

    @property
    def count(self) -> int:
        """The number of faults so far, including the hub's deaths."""
        return self.injected.total() + self._hub.deaths.total()

    async def _kill(self) -> None:
        self._hub.kill()

    async def _stop(self) -> None:
        self._hub.kill(signal.SIGSTOP)
        await anyio.sleep(self._chance.uniform(0.05, 0.4))
        self._hub.kill(signal.SIGCONT)

    async def _cut(self) -> None:
        self._proxy.cut()

    async def _tear(self) -> None:
        self._proxy.halve()

    async def _forget(self) -> None:
        self._proxy.forget()

    async def _hold(self) -> None:
        self._proxy.hold()
        await anyio.sleep(self._chance.uniform(0.05, 1.5))  # sometimes longer than the session timeout
        self._proxy.go_on()

    async def _slow(self) -> None:
        self._proxy.delay, self._proxy.bytes_per_second = 0.01, 200_000
        await anyio.sleep(0.3)
        self._proxy.delay, self._proxy.bytes_per_second = 0.0, 0

    async def _fill(self) -> None:
        pid = self._hub.pid
        fill([pid] if pid else [])
        await anyio.sleep(self._chance.uniform(0.05, 0.8))
        free([pid] if pid else [])

    async def _garble(self) -> None:
        async with open_socket(zmq.DEALER, connect=self._proxy.endpoint) as raw:
            await _throw(raw, self._chance)

    async def _leave(self) -> None:
        self._chance.choice(self._members).cancel()

    # -- the end

    async def drain(self) -> None:
        """Waits until the subscriber and the group have reached the current end of the log. Needs a healthy network.

        All published messages are before that end. The hub may still append faults about refused requests.
        """
        async with self._join("drain") as mesh:
            tail = self._tail = await mesh.tail()
            async with mesh.consume(TOPIC, group=GROUP, until=tail, max_in_flight=1) as stream:
                async for delivery in stream:
                    self._handled.add(delivery.id)
                    await delivery.ack()
        await self._seeing.until(lambda: not tail or (self._seen and self._seen[-1][0] >= tail))

    def check(self) -> Findings:
        """Compares the log with the clients' observations."""
        found = examine(self._hub.run, self.acknowledged)
        logged = [(record.offset, record.id) for record in records(self._hub.run) if record.offset <= self._tail]
        seen = [(offset, id) for offset, id in self._seen if offset <= self._tail]
        if seen != logged:
            found.lost.append(f"the subscriber saw {len(seen)} messages that are not the log's {len(logged)}")
        if unhandled := {id for _, id in logged} - self._handled:
            found.missing += [f"{id} was never handed to the group" for id in sorted(unhandled)]
        found.doubled += self.wrong
        last: dict[str, int] = {}
        for _, id in logged:
            name, _, number = id.rpartition("-")
            if not name.startswith("publisher"):  # the hub publishes too, about refused requests
                continue
            if int(number) != last.get(name, 0) + 1:
                found.lost.append(f"{id} comes after {name}-{last.get(name, 0)}: the producer's order is lost")
            last[name] = int(number)
        return found


async def _throw(raw: Socket, chance: random.Random) -> None:
    """Sends malformed requests, about half of them with correct framing."""
    for junk in GARBAGE:
        await raw.send([junk] if chance.random() < 0.5 else [MAGIC, (1).to_bytes(8, "big"), junk])


async def storm(
    folder: Path, *, seed: int, seconds: float | None = None, faults: int | None = None, messages: int = 0
) -> tuple[Findings, Counter[str]]:
    """Runs a storm in a new run folder, for `seconds`, or until at least so many faults and acknowledged messages.

    Returns the findings, and the faults by kind. Raises `TimeoutError` if the clients do not reach the log's end.
    """
    chance = random.Random(seed)

    def plan() -> str:
        if ended.is_set() or chance.random() < 0.5:
            return ""
        return f"{chance.choice(POINTS)}:{chance.randint(1, 60)}"

    ended = anyio.Event()
    async with hubs(folder, plan) as hub, proxied(hub.run.endpoint) as proxy, background() as clients:
        raging = Storm(hub, proxy, chance)
        ended = raging.ended
        async with anyio.create_task_group() as publishers:
            for number in range(PUBLISHERS):
                publishers.start_soon(raging.publish, f"publisher{number}")
            for index in range(MEMBERS):
                clients.start_soon(raging.consume, index)
            clients.start_soon(raging.subscribe)
            with anyio.move_on_after(seconds):
                await raging.rage(faults=faults, messages=messages)
            raging.ended.set()
            proxy.heal()
            hub.kill(signal.SIGCONT)
            hub.kill()  # the next process has no failpoint
        with anyio.fail_after(DRAIN_SECONDS):
            await raging.drain()
        clients.cancel_scope.cancel()
    return raging.check(), raging.injected + hub.deaths
