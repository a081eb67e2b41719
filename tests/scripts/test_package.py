"""The wheel holds all that a run needs, and the source distribution the whole checkout."""

import configparser
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("protocols", "runtime", "services", "scripts")
SECONDS = 120

FOR_A_CHECKOUT = {
    *(f"scripts/{name}" for name in ("check", "demo", "fuzz", "package", "setup", "soak")),
    *(f"scripts/lock/{name}" for name in ("cpu.txt", "update")),
    "protocols/README.md",
}
"""Files of the packages' folders that only a checkout needs. The wheel leaves them out."""

GIT = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
"""The environment without what git tells a hook: a test's own repository is meant."""

pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="only a git checkout says which files it has")

BUILD = """
import sys
from setuptools import build_meta
print(getattr(build_meta, "build_" + sys.argv[1])(sys.argv[2]))
"""


def checkout_files() -> set[str]:
    """The paths of the files that git tracks, without those that are deleted and not committed yet."""
    argv = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    done = subprocess.run(
        argv, cwd=ROOT, env=GIT, capture_output=True, text=True, encoding="utf-8", timeout=SECONDS, check=True
    )
    return {name for name in done.stdout.rstrip("\0").split("\0") if os.path.lexists(ROOT / name)}


def build(kind: str, source: Path, out: Path) -> Path:
    """Builds with the environment's own setuptools: nothing is fetched."""
    argv = [sys.executable, "-c", BUILD, kind, str(out)]
    done = subprocess.run(
        argv, cwd=source, capture_output=True, text=True, encoding="utf-8", timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    return out / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, made from a copy: setuptools writes beside what it packs."""
    copy = tmp_path_factory.mktemp("copy")
    for name in checkout_files():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name)
    return build("sdist", copy, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, made from the source distribution."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as packed:
        packed.extractall(folder, filter="data")
    return build("wheel", folder / sdist.name.removesuffix(".tar.gz"), tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose one commit is the script and a pyproject.toml."""
    (tmp_path / "scripts").mkdir()
    shutil.copy2(ROOT / "scripts/package", tmp_path / "scripts/package")
    shutil.copy2(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    author = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    for command in (("init", "--quiet"), ("add", "."), (*author, "commit", "--quiet", "--message", "first")):
        subprocess.run(["git", *command], cwd=tmp_path, env=GIT, check=True, timeout=SECONDS)
    return tmp_path


def package(repository: Path, **env: str) -> tuple[int, str]:
    """The exit code and the standard error of the script."""
    argv = [str(repository / "scripts/package")]
    done = subprocess.run(
        argv, env={**GIT, **env}, capture_output=True, text=True, encoding="utf-8", timeout=SECONDS, check=False
    )
    return done.returncode, done.stderr


def test_the_script_refuses_changes_that_are_not_committed(repository: Path) -> None:
    (repository / "notes.txt").write_text("x\n", encoding="utf-8")
    code, errors = package(repository)
    assert code == 1 and errors.startswith("package: there are uncommitted changes")
    assert not (repository / "dist").exists()


def test_the_script_says_that_a_python_is_missing(repository: Path) -> None:
    code, errors = package(repository, PYTHON="python3.0")
    assert (code, errors) == (1, "package: there is no python3.0: set PYTHON to a Python 3.11 or newer\n")


def test_the_source_distribution_is_the_whole_checkout(sdist: Path) -> None:
    with tarfile.open(sdist) as packed:
        names = {member.name.partition("/")[2] for member in packed if member.isfile()}
    made = {name for name in names if name.startswith("selu.egg-info/")} | {"PKG-INFO", "setup.cfg"}
    assert names - made == checkout_files()


def test_the_wheel_holds_every_module_and_every_file_that_they_read(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    ours = {name for name in checkout_files() if name.startswith(tuple(f"{package}/" for package in PACKAGES))}
    assert names == (ours - FOR_A_CHECKOUT) | {"selu.py"}


def test_the_wheel_carries_version_license_and_entry_points_of_pyproject(wheel: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    packed = zipfile.ZipFile(wheel)
    info = f"selu-{project['version']}.dist-info"
    metadata = packed.read(f"{info}/METADATA").decode("utf-8").splitlines()
    assert f"Version: {project['version']}" in metadata and "License-Expression: Apache-2.0" in metadata
    assert packed.read(f"{info}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    points = configparser.ConfigParser(delimiters="=")
    points.read_string(packed.read(f"{info}/entry_points.txt").decode("utf-8"))
    assert dict(points["console_scripts"]) == project["scripts"]
    assert dict(points["vllm.general_plugins"]) == project["entry-points"]["vllm.general_plugins"]


def test_the_installed_command_works_from_an_unrelated_folder(wheel: Path, tmp_path: Path) -> None:
    installed, elsewhere = tmp_path / "installed", tmp_path / "elsewhere"
    elsewhere.mkdir()
    zipfile.ZipFile(wheel).extractall(installed)
    for arguments in (["--help"], ["up", "--profile", "scripted", "--dry-run"], ["experiment", "methods", "--dry-run"]):
        done = subprocess.run(
            [sys.executable, str(installed / "selu.py"), *arguments],
            cwd=elsewhere,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0 and done.stdout, f"{arguments}: {done.stderr}"
    assert list(elsewhere.iterdir()) == []
