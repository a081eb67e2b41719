"""An experiment's folder: the base models, the lock, and the results.

<folder>/bases.json    the base models by name and digest, fixed when the experiment begins
<folder>/judgements/   the judgement sets that its runs share
<folder>/trials/       the runs, as <base>/<row>/seed-<n>, with settings and log of each beside it
<folder>/results.*     results of the finished runs: md, json and png, and the metrics of each run as csv
<folder>/lock          held by the command that uses the folder
"""

import importlib.metadata
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from runtime.atomic import replace_file
from runtime.locks import LocksUnsupported, lock
from runtime.settings import SettingsError
from scripts.trials import machine, plan
from scripts.trials.chart import draw
from scripts.trials.outcome import Outcome
from scripts.trials.plan import Experiment, Trial
from scripts.trials.results import Setting, results, to_json
from scripts.trials.sheet import sheet
from scripts.trials.table import page
from services.models.base_model import same_base_model


class Conduct:
    """Creating one fixes the base models, if the folder is new.

    Raises:
        SettingsError: a base model does not exist, or has changed since the experiment began.
    """

    def __init__(self, experiment: Experiment, trials: Sequence[Trial], *, file: Path, folder: Path) -> None:
        self._experiment = experiment
        self._trials = trials
        self._folder = folder
        bases = {trial.base: trial for trial in trials}
        models = self._fixed({label: plan.base_model(trial.settings) for label, trial in bases.items()})
        world, measured = trials[0].settings.world.seeds, trials[0].settings.evaluator
        self.setting = Setting(
            name=file.stem,
            about=experiment.about,
            split=experiment.split,
            heldout_seeds={
                "tasks": (getattr(world, experiment.split), measured.tasks),
                "judgements": (getattr(world, f"{experiment.split}_judge"), measured.judgements),
            },
            final_round=max(trial.settings.run.rounds for trial in trials),
            quota=experiment.quota,
            seeds=experiment.seeds,
            bases=models,
            settings_digest=plan.settings_digest([trial.settings for trial in trials]),
            hardware=machine.describe(),
            software=f"selu {importlib.metadata.version('selu')}",
            command=f"selu experiment {plan.name_of(file)}" + (" --heldout" if experiment.split == "heldout" else ""),
        )

    def _fixed(self, models: dict[str, str]) -> dict[str, str]:
        file = self._folder / "bases.json"
        before = msgspec.json.decode(file.read_bytes(), type=dict[str, str]) if file.exists() else {}
        for label, model in models.items():
            if not same_base_model(before.get(label, model), model):
                raise SettingsError(
                    f"the base model {label} was {before[label]} when {self._folder} was begun, and is {model} now: "
                    "give --out another folder"
                )
        self._folder.mkdir(parents=True, exist_ok=True)
        replace_file(file, msgspec.json.encode({**before, **models}))
        return models

    @contextmanager
    def locked(self) -> Generator[None]:
        """Locks the folder against other commands.

        Raises:
            SettingsError: another command holds the lock, or the file system has no locks.
        """
        with (self._folder / "lock").open("ab") as file:
            try:
                free = lock(file.fileno(), "exclusive", wait=False)
            except LocksUnsupported as error:
                raise SettingsError(f"{self._folder} cannot be used: {error.strerror}") from error
            if not free:
                raise SettingsError(
                    f"{self._folder} is in use by another selu experiment: wait for it, or give --out another folder"
                )
            yield

    def write(self, outcomes: Mapping[int, Outcome]) -> None:
        """Rewrites the results from the outcomes, which are keyed by their trials' indices."""
        rows = dict.fromkeys(trial.row for trial in sorted(self._trials, key=lambda trial: trial.teaches))
        over = {row: [outcomes[at] for at in sorted(outcomes) if self._trials[at].row == row] for row in rows}
        found = results(
            self.setting,
            {row: plan.about(self._experiment, row) for row in rows},
            over,
            [trial.name for at, trial in enumerate(self._trials) if at not in outcomes],
        )
        replace_file(self._folder / "results.json", to_json(found))
        replace_file(self._folder / "results.md", page(found).encode())
        replace_file(self._folder / "results.png", draw(found))
        replace_file(self._folder / "results.csv", sheet(over).encode())
