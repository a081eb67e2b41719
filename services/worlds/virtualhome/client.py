"""The released client with a deadline on every call and checked replies. Every failure is a WorldError."""

import time
from typing import Any

import msgspec

from services.worlds.virtualhome import shims
from services.worlds.virtualhome.graph import Graph, GraphError
from services.worlds.world import Frame, WorldError

REPLY_BYTES = 256 << 20
"""The largest reply in bytes; a graph has about a megabyte."""
_CHUNK = 1 << 18


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """The player's reply: ``success``, and fields that depend on the action."""

    success: bool
    message: str | None = None
    value: int | None = 0
    message_list: list[str] | None = None


class _Refused(msgspec.Struct, frozen=True, kw_only=True):
    message: str | None = None


def connect(host: str, port: int) -> Any:
    """Returns a client of the player at this address, without connecting yet. See `make_client` for its additions."""
    return make_client()(url=host, port=str(port))


def make_client() -> type[Any]:
    """Returns a subclass of `UnityCommunication` with ``seconds``, the total time limit of each later call."""
    package = shims.client()

    class Client(package.UnityCommunication):
        seconds = 30.0

        def post_command(self, request_dict: dict[str, Any], repeat: bool = False) -> dict[str, Any]:
            """Like the released client's, but with a time limit and a checked reply."""
            action = request_dict.get("action", "?")
            return msgspec.structs.asdict(_post(self._address, request_dict, f"player's {action}", self.seconds))

    return Client


def _post(address: str, request: dict[str, Any], what: str, seconds: float) -> Reply:
    import requests  # only unity mode needs it
    import urllib3

    until = time.monotonic() + seconds
    try:
        with requests.Session() as session:
            session.trust_env = False  # ignore proxies: players are on this machine or network
            response = session.post(address, json=request, timeout=seconds, stream=True)
            body, raw = bytearray(), response.raw
            while chunk := raw.read1(_CHUNK, decode_content=True):
                body += chunk
                if time.monotonic() > until:
                    raise requests.Timeout
                if len(body) > REPLY_BYTES:
                    raise WorldError(f"the {what} answered more than {REPLY_BYTES >> 20} MiB")
            status = response.status_code
    except (requests.Timeout, urllib3.exceptions.TimeoutError):
        raise WorldError(f"the {what} gave no answer within {seconds:g} s") from None
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise WorldError(f"the {what} was cut off: {_innermost(error)}") from error
    try:
        if status != requests.codes.ok:
            said = msgspec.json.decode(body, type=_Refused).message or ""
            raise WorldError(f"the {what} failed with HTTP status {status}: {said[:300]}")
        return msgspec.json.decode(body, type=Reply)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WorldError(f"the {what} answered nonsense (HTTP status {status}): {str(error)[:200]}") from error


def _innermost(error: BaseException) -> str:
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return f"{type(error).__name__}: {error}"[:200]


def read_graph(client: Any) -> Graph:
    """Returns the current scene graph. Raises WorldError if the reply is not a valid one."""
    reply = client.post_command({"id": str(time.time()), "action": "environment_graph"})
    if not reply["success"] or reply["message"] is None:
        raise WorldError(f"the player gave no scene graph: {reply['message']}")
    try:
        return Graph.decode(reply["message"])
    except GraphError as error:
        raise WorldError(f"the player's scene graph: {error}") from error


def take_picture(client: Any, camera: int, size: int) -> Frame:
    """Returns a camera's picture: size x size x 3, RGB. Raises WorldError if the reply is not a valid one."""
    try:
        success, images = client.camera_image([camera], image_width=size, image_height=size)
    except WorldError:
        raise
    except Exception as error:  # the client raises various errors for a missing list, base64 or image
        raise WorldError(f"the picture of camera {camera} cannot be read: {type(error).__name__}: {error}") from error
    if not success or len(images) != 1 or images[0] is None:
        raise WorldError(f"the player gave no picture of camera {camera}")
    image = images[0]
    if image.shape != (size, size, 3) or image.dtype.name != "uint8":
        raise WorldError(f"the picture of camera {camera} is {image.dtype} {image.shape}, not {size} x {size} x 3")
    return image[:, :, ::-1].copy()
