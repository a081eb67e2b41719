"""The ZAP handler (https://rfc.zeromq.org/spec/27): admits connections whose keys are on a hub's allow-lists.

The sockets require it: without its answer no client connects. Each received message has the connection's public key as
its ``User-Id``.
"""

from collections import Counter
from collections.abc import Sequence

from zmq.utils import z85

from runtime.access import Access
from runtime.keys import curve_proof
from runtime.sockets import DOMAIN, Socket

ENDPOINT = "inproc://zeromq.zap.01"
"""The endpoint at which ZeroMQ expects the handler within a context."""


async def admit_keys(socket: Socket, access: Access, counts: Counter[str]) -> None:
    """Answers ZeroMQ's authentication requests until cancelled."""
    while True:
        answer = judge(await socket.receive(), access)
        counts["keys_admitted" if answer[2] == b"200" else "keys_refused"] += 1
        await socket.send(answer)


def judge(frames: Sequence[bytes], access: Access) -> list[bytes]:
    """Returns the reply to one request: version, request id, status, text, user id, metadata."""
    number = frames[1] if len(frames) > 1 else b""
    match frames:
        case [b"1.0", _, domain, _, _, b"CURVE", key] if domain == DOMAIN.encode() and len(key) == 32:
            public = z85.encode(key).decode()
            if access.lets_in(curve_proof(public)):
                return [b"1.0", number, b"200", b"", public.encode(), b""]
            return [b"1.0", number, b"400", b"this key is not let in", b"", b""]
        case _:
            return [b"1.0", number, b"500", b"only CURVE is understood", b"", b""]
