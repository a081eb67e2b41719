"""Asks one base model in the household what it can do, without a mesh and without learning: one page of figures.

capability: what it can tell about the world (success, states of objects) against what it can do in it, with controls.
templates: every question of self-asking and relabelling in several wordings: accuracy, and answers that name what is
not there.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.settings import Settings

HELP = "ask a base model what it can tell and do in the household"

ABOUT = {
    "capability": "What the model can tell about the world against what it can do in it.",
    "templates": "How much hangs on the wording of self-asking's and relabelling's questions.",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("probe", choices=tuple(ABOUT))
    parser.add_argument("--model", type=Path, metavar="DIR", help="the model's folder (default: the micro model)")
    parser.add_argument("--profile", default="household", metavar="NAME|FILE", help="whose world and model settings")
    parser.add_argument("--episodes", type=int, default=200, metavar="N", help="how many (default: 200)")
    parser.add_argument("--split", choices=("dev", "heldout"), default="dev", help="which seeds (default: dev)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to (default: runs/probes)")
    parser.add_argument("--set", action="append", default=[], metavar="K=V", dest="overrides", help="one setting")


def run(given: argparse.Namespace) -> int:
    import anyio

    from runtime.settings import SettingsError, load
    from scripts.launch.plan import profile_file
    from services.models.engine import EngineError
    from services.settings import Settings

    path = [] if given.model is None else [f"model.path={given.model}"]
    try:
        settings = load(Settings, file=profile_file(given.profile), overrides=[*path, *given.overrides])
        if settings.world.name != "household":
            raise SettingsError("probes ask about the household, whose every state is known: set world.name to it")
        if given.episodes < 2:
            raise SettingsError("give --episodes 2 at least")
        text, figures = anyio.run(_probe, given, settings)
    except (SettingsError, EngineError, ValueError) as error:
        sys.stderr.write(f"selu: {error}\n")
        return 2
    out = given.out or Path("runs/probes")
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{given.probe}.md").write_text(text)
    (out / f"{given.probe}.json").write_bytes(figures)
    sys.stdout.write(f"{text}\nwritten to {out / given.probe}.md and .json\n")
    return 0


async def _probe(given: argparse.Namespace, settings: "Settings") -> tuple[str, bytes]:
    """The page and the JSON."""
    import msgspec

    from scripts.probing import page
    from scripts.probing.bench import Bench
    from scripts.probing.capability import capability
    from scripts.probing.templates import templates
    from scripts.trials.machine import describe
    from services.models.load import load_engine
    from services.worlds.household.options import read_options

    options = read_options({"max_steps": settings.simulator.max_steps, **settings.world.options})
    first = getattr(settings.world.seeds, f"{given.split}_judge")
    engine = await load_engine(settings.model, role="critic", max_versions=1)
    try:
        bench = Bench(engine, options, range(first, first + given.episodes))
        if given.probe == "capability":
            lines = await capability(bench)
            sections, figures = [page.lines_table(lines)], page.lines_figures(lines)
        else:
            wordings = await templates(bench)
            sections, figures = page.wordings_sections(wordings), page.wordings_figures(wordings)
    finally:
        await engine.close()
    made = page.Made(
        probe=given.probe, about=ABOUT[given.probe], base_model=engine.identity.base_model,
        world=msgspec.to_builtins(settings.world), split=given.split, first_seed=first, episodes=given.episodes,
        hardware=describe(), command=f"selu probe {given.probe} --episodes {given.episodes} --split {given.split}",
    )  # fmt: skip
    return page.page(made, sections), page.to_json(made, figures)
