"""The released client with a deadline on every call, replies that are checked, and every failure a WorldError."""

import time
from typing import Any

import msgspec

from services.worlds.virtualhome import shims
from services.worlds.virtualhome.graph import Graph, GraphError
from services.worlds.world import Frame, WorldError

REPLY_BYTES = 256 << 20
"""The largest reply that is read: a graph is about a megabyte."""
_CHUNK = 1 << 18


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What the player answers: ``success``, and what belongs to the action."""

    success: bool
    message: str | None = None
    value: int | None = 0
    message_list: list[str] | None = None


class _Refused(msgspec.Struct, frozen=True, kw_only=True):
    message: str | None = None


def connect(host: str, port: int) -> Any:
    """A client of the player there; connects to nothing yet. See `make_client` for what it adds to the released one."""
    return make_client()(url=host, port=str(port))


def make_client() -> type[Any]:
    """`UnityCommunication` with ``seconds``, how long the calls that follow may take, each in all."""
    package = shims.client()

    class Client(package.UnityCommunication):
        seconds = 30.0

        def post_command(self, request_dict: dict[str, Any], repeat: bool = False) -> dict[str, Any]:
            """As the released client's, but over when its time is, and only with a reply that is one."""
            action = request_dict.get("action", "?")
            return msgspec.structs.asdict(_post(self._address, request_dict, f"player's {action}", self.seconds))

    return Client


def _post(address: str, request: dict[str, Any], what: str, seconds: float) -> Reply:
    import requests  # which only unity mode needs
    import urllib3

    until = time.monotonic() + seconds
    try:
        with requests.Session() as session:
            session.trust_env = False  # a proxy of the environment is not for players
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
    """The scene graph now. Raises WorldError for anything else than one."""
    reply = client.post_command({"id": str(time.time()), "action": "environment_graph"})
    if not reply["success"] or reply["message"] is None:
        raise WorldError(f"the player gave no scene graph: {reply['message']}")
    try:
        return Graph.decode(reply["message"])
    except GraphError as error:
        raise WorldError(f"the player's scene graph: {error}") from error


def take_picture(client: Any, camera: int, size: int) -> Frame:
    """What a camera sees: size x size x 3, RGB. Raises WorldError for anything else."""
    try:
        success, images = client.camera_image([camera], image_width=size, image_height=size)
    except WorldError:
        raise
    except Exception as error:  # what the client makes of a null list, of no base64 and of no image
        raise WorldError(f"the picture of camera {camera} cannot be read: {type(error).__name__}: {error}") from error
    if not success or len(images) != 1 or images[0] is None:
        raise WorldError(f"the player gave no picture of camera {camera}")
    image = images[0]
    if image.shape != (size, size, 3) or image.dtype.name != "uint8":
        raise WorldError(f"the picture of camera {camera} is {image.dtype} {image.shape}, not {size} x {size} x 3")
    return image[:, :, ::-1].copy()
