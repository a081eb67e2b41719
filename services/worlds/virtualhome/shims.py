"""Loads the virtualhome package (2.3.0) with fixes that do not affect other code.

The package's ``__init__`` reads ``sys.path[5]`` and imports its parts by names that are not on the path, so it is never
imported. The two parts used here import only their neighbours, with relative imports. They are loaded under our own
names, and the fixes below apply only to these private copies.
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
"""Its requirements pin packages of 2019 that no longer install. All that it imports is among SELU's own
requirements, except ``requests``."""

_LOADING = threading.Lock()


class PackageMissing(ValueError):
    """The virtualhome package, or a package that it needs, is not installed."""


def package_folder() -> Path | None:
    """Returns the package's folder; None if it is not installed. Does not import it."""
    spec = importlib.util.find_spec("virtualhome")
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else None


def executor() -> SimpleNamespace:
    """Returns ``environment``, ``execution`` and ``scripts``, the modules of the package's graph executor."""
    with _LOADING:
        base = _package("evolving_graph")
        environment = _module(f"{base}.environment")
        # It records the time of every change of an edge in a table that is never emptied.
        environment.TimeMeasurement = _NoTime
        environment.EnvironmentState.get_char_node = _current_character
        return SimpleNamespace(
            environment=environment, execution=_module(f"{base}.execution"), scripts=_module(f"{base}.scripts")
        )


def client() -> ModuleType:
    """Returns the package's ``comm_unity``, whose `UnityCommunication` sends requests to the player."""
    with _LOADING:
        module = _module(f"{_package('unity_simulator')}.comm_unity")
        made: Any = module
        # Python 3.10 removed `collections.Iterable`, and NumPy 2.3 the binary `fromstring`.
        made.collections = SimpleNamespace(Iterable=collections.abc.Iterable)
        made.np = SimpleNamespace(fromstring=np.frombuffer, uint8=np.uint8)
        made.print = _silent  # what it prints about a failure is also in the exception
        return module


class _NoTime:
    @staticmethod
    def start(name: str) -> None: ...

    @staticmethod
    def stop(key: None) -> None: ...


def _current_character(self: Any, char_index: int) -> Iterator[Any]:
    """Yields the character's current node. The package's own method yields the initial one, so the character never
    sits."""
    for node in self._graph.get_char_node(char_index):
        yield self.get_node(node.id)


def _silent(*_: object) -> None: ...


def _package(part: str) -> str:
    """Loads one folder of the package under our own name, and returns that name."""
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
