"""Every link, path, setting, option and default that a Markdown page names is there."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from scripts.selu import COMMANDS, parser
from services.settings import Settings
from services.worlds.load import options_type
from tests.docs.fences import ROOT

PAGES = sorted(
    file for pattern in ("*.md", "docs/**/*.md", "protocols/*.md", "services/**/*.md") for file in ROOT.glob(pattern)
)
TOP = ("protocols", "runtime", "services", "scripts", "tests", "docs")
WORLDS = ("household", "ai2thor", "virtualhome")

FOREIGN = {
    "--no-deps": "pip",
    "--local-dir": "hf download",
    "--enable-lora": "vllm serve",
    "--api-key": "vllm serve",
    "--annotate": "git tag",
    "--message": "git tag",
}
"""Options of other programs that pages name."""

OF_A_RUN = {"results.md"}
"""Files that pages name and commands write."""

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")
_PATH = re.compile(r"[\w.*-]+(?:/[\w.*-]+)*/?")
_SETTING = re.compile(rf"(?<![\w./:-])((?:{'|'.join(Settings.__struct_fields__)})(?:\.[a-z]\w*)+)(?![\w/(])")
_FILE = re.compile(r"\.(?:py|md|toml|json|html|txt|csv|png)$")
_DEFAULT = re.compile(r"`([\w.]+)` (?:= |\()([\d.]+)(%| points)?")


def problems(text: str, page: Path) -> list[str]:
    """What the text of a page names that is not there, a sentence each."""
    prose = _FENCE.sub("", text)
    spans = [" ".join(span.split()) for span in _CODE.findall(prose)]
    return [
        *(f"the link {link} leads nowhere" for link in _LINK.findall(prose) if not _is_link(link, page)),
        *(f"there is no file {span}" for span in spans if not _is_path(span, page)),
        *(f"there is no setting {key}" for key in _settings(text, spans) if not _is_setting(key)),
        *(f"there is no option {option}" for option in _OPTION.findall(text) if option not in OPTIONS),
        *(wrong for span in spans for wrong in _command(span)),
        *_defaults(prose),
    ]


def _settings(text: str, spans: list[str]) -> Iterator[str]:
    """The dotted keys that a page names in code."""
    shell = [block for block in _FENCE.findall(text) if not block.startswith("```python")]
    yield from _SETTING.findall("\n".join([*spans, *shell]))


def _is_link(link: str, page: Path) -> bool:
    if re.match(r"https?://", link):
        return True
    place, _, anchor = link.partition("#")
    target = (page.parent / place).resolve() if place else page
    if not target.is_relative_to(ROOT) or not target.exists():
        return False
    return not anchor or anchor in _anchors(target)


def _anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def _is_path(span: str, page: Path) -> bool:
    """False for a path of the checkout that is not there. Any other text, or a path of a run, is no path here."""
    path = span.partition("::")[0].split(" ")[0]
    if not _PATH.fullmatch(path):
        return True
    if path.partition("/")[0] in TOP and "/" in path:
        files = [file for top in (ROOT, ROOT / "tests") for file in top.glob(path.rstrip("/"))]
        test = span.partition("::")[2]
        return any(not test or f"def {test}(" in file.read_text(encoding="utf-8") for file in files)
    if path.endswith((".py", ".md")):
        return (
            path in OF_A_RUN or any(page.parent.glob(path)) or any(any((ROOT / top).glob(f"**/{path}")) for top in TOP)
        )
    return True


def _is_setting(key: str) -> bool:
    if _FILE.search(key):
        return True
    if key.startswith("world.options."):
        return any(key.split(".")[2] in options_type(world).__struct_fields__ for world in WORLDS)
    return _default(key) is not msgspec.UNSET


def _default(key: str) -> object:
    """The default of a dotted key; UNSET where there is no such key."""
    value: object = Settings()
    for name in key.split("."):
        if not isinstance(value, msgspec.Struct) or name not in value.__struct_fields__:
            return msgspec.UNSET
        value = getattr(value, name)
    return value


def _command(span: str) -> Iterator[str]:
    """What is wrong with an inline command of selu: its name, an option that another command has, an experiment."""
    words = span.split()
    if words[:1] != ["selu"] or len(words) < 2 or words[1].startswith("-"):
        return
    if words[1] not in COMMANDS:
        yield f"there is no command selu {words[1]}"
        return
    known = set(_options(_commands(parser())[words[1]]))
    yield from (f"selu {words[1]} has no {option}" for option in _OPTION.findall(span) if option not in known)
    named = words[2] if words[1] == "experiment" and len(words) > 2 else ""
    if re.match(r"[a-z]", named) and not (ROOT / "scripts/experiments" / f"{named}.toml").exists():
        yield f"there is no experiment {named}"


def _defaults(prose: str) -> Iterator[str]:
    """Figures beside a setting, as in `trainer.critic_margin` (15 points), that are not its default."""
    for name, figure, unit in _DEFAULT.findall(prose):
        values = [_default(name)] if "." in name else [_default(f"alarms.{name}")]
        expected = float(figure) / 100 if unit else float(figure)
        yield from (
            f"`{name}` is {value} by default, not {expected:g}"
            for value in values
            if isinstance(value, int | float) and abs(value - expected) > 1e-9
        )


def _commands(of: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found = [action for action in of._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(found[0].choices) if found else {}


def _options(of: argparse.ArgumentParser) -> Iterator[str]:
    for action in of._actions:
        yield from action.option_strings
    for inner in _commands(of).values():
        yield from _options(inner)


def _own_options() -> Iterator[str]:
    """The options of selu, and those that the other programs of the checkout declare."""
    yield from _options(parser())
    programs = [file for file in (ROOT / "scripts").rglob("*") if file.is_file() and file.suffix in ("", ".py")]
    for file in [*programs, ROOT / "tests/mesh/sabotage.py"]:
        text = file.read_text(encoding="utf-8")
        yield from re.findall(r"add_argument\(\s*\"(--[a-z][\w-]*)\"", text)
        if text.startswith("#!") and "bash" in text.partition("\n")[0]:
            yield from _OPTION.findall(text)


OPTIONS = {*FOREIGN, *_own_options()}


def test_the_pages_are_found() -> None:
    names = {str(page.relative_to(ROOT)) for page in PAGES}
    assert names >= {"README.md", "SECURITY.md", "CHANGELOG.md", "docs/OPERATIONS.md", "protocols/README.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_is_there(page: Path) -> None:
    assert problems(page.read_text(encoding="utf-8"), page) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[a](docs/NOWHERE.md)", "the link docs/NOWHERE.md leads nowhere"),
        ("[a](README.md#nothing-of-that-name)", "the link README.md#nothing-of-that-name leads nowhere"),
        ("`runtime/no_such_file.py`", "there is no file runtime/no_such_file.py"),
        ("`tests/conftest.py::test_x`", "there is no file tests/conftest.py::test_x"),
        ("`no_such_file.py`", "there is no file no_such_file.py"),
        ("`mesh.no_such_key`", "there is no setting mesh.no_such_key"),
        ("`world.options.no_such_key=1`", "there is no setting world.options.no_such_key"),
        ("```\nselu up --set mesh.no_such_key=1\n```", "there is no setting mesh.no_such_key"),
        ("use --no-such-option", "there is no option --no-such-option"),
        ("`selu nothing`", "there is no command selu nothing"),
        ("`selu compact --repair`", "selu compact has no --repair"),
        ("`selu experiment nothing`", "there is no experiment nothing"),
        ("`trainer.critic_margin` (16 points)", "`trainer.critic_margin` is 0.15 by default, not 0.16"),
    ],
)
def test_what_is_not_there_is_found(text: str, problem: str) -> None:
    assert problems(text, ROOT / "README.md") == [problem]


def test_every_gauge_that_a_page_names_is_one_that_is_made() -> None:
    made = "".join(
        file.read_text(encoding="utf-8")
        for folder in ("runtime", "services", "scripts")
        for file in (ROOT / folder).rglob("*.py")
    )
    named = {name for page in PAGES for name in re.findall(r"\bselu_[a-z_]+", page.read_text(encoding="utf-8"))}
    assert {name for name in named if name not in made} == set()


def test_the_table_of_the_doctor_has_a_row_for_each_thing_that_it_looks_at() -> None:
    page = (ROOT / "docs/OPERATIONS.md").read_text(encoding="utf-8")
    table = page.partition("| looked at |")[2].partition("\n\n")[0]
    rows = {name for line in table.splitlines()[2:] for name in line.split("|")[1].strip().split(", ")}
    code = (ROOT / "scripts/upkeep/inspect.py").read_text(encoding="utf-8")
    assert rows == set(re.findall(r"(?:what=|found\.say\(\s*)\"([a-z]+)\"", code))
