"""Tests one base model in the household, without a mesh and without training, and writes one page of results.

capability: what the model can tell about the world (success, states of objects) and what it can do in it, with
controls. templates: every question of self-asking and relabelling in several wordings, with its accuracy and its
answers that name absent objects. horizon: compound tasks of one to five dependent goals in at most 40 steps, given at
once or one after another; with --run also for the run's trained actor.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.arguments import path_type
from scripts.numbers import whole_number
from scripts.output import complain, say, told

if TYPE_CHECKING:
    from runtime.runfolder import RunFolder
    from services.settings import Settings

EPISODES = 100_000
"""Most episodes of a probe; each has its own seed in the split."""

HELP = "ask a base model what it can tell and do in the household"

ABOUT = {
    "capability": "What the model can tell about the world against what it can do in it.",
    "horizon": "How far the model gets with several dependent goals, and what helps.",
    "templates": "How much hangs on the wording of self-asking's and relabelling's questions.",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("probe", choices=tuple(ABOUT))
    parser.add_argument("--model", type=path_type, metavar="DIR", help="the model's folder (default: the micro model)")
    parser.add_argument(
        "--run", type=path_type, metavar="DIR", help="horizon: a run, whose settings and newest actor count"
    )
    parser.add_argument("--profile", default="household", metavar="NAME|FILE", help="whose world and model settings")
    parser.add_argument(
        "--episodes", type=whole_number(2, EPISODES), default=200, metavar="N", help="how many (default: 200)"
    )
    parser.add_argument("--split", choices=("dev", "heldout"), default="dev", help="which seeds (default: dev)")
    parser.add_argument("--out", type=path_type, metavar="DIR", help="where to (default: runs/probes)")
    parser.add_argument("--set", action="append", default=[], metavar="K=V", dest="overrides", help="one setting")


def run(given: argparse.Namespace) -> int:
    import anyio

    from runtime.log import LogFormatError
    from runtime.runfolder import RunFolder, RunFolderError
    from runtime.settings import SettingsError
    from scripts.launch.model_check import device_problems, model_problems
    from scripts.launch.plan import profile_file
    from scripts.launch.resolve import resolve
    from services.models.engine import EngineError, ModelUnusable

    try:
        folder = RunFolder.open(given.run) if given.run else None
        file = folder.settings_file if folder else profile_file(given.profile)
        settings = resolve(file, model=given.model, overrides=given.overrides)
        if settings.world.name != "household":
            raise SettingsError("probes ask about the household, whose every state is known: set world.name to it")
        taught = _newest_actor(folder) if folder else None
        if found := model_problems(settings, learns=taught is not None) or device_problems(settings):
            raise ModelUnusable("; ".join(found))
        out = given.out or Path("runs/probes")
        out.mkdir(parents=True, exist_ok=True)
        made = anyio.run(_until_signalled, given, settings, taught)
    except (SettingsError, EngineError, RunFolderError, LogFormatError, ValueError, OSError) as error:
        complain(told(error))
        return 2
    if isinstance(made, int):
        return 128 + made
    text, figures = made
    try:
        (out / f"{given.probe}.md").write_text(text, encoding="utf-8")
        (out / f"{given.probe}.json").write_bytes(figures)
    except OSError as error:
        say(text)
        complain(f"the figures cannot be written into {out}: {error.strerror or error}")
        return 1
    say(f"{text}\nwritten to {out / given.probe}.md and .json")
    return 0


async def _until_signalled(
    given: argparse.Namespace, settings: "Settings", taught: "tuple[int, Path] | None"
) -> tuple[str, bytes] | int:
    """Returns the result of `_probe`, or the signal that ended it. The engine's processes end in either case."""
    from runtime.signals import ENDING, until_signalled

    async with until_signalled(*ENDING) as stopped:
        return await _probe(given, settings, taught)
    return stopped.number


async def _probe(
    given: argparse.Namespace, settings: "Settings", taught: "tuple[int, Path] | None"
) -> tuple[str, bytes]:
    """Returns the page and the JSON."""
    import msgspec

    from scripts.probing import page
    from scripts.probing.bench import Bench
    from scripts.probing.capability import capability
    from scripts.probing.horizon import ALL_STEPS, horizon
    from scripts.probing.templates import templates
    from scripts.trials.machine import describe
    from services.models.load import load_engine
    from services.worlds.household.options import read_options

    steps = ALL_STEPS if given.probe == "horizon" else settings.simulator.max_steps
    options = read_options({"max_steps": steps, **settings.world.options})
    first = getattr(settings.world.seeds, f"{given.split}_judge")
    engine = await load_engine(
        settings.model, role="actor", max_versions=1, max_rank=settings.trainer.actor.rank,
        adapters=taught is not None,
    )  # fmt: skip
    try:
        bench = Bench(engine, options, range(first, first + given.episodes))
        if given.probe == "capability":
            lines = await capability(bench)
            sections, figures = [page.lines_table(lines)], page.lines_figures(lines)
        elif given.probe == "horizon":
            names = {0: "base"}
            if taught:
                version, place = taught
                await engine.load(version, place)
                names[version] = f"actor@{version}"
            scores = await horizon(bench, list(names))
            sections, figures = page.scores_sections(scores, names), page.scores_figures(scores, names)
        else:
            wordings = await templates(bench)
            sections, figures = page.wordings_sections(wordings), page.wordings_figures(wordings)
    finally:
        await engine.close()
    made = page.Made(
        probe=given.probe, about=ABOUT[given.probe], base_model=engine.identity.base_model,
        world=msgspec.to_builtins(settings.world), split=given.split, first_seed=first, episodes=given.episodes,
        hardware=describe(), command=f"selu probe {given.probe} --episodes {given.episodes} --split {given.split}"
        + (f" --run {given.run}" if given.run else ""),
    )  # fmt: skip
    return page.page(made, sections), page.to_json(made, figures)


def _newest_actor(run: "RunFolder") -> tuple[int, Path] | None:
    """The version of the run's active actor and its folder; None if only the base model is active.

    Raises:
        LogFormatError: the log is missing or cannot be read.
    """
    from services.report.load import load_state

    state = load_state(run)
    version = state.standing(state.round.number if state.round else 0, "actor")
    if not version:
        return None
    return version, run.adapters / f"actor@{version}-{state.adapters['actor', version].digest[:12]}"
