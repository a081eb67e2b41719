"""Reads the JSON files of a model folder and describes the fault if one cannot be read."""

import codecs
import json
from pathlib import Path
from typing import Any, cast

from runtime.text import TextError, decode_text

JSON_BYTES = 256 << 20
"""The largest accepted JSON file, in bytes."""

POINTERS = (b"version https://git-lfs", b"# xet version")
"""First bytes of a Git LFS or Xet pointer file, which a clone without LFS leaves in place of a large file."""

MARK_BYTES = 64


class Unreadable(Exception):
    """A file cannot be read as expected. The text describes the fault without the file's name."""


def first_bytes(file: Path, count: int = MARK_BYTES) -> bytes:
    """Returns the first bytes of a file.

    Raises:
        Unreadable: the file is missing, empty, not readable, or a pointer or web page in its place.
    """
    try:
        with file.open("rb") as data:
            begin = data.read(max(count, MARK_BYTES))
    except FileNotFoundError:
        why = f"is a link to {file.readlink()}, which does not exist" if file.is_symlink() else "is not there"
        raise Unreadable(why) from None
    except OSError as error:
        raise Unreadable(f"cannot be read ({error.strerror})") from None
    if begin.startswith(POINTERS):
        raise Unreadable("is a Git LFS pointer of a few bytes, not the file itself (`git lfs pull` fetches it)")
    if begin.lstrip().lower().startswith((b"<!doctype", b"<html")):
        raise Unreadable("is a web page, not the file itself")
    if not begin:
        raise Unreadable("is empty")
    return begin[:count]


def read_object(file: Path) -> dict[str, Any]:
    """Returns the JSON object in a file.

    Raises:
        Unreadable: the file holds no JSON object, or cannot be read.
    """
    first_bytes(file)
    try:
        if (size := file.stat().st_size) > JSON_BYTES:
            raise Unreadable(f"has {size >> 20} MiB, which is more than a JSON file of a model has")
        found = json.loads(_text(file.read_bytes()))
    except OSError as error:
        raise Unreadable(f"cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"is not JSON ({error})") from None
    if not isinstance(found, dict):
        raise Unreadable(f"is JSON but not an object: it holds a {type(cast(object, found)).__name__}")
    return cast("dict[str, Any]", found)


def read_text(file: Path) -> str:
    """Returns the text in a file.

    Raises:
        Unreadable: the file is not UTF-8 text, or cannot be read.
    """
    first_bytes(file)
    try:
        return _text(file.read_bytes())
    except OSError as error:
        raise Unreadable(f"cannot be read ({error.strerror})") from None


def object_or_empty(file: Path) -> dict[str, Any]:
    """Returns the JSON object in a file; empty if it cannot be read."""
    try:
        return read_object(file)
    except Unreadable:
        return {}


def _text(data: bytes) -> str:
    if data.startswith(codecs.BOM_UTF8):  # refused, because other programs that read this file fail on it
        raise Unreadable("begins with a byte order mark (BOM): save it as UTF-8 without one")
    try:
        return decode_text(data, "it")
    except TextError as error:
        raise Unreadable(str(error).removeprefix("it ").replace("it, ", "in ", 1)) from None
