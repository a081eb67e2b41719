"""Metrics that are not messages: JSON lines in the run's metrics.jsonl, written by all of its processes."""

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

    Each line is one write to a file opened for appending, which keeps lines of different processes apart.
    """

    def __init__(self, run: RunFolder, instance: str) -> None:
        self._file = run.metrics_file
        self._instance = instance
        self._lost = False

    def write(self, kind: str, **fields: Value) -> bool:
        """Appends one line; returns whether it was written. Non-finite numbers become null, as JSON has none.

        If the write fails, the line is lost: a failed write of metrics must not end a run.
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
    """Yields the lines of a metrics file, oldest first; none if there is no file.

    Lines that are not objects with a time and a kind, such as the partial line of a killed process, are skipped.
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
