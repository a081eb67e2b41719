"""Checks before a run starts for problems that would otherwise fail minutes into it."""

import importlib.util
import os
import re
import shutil
import socket
from collections.abc import Iterator, Set
from pathlib import Path

from protocols.topics import OBSERVER
from runtime.endpoints import to_listen
from runtime.keys import KeysError, KeysFolder
from runtime.runfolder import RunFolder, RunFolderError
from runtime.settings import SettingsError
from runtime.web import read_token
from scripts.launch.lines import LAUNCHER
from scripts.launch.model_check import model_problems
from scripts.launch.plan import Plan
from scripts.upkeep.sweep import Unreadable, missing_to_learn
from services.settings import Settings
from services.simulator.service import check_seeds
from services.simulator.share import shares
from services.worlds.load import load_world
from services.worlds.virtualhome.options import read_options

DISK_BYTES = 200 << 20
"""Least free disk space with which a run starts."""


def problems(plan: Plan) -> list[str]:
    """All problems of a plan, each with a remedy; empty if the run can start."""
    settings = plan.settings
    return [
        *_simulators(settings),
        *_world(settings),
        *_model(settings),
        *_learner(settings),
        *_heartbeats(settings),
        *_endpoint(plan),
        *_metrics(settings),
        *_disk(plan.folder),
        *_frames(plan),
    ]


def _simulators(settings: Settings) -> Iterator[str]:
    try:
        shares(settings.simulator)
    except ValueError as error:
        yield str(error)


def _world(settings: Settings) -> Iterator[str]:
    try:
        check_seeds(settings)
    except ValueError as error:
        yield f"world.seeds: {error}; move world.seeds apart, or lower what reaches too far"
    try:  # creating a world starts no simulator; the first reset does
        load_world(settings.world, max_steps=settings.simulator.max_steps).close()
    except ValueError as error:
        yield f"world.options: {error}"
    else:
        yield from _players(settings)


def _players(settings: Settings) -> Iterator[str]:
    """Players that run already are fixed in number; missing ones are not started."""
    if settings.world.name != "virtualhome":
        return
    options = read_options(dict(settings.world.options))
    wanted = {"simulator.episodes": min(settings.simulator.episodes, settings.simulator.quota)}
    if settings.evaluator.enabled:
        wanted["evaluator.episodes"] = settings.evaluator.episodes
    there, needed = len(set(options.addresses)), sum(wanted.values())
    if options.mode == "unity" and options.connect and there < needed:
        asked = " + ".join(f"{name} ({count})" for name, count in wanted.items())
        yield f"world.options.connect names {there} players and {asked} need {needed}: start more, or lower these"


def _model(settings: Settings) -> Iterator[str]:
    yield from model_problems(settings)


def _learner(settings: Settings) -> Iterator[str]:
    actor, critic = settings.trainer.actor.rank, settings.trainer.critic.rank
    if settings.trainer.shared and actor != critic:
        yield f"trainer.shared needs one rank: trainer.actor.rank is {actor} and trainer.critic.rank {critic}"
    name = settings.trainer.learner
    if name == "scripted" or (name == "auto" and settings.model.engine == "scripted"):
        return
    missing = [module for module in ("torch", "transformers", "peft") if importlib.util.find_spec(module) is None]
    if missing:
        yield f"training needs {', '.join(missing)}, which cannot be imported; install selu[cpu] or selu[gpu]"


def _heartbeats(settings: Settings) -> Iterator[str]:
    mesh = settings.mesh
    if mesh.session_seconds < 2 * mesh.heartbeat_seconds:
        yield (
            f"mesh.session_seconds ({mesh.session_seconds:g}) is less than twice mesh.heartbeat_seconds "
            f"({mesh.heartbeat_seconds:g}): the hub would give up processes that are alive; raise the first or lower "
            "the second"
        )


def _endpoint(plan: Plan) -> Iterator[str]:
    endpoint, keys = plan.settings.mesh.endpoint, plan.settings.mesh.keys
    if keys and not endpoint:
        yield "mesh.keys is for a tcp endpoint: set mesh.endpoint too, e.g. tcp://0.0.0.0:5555, or leave mesh.keys out"
        return
    try:
        pair = RunFolder(plan.folder).endpoints_for(endpoint, keyed=bool(keys))
        if keys:
            yield from _keys(KeysFolder(Path(keys)), {process.instance for process in plan.processes})
    except (RunFolderError, KeysError) as error:
        yield str(error)
        return
    for one in pair:
        if found := re.fullmatch(r"tcp://(.+):(\d+)", one):
            with socket.socket(socket.AF_INET6 if "[" in found[1] else socket.AF_INET) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((found[1].strip("[]*"), int(found[2])))
                except OSError as error:
                    yield f"cannot listen at {one} ({error.strerror}): set mesh.endpoint to another port, or empty"


def _keys(folder: KeysFolder, instances: Set[str]) -> Iterator[str]:
    folder.hub_key()
    for entry in folder.allowed():
        if entry.name in instances | {LAUNCHER, OBSERVER}:
            yield f"the key {entry.name!r} in {folder.path} has the name of one of this run's own processes: revoke it"


def _metrics(settings: Settings) -> Iterator[str]:
    """Checks that the port is free, and that a token is set if other machines can connect."""
    wanted = settings.metrics
    if not wanted.port:
        return
    try:
        read_token(wanted.host, wanted.token_file)
        host = to_listen(wanted.host)
        with socket.create_server((host, wanted.port), family=_family(host)):
            pass
    except SettingsError as error:
        yield str(error)
    except OSError as error:
        # The text of create_server's error repeats the address, os.strerror does not. gaierror has codes of its own.
        unknown = isinstance(error, socket.gaierror) or not error.errno
        why = error.strerror or str(error) if unknown else os.strerror(error.errno or 0)
        yield f"cannot answer at {wanted.host} port {wanted.port} ({why}): set metrics.port to another, or 0"


def _disk(folder: Path) -> Iterator[str]:
    try:
        place = RunFolder(folder).path
        there = next(path for path in (place, *place.parents) if path.exists())
        free = shutil.disk_usage(there).free
    except (OSError, RunFolderError) as error:
        yield f"cannot look at the run folder {folder}: {error}"
        return
    if free < DISK_BYTES:
        yield f"{there} has {free >> 20} MiB left and a run needs {DISK_BYTES >> 20}: free space, or give --run"


def _frames(plan: Plan) -> Iterator[str]:
    """Reports a resumed run whose settings train on rounds whose frames retention has deleted."""
    if not plan.resume:
        return
    try:
        if rounds := missing_to_learn(RunFolder(plan.folder), plan.settings):
            yield (
                f"these settings train on frames of round {', '.join(map(str, rounds))}, which retention let go: "
                "leave trainer.replay, trainer.actor.max_rows and trainer.critic.max_rows as they were"
            )
    except Unreadable as error:
        yield str(error)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
