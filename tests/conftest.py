"""Fixtures for the whole suite: a hub in this process with real sockets, and who connects to it."""

import getpass
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

import pytest
from hypothesis import settings

from runtime.hub import HubSettings, serve_hub
from runtime.mesh import Mesh, connect

settings.register_profile("same", derandomize=True, database=None, deadline=None)
settings.register_profile("random", database=None, deadline=None, print_blob=True)
settings.load_profile("same")
"""The suite tries the same examples every time. `scripts/fuzz --properties` searches at random and prints its seed."""

TESTS = Path(__file__).parent

SLOW = (
    "docs/test_commands.py", "mesh", "models/test_families.py", "models/test_hf.py", "models/test_vllm_cpu_lora.py",
    "probing", "protocols/test_any_message.py", "runtime/test_durable_model.py", "runtime/test_fuzz.py",
    "scripts/test_package.py",
    "scripts/test_pretrain.py", "scripts/test_pretrain_data.py", "scripts/test_terminals.py", "scripts/test_up.py",
    "trainer/test_lora.py", "trials/test_runner.py", "worlds/ai2thor/test_failing_players.py",
    "worlds/ai2thor/test_faults.py", "worlds/ai2thor/test_processes.py", "worlds/ai2thor/test_round.py",
    "worlds/ai2thor/test_simulators.py", "worlds/test_household_frames.py", "worlds/virtualhome/test_faults.py",
    "worlds/virtualhome/test_players.py",
)  # fmt: skip
"""Folders and modules whose tests start meshes, players or models, or try many examples: seconds each. They carry the
mark ``slow``, and `scripts/check quick` leaves them out."""


def pytest_itemcollected(item: pytest.Item) -> None:
    if item.path.relative_to(TESTS).as_posix().startswith(SLOW):
        item.add_marker(pytest.mark.slow)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts modules that start vLLM first, then those that take seconds: no worker waits for another at the end."""
    vllm = {item.path for item in items if item.get_closest_marker("vllm")}
    items.sort(key=lambda item: (item.path not in vllm, item.get_closest_marker("slow") is None))


@pytest.fixture(scope="session", autouse=True)
def usual_signals() -> None:
    """Restores signals that the suite was started to ignore: SIGINT in a shell script's ``&``, SIGHUP under ``nohup``.

    The processes that tests start and stop would ignore them too.
    """
    usual = (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGHUP, signal.SIG_DFL),
        (signal.SIGQUIT, signal.SIG_DFL),
    )
    for number, handler in usual:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(scope="session", autouse=True)
def own_temporary_folder() -> Generator[None]:
    """Gives each worker of pytest-xdist a folder of its own for temporary files, so that a test that looks for what is
    left behind does not meet another worker's files. Its path is short enough for Unix sockets. What torch compiles
    for vLLM, kernels and headers, is the same for all workers and every time: it stays in one folder."""
    compiled = Path(tempfile.gettempdir()) / f"selu-torchinductor-{os.getuid()}"
    compiled.mkdir(exist_ok=True)
    folder = tempfile.mkdtemp(prefix="t-", dir="/tmp")
    with suppress(KeyError, OSError):  # a user without a name
        (Path(folder) / f"torchinductor_{getpass.getuser()}").symlink_to(compiled)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", os.environ.get("TORCHINDUCTOR_CACHE_DIR", str(compiled)))
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module", autouse=True)
def own_environment() -> Generator[None]:
    """Undoes what vLLM sets for its own processes, LD_PRELOAD among it: no later test's processes may inherit it."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def short_path() -> Generator[Path]:
    """A folder whose path is short enough for Unix sockets."""
    with tempfile.TemporaryDirectory(prefix="selu-") as folder:
        yield Path(folder)


@pytest.fixture
def hub_settings(short_path: Path) -> HubSettings:
    return HubSettings(
        endpoint=f"ipc://{short_path}/hub",
        fanout=f"ipc://{short_path}/fanout",
        log_file=short_path / "log.sqlite",
        blobs=short_path / "blobs",
        ping_seconds=0.1,
    )


@pytest.fixture
async def hub(hub_settings: HubSettings, anyio_backend: str) -> AsyncGenerator[HubSettings]:
    async with serve_hub(hub_settings):
        yield hub_settings


Joiner = Callable[..., AbstractAsyncContextManager[Mesh]]


@pytest.fixture
def join(hub_settings: HubSettings) -> Joiner:
    """Connects a role to the test's hub: ``async with join("critic") as mesh``."""

    def connector(role: str, instance: str | None = None, **options: object) -> AbstractAsyncContextManager[Mesh]:
        return connect(hub_settings.endpoint, role=role, instance=instance or f"{role}-0", **options)  # type: ignore[arg-type]

    return connector
