"""Paths on command lines: the home folder, nothing at all, and names that cannot be written down."""

import argparse
import os
from pathlib import Path

import pytest

from scripts.arguments import path_type


def test_the_home_folder_is_meant_also_where_the_shell_leaves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/anna")
    assert path_type("~/x") == Path("/home/anna/x") and path_type("runs/~x") == Path("runs/~x")
    assert path_type("~nobody-of-this-name/x") == Path("~nobody-of-this-name/x")


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_path_is_not_the_current_folder(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is a variable not set"):
        path_type(text)


def test_a_name_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not valid UTF-8"):
        path_type(os.fsdecode(b"caf\xe9"))
    with pytest.raises(argparse.ArgumentTypeError, match=r"set LC_ALL=C\.UTF-8"):
        path_type("caf\udcc3\udca9")  # what a locale of ASCII makes of UTF-8
