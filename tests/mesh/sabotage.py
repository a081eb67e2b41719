"""A run of the micro model whose every critic is taught the opposite; docs/FEEDBACK.md shows what becomes of it.

    python -m tests.mesh.sabotage OUT [--honest] [--set KEY=VALUE ...]

The product has no switch for this: here the learner's rows are flipped on their way in, with everything else as it is.
"""

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import msgspec

from protocols.messages import Role
from runtime.metrics import read_metrics
from runtime.runfolder import RunFolder
from runtime.settings import dump, load
from scripts.launch.ending import conclude, table
from services.critic.prompts import NO, YES
from services.settings import Settings
from services.trainer import service as trainer
from services.trainer.learner import Row, Trained
from services.trainer.load import load_learner
from tests.mesh.whole import ROLES, Whole, until_over, whole_mesh

LOADING_SECONDS = 300.0
OPPOSITE = {YES: NO, NO: YES}
SMALLER = (
    "model.engine=transformers", "simulator.quota=200", "simulator.episodes=24", "evaluator.split=dev",
    "evaluator.tasks=120", "evaluator.judgements=150", "trainer.threads=1",
)  # fmt: skip
"""Enough to see it, in minutes on two cores. The engine is the one that lives in one process with all the others."""


class Sabotaged:
    """A learner that teaches critics the opposite. It loads its model at the first training: models that load at the
    same time in one process disturb each other."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._inner: Any = None

    @property
    def base_model(self) -> str:
        return self._learner.base_model

    @property
    def _learner(self) -> Any:
        self._inner = self._inner or load_learner(self._settings)
        return self._inner

    def train(self, role: Role, rows: Sequence[Row], **named: Any) -> Trained:
        if role == "critic":
            rows = [msgspec.structs.replace(row, answer=OPPOSITE[row.answer]) for row in rows]
        return self._learner.train(role, rows, **named)


async def start(whole: Whole) -> None:
    """The services, each engine once the one before it has loaded its model."""
    for engines, role in enumerate(("actor", "critic"), start=1):
        whole.start(role)
        with anyio.fail_after(LOADING_SECONDS):
            while _loaded(whole) < engines:  # noqa: ASYNC110 - a file tells
                await anyio.sleep(0.1)
    for role in ROLES:
        if role not in ("actor", "critic"):
            whole.start(role)


def _loaded(whole: Whole) -> int:
    return sum(row["kind"] == "engine" for row in read_metrics(whole.run.metrics_file))


async def play(settings: Settings, out: Path) -> str:
    """Plays a whole run, leaves its report in `out`, and returns its table."""
    with tempfile.TemporaryDirectory(prefix="selu-") as folder:
        async with whole_mesh(Path(folder), settings, roles=()) as whole:
            whole.run.write_settings(dump(settings))
            await start(whole)
            async with whole.connect("onlooker", "onlooker-0") as mesh:
                await until_over(mesh)
            return _concluded(whole.run, out)


def _concluded(run: RunFolder, out: Path) -> str:
    summary = conclude(run)
    out.mkdir(parents=True, exist_ok=True)
    for file in (run.summary_file, run.report_file):
        shutil.copy(file, out)
    return table(summary)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="where report.html and summary.json go")
    parser.add_argument("--honest", action="store_true", help="sabotage nothing, for comparison")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    given = parser.parse_args()
    profile = Path("scripts/profiles/household.toml")
    settings = load(Settings, file=profile, overrides=[*SMALLER, *given.overrides])
    if not given.honest:
        trainer.load_learner = Sabotaged
    print(anyio.run(play, settings, given.out))  # noqa: T201


if __name__ == "__main__":
    main()
