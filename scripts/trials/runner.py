"""Runs an experiment's trials in parallel, each as a child process that ends with the experiment and its deadline."""

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
"""Time for a trial to end after SIGTERM. It can be resumed in any case."""
FREE_SECONDS = 30.0
"""Longest wait for the processes of a killed experiment to release a trial's folder."""
LOOK_SECONDS = 1.0
"""Interval of checks whether the first trial of a base model has shared its judgement set."""

Say = Callable[[str], object]


class Runner:
    """Runs trials and collects their outcomes.

    ``outcomes`` are those of finished trials, by index in ``trials``; ``over`` is called after each new one.
    ``stopped`` is the signal that ended `run`, else 0. ``bases`` maps labels to base models with their digests. Trials
    are spread over ``gpus``. ``minutes`` limits the whole: a trial expected to exceed it is not started, and trials
    still running at its end are stopped, to be resumed later.
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
        self._led: dict[str, bool] = {}  # by base model, once its first trial has started: whether others may start
        self._changed = anyio.Event()
        self._placement = Placement(gpus)
        self._begun = time.monotonic()
        self._seconds = None if minutes is None else 60 * minutes
        self._lifeline, self._held = os.pipe()  # children see end of file when this process ends, however it ends
        os.set_inheritable(self._held, False)

    def look(self) -> None:
        """Collects the outcomes of trials that finished earlier.

        Raises:
            SettingsError: a trial was begun with other settings, or run with another base model.
        """
        for at, trial in enumerate(self.trials):
            if check(trial) and finished(trial) and (found := outcome(trial)):
                if wrong := self._other_base(trial, found):
                    raise SettingsError(wrong)
                self.outcomes[at] = found

    async def run(self) -> None:
        """Runs the unfinished trials. Returns when all are done, the time is over, or a signal arrives."""
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
        """Runs the unfinished trials: first the rows that train nothing, then seed by seed. If the experiment is
        interrupted, rows and base models are then about equally complete."""
        seeds = list(dict.fromkeys(trial.seed for trial in self.trials))
        order = sorted(enumerate(self.trials), key=lambda one: (one[1].teaches, seeds.index(one[1].seed), one[0]))
        self._waiting = [at for at, _ in order if at not in self.outcomes]
        self._led = {self.trials[at].base: True for at in self.outcomes}
        async with anyio.create_task_group() as tasks:
            for _ in range(min(self._parallel, len(self._waiting))):
                tasks.start_soon(self._work)

    async def _work(self) -> None:
        """Runs trials one by one. A base model's first trial runs alone until it has shared its judgement set."""
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
        """Allows the other trials of this base model to start when the shared judgement set exists."""
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
        """An error text if the trial ran with another base model than the experiment's; else empty."""
        wanted = self._bases[trial.base]
        if trial.settings.model.engine == "openai" or same_base_model(found.base_model, wanted):
            return ""
        return f"{trial.folder} was run with {found.base_model}, not {wanted}: move it away, and run it again"

    def _expected(self, trial: Trial) -> float | None:
        """The expected duration of a trial: the longest of its row so far, else of its kind; None if there is none."""
        over = [(self.trials[at], found.seconds.get("total", 0.0)) for at, found in self.outcomes.items()]
        like = [time for other, time in over if other.teaches == trial.teaches]
        return max([time for other, time in over if other.row == trial.row] or like, default=None)

    def _over_in(self) -> float:
        return float("inf") if self._seconds is None else self._seconds - (time.monotonic() - self._begun)

    async def _launch(self, trial: Trial) -> int:
        """Runs the trial and returns its exit code. If cancelled, stops it: SIGTERM first, then SIGKILL."""
        settings = trial.folder.with_suffix(".toml")
        settings.parent.mkdir(parents=True, exist_ok=True)
        if check(trial):
            await anyio.to_thread.run_sync(_until_free, trial, abandon_on_cancel=True)
            overrides = [*moved(trial), *trial.overrides]
            given = ["--resume", str(trial.folder), *(f"--set={override}" for override in overrides)]
        else:
            shutil.rmtree(trial.folder, ignore_errors=True)  # a folder without settings holds nothing to resume
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
    """Waits until the processes of a killed experiment release the folder. If they do not, the launcher reports it."""
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
