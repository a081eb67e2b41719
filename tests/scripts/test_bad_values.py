"""Every command with values that cannot be: each ends in a sentence and an exit code, and none in a traceback."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runtime.log import Log
from runtime.runfolder import RunFolder
from runtime.settings import dump, load
from scripts import selu
from scripts.launch.plan import PROFILES
from services.settings import Settings

PATHS = (
    "", " ", "/proc/nowhere/x", "file", "garbage", "folder", "empty", "a\0b", "new\nline", "sur\udcff", "x" * 5000,
    "file/x", "dangling", "loop", "~nobodyhere/x", "/dev/null", "/proc/self/mem", "secret", "-x", ".",
)  # fmt: skip
NUMBERS = ("-1", "0", "1e999", "nan", "inf", "9" * 5000, "abc", "", "0x10", "1.5", "-0.5", str(1 << 70), "٣")
SETTINGS = (
    "", "-", "=", "=x", "a.b=", "a=b", ".=1", "run=1", "run..seed=1", "run.seed=", "run.seed=[", "run.seed='''",
    "run.seed=1e999", "run.seed=" + "9" * 5000, "run.seed=" + "[" * 5000, "simulator.quota=nan", "model.cache_gib=inf",
    'model.path="a\\u0000b"', "model.path=sur\udcff", "world.options=1", "world.options.x=1", "sur\udcff", "x" * 5000,
    "mesh.endpoint=5555", "mesh.endpoint=tcp://::1:5555", "model.url=x",
)  # fmt: skip
FILES_IN_SETTINGS = (
    ("world.name=virtualhome", "world.options.tasks"),
    ("world.name=virtualhome", "world.options.graphs"),
    ("world.name=ai2thor", "world.options.tasks"),
    ("mesh.endpoint=tcp://127.0.0.1:5555", "mesh.keys"),
    ("metrics.port=9464", "metrics.token_file"),
    ("run.seed=1", "evaluator.judgement_sets"),
    ("model.engine=transformers", "model.path"),
)
UP = ("up", "--dry-run", "--profile", "scripted")
NEVER = ("--set", "x=1")
"""A setting that there is not: what may start ends before it does."""

PARSER = selu.parser()
"""Made once: it takes longer than most commands here."""

Command = tuple[str, ...]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that can stand where something else is expected."""
    made = tmp_path_factory.mktemp("place")
    (made / "file").write_text("x")
    (made / "empty").touch()
    (made / "garbage").write_bytes(bytes(range(256)) * 10)
    (made / "folder").mkdir()
    (made / "secret").touch(mode=0)
    (made / "dangling").symlink_to("nowhere")
    (made / "loop").symlink_to("loop")
    run_folder(made / "run")
    return made


def run_folder(path: Path) -> RunFolder:
    run = RunFolder.create(path)
    run.write_settings(dump(load(Settings, file=PROFILES / "scripted.toml")))
    Log(run.log_file).close()
    return run


@pytest.fixture
def unforeseen(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """The errors for which there was no sentence. The current folder is the place."""
    found: list[BaseException] = []

    def record(error: BaseException, folders: object) -> str:
        found.append(error)
        return "unforeseen"

    monkeypatch.chdir(place)
    monkeypatch.setattr(selu, "record", record)
    monkeypatch.setattr(selu, "parser", lambda: PARSER)
    for slow in ("packages", "image_packages", "vllm"):  # they ask for no argument
        monkeypatch.setattr(f"scripts.launch.health.{slow}", lambda: iter(()))
    monkeypatch.setattr("scripts.commands.attach.CONNECT_SECONDS", 0.01)
    return found


def ends(capsys: pytest.CaptureFixture[str], unforeseen: list[BaseException], command: Command) -> int:
    """Runs a command; returns its exit code once it was seen to end in order."""
    try:
        code = selu.main(command)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else -1
    said = capsys.readouterr()
    shown = [argument[:60] for argument in command]
    assert not unforeseen, f"{shown}: {unforeseen!r}"
    assert code in (0, 1, 2) and "Traceback" not in said.err + said.out, shown
    assert code != 2 or "selu" in said.err, f"{shown} says nothing"
    return code


def with_a_path(path: str) -> Iterator[Command]:
    """Every argument that is a path, or names a file."""
    yield from (("up", "--dry-run", "--profile", path), ("up", "--dry-run", "--resume", path))
    yield from ((*UP, option, path) for option in ("--model", "--method", "--run"))
    yield from ((*UP, "--set", one, "--set", f"{key}={path}") for one, key in FILES_IN_SETTINGS)
    yield ("attach", "rounds", "--run", path, "--from", "start")
    yield ("attach", "rounds", "--connect", "tcp://127.0.0.1:1", "--key", path)
    yield ("attach", "rounds", "--connect", path)
    yield ("attach", path, "--run", "run")
    yield ("join", "--connect", "tcp://127.0.0.1:1", "--key", path, "--settings", path, "--run", path, *NEVER)
    yield from (("keys", "list", option, path) for option in ("--keys", "--run"))
    yield from (("keys", "make", "anna", option, path) for option in ("--keys", "--run"))
    yield from (("keys", "make", path, "--keys", "folder"), ("keys", "revoke", path, "--keys", "folder"))
    yield ("keys", "make", "ben", "--role", path, "--keys", "folder")
    yield from ((name, path) for name in ("report", "replay", "compact", "doctor"))
    yield from (("doctor", path, "--repair"), ("doctor", "--model", path), ("doctor", "--virtualhome-player", path))
    yield from (("experiment", path, "--dry-run"), ("experiment", "demo", "--heldout", "--report", "--out", path))
    yield from (("probe", "horizon", option, path, *NEVER) for option in ("--run", "--profile", "--model", "--out"))
    yield from ((path,), ("keys", path), ("probe", path))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: ascii(path[:20]))
def test_no_path_ends_a_command_in_a_traceback(
    capsys: pytest.CaptureFixture[str], unforeseen: list[BaseException], path: str
) -> None:
    for command in with_a_path(path):
        ends(capsys, unforeseen, command)


def test_no_number_ends_a_command_in_a_traceback(
    capsys: pytest.CaptureFixture[str], unforeseen: list[BaseException]
) -> None:
    experiment = ("experiment", "demo", "--dry-run", "--heldout")
    for number in NUMBERS:
        for command in (
            (*UP, "--rounds", number), ("compact", "run", "--dry-run", "--rounds", number),
            ("compact", "run", "--dry-run", "--gib", number), ("attach", "rounds", "--run", "run", "--from", number),
            ("attach", "rounds", "--run", "run", "--from", "start", "--count", number),
            (*experiment, "--parallel", number), (*experiment, "--minutes", number),
            ("probe", "capability", "--episodes", number, *NEVER),
        ):  # fmt: skip
            ends(capsys, unforeseen, command)


@pytest.mark.parametrize(
    "command",
    [
        ("attach", "rounds", "--run", "run", "--from", "-1"),
        ("attach", "rounds", "--run", "run", "--from", str(1 << 70)),
        ("attach", "rounds", "--run", "run", "--from", "start", "--count", "-1"),
        ("experiment", "demo", "--dry-run", "--heldout", "--parallel", "0"),
        ("experiment", "demo", "--dry-run", "--heldout", "--minutes", "nan"),
        ("probe", "capability", "--episodes", str(1 << 70)),
        ("keys", "make", "anna", "--keys", ""),
    ],
    ids=lambda command: " ".join(command)[:40],
)
def test_numbers_without_a_meaning_are_refused(
    capsys: pytest.CaptureFixture[str], unforeseen: list[BaseException], command: Command
) -> None:
    assert ends(capsys, unforeseen, command) == 2


def test_no_setting_ends_a_command_in_a_traceback(
    capsys: pytest.CaptureFixture[str], unforeseen: list[BaseException], place: Path
) -> None:
    key = str(place / "none.key")
    for setting in SETTINGS:
        for command in (
            (*UP, "--set", setting), ("experiment", "demo", "--dry-run", "--heldout", "--set", setting),
            ("up", "--dry-run", "--resume", "run", "--set", setting),
            ("probe", "capability", "--set", setting, *NEVER),
            ("join", "--connect", "tcp://127.0.0.1:1", "--key", key, "--settings", "file", "--set", setting),
        ):  # fmt: skip
            ends(capsys, unforeseen, command)


def _folder_for(name: str) -> Callable[[Path], object]:
    return lambda run: ((run / name).unlink(missing_ok=True), (run / name).mkdir())


def _file_for(name: str, data: bytes = b"") -> Callable[[Path], object]:
    def put(run: Path) -> None:
        if (run / name).is_dir():
            (run / name).rmdir()
        (run / name).write_bytes(data)

    return put


def _another_database(run: Path) -> None:
    (run / "log.sqlite").unlink()
    with sqlite3.connect(run / "log.sqlite") as database:
        database.execute("create table t(x)")
    database.close()


BROKEN: dict[str, Callable[[Path], object]] = {
    "whole": lambda run: None,
    "no log": lambda run: (run / "log.sqlite").unlink(),
    "no settings": lambda run: (run / "settings.toml").unlink(),
    "another database": _another_database,
    "older settings": _file_for("settings.toml", b"[old]\nx = 1\n"),
    "another format": _file_for("format", b"\xff\xfe"),
    "odd endpoints": _file_for("endpoints", b"a b\n"),
    **{
        f"a folder for {name}": _folder_for(name)
        for name in ("log.sqlite", "settings.toml", "format", "lock", "metrics.jsonl", "summary.json", "report.html",
                     "endpoints", "sockets")
    },
    **{f"a file for {name}": _file_for(name) for name in ("blobs", "adapters", "logs", "sockets")},
    **{
        f"garbage for {name}": _file_for(name, bytes(range(256)) * 100)
        for name in ("log.sqlite", "settings.toml", "metrics.jsonl", "endpoints", "lock")
    },
}  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN)
def test_no_run_folder_ends_a_command_in_a_traceback(
    capsys: pytest.CaptureFixture[str], unforeseen: list[BaseException], tmp_path: Path, broken: str
) -> None:
    run = run_folder(tmp_path / "run").path
    BROKEN[broken](run)
    for command in (
        ("report", run), ("replay", run), ("compact", run), ("attach", "rounds", "--run", run, "--from", "start"),
        ("attach", "rounds", "--run", run), ("up", "--dry-run", "--resume", run), ("keys", "list", "--run", run),
        ("keys", "make", "anna", "--run", run), ("probe", "horizon", "--run", run, *NEVER), ("doctor", run),
        ("doctor", run, "--repair"),
    ):  # fmt: skip
        ends(capsys, unforeseen, tuple(map(str, command)))


def test_a_current_folder_that_was_deleted_is_told(
    capsys: pytest.CaptureFixture[str], unforeseen: list[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    for command in (UP, ("report", "run"), ("doctor",)):
        assert ends(capsys, unforeseen, command) == 2
    monkeypatch.chdir(os.sep)
