"""Figures that are not messages: one JSON object a line in the run's metrics.jsonl, written by any of its processes."""

import json
import logging
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from runtime.runfolder import RunFolder

log = logging.getLogger("selu.metrics")

Value = str | int | float | bool | None


class Metrics:
    """Appends lines like ``{"time": 1795000000.1, "kind": "engine", "instance": "actor-0", "name": "vllm"}``.

    Each line is one write to a file opened for appending, so that lines of several processes do not mix.
    """

    def __init__(self, run: RunFolder, instance: str) -> None:
        self._file = run.metrics_file
        self._instance = instance
        self._lost = False

    def write(self, kind: str, **fields: Value) -> bool:
        """Appends one line. A figure that is not finite is written as null: JSON has no word for it.

        A line that the disk refuses is lost: a run is not ended for a figure. Returns whether it was written.
        """
        row: dict[str, Value] = {"time": round(time.time(), 3), "kind": kind, "instance": self._instance, **fields}
        finite = {name: None if isinstance(x, float) and not math.isfinite(x) else x for name, x in row.items()}
        line = json.dumps(finite, ensure_ascii=False) + "\n"
        try:
            descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                whole = os.write(descriptor, line.encode()) == len(line.encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            if not self._lost:
                log.warning("figures are lost: cannot write %s: %s", self._file, error.strerror)
            self._lost = True
            return False
        self._lost = False
        return whole


def read_metrics(file: Path) -> Iterator[dict[str, Any]]:
    """The lines of a metrics file, oldest first; none if there is no file.

    A line that is not an object with a time and a kind, such as the half of one that a killed process left, is passed
    over.
    """
    if not file.exists():
        return
    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                row: object = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict):
                found = cast("dict[str, Any]", row)
                if isinstance(found.get("time"), int | float) and isinstance(found.get("kind"), str):
                    yield found
