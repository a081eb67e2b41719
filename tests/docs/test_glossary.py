"""Each term of the glossary has one sentence and a place in the code, a page or a topic."""

import re

import pytest

from protocols.topics import TOPICS
from tests.docs.fences import ROOT

GLOSSARY = (ROOT / "docs/GLOSSARY.md").read_text(encoding="utf-8")
ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split("|"))
    for line in GLOSSARY.splitlines()
    if line.startswith("| ") and not line.startswith("| term")
]
TERMS = {
    "critic", "actor", "self-asking", "hindsight relabeling", "D_c", "D_a", "round", "verdict", "frozen base model",
    "adapter", "promotion", "held-out split", "staleness",
}  # fmt: skip


def test_the_terms_of_the_method_are_explained_once() -> None:
    terms = [term for term, _, _ in ROWS]
    assert set(terms) >= TERMS
    assert len(set(terms)) == len(terms)


@pytest.mark.parametrize(("term", "meaning", "where"), ROWS, ids=[row[0] for row in ROWS])
def test_a_term_has_one_sentence_and_a_place(term: str, meaning: str, where: str) -> None:
    assert meaning.endswith(".") and not re.search(r"[.?!] [A-Z]", meaning)
    names = re.findall(r"`([^`]+)`", where)
    assert names or "](" in where
    for name in names:
        assert name in TOPICS or (ROOT / name).exists(), f"{term}: {name} is neither a topic nor a path"


@pytest.mark.parametrize("page", ["README.md", "ARCHITECTURE.md"])
def test_the_pages_that_use_the_terms_link_to_the_glossary(page: str) -> None:
    assert "](docs/GLOSSARY.md)" in (ROOT / page).read_text(encoding="utf-8")
