"""Text files that a person wrote, from any editor: UTF-8 with or without a byte order mark, any line ends.

Every error is a `TextError` that names the file, the line where there is one, and what to do.
"""

import codecs
import re
import tomllib
from pathlib import Path
from typing import Any

_OTHER_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
"""The longer marks first: UTF-32's begins with UTF-16's."""

_PLACE = re.compile(r"\s*\(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$")

_SHOWN = 120
"""The most characters of a line that are shown."""


class TextError(ValueError):
    """A file that is not the text it should be. The message names the file, the place and what to do."""


def read_text(file: Path) -> str:
    """The text of a file: without a byte order mark, every line end a newline.

    Raises:
        TextError: it is not text in UTF-8.
        OSError: it cannot be read.
    """
    return decode_text(file.read_bytes(), str(file))


def decode_text(data: bytes, name: str) -> str:
    """The text in the bytes of the file with this name. Raises `TextError` where they are not text in UTF-8."""
    found = next((encoding for mark, encoding in _OTHER_MARKS if data.startswith(mark)), None)
    if found is None and len(data) >= 4 and data[:2].count(0) == data[2:4].count(0) == 1:
        found = "UTF-16"  # without a mark: of each ASCII character one byte is zero
    if found is not None:
        raise TextError(f"{name} is in {found}: save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise TextError(
            f"{name}, line {line}: byte 0x{error.object[error.start]:02x} is not UTF-8 (the file may be in Latin-1 or "
            "Windows-1252): save it as UTF-8"
        ) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise TextError(f"{name}, line {line} has a zero byte: it is not a text file")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def is_utf8(text: str) -> bool:
    """Whether a text can be written in UTF-8. One that Python made of a name or an argument in other bytes cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_toml(file: Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises as `read_text` does, and `TextError` where the text is not TOML."""
    return parse_toml(read_text(file), str(file))


def parse_toml(text: str, name: str, *, secret: bool = False) -> dict[str, Any]:
    """The tables of a TOML text from the file with this name. Raises `TextError`, which shows nothing of a `secret`."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TextError(_toml_error("" if secret else text, name, str(error))) from None
    except RecursionError:
        raise TextError(f"{name}: not TOML that can be read: it is nested too deeply") from None
    except ValueError:  # what Python says of whole numbers with thousands of digits
        raise TextError(f"{name}: not TOML that can be read: it has a number with too many digits") from None


def _toml_error(text: str, name: str, said: str) -> str:
    place = _PLACE.search(said)
    what = said[: place.start()] if place else said
    if place is None:
        return f"{name}: not TOML: {what}"
    lines = text.splitlines()
    number = int(place["line"]) if place["line"] else len(lines)
    line = lines[number - 1].strip() if 0 < number <= len(lines) else ""
    shown = f": {line[:_SHOWN]}" if line else ""
    where = f"line {number}" + (f", column {place['column']}" if place["column"] else "")
    return f"{name}, {where}: not TOML: {what}{_hint(line, what)}{shown}"


def _hint(line: str, what: str) -> str:
    """What is usually wrong with such a line."""
    if "escape" in what.lower() or "hex value" in what.lower():
        return " (in double quotes a backslash begins an escape: write such text in single quotes)"
    if "Invalid value" in what and "=" in line:
        return " (text needs quotes)"
    return ""
