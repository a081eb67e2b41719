"""The fenced blocks of the project's Markdown pages, and the commands in them."""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "protocols/README.md", "docs/*.md")

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROMPT = re.compile(r"^\w+\$ ")
"""What a page writes before a command to say on which machine it is typed."""
_PROGRAM = re.compile(r"(selu|scripts/\w+|pip|curl|scp|python\S*|docker|git|mkdocs|ray|sbatch|npm|node) ?")


class Block(msgspec.Struct, frozen=True):
    page: str
    line: int
    language: str
    text: str

    @property
    def id(self) -> str:
        return f"{self.page}:{self.line}"


def blocks() -> Iterator[Block]:
    """Every fenced block, page by page."""
    for pattern in PAGES:
        for file in sorted(ROOT.glob(pattern)):
            text = file.read_text(encoding="utf-8")
            for found in _FENCE.finditer(text):
                line = text.count("\n", 0, found.start()) + 1
                yield Block(str(file.relative_to(ROOT)), line, found[1], found[2])


def commands(block: Block) -> list[str]:
    """The commands of a shell block, without prompts and comments; empty where it holds none.

    A block without a language is a shell block if each of its lines is a command, a continuation or empty.
    """
    if block.language not in ("", "bash", "sh", "console"):
        return []
    text = block.text.replace("\\\n", " ")
    lines = [_PROMPT.sub("", line).strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("#")]
    if not all(_PROGRAM.match(line) for line in lines) or _is_usage(text):
        return []
    return [part.strip() for line in lines for part in _without_comment(line).split("&&")]


def usage(block: Block) -> list[str]:
    """The lines of a block that shows the forms of commands, e.g. ``selu up [--model DIR]``; else empty."""
    if block.language or not _is_usage(block.text):
        return []
    return re.sub(r"\n\s+", " ", block.text).splitlines()


def _is_usage(text: str) -> bool:
    return text.startswith("selu ") and bool(re.search(r"\[--|\|", text))


def _without_comment(line: str) -> str:
    return re.split(r"\s+#\s", line)[0]
