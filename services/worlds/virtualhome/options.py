"""The options of VirtualHome, validated."""

import random
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from runtime.endpoints import EndpointError, address
from runtime.paths import given_path
from runtime.typed import doc
from services.worlds.options import Listed, Seconds, command_words, convert_options, number_range, parts, verb_named
from services.worlds.virtualhome.tasks import DRAWN, NEEDS

FLAT = Path(__file__).with_name("flat.json")
"""The scene graph in this package."""

APARTMENTS = range(7)
"""The player's environments that are used by default: those that all its releases have."""
ENVIRONMENTS = 50
"""The number of environments in the newest release."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be set of VirtualHome."""

    # Otherwise the formatter puts each argument of a type on its own line.
    # fmt: off
    mode: Annotated[Literal["unity", "graph"], doc(
        'How the home is simulated: "unity" by VirtualHome\'s Unity player, "graph" by the package\'s graph executor '
        "with drawn frames, without a player."
    )] = "graph"
    scenes: Annotated[Listed, doc(
        'Scenes to play, by number or range, for example "0-3,6": the player\'s environments (0 to 49), or in graph '
        "mode the positions of the files in the folder of world.options.graphs. Empty: the environments 0 to 6, or all "
        "files."
    )] = ""
    tasks: Annotated[str, doc(
        "TOML file of tasks, with a [[task]] for each; the README has an example. Empty: tasks are drawn from what the "
        "scenes afford."
    )] = ""
    verbs: Annotated[Listed, doc(
        "Verbs of the tasks that are drawn: some of pick, put, open, close, toggle, sit. Not used with "
        "world.options.tasks."
    )] = ",".join(DRAWN)
    per_verb: Annotated[int, Meta(ge=1, le=50), doc(
        "Most objects of a scene that tasks of each verb are drawn for. Not used with world.options.tasks."
    )] = 3
    task_seed: Annotated[int, doc(
        "Random seed by which tasks are drawn. The same seed gives a scene the same tasks in every episode. Not used "
        "with world.options.tasks."
    )] = 0
    arrange: Annotated[bool, doc(
        "Whether each episode changes at random which things are open or on and, in graph mode, where small things "
        "lie. false: the scene as it is stored."
    )] = True
    admissible: Annotated[bool, doc(
        "Whether each observation, and so the actor's prompt, lists the actions that can be tried. Not all of them "
        "succeed."
    )] = True
    frame: Annotated[int, Meta(ge=32, le=2048), doc(
        "Width and height of the frames.", unit="pixels"
    )] = 300
    max_steps: Annotated[int, Meta(ge=1, le=200), doc(
        "Most actions of an episode. In a run the default is simulator.max_steps, and a higher value has no effect."
    )] = 10
    graphs: Annotated[str, doc(
        "Graph mode: a scene graph in JSON (also gzipped), or a folder of them. Empty: the flat of this package."
    )] = ""
    player: Annotated[str, doc(
        "Unity mode: command line that starts a player. -batchmode, -http-port=N and -logFile F are added. Unity mode "
        "needs either this or world.options.connect. Empty: none is started."
    )] = ""
    connect: Annotated[Listed, doc(
        'Unity mode: addresses of players that run already, for example "127.0.0.1:8080, 127.0.0.1:8081": one for each '
        "episode that is played at the same time. Empty: none."
    )] = ""
    display: Annotated[str, doc(
        'Unity mode: X display of the players that are started, for example ":0". Empty: that of the environment.'
    )] = ""
    gpu: Annotated[int, Meta(ge=-1, le=63), doc(
        "Unity mode: GPU of players that render through Vulkan, by its number in nvidia-smi. -1 spreads players over "
        "the GPUs that CUDA_VISIBLE_DEVICES names, and without that variable leaves the choice to the player. A player "
        "that renders through X uses the display's GPU."
    )] = -1
    character: Annotated[str, doc(
        "Unity mode: character that acts, by the player's name of it."
    )] = "Chars/Female1"
    start_seconds: Annotated[Seconds, doc(
        "Unity mode: time within which a started player must answer, in each try, else it is killed. With "
        "world.options.connect: time to wait for a player that no other episode uses.", unit="seconds"
    )] = 90.0
    reset_seconds: Annotated[Seconds, doc(
        "Unity mode: time within which a scene must be loaded or rearranged, else the episode fails.", unit="seconds"
    )] = 60.0
    call_seconds: Annotated[Seconds, doc(
        "Unity mode: time within which any other call must be answered, else the episode fails.", unit="seconds"
    )] = 30.0
    starts: Annotated[int, Meta(ge=1, le=10), doc(
        "Unity mode: how many times the start of a player is tried before the episode fails."
    )] = 2
    # fmt: on

    @property
    def verb_names(self) -> list[str]:
        return list(dict.fromkeys(map(verb_named, parts(self.verbs))))

    @property
    def addresses(self) -> list[tuple[str, int]]:
        return list(dict.fromkeys(_address(part) for part in parts(self.connect)))

    @property
    def command(self) -> list[str]:
        """The player's command. Its program has an absolute path, because the player runs in its own folder."""
        return command_words(self.player, "player")

    def graph_files(self) -> list[Path]:
        """Returns the graph files. Raises ValueError if there are none."""
        if not self.graphs:
            return [FLAT]
        path = given_path(self.graphs)
        found = sorted((*path.glob("*.json"), *path.glob("*.json.gz"))) if path.is_dir() else [path]
        if not found:
            raise ValueError(f"option 'graphs': {path} has no .json or .json.gz files")
        return found

    def scene_numbers(self) -> list[int]:
        """Returns the scenes to use. Raises ValueError."""
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
    """Converts options by name. Raises ValueError that names the option, the fault and the allowed values."""
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
