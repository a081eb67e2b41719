"""Nothing in this code base runs or builds what it reads, and the check that says so can fail."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = ("protocols", "runtime", "services", "scripts")


def ruff(source: str) -> str:
    argv = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--output-format",
        "concise",
        "--stdin-filename",
        "runtime/x.py",
        "-",
    ]
    return subprocess.run(argv, input=source, capture_output=True, text=True, timeout=30, check=False, cwd=ROOT).stdout


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ("import pickle\n", "TID251"),
        ("from dill import loads\n", "TID251"),
        ("import torch\n\ntorch.load('x', weights_only=True)\n", "TID251"),
        ("import numpy as np\n\nnp.load('x', allow_pickle=True)\n", "TID251"),
        ("import yaml\n\nyaml.load('x', yaml.SafeLoader)\n", "TID251"),
        ("import vllm.entrypoints.openai.api_server\n", "TID251"),
        ("eval(input())\n", "S307"),
        ("import subprocess\n\nsubprocess.run('ls', shell=True)\n", "S602"),
    ],
)
def test_lint_refuses(source: str, rule: str) -> None:
    assert rule in ruff(source)


def test_nothing_uses_what_lint_cannot_see() -> None:
    """ZeroMQ's pickling methods, and flags that let a model's files bring code along."""
    found: list[str] = []
    for file in (file for room in PRODUCT for file in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            name = node.attr if isinstance(node, ast.Attribute) else node.arg if isinstance(node, ast.keyword) else ""
            if name in ("send_pyobj", "recv_pyobj", "allow_pickle", "trust_remote_code"):
                found.append(f"{file.relative_to(ROOT)}:{node.lineno}: {name}")  # type: ignore[attr-defined]
    assert found == []
