"""What can be set of the AI2-THOR world, validated before any player is started."""

import os
import re
import shutil
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

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
"""The number of the first of each room type's 30 scenes."""

_PLAN = r"(?:floor[ _]?plan[ _]?)?"
_NUMBERS = re.compile(rf"{_PLAN}(?P<first>\d+)(?:\s*-\s*{_PLAN}(?P<last>\d+))?(?:_physics)?", re.IGNORECASE)

Degrees = Annotated[float, Meta(ge=20, le=120)]


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``platform``: "CloudRendering" renders without a display, through Vulkan; "Linux64" needs an X server.
    ``executable``: a player of your own instead, as a command line; else the package fetches the one it was built for.
    ``display``: the X display, by default that of the environment. ``headless`` players of the package draw nothing,
    so it must be false. ``gpu``: which GPU renders, as nvidia-smi counts them; -1 takes those that
    CUDA_VISIBLE_DEVICES names, in turn, and without it leaves the choice to the player. ``server``: what the player
    speaks over: named pipes ("fifo"), or HTTP to a port of this machine ("wsgi"), which is slower and starts where
    pipes hang.
    ``scenes``: scene names, numbers, ranges or room types, e.g. "kitchen, FloorPlan201, 301-305".
    ``width``, ``height``: of both views, in pixels. ``quality``: the player's own name of it. ``fov``: vertical field
    of view of the agent's camera, ``camera_fov`` of the third-person one, in degrees. ``visibility``: how far the agent
    can see and reach, in metres. ``grid``: the step of its walking, in metres.
    ``camera``: where the third-person view is taken from: beside agent and object, or from behind the agent.
    ``start``: the agent starts where the scene has it, or anywhere ("random"). ``shuffle``: small objects start
    anywhere.
    ``tasks``: a TOML file of tasks, instead of those drawn from what scenes afford; ``verbs``: which are drawn;
    ``objects_per_verb``: how many objects (or pairs) of a scene each verb gets, always the same for a ``task_seed``.
    ``admissible``: list the acts that the objects' own flags allow in each observation.
    ``start_seconds`` (of the player alone; fetching it may take longer), ``reset_seconds``, ``step_seconds``: after
    which a player is killed.
    """

    platform: Literal["CloudRendering", "Linux64"] = "CloudRendering"
    executable: str = ""
    display: str = ""
    headless: bool = False
    gpu: Annotated[int, Meta(ge=-1, le=63)] = -1
    server: Literal["fifo", "wsgi"] = "fifo"
    scenes: Listed = "kitchen, living room"
    width: Annotated[int, Meta(ge=64, le=4096)] = 300
    height: Annotated[int, Meta(ge=64, le=4096)] = 300
    quality: Literal["Very Low", "Low", "Medium", "MediumCloseFitShadows", "High", "Very High", "Ultra"] = "Ultra"
    fov: Degrees = 90.0
    camera_fov: Degrees = 75.0
    visibility: Annotated[float, Meta(gt=0.2, le=20)] = 1.5
    grid: Annotated[float, Meta(ge=0.05, le=1)] = 0.25
    camera: Literal["beside", "behind"] = "beside"
    start: Literal["random", "scene"] = "random"
    shuffle: bool = False
    tasks: str = ""
    verbs: Listed = "pick, put, open, break, slice, toggle"
    objects_per_verb: Annotated[int, Meta(ge=1, le=50)] = 3
    task_seed: Annotated[int, Meta(ge=0)] = 0
    admissible: bool = True
    max_steps: Annotated[int, Meta(ge=1, le=200)] = 10
    start_seconds: Seconds = 300.0
    reset_seconds: Seconds = 120.0
    step_seconds: Seconds = 30.0

    @property
    def scene_names(self) -> tuple[str, ...]:
        """All scenes, in the order given. Raises ValueError for one there is not."""
        names = dict.fromkeys(scene for part in parts(self.scenes) for scene in scenes_of(part))
        if not names:
            raise ValueError("option 'scenes' of ai2thor is empty: name scenes or room types")
        return tuple(names)

    @property
    def verb_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(map(verb_named, parts(self.verbs))))

    @property
    def written_tasks(self) -> list[SceneTask]:
        """Raises ValueError for a file that cannot be used."""
        tasks = read_task_file(self.tasks, SceneTask, OFFERED) if self.tasks else []
        for number, task in enumerate(tasks, 1):
            try:
                _ = scenes_of(str(task.scene)) if task.scene is not None else ()
                task.check_names(known=not self.executable)
            except ValueError as error:
                raise ValueError(f"the task file {self.tasks}, task {number}: {error}") from error
        return tasks


def read_options(options: dict[str, Any]) -> Options:
    """The options given by name. Raises ValueError that names the option, what is wrong and what there is."""
    read = convert_options(options, Options, "ai2thor")
    _ = read.scene_names, read.written_tasks
    verbs = read.verb_names
    if not verbs or not set(verbs) <= set(OFFERED):
        raise ValueError(f"option 'verbs' of ai2thor is {read.verbs!r}: use some of {', '.join(OFFERED)}")
    _check_drawing(read)
    return read


def _check_drawing(read: Options) -> None:
    """Raises ValueError where no player could start, or it would draw nothing."""
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
    """The scenes a part of the list means."""
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
