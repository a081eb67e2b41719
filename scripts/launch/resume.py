"""Whether a run may go on under changed settings, and what it was begun with."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from protocols.messages import Round
from runtime.log import LogFormatError
from runtime.metrics import read_metrics
from runtime.runfolder import RunFolder
from runtime.settings import SettingsError
from services.models.base_model import base_model, same_base_model
from services.models.engine import EngineError
from services.report.load import deliveries
from services.setting_kinds import MODEL, contents, essence, kind_of, leaves
from services.settings import Settings

INPUTS = "inputs.json"
"""The file in a run's folder with the digests of the files that its settings name."""


def check_resumed(run: RunFolder, before: Settings, after: Settings) -> None:
    """Raises `SettingsError` where the settings after differ from those before in what is learned."""
    _check_model(run, before, after)
    for key, old, new in differences(essence(before), essence(after)):
        if kind_of(key, after.world.name) == "file":
            old, new = leaves(before).get(key), leaves(after).get(key)
        raise SettingsError(
            f"{key} is {old!r} in {run.path} and cannot become {new!r}: it says what is learned; start a new run for "
            "that (docs/OPERATIONS.md lists what may change)"
        )
    _check_files(run, before, after)
    _check_rounds(run, before, after)


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """The keys whose values differ, with both values."""
    keys = sorted(before.keys() | after.keys())
    return [(key, before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)]


def record_inputs(run: RunFolder, settings: Settings) -> None:
    """Writes down what the files hold that the settings name, once: it is what the run was begun with."""
    found = {**contents(settings), **_recorded(run)}
    if found:
        scratch = run.path / f".{INPUTS}.part"
        scratch.write_bytes(msgspec.json.encode(found, order="sorted"))
        scratch.replace(run.path / INPUTS)


def _recorded(run: RunFolder) -> dict[str, str]:
    try:
        return msgspec.json.decode((run.path / INPUTS).read_bytes(), type=dict[str, str])
    except (OSError, msgspec.MsgspecError):
        return {}


def _check_files(run: RunFolder, before: Settings, after: Settings) -> None:
    begun = {**contents(before), **_recorded(run)}
    for key, now in contents(after).items():
        if begun.get(key, now) != now:
            raise SettingsError(
                f"{key}: {leaves(after)[key]} holds something else than when {run.path} was begun: put the former file "
                "back, or start a new run"
            )


def _check_rounds(run: RunFolder, before: Settings, after: Settings) -> None:
    """A run that has gone further than it is to go would wait for ever."""
    if after.run.rounds >= before.run.rounds:
        return
    reached = 0
    with suppress(LogFormatError):  # no log: it has not begun
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
        return  # no engine has answered yet, and the model is where it was no more
    try:
        now = base_model(after.model)
    except EngineError as error:
        raise SettingsError(str(error)) from error
    if (was is None or now is None) and before.model.engine == after.model.engine:
        return  # a server's, which alone can tell
    if was is None or now is None or not same_base_model(was, now):
        key = changed[-1]
        raise SettingsError(
            f"{key} is {leaves(before)[key]!r} in {run.path} and cannot become {leaves(after)[key]!r}: the base model "
            f"would be {now or 'a server’s'} instead of {was or 'a server’s'}; start a new run for that"
        )


def _served(run: RunFolder) -> str | None:
    """The base model that this run's engines have served."""
    names = [row.get("base_model") for row in read_metrics(run.metrics_file) if row["kind"] == "engine"]
    return next((str(name) for name in reversed(names) if name), None)


def _name(settings: Settings) -> str | None:
    try:
        return base_model(settings.model)
    except EngineError:
        return None
