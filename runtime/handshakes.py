"""Reports why a connection failed, from the handshake events of ZeroMQ's socket monitor."""

import zmq
from anyio.abc import TaskStatus
from zmq.utils.monitor import parse_monitor_message

from protocols.errors import NotAdmitted
from runtime.link import Link
from runtime.sockets import Socket, background

_AUTH, _PROTOCOL, _BROKEN = (
    int(zmq.EVENT_HANDSHAKE_FAILED_AUTH),
    int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL),
    int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL),
)

KEYED = "is the key one for this hub, and does that hub take keys?"
UNKEYED = "is it a hub, and does it ask for a key?"


async def watch_handshakes(socket: Socket, link: Link, keyed: bool, *, task_status: TaskStatus[None]) -> None:
    """Sets the link's ``trouble`` after failed handshakes, until cancelled. A refused or missing key ends the link."""
    raw = socket.raw.get_monitor_socket(_AUTH | _PROTOCOL | _BROKEN)
    try:
        monitor = Socket(raw)
        async with background() as tasks:
            tasks.start_soon(monitor.pump)
            task_status.started()
            while True:
                event = parse_monitor_message(await monitor.receive())["event"]
                if event == _AUTH:
                    link.refuse(NotAdmitted(f"{link.endpoint} does not let this key in: it is not known, or revoked"))
                elif event == _PROTOCOL and not keyed:
                    link.refuse(NotAdmitted(f"{link.endpoint} asks for a key: give one made with `selu keys make`"))
                else:  # perhaps the network: not final, and the reason is a guess
                    link.trouble = f"the handshake was ended there: {KEYED if keyed else UNKEYED}"
    finally:
        socket.raw.disable_monitor()
        raw.close(linger=0)
