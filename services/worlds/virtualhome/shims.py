"""The virtualhome package (2.3.0), made to import and to work here without changing anything outside it.

Its own ``__init__`` reads ``sys.path[5]`` and imports its parts by names that are not on the path, so it is never
imported. Its two parts that are needed only import their neighbours relatively: they are loaded under names of ours,
and what is put right below is put right in these private copies alone.
"""

import collections
import collections.abc
import importlib
import importlib.util
import sys
import threading
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

VERSION = "2.3.0"
HOW_TO_INSTALL = f"pip install --no-deps virtualhome=={VERSION}"
"""Its requirements pin packages of 2019 that no longer install; what it imports is among SELU's own requirements,
but for ``requests``."""

_LOADING = threading.Lock()


class PackageMissing(ValueError):
    """The virtualhome package, or what it needs, is not installed."""


def package_folder() -> Path | None:
    """Where the package is installed; None where it is not. Does not import it."""
    spec = importlib.util.find_spec("virtualhome")
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else None


def executor() -> SimpleNamespace:
    """``environment``, ``execution`` and ``scripts``: modules of the package's graph executor."""
    with _LOADING:
        base = _package("evolving_graph")
        environment = _module(f"{base}.environment")
        # It times every change of an edge in a table that nothing empties.
        environment.TimeMeasurement = _NoTime
        environment.EnvironmentState.get_char_node = _current_character
        return SimpleNamespace(
            environment=environment, execution=_module(f"{base}.execution"), scripts=_module(f"{base}.scripts")
        )


def client() -> ModuleType:
    """The package's ``comm_unity``, whose `UnityCommunication` speaks to the player."""
    with _LOADING:
        module = _module(f"{_package('unity_simulator')}.comm_unity")
        made: Any = module
        # `collections.Iterable` left Python in 3.10, and NumPy's binary `fromstring` in 2.3.
        made.collections = SimpleNamespace(Iterable=collections.abc.Iterable)
        made.np = SimpleNamespace(fromstring=np.frombuffer, uint8=np.uint8)
        made.print = _silent  # what it prints about a failure is in the exception too
        return module


class _NoTime:
    @staticmethod
    def start(name: str) -> None: ...

    @staticmethod
    def stop(key: None) -> None: ...


def _current_character(self: Any, char_index: int) -> Iterator[Any]:
    """The character as it is now. The package's own gives it as the scene began, so that nobody ever sits."""
    for node in self._graph.get_char_node(char_index):
        yield self.get_node(node.id)


def _silent(*_: object) -> None: ...


def _package(part: str) -> str:
    """Loads one folder of the package as a package of ours, and returns that one's name."""
    name = f"selu_virtualhome_{part}"
    if name in sys.modules:
        return name
    root = package_folder()
    folder = root / "simulation" / part if root else None
    if folder is None or not folder.is_dir():
        raise PackageMissing(f"the virtualhome package is not installed: {HOW_TO_INSTALL}")
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    sys.modules[name] = importlib.util.module_from_spec(spec)
    return name


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise PackageMissing(f"the virtualhome package needs {error.name}: pip install {error.name}") from error
