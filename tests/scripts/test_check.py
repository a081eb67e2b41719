"""`scripts/check` starts the tools of each mode and reports their failures.

The tools are stand-ins that note their calls.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 30

LINT = ["ruff check .", "ruff format --check .", "lint-imports"]
TYPES = "basedpyright --pythonpath {venv}/bin/python"

STAND_IN = """#!/usr/bin/env bash
name=${0##*/}
echo "$name $*" | sed 's/ $//' >> "$CALLS"
[ "$name" != "${FAILING:-}" ]
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the script itself and stand-ins for what it starts."""
    bins = [tmp_path / venv / "bin" for venv in (".venv", ".venv-python3.12")]
    for folder in (tmp_path / "scripts", *bins):
        folder.mkdir(parents=True)
    shutil.copy2(ROOT / "scripts/check", tmp_path / "scripts/check")
    tools = [folder / name for folder in bins for name in ("ruff", "lint-imports", "basedpyright", "python")]
    for tool in (tmp_path / "scripts/setup", tmp_path / "scripts/soak", *tools):
        tool.write_text(STAND_IN, encoding="utf-8")
        tool.chmod(0o755)
    return tmp_path


def check(checkout: Path, *arguments: str, failing: str = "") -> tuple[int, list[str], str]:
    """The exit code of the script, the commands that it started, and its standard error."""
    calls = checkout / "calls"
    done = subprocess.run(
        [str(checkout / "scripts/check"), *arguments],
        env={**os.environ, "CALLS": str(calls), "FAILING": failing, "SELU_VENV": "", "SELU_TEST_WORKERS": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=SECONDS,
        check=False,
    )
    return done.returncode, calls.read_text(encoding="utf-8").splitlines() if calls.exists() else [], done.stderr


def kinds(calls: list[str]) -> set[str]:
    return {call.split()[0] for call in calls}


def test_lint_sets_up_and_runs_lint_format_imports_and_types_only(checkout: Path) -> None:
    code, calls, _ = check(checkout, "lint")
    assert (code, calls) == (0, ["setup", *LINT, TYPES.format(venv=".venv")])


@pytest.mark.parametrize("failing", ["setup", "ruff", "lint-imports", "basedpyright"])
def test_lint_fails_with_each_of_its_tools(checkout: Path, failing: str) -> None:
    code, calls, _ = check(checkout, "lint", failing=failing)
    assert code != 0 and calls[-1].split()[0] == failing


def test_quick_adds_the_quick_tests_and_no_faults(checkout: Path) -> None:
    code, calls, _ = check(checkout, "quick")
    assert code == 0 and kinds(calls) == {"setup", "ruff", "lint-imports", "basedpyright", "python"}
    (tests,) = (call for call in calls if call.startswith("python"))
    assert tests.endswith("-m not vllm and not slow")


def test_the_whole_check_adds_all_tests_and_faults(checkout: Path) -> None:
    code, calls, _ = check(checkout)
    assert code == 0 and kinds(calls) == {"setup", "ruff", "lint-imports", "basedpyright", "python", "soak"}
    (tests,) = (call for call in calls if call.startswith("python"))
    assert "not slow" not in tests


@pytest.mark.parametrize("failing", ["python", "basedpyright", "soak"])
def test_the_whole_check_fails_with_tests_types_or_faults(checkout: Path, failing: str) -> None:
    code, calls, errors = check(checkout, failing=failing)
    assert code == 1 and failing in kinds(calls) and "check: failed" in errors


def test_another_python_has_an_environment_of_its_own(checkout: Path) -> None:
    code, calls, _ = check(checkout, "lint", "--python", "python3.12")
    assert code == 0 and calls[-1] == TYPES.format(venv=".venv-python3.12")


def test_an_unknown_mode_is_refused_with_the_known_ones(checkout: Path) -> None:
    code, calls, errors = check(checkout, "tests")
    assert (code, calls) == (2, [])
    assert errors == "check: 'tests' is not known: scripts/check [quick|lint] [--python NAME]\n"
