"""What can be set of the AI2-THOR world, validated before any player is started."""

import re
import shlex
import shutil
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from services.worlds.ai2thor.tasks import OFFERED, TaskFile, read_task_file
from services.worlds.process import Deadlines

ROOMS = {"kitchen": 1, "living room": 201, "bedroom": 301, "bathroom": 401}
"""The number of the first of each room type's 30 scenes."""

Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Degrees = Annotated[float, Meta(ge=20, le=120)]


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``platform``: "CloudRendering" renders without a display, through Vulkan; "Linux64" needs an X server.
    ``executable``: a player of your own instead, as a command line; else the package fetches the one it was built for.
    ``display``: the X display, by default that of the environment. ``headless`` players of the package draw nothing,
    so it must be false. ``gpu``: which GPU renders; -1 leaves it to the player.
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
    ``start_seconds``, ``reset_seconds``, ``step_seconds``: after which a player is killed.
    """

    platform: Literal["CloudRendering", "Linux64"] = "CloudRendering"
    executable: str = ""
    display: str = ""
    headless: bool = False
    gpu: Annotated[int, Meta(ge=-1, le=63)] = -1
    scenes: str = "kitchen, living room"
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
    verbs: str = "pick, put, open, break, slice, toggle"
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
        names = dict.fromkeys(scene for part in _parts(self.scenes) for scene in _scenes(part))
        if not names:
            raise ValueError("option 'scenes' of ai2thor is empty: name scenes or room types")
        return tuple(names)

    @property
    def verb_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_parts(self.verbs)))

    @property
    def task_file(self) -> TaskFile | None:
        return read_task_file(Path(self.tasks)) if self.tasks else None

    @property
    def deadlines(self) -> Deadlines:
        return Deadlines(start=self.start_seconds, reset=self.reset_seconds, step=self.step_seconds)


def read_options(options: dict[str, Any]) -> Options:
    """The options given by name. Raises ValueError that names the option, what is wrong and what there is."""
    unknown = sorted(set(options) - set(Options.__struct_fields__))
    if unknown:
        raise ValueError(
            f"ai2thor has no option {unknown[0]!r}: its options are {', '.join(Options.__struct_fields__)}"
        )
    try:
        read = msgspec.convert(options, Options)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        name = where.rstrip("`") or "?"
        raise ValueError(f"option {name!r} of ai2thor is {options.get(name)!r}: {what}") from error
    _check(read)
    return read


def _check(read: Options) -> None:
    if read.headless:
        raise ValueError(
            "option 'headless' of ai2thor is true: such players draw no frames; platform = 'CloudRendering' renders "
            "without a display"
        )
    if read.executable:
        words = shlex.split(read.executable)
        if not words or shutil.which(words[0]) is None:
            raise ValueError(
                f"option 'executable' of ai2thor is {read.executable!r}, which is no program; give its path"
            )
    names = read.scene_names
    verbs = read.verb_names
    strange = [verb for verb in verbs if verb not in OFFERED]
    if strange or not verbs:
        raise ValueError(f"option 'verbs' of ai2thor is {read.verbs!r}: use some of {', '.join(OFFERED)}")
    if file := read.task_file:
        for task in file.tasks:
            if task.scene is None and not names:
                raise ValueError(f"{read.tasks}: a task names no scene and option 'scenes' is empty")
            if task.scene is not None:
                _scenes(task.scene)


def _parts(text: str) -> list[str]:
    return [part for part in (" ".join(piece.split()) for piece in text.split(",")) if part]


def _scenes(part: str) -> list[str]:
    """The scenes a part of the list means."""
    room = part.lower().removesuffix("s") if part.lower() not in ROOMS else part.lower()
    if room in ROOMS:
        return [f"FloorPlan{ROOMS[room] + i}" for i in range(30)]
    found = re.fullmatch(r"(?:FloorPlan)?(?P<first>\d+)(?:\s*-\s*(?:FloorPlan)?(?P<last>\d+))?(?:_physics)?", part)
    if found:
        first, last = int(found["first"]), int(found["last"] or found["first"])
        numbers = [n for n in range(first, last + 1) if any(start <= n < start + 30 for start in ROOMS.values())]
        if numbers and len(numbers) == last - first + 1:
            return [f"FloorPlan{n}" for n in numbers]
    elif re.fullmatch(r"FloorPlan_(?:Train|Val)\d+_\d+", part):
        return [part]
    raise ValueError(
        f"option 'scenes' of ai2thor names {part!r}: scenes are FloorPlan1-30 ({', '.join(ROOMS)}: 1, 201, 301 and 401 "
        "onwards, 30 each), FloorPlan_Train1_1 and the like, or a room type"
    )
