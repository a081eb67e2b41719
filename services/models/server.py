"""Checks the URL and the key of a model server, because a robot's pictures and the key are sent there."""

import os
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from runtime.endpoints import EndpointError, check_url, is_loopback
from services.models.engine import ModelUnusable
from services.settings import Model

KEY_VARIABLE = "SELU_MODEL_KEY"
"""The environment variable with the server's key; not a setting, because settings are written to files."""

ROUTE = re.compile(r"/v1(/(models|(chat/)?completions|responses|embeddings))?/?$")
"""The part of a copied server address to strip: the API version alone, or with one of its routes (group 1)."""


def server_key(environ: Mapping[str, str] = os.environ) -> str:
    """Returns the key without surrounding whitespace and a leading "Bearer"; empty if it is not set.

    Raises:
        ModelUnusable: the key cannot be sent in an HTTP header.
    """
    key = environ.get(KEY_VARIABLE, "").strip().removeprefix("Bearer ").strip()
    if not (key.isascii() and key.isprintable()):
        raise ModelUnusable(f"{KEY_VARIABLE} is not a valid key: it has several lines or is not ASCII; correct it")
    return key


def check_server(settings: Model, environ: Mapping[str, str] = os.environ) -> str:
    """Returns the server's URL if it may be used.

    Raises:
        ModelUnusable: the URL is invalid, or pictures and answers would cross a network unprotected.
    """
    url = settings.url
    if not url:
        raise ModelUnusable("model.engine is openai, but model.url is empty; set it to e.g. http://127.0.0.1:8000")
    try:
        check_url(url)
        if (route := ROUTE.search(urlsplit(url).path)) and route[1]:
            raise EndpointError(f"{url!r} has {route[0]!r}, one of the server's routes: give what is before it")
    except EndpointError as error:
        raise ModelUnusable(f"model.url {error}; a key goes into {KEY_VARIABLE}") from None
    parts = urlsplit(url)
    if is_loopback(parts.hostname or "") or settings.trust_network:
        return url
    missing = [] if parts.scheme == "https" else ["https"]
    missing += [] if server_key(environ) else [f"a key in {KEY_VARIABLE}"]
    if missing:
        raise ModelUnusable(
            f"model.url {url} is on another machine and lacks {' and '.join(missing)}: bind the server to loopback and "
            "reach it through ssh -L, or set model.trust_network=true where the network between is yours alone"
        )
    return url
