"""Each command in a fenced block of README and docs runs, or its dry run does, or this file says why it cannot."""

import argparse
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.selu import COMMANDS, main, parser
from tests.docs.fences import ROOT, Block, blocks, commands, usage
from tests.models.families import llava_next, qwen2_5_vl
from tests.upkeep.folder import make_run
from tests.worlds.virtualhome.conftest import COMMAND as PLAYER

BLOCKS = list(blocks())
SHOWN = [(block, command) for block in BLOCKS for command in commands(block)]

DRY = ("up", "experiment")
"""Commands that are tried with --dry-run: they would start a mesh of models."""

CANNOT_RUN = {
    r"scripts/demo": "it takes minutes; CI of a release runs it in a fresh clone",
    r"scripts/check.*": "it runs this test",
    r"scripts/package": "it packs commits only and takes a minute; tests/scripts/test_package.py builds both packages",
    r"git (tag|push) .*": "they would change the repository",
    r"scripts/(fuzz|soak).*": "they run for minutes; tests run a share of each with a fixed seed",
    r"pip install .*": "it would change the environment; the lock has the package, which this test looks up",
    r"curl .*": "it needs a live run; tests/mesh/test_operations.py reads both pages of one",
    r"scp .*": "it needs a second machine",
    r"selu (join|attach) .*--connect.*": "it needs a run on another machine; tests/mesh/test_keyed.py has one by TCP",
}
"""Patterns of commands that are not run here, each with the reason."""


def reason(command: str) -> str | None:
    return next((why for pattern, why in CANNOT_RUN.items() if re.fullmatch(pattern, command)), None)


RUNNABLE = [(block, command) for block, command in SHOWN if reason(command) is None]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a miniature of each family that a page names, under the folder's name there."""
    folder = tmp_path_factory.mktemp("models")
    for name in {name for _, command in SHOWN for name in re.findall(r"/models/(\S+)", command)}:
        make = llava_next if name.lower().startswith("llava") else qwen2_5_vl
        make(folder / name)
    return folder


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to type commands in: with a finished run RUN, an experiment FILE.toml and a home of its own."""
    make_run(tmp_path / "RUN")
    experiment = next(block for block in BLOCKS if block.language == "toml" and "methods =" in block.text)
    (tmp_path / "FILE.toml").write_text(experiment.text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    yield tmp_path


def test_the_pages_show_commands() -> None:
    assert len(SHOWN) > 20
    assert {block.page for block, _ in SHOWN} >= {"README.md", "SECURITY.md", "CONTRIBUTING.md", "docs/OPERATIONS.md"}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.id)
def test_every_block_is_of_a_kind_that_is_checked(block: Block) -> None:
    kinds = (bool(commands(block)), bool(usage(block)), block.language in ("toml", "python", "json", "text", "tree"))
    assert any(kinds) or "│" in block.text or block.text.startswith("{"), (
        f"{block.id}: neither commands nor a language that a test reads: name its language after the fence"
    )


@pytest.mark.parametrize(("block", "command"), RUNNABLE, ids=[f"{b.id}-{c[:40]}" for b, c in RUNNABLE])
def test_a_shown_command_works(
    block: Block, command: str, place: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = typed(command, models)
    if arguments[0] == "keys" and arguments[1] != "make":
        assert main(["keys", "make", "anna"]) == 0
    if "mesh.keys=~/.config/selu/keys" in arguments:
        assert main(["keys", "make", "critic-2", "--role", "critic"]) == 0
    code = main(arguments)
    said = capsys.readouterr()
    # What `doctor` finds on this machine is no matter: 1 says that it looked and that something is missing.
    assert code == 0 or (code == 1 and arguments[0] == "doctor"), (
        f"{block.id}: {command!r} ends with {code}: {said.err}"
    )
    assert (place / "RUN" / "format").exists()


def typed(command: str, models: Path) -> list[str]:
    """The arguments of ``selu`` as a reader types them, with this machine's files in the place of the page's."""
    program, *arguments = shlex.split(command)
    assert program == "selu", f"{command!r}: say in CANNOT_RUN why it cannot be run, or teach this test to run it"
    arguments = [
        part.replace("/models/", f"{models}/").replace("xvfb-run -a /opt/virtualhome/linux_exec.v2.3.0.x86_64", PLAYER)
        for part in arguments
    ]
    if arguments[0] in DRY:
        arguments.append("--dry-run")
    if arguments[0] == "up" and "--model" in arguments:
        # vLLM serves these families only beside torchvision, which the CPU set leaves out.
        arguments += ["--set", "model.engine=transformers"]
    return arguments


def test_what_cannot_be_run_is_still_shown_somewhere() -> None:
    for pattern in CANNOT_RUN:
        assert any(re.fullmatch(pattern, command) for _, command in SHOWN), f"no page shows {pattern} any more"


def test_scripts_that_are_shown_are_there_and_can_be_started() -> None:
    for block, command in SHOWN:
        if command.startswith("scripts/"):
            assert os.access(ROOT / command.split()[0], os.X_OK), f"{block.id}: {command}"


def test_packages_that_are_to_be_installed_are_in_the_lock() -> None:
    locked = (ROOT / "scripts/lock/cpu.txt").read_text(encoding="utf-8").lower()
    for block, command in SHOWN:
        if command.startswith("pip install"):
            for package in (part for part in shlex.split(command)[2:] if not part.startswith("-")):
                name = re.split(r"[<>=\[]", package)[0].lower()
                assert name in ("selu", ".") or f"\n{name}==" in locked, f"{block.id}: {package}"


@pytest.mark.parametrize("command", sorted({c for _, c in SHOWN if c.startswith("selu ") and reason(c)}))
def test_the_arguments_of_a_command_for_two_machines_are_understood(command: str) -> None:
    given = parser().parse_args(shlex.split(command)[1:])
    assert given.connect and given.key is not None


def test_the_forms_in_readme_name_every_command_and_only_options_that_there_are() -> None:
    forms = [line for block in BLOCKS if block.page == "README.md" for line in usage(block)]
    assert {line.split()[1] for line in forms} == set(COMMANDS)
    known = {name: options(name) for name in COMMANDS}
    for line in forms:
        assert set(re.findall(r"--[\w-]+", line)) <= known[line.split()[1]], line


def options(command: str) -> set[str]:
    """Every option of a command and of its subcommands."""
    return set(_options(_subcommands(parser())[command]))


def _options(of: argparse.ArgumentParser) -> Iterator[str]:
    for action in of._actions:
        yield from (option for option in action.option_strings if option.startswith("--"))
    for inner in _subcommands(of).values():
        yield from _options(inner)


def _subcommands(of: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found = [action for action in of._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(found[0].choices) if found else {}
