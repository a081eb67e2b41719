"""Checks whether a run may be resumed with changed settings, and records the settings that it began with."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from protocols.messages import Round
from runtime.atomic import replace_file
from runtime.log import LogFormatError
from runtime.metrics import read_metrics
from runtime.runfolder import RunFolder, RunFolderError
from runtime.settings import SettingsError
from services.models.base_model import base_model, same_base_model
from services.models.engine import EngineError
from services.report.load import deliveries
from services.setting_kinds import MODEL, contents, essence, kind_of, leaves
from services.settings import Settings

INPUTS = "inputs.json"
"""The file in a run's folder with the digests of the files that its settings name."""
BEGUN = "begun.json"
"""The file with the learning settings at the run's start. settings.toml is not enough, because users may edit it."""

_Recorded = TypeVar("_Recorded", dict[str, str], dict[str, Any])


def check_resumed(run: RunFolder, before: Settings, after: Settings) -> None:
    """Checks whether the run may continue with the settings `after`; `before` are those of its settings.toml.

    Raises:
        SettingsError: a learning setting, the base model or an input file differs, or the run is past `run.rounds`.
        RunFolderError: the log is missing.
    """
    _check_log(run)
    _check_model(run, before, after)
    now = _as_recorded(essence(after))
    # A setting that this version or the recording one does not know is compared with settings.toml only.
    recorded = {key: value for key, value in _read(run, BEGUN, dict[str, Any]).items() if key in now}
    for key, old, new in differences({**_as_recorded(essence(before)), **recorded}, now):
        if recorded.get(key, old) != new and essence(before).get(key) == essence(after).get(key):
            raise SettingsError(
                f"{key} is {new!r} in {run.settings_file}, and {run.path} was begun with {old!r}: it says what is "
                "learned; put the former value back, or start a new run (docs/SETTINGS.md lists what may change)"
            )
        if kind_of(key, after.world.name) == "file":
            old, new = leaves(before).get(key), leaves(after).get(key)
        raise SettingsError(
            f"{key} is {old!r} in {run.path} and cannot become {new!r}: it says what is learned; start a new run for "
            "that (docs/SETTINGS.md lists what may change)"
        )
    _check_files(run, before, after)
    _check_rounds(run, before, after)


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """The keys whose values differ, with both values."""
    keys = sorted(before.keys() | after.keys())
    return [(key, before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)]


def record_inputs(run: RunFolder, settings: Settings) -> None:
    """Records the learning settings and the digests of input files. Values that are recorded already stay."""
    for name, found in (
        (INPUTS, {**contents(settings), **_read(run, INPUTS, dict[str, str])}),
        (BEGUN, {**essence(settings), **_read(run, BEGUN, dict[str, Any])}),
    ):
        if found:
            replace_file(run.path / name, msgspec.json.encode(found, order="sorted"))


def _read(run: RunFolder, name: str, shape: type[_Recorded]) -> _Recorded:
    try:
        return msgspec.json.decode((run.path / name).read_bytes(), type=shape)
    except (OSError, msgspec.MsgspecError):
        return shape()


def _as_recorded(found: dict[str, Any]) -> dict[str, Any]:
    return msgspec.json.decode(msgspec.json.encode(found), type=dict[str, Any])


def _check_log(run: RunFolder) -> None:
    """Without its log, a run would silently start again at round 1 over the files of its earlier rounds."""
    if run.log_file.exists() and run.log_file.stat().st_size:
        return
    left = [folder for folder in (run.adapters, run.blobs) if folder.is_dir() and any(folder.iterdir())]
    if left:
        raise RunFolderError(
            f"{run.log_file} is {'empty' if run.log_file.exists() else 'missing'}, and {left[0].name}/ holds what was "
            f"learned: copy {run.log_file.name} (with {run.log_file.name}-wal, where there is one) from where the run "
            "was, or start a new run"
        )


def _check_files(run: RunFolder, before: Settings, after: Settings) -> None:
    begun = {**contents(before), **_read(run, INPUTS, dict[str, str])}
    for key, now in contents(after).items():
        if begun.get(key, now) != now:
            raise SettingsError(
                f"{key}: {leaves(after)[key]} holds something else than when {run.path} was begun: put the former file "
                "back, or start a new run"
            )


def _check_rounds(run: RunFolder, before: Settings, after: Settings) -> None:
    """A run that is past its last round would wait for ever."""
    if after.run.rounds >= before.run.rounds:
        return
    reached = 0
    with suppress(LogFormatError):  # no log: the run has no rounds yet
        for delivery in deliveries(run, ("rounds",)):
            if isinstance(delivery.message, Round):
                reached = max(reached, delivery.message.number)
    if reached > after.run.rounds:
        raise SettingsError(
            f"run.rounds is {after.run.rounds}, and {run.path} is in round {reached} already: set run.rounds={reached} "
            "or more"
        )


def _check_model(run: RunFolder, before: Settings, after: Settings) -> None:
    changed = [key for key in MODEL if leaves(before)[key] != leaves(after)[key]]
    if not changed:
        return
    was = _served(run) or _name(before)
    if was is None and before.model.engine != "openai":
        return  # no engine has served the model yet, and its folder is gone: nothing to compare with
    try:
        now = base_model(after.model)
    except EngineError as error:
        raise SettingsError(str(error)) from error
    if (was is None or now is None) and before.model.engine == after.model.engine:
        return  # only the server knows its model
    if was is None or now is None or not same_base_model(was, now):
        key = changed[-1]
        raise SettingsError(
            f"{key} is {leaves(before)[key]!r} in {run.path} and cannot become {leaves(after)[key]!r}: the base model "
            f"would be {now or 'a server’s'} instead of {was or 'a server’s'}; start a new run for that"
        )


def _served(run: RunFolder) -> str | None:
    """The base model that this run's engines have served, or None."""
    names = [row.get("base_model") for row in read_metrics(run.metrics_file) if row["kind"] == "engine"]
    return next((str(name) for name in reversed(names) if name), None)


def _name(settings: Settings) -> str | None:
    try:
        return base_model(settings.model)
    except EngineError:
        return None
