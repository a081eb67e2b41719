"""docs/RELIABILITY.md promises nothing that no test proves.

``python -m tests.test_reliability`` prints the tests of its table, for pytest to run.
"""

import re
import sys
from pathlib import Path

import pytest

from runtime import crash

ROOT = Path(__file__).parents[1]
SECTION = (ROOT / "docs" / "RELIABILITY.md").read_text().partition("## The table")[2].partition("\n## ")[0]
TABLE = [line for line in SECTION.splitlines() if line.startswith("| ")][1:]
NAMES = sorted({name for line in TABLE for name in re.findall(r"`([\w/]+\.py::\w+)`", line)})


def test_every_fault_has_its_promise_and_its_proof() -> None:
    assert len(TABLE) >= 30
    for line in TABLE:
        fault, promise, proof = (cell.strip() for cell in line.strip("| ").split(" | "))
        assert fault and promise and re.search(r"\.py::test_", proof), line


@pytest.mark.parametrize("name", NAMES)
def test_every_test_that_is_named_exists(name: str) -> None:
    file, _, test = name.partition("::")
    assert re.search(rf"^(async )?def {test}\(", (ROOT / "tests" / file).read_text(), re.MULTILINE), name


def test_every_point_that_is_listed_is_in_the_code() -> None:
    code = "\n".join(
        file.read_text() for folder in ("runtime", "services") for file in sorted((ROOT / folder).rglob("*.py"))
    )
    for point in crash.POINTS:
        what, *rest = point.split(".")
        called = f'crash.at("{point}")' if len(rest) == 1 else rf'crash.at("{what}", '
        assert called in code, point


if __name__ == "__main__":
    sys.stdout.write(" ".join(f"tests/{name}" for name in NAMES) + "\n")
