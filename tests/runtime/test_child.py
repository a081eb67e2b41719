"""A child process: which code a role is, and how it ends."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

import selu
from runtime.child import ASKED, command, environment, main_of, needs_a_person, wait_for_key
from runtime.keys import Key, read_key
from runtime.log import LogFormatError, LogUnavailable
from runtime.mesh import connect
from runtime.runfolder import RunFolder
from runtime.settings import SettingsError, dump
from runtime.signals import send
from runtime.supervisor import HOPELESS
from services.settings import Settings

pytestmark = pytest.mark.anyio

SECONDS = 20.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    made = RunFolder.create(tmp_path / "run")
    made.settings_file.write_text(dump(Settings()))
    return made


def started(run: RunFolder, role: str, *, endpoint: str = "") -> subprocess.CompletedProcess[str]:
    argv = command(f"{role}-0", role, run, lifeline=None, endpoint=endpoint)
    return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.parametrize("role", ["nobody", "../etc", "Actor", "", "settings"])
def test_a_role_that_is_no_service_is_refused_by_name(role: str) -> None:
    with pytest.raises(SettingsError, match="no role"):
        main_of(role)


async def test_a_hub_child_serves_and_ends_when_asked(run: RunFolder) -> None:
    run.listen_at()
    with anyio.fail_after(20):
        argv = command("hub", "hub", run, lifeline=None)
        async with await anyio.open_process(argv, stdout=None, stderr=None) as hub:
            key = read_key(run.keys.make("launcher", "launcher"))
            async with connect(run.endpoint, role="launcher", instance="launcher", run=run, key=key) as mesh:
                assert await mesh.tail() == 0
            send(hub, signal.SIGTERM)
            assert await hub.wait() == ASKED
    run.stop_listening()


def test_an_endpoint_in_use_is_named_and_not_tried_again(run: RunFolder) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        run.listen_at(f"tcp://127.0.0.1:{taken.getsockname()[1]}")
        run.keys.allowed_file.touch()
        ended = started(run, "hub")
    assert ended.returncode == HOPELESS
    assert f"cannot open {run.endpoint}: Address already in use" in ended.stderr and "Traceback" not in ended.stderr


def test_settings_that_cannot_be_used_are_named_and_not_tried_again(run: RunFolder) -> None:
    run.settings_file.write_text("[simulator]\nquota = 0\n")
    ended = started(run, "hub")
    assert ended.returncode == HOPELESS and "simulator.quota = 0 is not allowed" in ended.stderr


def test_an_endpoint_that_is_none_is_named_and_not_tried_again(run: RunFolder) -> None:
    ended = started(run, "relabeler", endpoint="gpu1:5555")
    assert ended.returncode == HOPELESS and "give tcp://HOST:PORT" in ended.stderr and "Traceback" not in ended.stderr


def test_a_role_nobody_wrote_is_not_tried_again(run: RunFolder) -> None:
    ended = started(run, "nobody")
    assert ended.returncode == HOPELESS and "no role 'nobody'" in ended.stderr


@pytest.mark.parametrize("where", ["the current folder", "PYTHONPATH"])
def test_a_child_never_imports_another_package_of_our_name(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    other = packages_of_our_names(tmp_path / "other")
    if where == "PYTHONPATH":
        monkeypatch.setenv("PYTHONPATH", str(other))
    else:
        monkeypatch.chdir(other)
    argv = command("nobody-0", "nobody", run, lifeline=None)
    environ = {**os.environ, **environment()}
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False, env=environ)
    assert "no role 'nobody'" in ended.stderr


def test_the_command_never_imports_another_package_of_our_name(tmp_path: Path) -> None:
    other = packages_of_our_names(tmp_path / "other")
    path = f"{other}{os.pathsep}{Path(selu.__file__).parent}"
    argv = [sys.executable, "-c", "import selu, sys; sys.exit(selu.main())", "report", str(tmp_path / "none")]
    ended = subprocess.run(
        argv, capture_output=True, text=True, timeout=20, check=False, cwd=other, env={**os.environ, "PYTHONPATH": path}
    )
    assert ended.returncode == 2 and "does not exist" in ended.stderr


def packages_of_our_names(folder: Path) -> Path:
    """A folder with packages that end whoever imports them."""
    for name in ("protocols", "runtime", "services", "scripts"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("raise SystemExit('the wrong one')")
    return folder


@pytest.mark.parametrize("given,told", [(None, "passive"), ("active", "active")])
def test_threads_that_wait_sleep_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, given: str | None, told: str
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
    assert environment()["OMP_WAIT_POLICY"] == told


def test_a_user_without_a_name_gets_one_for_the_children(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    nameless = Mock(side_effect=KeyError("getpwuid(): uid not found: 54321"))
    monkeypatch.setattr("pwd.getpwuid", nameless)
    made = environment()
    assert made["USER"] == made["LOGNAME"] == f"uid-{os.getuid()}"
    monkeypatch.setenv("USER", "anna")
    assert "USER" not in environment()


def test_a_failing_disk_may_pass_and_a_damaged_log_does_not() -> None:
    assert needs_a_person(LogFormatError("damaged")) and not needs_a_person(LogUnavailable("disk I/O error"))


async def test_a_process_that_starts_waits_for_a_key_that_is_made_again(run: RunFolder) -> None:
    run.listen_at()
    file = run.keys.make("anna", "observer")
    data = file.read_bytes()
    file.unlink()
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            read: list[Key] = []

            async def wait() -> None:
                read.append(await anyio.to_thread.run_sync(wait_for_key, file))

            tasks.start_soon(wait)
            await anyio.lowlevel.checkpoint()
            run.keys.restore(file.name, data)
    assert read[0].name == "anna"
    run.stop_listening()
