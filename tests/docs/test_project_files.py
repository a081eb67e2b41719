"""What the files for contributors, forges and citations say agrees with pyproject.toml and with scripts/check."""

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.fences import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOW = ".github/workflows/check.yml"
FORMS = (".github/ISSUE_TEMPLATE/bug.yml", ".github/ISSUE_TEMPLATE/feature.yml")
CHECK_SCRIPT = (ROOT / "scripts/check").read_text(encoding="utf-8")


def load(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def pythons() -> list[str]:
    """The Python versions of the classifiers in pyproject.toml, as in ``3.11``."""
    found = [re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", line) for line in PROJECT["classifiers"]]
    return [match[1] for match in found if match]


def hooks() -> list[dict[str, Any]]:
    return [hook for repo in load(".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]


def test_the_workflow_runs_the_whole_check_with_each_python_of_the_classifiers() -> None:
    job = load(WORKFLOW)["jobs"]["check"]
    assert job["strategy"]["matrix"]["python"] == pythons()
    assert [step["run"] for step in job["steps"] if "run" in step] == [
        "scripts/check --python python${{ matrix.python }}"
    ]


def test_the_workflow_has_a_time_limit_and_caches_what_pip_fetches() -> None:
    job = load(WORKFLOW)["jobs"]["check"]
    assert 0 < job["timeout-minutes"] <= 60
    (setup,) = (step["with"] for step in job["steps"] if step.get("uses", "").startswith("actions/setup-python@"))
    assert setup["cache"] == "pip"
    files = setup["cache-dependency-path"].split()
    assert "scripts/lock/cpu.txt" in files and all((ROOT / file).is_file() for file in files)


def test_the_oldest_python_is_the_same_in_each_setting() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    oldest = pythons()[0]
    assert PROJECT["requires-python"] == f">={oldest}"
    assert project["tool"]["basedpyright"]["pythonVersion"] == oldest
    assert project["tool"]["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"


@pytest.mark.parametrize("hook", hooks(), ids=lambda hook: hook["id"])
def test_a_hook_starts_a_mode_of_the_check_script(hook: dict[str, Any]) -> None:
    script, mode = hook["entry"].split()
    assert hook["language"] == "script" and not hook["pass_filenames"]
    assert script == "scripts/check" and os.access(ROOT / script, os.X_OK)
    assert re.search(rf"^    {mode}\) ", CHECK_SCRIPT, re.MULTILINE), f"scripts/check has no mode {mode}"


def test_lint_runs_before_a_commit_and_the_quick_tests_before_a_push() -> None:
    assert {stage: hook["entry"] for hook in hooks() for stage in hook["stages"]} == {
        "pre-commit": "scripts/check lint",
        "pre-push": "scripts/check quick",
    }
    assert load(".pre-commit-config.yaml")["default_install_hook_types"] == ["pre-commit", "pre-push"]


@pytest.mark.parametrize(
    ("file", "matches"),
    [
        ("runtime/hub.py", True),
        ("pyproject.toml", True),
        ("scripts/check", True),
        ("scripts/lock/cpu.txt", True),
        ("README.md", False),
    ],
)
def test_the_commit_hook_runs_for_the_files_that_it_checks(file: str, matches: bool) -> None:
    (lint,) = (hook for hook in hooks() if hook["id"] == "lint")
    assert (ROOT / file).is_file()
    assert bool(re.search(lint["files"], file)) == matches


def test_the_citation_names_this_version_and_the_paper() -> None:
    citation = load("CITATION.cff")
    assert citation["cff-version"] == "1.2.0" and citation["message"] and citation["authors"]
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert citation["abstract"] == PROJECT["description"]
    (paper,) = citation["references"]
    assert paper["url"] in (ROOT / "README.md").read_text(encoding="utf-8")
    assert paper["url"].rpartition("/")[2] == paper["doi"].rpartition("arXiv.")[2]
    assert paper["title"] in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FORMS)
def test_an_issue_form_has_the_fields_that_a_forge_asks_for(path: str) -> None:
    form = load(path)
    assert form["name"] and form["description"]
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert {field["type"] for field in fields} <= {"textarea", "input", "dropdown", "checkboxes"}
    assert all(field["attributes"]["label"] for field in fields)
    ids = [field["id"] for field in fields]
    assert len(set(ids)) == len(ids)
    assert any(field.get("validations", {}).get("required") for field in fields)


def test_the_pull_request_template_asks_for_the_check_and_names_files_that_exist() -> None:
    named = re.findall(r"`([^`]+)`", (ROOT / ".github/pull_request_template.md").read_text(encoding="utf-8"))
    assert "scripts/check" in named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_first_screen_of_the_readme_has_the_paper_the_readers_and_both_commands() -> None:
    first = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:30]
    assert any(line.startswith("scripts/demo ") for line in first)
    assert any(line.startswith("scripts/check ") for line in first)
    assert any("**For whom:**" in line for line in first) and any("arxiv.org" in line for line in first)


def test_the_example_of_a_commit_message_follows_the_rules_beside_it() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## How commits are written")[2]
    assert "at most 72 characters" in page and "wrapped at 76 characters" in page
    subject, empty, *body = page.partition("```text\n")[2].partition("\n```")[0].splitlines()
    assert len(subject) <= 72 and subject[0].isupper() and not subject.endswith(".")
    assert not empty and body and all(len(line) <= 76 for line in body)


def test_the_changelog_begins_with_what_is_unreleased_or_with_this_version() -> None:
    (first, *_) = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert first == "Unreleased" or first.startswith(f"{PROJECT['version']} - ")


def text_files() -> list[Path]:
    """The text files that a person edits, but for those whose bytes are compared or hashed."""
    suffixes = (".py", ".md", ".toml", ".yml", ".yaml", ".cff", ".in")
    folders = ("protocols", "runtime", "services", "scripts", "tests", "docs", ".github")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*") if file.suffix in suffixes]
    scripts = [file for file in (ROOT / "scripts").iterdir() if file.is_file() and not file.suffix]
    return [*files, *scripts, *(file for file in ROOT.iterdir() if file.is_file() and file.suffix in suffixes)]


def test_text_files_are_as_editorconfig_says() -> None:
    rules = (ROOT / ".editorconfig").read_text(encoding="utf-8").partition("[*]")[2].partition("\n\n")[0]
    assert {"end_of_line = lf", "insert_final_newline = true", "trim_trailing_whitespace = true"} <= {
        *rules.splitlines()
    }
    files = text_files()
    assert len(files) > 300
    wrong = [str(file.relative_to(ROOT)) for file in files if not _is_tidy(file.read_bytes())]
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "tidy"),
    [(b"", True), (b"a\n", True), (b"a", False), (b"a \n", False), (b"a\r\n", False), (b"\ta\n", False)],
)
def test_untidy_text_is_found(text: bytes, tidy: bool) -> None:
    assert _is_tidy(text) == tidy


def _is_tidy(text: bytes) -> bool:
    """Whether text ends with a newline and has no carriage return, tab or trailing space."""
    if b"\r" in text or b"\t" in text or (text and not text.endswith(b"\n")):
        return False
    return all(line == line.rstrip() for line in text.split(b"\n"))


def test_scripts_are_valid_bash() -> None:
    scripts = [file for file in text_files() if file.parent == ROOT / "scripts" and not file.suffix]
    bash = [file for file in scripts if "bash" in file.read_text(encoding="utf-8").partition("\n")[0]]
    assert {"check", "package", "setup", "demo"} <= {file.name for file in bash}
    for file in bash:
        subprocess.run(["bash", "-n", str(file)], check=True, timeout=30)
