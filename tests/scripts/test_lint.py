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


TEXT_CALLS = ("read_text", "write_text", "open", "fdopen", "TextIOWrapper", "NamedTemporaryFile", "run", "Popen")


def _decodes_by_locale(call: ast.Call) -> bool:
    """Whether a call opens text without naming its encoding. ``open`` of a path and of a file by its name alike."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    keywords = {keyword.arg for keyword in call.keywords}
    if name not in TEXT_CALLS or "encoding" in keywords:
        return False
    if name in ("run", "Popen"):
        return bool(keywords & {"text", "universal_newlines"})
    if name in ("read_text", "write_text"):
        return len(call.args) < (1 if name == "read_text" else 2)
    if name == "TextIOWrapper":
        return True
    # Modes are short texts: what else is named open (an image, a URL, a folder of ours) has no such argument.
    texts = [arg.value for arg in (*call.args, *(k.value for k in call.keywords)) if isinstance(arg, ast.Constant)]
    modes = [text for text in texts if isinstance(text, str) and text and set(text) <= set("rwaxbt+")]
    own = isinstance(call.func, ast.Attribute) and not call.args and not call.keywords
    return own or (bool(modes) and not any("b" in mode for mode in modes))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("p.read_text()", True),
        ("p.read_text(encoding='utf-8')", False),
        ("p.write_text('x')", True),
        ("p.open('a+')", True),
        ("p.open()", True),
        ("open(p, 'w')", True),
        ("p.open('rb')", False),
        ("os.open(p, flags)", False),
        ("subprocess.run(x, text=True)", True),
    ],
)
def test_text_that_is_decoded_by_locale_is_found(source: str, found: bool) -> None:
    call = ast.parse(source, mode="eval").body
    assert isinstance(call, ast.Call) and _decodes_by_locale(call) == found


def test_every_text_file_names_its_encoding() -> None:
    """A locale without UTF-8 must not change what is read or written."""
    found = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for room in PRODUCT
        for file in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and _decodes_by_locale(node)
    ]
    assert found == []
