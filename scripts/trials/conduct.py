"""An experiment's folder: which base models it is about, who may work on it, and its results as they come in.

<folder>/bases.json    the base models by content, fixed when it is begun
<folder>/judgements/   the judgement sets that its runs share
<folder>/trials/       the runs, as <base>/<row>/seed-<n>, each with its settings and its log beside it
<folder>/results.*     what came of those that are over: md, json and png, and each run's figures as csv
<folder>/lock          held by the one command that works on it
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
    """Making one fixes the base models, if the folder is new.

    Raises:
        SettingsError: there is no such base model, or it has changed since.
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
        """Keeps others from working on the folder.

        Raises:
            SettingsError: somebody does.
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
        """Writes the results anew, from the outcomes by their place among the trials."""
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
