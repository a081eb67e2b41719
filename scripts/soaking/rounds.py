"""Whole runs with scripted models under faults, which must train on the same data as a run without faults.

Processes die at failpoints and at random times. The launcher is also killed or stopped, and its run is then resumed.
"""

import random
import signal
from collections import Counter
from pathlib import Path

import anyio
import psutil

from runtime import witness
from runtime.runfolder import RunFolder
from runtime.signals import send
from scripts.soaking.checker import Findings, examine
from scripts.soaking.disk import fill, free
from scripts.soaking.launched import Launched, launch

SETTINGS = (
    "simulator.quota=12",
    "simulator.episodes=4",
    "evaluator.tasks=4",
    "evaluator.judgements=6",
    "trainer.min_rows=1",
    "mesh.session_seconds=2",
    "mesh.restarts=100",
)
SERVICES = ("simulator-0", "actor-0", "critic-0", "relabeler-0", "trainer-0", "evaluator-0")
POINTS = (
    "simulator/publish.outcomes.after", "simulator/publish.trajectories.before", "simulator/publish.trajectories.after",
    "simulator/blob.half", "actor/answer.act.after", "actor/swap.loaded", "critic/publish.verdicts.before",
    "critic/publish.verdicts.after", "critic/acknowledge.trajectories.after", "critic/adapter.half",
    "relabeler/publish.relabels.before", "relabeler/publish.relabels.after", "relabeler/acknowledge.verdicts.before",
    "trainer/publish.rounds.before", "trainer/publish.adapters.before", "trainer/publish.adapters.after",
    "trainer/train.after", "evaluator/judgement.before", "evaluator/publish.evaluations.before",
    "hub/commit.before", "hub/commit.half", "hub/commit.after", "hub/lease.after",
)  # fmt: skip
APPOINTED = 6
"""Number of failpoints that are armed in a run."""
PAUSES = (0.2, 1.0)
"""Shortest and longest time in seconds between two random faults."""
FAULTS, INTERRUPTIONS = 40, 3
"""Limits of random faults in a run, and of those that end its launcher. Without a limit, a run that is disturbed at
every start does not end."""
REFUSED = (2, 120)
"""The launcher's exit codes on a full disk: it could not start, write its report, or write its output."""
RUN_SECONDS = 180.0
"""Time limit of one run."""


class RunFailed(Exception):
    """A run failed. The text is the end of its output."""


def options(folder: Path) -> tuple[str, ...]:
    """Returns the options of `selu up` for a new run."""
    return ("--profile", "scripted", "--run", str(folder), *(o for key in SETTINGS for o in ("--set", key)))


async def undisturbed(folder: Path) -> Findings:
    """Completes a run without faults, as the reference. Raises `RunFailed` or `TimeoutError`."""
    with anyio.fail_after(RUN_SECONDS):
        async with launch(folder, *options(folder), output=folder.with_suffix(".txt")) as run:
            if await run.process.wait() != 0:
                raise RunFailed(folder.with_suffix(".txt").read_text(encoding="utf-8")[-4000:])
    return examine(RunFolder(folder))


class Trouble:
    """Injects faults into one run, across all its resumptions. ``injected`` counts the faults by kind.

    For the current launcher process, ``resumes`` is True if a fault ended it, and ``filled`` if its disk was full.
    """

    def __init__(self, chance: random.Random) -> None:
        self.injected: Counter[str] = Counter()
        self.resumes = self.filled = False
        self._interruptions = INTERRUPTIONS
        self._chance = chance

    async def make(self, run: Launched) -> None:
        """Injects random faults until cancelled, until a fault ends the launcher, or up to `FAULTS` faults."""
        self.resumes = self.filled = False
        kinds = {
            "service killed": 6, "service stopped": 2, "service asked to end": 2, "hub killed": 3,
            "disk full": 1, "launcher killed": 1, "launcher asked to end": 1,
        }  # fmt: skip
        while not self.resumes and self.injected.total() < FAULTS:
            await anyio.sleep(self._chance.uniform(*PAUSES))
            (kind,) = self._chance.choices([*kinds], [*kinds.values()])
            if await self._inject(kind, run):
                self.injected[kind] += 1

    async def _inject(self, kind: str, run: Launched) -> bool:
        service = self._chance.choice(SERVICES)
        match kind:
            case "service killed":
                return run.kill(service)
            case "service asked to end":
                return run.kill(service, signal.SIGTERM)
            case "service stopped":
                return await self._stop(run.processes.get(service))
            case "disk full":
                return await self._fill(run)
            case "hub killed":
                return run.kill("hub")
            case _:
                if not run.run.log_file.exists() or run.process.returncode is not None or not self._interruptions:
                    return False
                self._interruptions -= 1
                self.resumes = True
                send(run.process, signal.SIGKILL if kind == "launcher killed" else signal.SIGTERM)
                return True

    async def _fill(self, run: Launched) -> bool:
        """Fills the disk for a while for all processes of the run, including those that start meanwhile."""
        if not run.run.log_file.exists():
            return False
        self.filled = True
        fill(run.pids)
        try:
            await anyio.sleep(self._chance.uniform(0.1, 1.5))
        finally:
            free(run.pids)
        return True

    async def _stop(self, process: psutil.Process | None) -> bool:
        """Suspends a process for a while, sometimes for longer than the hub's session timeout."""
        if process is None:
            return False
        try:
            process.suspend()
            try:
                await anyio.sleep(self._chance.uniform(0.1, 3.0))
            finally:
                process.resume()
        except psutil.Error:
            return False
        return True


async def disturbed(folder: Path, *, seed: int) -> tuple[Findings, Counter[str]]:
    """Completes a run under faults, and resumes it as often as needed. Returns the findings and the faults by kind.

    Raises:
        RunFailed: the run ended with an error, or did not end within `RUN_SECONDS`.
    """
    chance = random.Random(seed)
    trouble = Trouble(chance)
    output, once = folder.with_suffix(".txt"), folder.with_suffix(".faults")
    once.mkdir()
    points = [f"{point}:{chance.randint(1, 3)}" for point in chance.sample(POINTS, APPOINTED)]
    environ = {"SELU_CRASH": ",".join(points), "SELU_CRASH_ONCE": str(once), "SELU_WITNESS": str(once)}
    arguments, code = options(folder), None
    try:
        with anyio.fail_after(RUN_SECONDS):
            while True:
                async with (
                    launch(folder, *arguments, output=output, environ=environ) as run,
                    anyio.create_task_group() as tasks,
                ):
                    tasks.start_soon(trouble.make, run)
                    code = await run.process.wait()
                    tasks.cancel_scope.cancel()
                if code == 0:
                    break
                if not trouble.resumes and not (trouble.filled and code in REFUSED):
                    raise RunFailed(f"ended with {code}:\n{output.read_text(encoding='utf-8')[-4000:]}")
                arguments = ("--resume", str(folder))
    except TimeoutError:
        raise RunFailed(f"no end after {RUN_SECONDS:.0f} s:\n{output.read_text(encoding='utf-8')[-4000:]}") from None
    for mark in once.iterdir():
        if ":" in mark.name:
            role, _, point = mark.name.rpartition(":")[0].partition("-")
            trouble.injected[f"{role} died at {point}"] += 1
    return examine(RunFolder(folder), witness.read(once)), trouble.injected
