"""Whole runs with scripted models under faults: whatever is killed, stopped or asked to end, the same is learned.

Each process dies at appointed points and at any time; the launcher too, whose run is then resumed.
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
"""Points of a run at which somebody dies."""
PAUSES = (0.2, 1.0)
"""Seconds between two other faults."""
FAULTS, INTERRUPTIONS = 40, 3
"""How many others a run suffers at most, and how many of those end its launcher: a run that is never left alone for as
long as it takes to start does not end."""
REFUSED = (2, 120)
"""The launcher's exit codes where it could not begin, or not write its report, or not say so: on a full disk."""
RUN_SECONDS = 180.0
"""How long one run may take under all this."""


class RunFailed(Exception):
    """A run that could not go on. The text is its last words."""


def options(folder: Path) -> tuple[str, ...]:
    """What `selu up` is given for a new run."""
    return ("--profile", "scripted", "--run", str(folder), *(o for key in SETTINGS for o in ("--set", key)))


async def undisturbed(folder: Path) -> Findings:
    """A run that nobody disturbs: what the others have to come to."""
    with anyio.fail_after(RUN_SECONDS):
        async with launch(folder, *options(folder), output=folder.with_suffix(".txt")) as run:
            if await run.process.wait() != 0:
                raise RunFailed(folder.with_suffix(".txt").read_text(encoding="utf-8")[-4000:])
    return examine(RunFolder(folder))


class Trouble:
    """Hurts one run, through all its launchers' lives. ``injected`` counts by kind.

    Of the launcher's present life, ``resumes`` says whether it was ended on purpose, ``filled`` whether its disk was
    full.
    """

    def __init__(self, chance: random.Random) -> None:
        self.injected: Counter[str] = Counter()
        self.resumes = self.filled = False
        self._interruptions = INTERRUPTIONS
        self._chance = chance

    async def make(self, run: Launched) -> None:
        """Faults at random until cancelled, or until the launcher is ended by one."""
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
        """For all of them, also those that are started meanwhile."""
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
        """For a while, some longer than the hub waits for a session's word."""
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
    """A run under faults to its end, however often it has to be resumed; the verdict and the faults by kind.

    Raises:
        RunFailed: it ended with an error, or had not ended after `RUN_SECONDS`.
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
