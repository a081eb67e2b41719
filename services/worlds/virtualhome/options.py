"""What can be set of VirtualHome, validated."""

import random
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from runtime.endpoints import EndpointError, address
from runtime.paths import given_path
from services.worlds.options import Listed, Seconds, command_words, convert_options, number_range, parts, verb_named
from services.worlds.virtualhome.tasks import DRAWN, NEEDS

FLAT = Path(__file__).with_name("flat.json")
"""The scene graph that ships with this package."""

APARTMENTS = range(7)
"""The player's environments that are played unless set otherwise: those that all its releases have."""
ENVIRONMENTS = 50
"""How many there are in the newest release."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``mode``: "graph" needs no player, "unity" is the real simulator.

    ``scenes``: the player's environments (0 to 49), or the places of the graphs in ``graphs``, e.g. "0-3,6"; empty is
    the environments 0 to 6, or all graphs. ``tasks``: a TOML file of tasks; empty makes ``per_verb`` of each of
    ``verbs`` from what a scene affords, the same ones for every episode in it, drawn by ``task_seed``. ``arrange``:
    each episode changes what is open, on and (graph mode) where small things lie. ``admissible``: list what can be
    tried in each observation. ``frame``: pixels along a frame's side. ``max_steps``: when an episode is truncated.

    Graph mode: ``graphs`` is a scene graph in JSON (also gzipped) or a folder of them; empty is the flat that ships
    with SELU.

    Unity mode: ``player`` is the command that starts the player (``-batchmode -http-port=N -logFile F`` are added);
    or ``connect`` lists the addresses ("127.0.0.1:8080,127.0.0.1:8081") of players that run already, one for each
    episode at a time. ``display``: its X display, e.g. ":0". ``character``: whom one plays. ``start_seconds``: how
    long a player may take to answer at all, ``reset_seconds`` to load a scene, ``call_seconds`` for anything else.
    ``starts``: how often a start is tried. ``gpu``: which GPU a player that draws through Vulkan uses, as nvidia-smi
    counts them; -1 takes those that CUDA_VISIBLE_DEVICES names, in turn. One that draws through X uses the display's.
    """

    mode: Literal["unity", "graph"] = "graph"
    scenes: Listed = ""
    tasks: str = ""
    verbs: Listed = ",".join(DRAWN)
    per_verb: Annotated[int, Meta(ge=1, le=50)] = 3
    task_seed: int = 0
    arrange: bool = True
    admissible: bool = True
    frame: Annotated[int, Meta(ge=32, le=2048)] = 300
    max_steps: Annotated[int, Meta(ge=1, le=200)] = 10
    graphs: str = ""
    player: str = ""
    connect: Listed = ""
    display: str = ""
    gpu: Annotated[int, Meta(ge=-1, le=63)] = -1
    character: str = "Chars/Female1"
    start_seconds: Seconds = 90.0
    reset_seconds: Seconds = 60.0
    call_seconds: Seconds = 30.0
    starts: Annotated[int, Meta(ge=1, le=10)] = 2

    @property
    def verb_names(self) -> list[str]:
        return list(dict.fromkeys(map(verb_named, parts(self.verbs))))

    @property
    def addresses(self) -> list[tuple[str, int]]:
        return list(dict.fromkeys(_address(part) for part in parts(self.connect)))

    @property
    def command(self) -> list[str]:
        """The player's command, its program by an absolute path: it runs in a folder of its own."""
        return command_words(self.player, "player")

    def graph_files(self) -> list[Path]:
        """Raises ValueError where there are none."""
        if not self.graphs:
            return [FLAT]
        path = given_path(self.graphs)
        found = sorted((*path.glob("*.json"), *path.glob("*.json.gz"))) if path.is_dir() else [path]
        if not found:
            raise ValueError(f"option 'graphs': {path} has no .json or .json.gz files")
        return found

    def scene_numbers(self) -> list[int]:
        """The scenes to play. Raises ValueError."""
        unity = self.mode == "unity"
        there = ENVIRONMENTS if unity else len(self.graph_files())
        if not self.scenes:
            return list(APARTMENTS if unity else range(there))
        numbers: list[int] = []
        for part in parts(self.scenes):
            named = number_range(part, there - 1)
            if named is None:
                raise ValueError(
                    f"option 'scenes' is {self.scenes!r}, and {part!r} is none of it: there are scenes 0 to "
                    f"{there - 1}; write numbers and ranges, e.g. '0-3,6'"
                )
            numbers += named
        if not numbers:
            raise ValueError(f"option 'scenes' is {self.scenes!r}: there are scenes 0 to {there - 1}")
        return numbers


def rng(*purpose: object) -> random.Random:
    return random.Random("virtualhome/" + "/".join(str(part) for part in purpose))


def _address(text: str) -> tuple[str, int]:
    try:
        return address(text)
    except EndpointError as error:
        raise ValueError(f"option 'connect' of virtualhome: {error}") from None


def read_options(given: dict[str, Any]) -> Options:
    """The options given by name. Raises ValueError that names the option, what is wrong and what there is."""
    options = convert_options(given, Options, "virtualhome")
    wrong = [verb for verb in options.verb_names if verb not in NEEDS]
    if wrong or not options.verb_names:
        raise ValueError(f"option 'verbs' of virtualhome is {options.verbs!r}: name some of {', '.join(NEEDS)}")
    options.scene_numbers()
    if options.mode == "unity":
        _check_player(options)
    return options


def _check_player(options: Options) -> None:
    if bool(options.player) == bool(options.connect):
        raise ValueError(
            "unity mode needs either 'player', the command that starts VirtualHome's Unity player, or 'connect', the "
            "addresses of players that run; `selu doctor --world virtualhome` says where to get it, and mode = 'graph' "
            "works without"
        )
    _ = options.command if options.player else options.addresses
