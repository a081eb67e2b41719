"""The plan of a run: its settings, folder and processes. Has no side effects, except for `Plan.create`."""

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from runtime.paths import given_path, is_file
from runtime.runfolder import RunFolder, RunFolderError
from runtime.settings import SettingsError, load
from scripts.launch.resolve import MODELS as MODELS
from scripts.launch.resolve import resolve
from scripts.launch.resume import check_resumed
from services.setting_kinds import with_absolute_paths
from services.settings import Settings

PROFILES = Path(__file__).parents[1] / "profiles"
METHODS = Path(__file__).parents[1] / "methods"

HUB_GRACE_SECONDS = 2.0


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """One process of the mesh. Processes of higher stages end first. ``grace`` is the time to end, in seconds."""

    instance: str
    role: str
    stage: int
    grace: float


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The settings, folder and processes of a run.

    ``profile`` is the displayed name of the settings' source. ``resume`` is true if the folder has a run already.
    """

    settings: Settings
    profile: str
    folder: Path
    resume: bool
    numbered: bool = False
    """Whether `create` may append a number to the folder's name. True if the user did not name the folder."""

    def create(self) -> "Plan":
        """Creates the new run's folder and returns the plan with its final path.

        Raises:
            RunFolderError: the folder cannot be created, or the path exists.
        """
        made = RunFolder.create_numbered(self.folder) if self.numbered else RunFolder.create(self.folder)
        return msgspec.structs.replace(self, folder=made.path)

    @property
    def processes(self) -> list[Process]:
        """The hub first, then the services. Each process of a role has a number, from 0."""
        counts = {"simulator": self.settings.simulator.instances, "actor": 1, "critic": 1, "relabeler": 1, "trainer": 1}
        if self.settings.evaluator.enabled:
            counts["evaluator"] = 1
        grace = self.settings.mesh.grace_seconds
        hub = Process(instance="hub", role="hub", stage=0, grace=min(grace, HUB_GRACE_SECONDS))
        return [
            hub,
            *(
                Process(instance=f"{role}-{number}", role=role, stage=1, grace=grace)
                for role, count in counts.items()
                for number in range(count)
            ),
        ]


def profiles() -> dict[str, Path]:
    """The profiles in this package, by name."""
    return {file.stem: file for file in sorted(PROFILES.glob("*.toml"))}


def profile_file(name: str) -> Path:
    """The file of the profile with that name, or the file with that path.

    Raises:
        SettingsError: neither exists.
    """
    return _file("profile", name, profiles())


def methods() -> dict[str, Path]:
    """The methods in this package, by name. Each is a file of settings that override the profile's."""
    return {file.stem: file for file in sorted(METHODS.glob("*.toml"))}


def method_file(name: str) -> Path:
    """The file of the method with that name, or the file with that path.

    Raises:
        SettingsError: neither exists.
    """
    return _file("method", name, methods())


def _file(kind: str, name: str, known: dict[str, Path]) -> Path:
    if name in known:
        return known[name]
    if is_file(given_path(name)):
        return given_path(name)
    raise SettingsError(f"no {kind} {name!r}: give one of {', '.join(known)}, or the path of a TOML file")


def new_plan(
    profile: str,
    *,
    model: Path | None = None,
    method: str | None = None,
    folder: Path | None = None,
    overrides: Sequence[str] = (),
) -> Plan:
    """The plan of a new run.

    Settings come from the profile, then the model's family, then the method, then the overrides; later ones win.
    Without `folder`, the run goes to runs/<time>-<profile>[-<method>].

    Raises:
        SettingsError: the profile, the method or an override is not valid.
    """
    file = profile_file(profile)
    name = file.stem if method is None else f"{file.stem}-{method_file(method).stem}"
    over = [] if method is None else [method_file(method)]
    settings = resolve(file, model=model, over=over, overrides=overrides)
    numbered = folder is None
    folder = Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-{name}" if folder is None else given_path(folder)
    return Plan(settings=settings, profile=name, folder=folder, resume=False, numbered=numbered)


def resumed_plan(folder: Path, *, overrides: Sequence[str] = ()) -> Plan:
    """The plan of a resumed run, with its own settings and the overrides.

    Raises:
        RunFolderError: the folder has no run of this version.
        SettingsError: an override is not valid, or changes a setting that must stay the same.
    """
    run = RunFolder.open(folder)
    if not run.settings_file.exists() and not run.log_file.exists():
        raise RunFolderError(f"the run in {run.path} has not begun: delete the folder, and start the run again")
    before = load(Settings, file=run.settings_file)
    settings = with_absolute_paths(load(Settings, file=run.settings_file, overrides=overrides))
    check_resumed(run, before, settings)
    return Plan(settings=settings, profile="resumed", folder=run.path, resume=True)
