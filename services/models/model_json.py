"""Reads the JSON files of a model folder, and says what is wrong with one that cannot be read."""

import codecs
import json
from pathlib import Path
from typing import Any, cast

from runtime.text import TextError, decode_text

JSON_BYTES = 256 << 20
"""The largest JSON file of a model, in bytes."""

POINTERS = (b"version https://git-lfs", b"# xet version")
"""The beginning of a Git LFS pointer file, which a clone without LFS leaves in place of a large file."""

MARK_BYTES = 64


class Unreadable(Exception):
    """A file that is not what it must be. The text says what it is, without its name."""


def first_bytes(file: Path, count: int = MARK_BYTES) -> bytes:
    """The first bytes of a file.

    Raises:
        Unreadable: there is no such file, or it may not be read, or it is a stand-in for another.
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
    """The JSON object in a file.

    Raises:
        Unreadable: it holds none, or cannot be read.
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
    """The text in a file.

    Raises:
        Unreadable: it is no text in UTF-8, or cannot be read.
    """
    first_bytes(file)
    try:
        return _text(file.read_bytes())
    except OSError as error:
        raise Unreadable(f"cannot be read ({error.strerror})") from None


def object_or_empty(file: Path) -> dict[str, Any]:
    """The JSON object in a file; empty where there is none that can be read."""
    try:
        return read_object(file)
    except Unreadable:
        return {}


def _text(data: bytes) -> str:
    if data.startswith(codecs.BOM_UTF8):  # other programs read the file too, and cannot read past a mark
        raise Unreadable("begins with a byte order mark (BOM): save it as UTF-8 without one")
    try:
        return decode_text(data, "it")
    except TextError as error:
        raise Unreadable(str(error).removeprefix("it ").replace("it, ", "in ", 1)) from None
