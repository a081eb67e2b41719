"""Runs an experiment's trials, several at once, each as a run of its own that outlives neither us nor the deadline."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.abc
import anyio.to_thread

from runtime.child import environment
from runtime.runfolder import RunFolder, RunFolderError
from runtime.settings import SettingsError
from runtime.signals import ENDING, receiving, send
from scripts.trials.machine import Placement
from scripts.trials.outcome import Outcome, finished, outcome
from scripts.trials.plan import Trial, check, moved, to_toml
from services.evaluator.shared_set import SharedSet
from services.models.base_model import same_base_model
from services.report.numbers import percent, seconds

STOP_SECONDS = 30.0
"""How long a trial may take to end when it is asked to; it can be gone on with in any case."""
FREE_SECONDS = 30.0
"""How long the processes of an experiment that was killed may take to let go of a trial's folder."""
LOOK_SECONDS = 1.0
"""How often it is looked whether the first trial of a base model has left the judgement set."""

Say = Callable[[str], object]


class Runner:
    """``outcomes`` are those of finished trials, by their place among ``trials``; ``over`` is called whenever there is
    one more. ``stopped`` is the signal that ended `run`, if one did.

    ``bases`` are the base models by content, by label. ``gpus`` are those among which the trials are spread.
    ``minutes`` is how long the whole may take: no trial is started that would last longer, and at its end those that
    run are stopped, to be gone on with another time.
    """

    def __init__(
        self,
        trials: Sequence[Trial],
        *,
        bases: Mapping[str, str],
        parallel: int,
        gpus: Sequence[str] = (),
        minutes: float | None,
        say: Say,
        over: Callable[[Mapping[int, Outcome]], None],
    ) -> None:
        self.trials = trials
        self._bases = bases
        self.outcomes: dict[int, Outcome] = {}
        self.stopped = 0
        self._say = say
        self._trial_over = over
        self._parallel = parallel
        self._waiting: list[int] = []
        self._led: dict[str, bool] = {}  # by base model: whether others may follow its first trial; else not begun
        self._changed = anyio.Event()
        self._placement = Placement(gpus)
        self._begun = time.monotonic()
        self._seconds = None if minutes is None else 60 * minutes
        self._lifeline, self._held = os.pipe()  # our children see its end when we are gone, however that happens
        os.set_inheritable(self._held, False)

    def look(self) -> None:
        """Takes in what is finished already.

        Raises:
            SettingsError: a trial was begun with other settings, or run with another base model.
        """
        for at, trial in enumerate(self.trials):
            if check(trial) and finished(trial) and (found := outcome(trial)):
                if wrong := self._other_base(trial, found):
                    raise SettingsError(wrong)
                self.outcomes[at] = found

    async def run(self) -> None:
        """Runs what is missing; returns when all is done, or the time is over, or somebody stops us."""
        left = None if self._seconds is None else self._seconds - (time.monotonic() - self._begun)
        with anyio.move_on_after(left) as limit:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._end_on_signal, tasks.cancel_scope)
                await self._run_all()
                tasks.cancel_scope.cancel()
        if limit.cancelled_caught:
            self._say("the time is over: what ran was stopped, and goes on where it was next time")

    async def _end_on_signal(self, scope: anyio.CancelScope) -> None:
        with receiving(*ENDING) as signals:
            async for number in signals:
                self._say(f"stopped by {number.name}: what runs is stopped too, and goes on where it was next time")
                self.stopped = number
                scope.cancel()
                return

    async def _run_all(self) -> None:
        """What is missing, first what learns nothing, then seed by seed, so that rows and base models are equally far
        wherever this ends."""
        seeds = list(dict.fromkeys(trial.seed for trial in self.trials))
        order = sorted(enumerate(self.trials), key=lambda one: (one[1].teaches, seeds.index(one[1].seed), one[0]))
        self._waiting = [at for at, _ in order if at not in self.outcomes]
        self._led = {self.trials[at].base: True for at in self.outcomes}
        async with anyio.create_task_group() as tasks:
            for _ in range(min(self._parallel, len(self._waiting))):
                tasks.start_soon(self._work)

    async def _work(self) -> None:
        """One trial after another. The first of a base model goes alone until it has left the judgement set."""
        while self._waiting:
            at = next((at for at in self._waiting if self._led.get(self.trials[at].base, True)), None)
            if at is None:
                await self._changed.wait()
                continue
            self._waiting.remove(at)
            if self.trials[at].base in self._led:
                await self._run_one(at)
            else:
                await self._lead(at)

    async def _lead(self, at: int) -> None:
        trial = self.trials[at]
        self._led[trial.base] = False
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._follow, trial)
            await self._run_one(at)
            tasks.cancel_scope.cancel()
        self._let_follow(trial.base)

    async def _follow(self, leader: Trial) -> None:
        """Lets the others of this base model begin once the set that they share is there."""
        shared = await anyio.to_thread.run_sync(SharedSet, leader.settings)
        while not await anyio.to_thread.run_sync(shared.file.exists):  # noqa: ASYNC110  another process writes it
            await anyio.sleep(LOOK_SECONDS)
        self._let_follow(leader.base)

    def _let_follow(self, base: str) -> None:
        self._led[base] = True
        self._changed.set()
        self._changed = anyio.Event()

    async def _run_one(self, at: int) -> None:
        trial = self.trials[at]
        if (expected := self._expected(trial)) and self._over_in() < expected:
            self._say(f"{trial.name}: not begun, as it takes about {seconds(expected)} and that is not left")
            return
        begun = time.monotonic()
        self._say(f"{trial.name}: begins")
        code = await self._launch(trial)
        found = outcome(trial) if code == 0 and finished(trial) else None
        wrong = self._other_base(trial, found) if found else f"ended with code {code}: see {_log(trial)}"
        if found is None or wrong:
            self._say(f"{trial.name}: {wrong}")
            return
        self.outcomes[at] = found
        last = found.rounds[-1]
        self._say(
            f"{trial.name}: actor {percent(last.actor.score.value)}, critic {percent(last.critic.score.value)}, "
            f"in {seconds(time.monotonic() - begun)} ({len(self.outcomes)}/{len(self.trials)})"
        )
        self._trial_over(self.outcomes)

    def _other_base(self, trial: Trial, found: Outcome) -> str:
        """Says so where a trial ran with another base model than the experiment is about."""
        wanted = self._bases[trial.base]
        if trial.settings.model.engine == "openai" or same_base_model(found.base_model, wanted):
            return ""
        return f"{trial.folder} was run with {found.base_model}, not {wanted}: move it away, and run it again"

    def _expected(self, trial: Trial) -> float | None:
        """How long this trial will last, by those that are over: of its own row, else of its kind."""
        over = [(self.trials[at], found.seconds.get("total", 0.0)) for at, found in self.outcomes.items()]
        like = [time for other, time in over if other.teaches == trial.teaches]
        return max([time for other, time in over if other.row == trial.row] or like, default=None)

    def _over_in(self) -> float:
        return float("inf") if self._seconds is None else self._seconds - (time.monotonic() - self._begun)

    async def _launch(self, trial: Trial) -> int:
        """The trial's exit code. It is stopped, cleanly where it lets itself be, when we are cancelled."""
        settings = trial.folder.with_suffix(".toml")
        settings.parent.mkdir(parents=True, exist_ok=True)
        if check(trial):
            await anyio.to_thread.run_sync(_until_free, trial, abandon_on_cancel=True)
            overrides = [*moved(trial), *trial.overrides]
            given = ["--resume", str(trial.folder), *(f"--set={override}" for override in overrides)]
        else:
            shutil.rmtree(trial.folder, ignore_errors=True)  # a folder that was not even given its settings
            settings.write_text(to_toml(trial), encoding="utf-8")
            given = ["--profile", str(settings), "--run", str(trial.folder)]
        argv = [sys.executable, "-m", "scripts.trials.child", str(self._lifeline), "up", "--plain", *given]
        with _log(trial).open("ab") as log, self._placement.taken() as place:
            process = await anyio.open_process(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                pass_fds=[self._lifeline], env={**os.environ, **environment(), **place},
            )  # fmt: skip
            try:
                return await process.wait()
            finally:
                with anyio.CancelScope(shield=True):
                    await _stop(process)


def _until_free(trial: Trial) -> None:
    """Waits for what a killed experiment left to end, which it does by itself; if it does not, the launcher says so."""
    with suppress(RunFolderError), RunFolder(trial.folder).locked(wait_seconds=FREE_SECONDS):
        pass


async def _stop(process: anyio.abc.Process) -> None:
    if process.returncode is None:
        send(process, signal.SIGTERM)
        with anyio.move_on_after(STOP_SECONDS):
            await process.wait()
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    await process.aclose()


def _log(trial: Trial) -> Path:
    return trial.folder.with_suffix(".log")
