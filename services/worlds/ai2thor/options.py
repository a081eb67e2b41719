"""The options of the AI2-THOR world, validated before a player is started."""

import os
import re
import shutil
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from runtime.typed import doc
from services.worlds.ai2thor.tasks import OFFERED, SceneTask
from services.worlds.options import (
    Listed,
    Seconds,
    command_words,
    convert_options,
    number_range,
    parts,
    read_task_file,
    verb_named,
)
from services.worlds.spelling import did_you_mean, spelled

ROOMS = {"kitchen": 1, "living room": 201, "bedroom": 301, "bathroom": 401}
"""The first scene number of each room type; each type has 30 scenes."""

_PLAN = r"(?:floor[ _]?plan[ _]?)?"
_NUMBERS = re.compile(rf"{_PLAN}(?P<first>\d+)(?:\s*-\s*{_PLAN}(?P<last>\d+))?(?:_physics)?", re.IGNORECASE)

Degrees = Annotated[float, Meta(ge=20, le=120)]


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be set of AI2-THOR."""

    # Otherwise the formatter puts each argument of a type on its own line.
    # fmt: off
    platform: Annotated[Literal["CloudRendering", "Linux64"], doc(
        'Build of the player that the package ai2thor fetches: "CloudRendering" renders through Vulkan without a '
        'display, "Linux64" needs an X server. Not used with world.options.executable.'
    )] = "CloudRendering"
    executable: Annotated[str, doc(
        "Command line that starts a player of your own. Empty: the package fetches the player that it was built for."
    )] = ""
    display: Annotated[str, doc(
        'X display of the player, for example ":0". Empty: that of the environment variable DISPLAY.'
    )] = ""
    headless: Annotated[bool, doc(
        "The package's own headless mode. It must be false: such a player sends no frames."
    )] = False
    gpu: Annotated[int, Meta(ge=-1, le=63), doc(
        "GPU that renders, by its number in nvidia-smi. -1 spreads players over the GPUs that CUDA_VISIBLE_DEVICES "
        "names, and without that variable leaves the choice to the player."
    )] = -1
    server: Annotated[Literal["fifo", "wsgi"], doc(
        'Connection to the player: "fifo" is named pipes; "wsgi" is HTTP to a port of this machine, which is slower '
        "and starts where the pipes hang."
    )] = "fifo"
    scenes: Annotated[Listed, doc(
        "Scenes to play: names, numbers, ranges or room types (kitchen, living room, bedroom, bathroom), for example "
        '"kitchen, FloorPlan201, 301-305".'
    )] = "kitchen, living room"
    width: Annotated[int, Meta(ge=64, le=4096), doc(
        "Width of the frames, first-person and third-person.", unit="pixels"
    )] = 300
    height: Annotated[int, Meta(ge=64, le=4096), doc(
        "Height of the frames, first-person and third-person.", unit="pixels"
    )] = 300
    quality: Annotated[
        Literal["Very Low", "Low", "Medium", "MediumCloseFitShadows", "High", "Very High", "Ultra"], doc(
        "Rendering quality, by the player's names."
    )] = "Ultra"
    fov: Annotated[Degrees, doc(
        "Vertical field of view of the agent's camera.", unit="degrees"
    )] = 90.0
    camera_fov: Annotated[Degrees, doc(
        "Vertical field of view of the third-person camera, whose frames the critic judges.", unit="degrees"
    )] = 75.0
    visibility: Annotated[float, Meta(gt=0.2, le=20), doc(
        "Distance up to which the agent sees and reaches objects (visibilityDistance).", unit="metres"
    )] = 1.5
    grid: Annotated[float, Meta(ge=0.05, le=1), doc(
        "Length of the agent's steps (gridSize).", unit="metres"
    )] = 0.25
    camera: Annotated[Literal["beside", "behind"], doc(
        'Place of the third-person camera: "beside" shows the agent and the object that it acted on last from the '
        'side, "behind" looks over the agent\'s back.'
    )] = "beside"
    start: Annotated[Literal["random", "scene"], doc(
        'Where the agent starts: "random" anywhere in the scene, "scene" where the scene has it.'
    )] = "random"
    shuffle: Annotated[bool, doc(
        "Whether small objects start at random places (InitialRandomSpawn). false: where the scene has them."
    )] = False
    tasks: Annotated[str, doc(
        "TOML file of tasks, with a [[task]] for each; the README has an example. Empty: tasks are drawn from what the "
        "scenes afford."
    )] = ""
    verbs: Annotated[Listed, doc(
        "Verbs of the tasks that are drawn: some of pick, open, close, break, slice, toggle, fill, empty, clean, "
        "dirty, cook, use, put. Not used with world.options.tasks."
    )] = "pick, put, open, break, slice, toggle"
    objects_per_verb: Annotated[int, Meta(ge=1, le=50), doc(
        "Most objects of a scene (for put: pairs of object and place) that tasks of each verb are drawn for. Not used "
        "with world.options.tasks."
    )] = 3
    task_seed: Annotated[int, Meta(ge=0), doc(
        "Random seed by which tasks are drawn. The same seed gives a scene the same tasks in every episode. Not used "
        "with world.options.tasks."
    )] = 0
    admissible: Annotated[bool, doc(
        "Whether each observation, and so the actor's prompt, lists the actions that the objects' flags allow. Not all "
        "of them succeed."
    )] = True
    max_steps: Annotated[int, Meta(ge=1, le=200), doc(
        "Most actions of an episode. In a run the default is simulator.max_steps, and a higher value has no effect."
    )] = 10
    start_seconds: Annotated[Seconds, doc(
        "Time within which a player must start, else it is killed. The time to fetch the player is not counted.",
        unit="seconds",
    )] = 300.0
    reset_seconds: Annotated[Seconds, doc(
        "Time within which an episode must be set up, else the player is killed.", unit="seconds"
    )] = 120.0
    step_seconds: Annotated[Seconds, doc(
        "Time within which an action or a view must be answered, else the player is killed.", unit="seconds"
    )] = 30.0
    # fmt: on

    @property
    def scene_names(self) -> tuple[str, ...]:
        """All scenes, in the order given. Raises ValueError for an unknown scene."""
        names = dict.fromkeys(scene for part in parts(self.scenes) for scene in scenes_of(part))
        if not names:
            raise ValueError("option 'scenes' of ai2thor is empty: name scenes or room types")
        return tuple(names)

    @property
    def verb_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(map(verb_named, parts(self.verbs))))

    @property
    def written_tasks(self) -> list[SceneTask]:
        """The tasks of the task file. Raises ValueError if the file cannot be used."""
        tasks = read_task_file(self.tasks, SceneTask, OFFERED) if self.tasks else []
        for number, task in enumerate(tasks, 1):
            try:
                _ = scenes_of(str(task.scene)) if task.scene is not None else ()
                task.check_names(known=not self.executable)
            except ValueError as error:
                raise ValueError(f"the task file {self.tasks}, task {number}: {error}") from error
        return tasks


def read_options(options: dict[str, Any]) -> Options:
    """Converts options by name. Raises ValueError that names the option, the fault and the allowed values."""
    read = convert_options(options, Options, "ai2thor")
    _ = read.scene_names, read.written_tasks
    verbs = read.verb_names
    if not verbs or not set(verbs) <= set(OFFERED):
        raise ValueError(f"option 'verbs' of ai2thor is {read.verbs!r}: use some of {', '.join(OFFERED)}")
    _check_drawing(read)
    return read


def _check_drawing(read: Options) -> None:
    """Raises ValueError if no player could start or render."""
    if read.headless:
        raise ValueError(
            "option 'headless' of ai2thor is true: the package then starts its player without graphics, which sends no "
            "frames to learn from. On a machine without a display leave it false: platform = 'CloudRendering' draws "
            "through Vulkan, and executable = 'xvfb-run -a PLAYER' brings a display of its own"
        )
    if read.executable:
        command_words(read.executable, "executable")
    elif read.platform == "Linux64" and not (read.display or os.environ.get("DISPLAY")):
        raise ValueError(
            "option 'platform' of ai2thor is 'Linux64', which needs an X display: set option 'display', e.g. ':0', or "
            "platform = 'CloudRendering', which draws without one"
        )
    if read.gpu >= 0 and (missing := [tool for tool in ("vulkaninfo", "nvidia-smi") if shutil.which(tool) is None]):
        raise ValueError(
            f"option 'gpu' of ai2thor is {read.gpu}, and the package finds GPUs with {' and '.join(missing)}, which "
            "cannot be run here: apt-get install vulkan-tools, or leave gpu at -1"
        )


def scenes_of(part: str) -> list[str]:
    """Returns the scenes that one part of the list stands for."""
    first = next(
        (number for room, number in ROOMS.items() if spelled(part) in (spelled(room), f"{spelled(room)}s")), None
    )
    if first is not None:
        return [f"FloorPlan{first + i}" for i in range(30)]
    found = _NUMBERS.fullmatch(part.strip())
    if found:
        asked = number_range(f"{found['first']}-{found['last'] or found['first']}", max(ROOMS.values()) + 29)
        if asked and all(any(start <= n < start + 30 for start in ROOMS.values()) for n in asked):
            return [f"FloorPlan{n}" for n in asked]
    elif re.fullmatch(r"FloorPlan_(?:Train|Val)\d+_\d+", part):
        return [part]
    raise ValueError(
        f"option 'scenes' of ai2thor names {part!r}{did_you_mean(part, ROOMS)}: scenes are FloorPlan1-30 "
        f"({', '.join(ROOMS)}: 1, 201, 301 and 401 onwards, 30 each), FloorPlan_Train1_1 and the like, or a room type"
    )
