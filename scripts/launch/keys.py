"""The keys of a run's own processes. They are made at every start and deleted with the run's sockets."""

from pathlib import Path

from protocols.topics import OBSERVER
from runtime.keys import KeysFolder
from runtime.runfolder import RunFolder
from scripts.launch.lines import LAUNCHER
from scripts.launch.plan import Plan


def give_keys(plan: Plan, run: RunFolder) -> None:
    """Makes a key for every process of the plan and for the launcher. If the hub requires keys (`mesh.keys`), makes one
    for observers on this machine too.

    Raises:
        KeysError: the run's keys cannot be written, or the keys that the settings name cannot be read.
    """
    keys = plan.settings.mesh.keys
    hub = KeysFolder(Path(keys)).hub_key().public if keys else ""
    holders = {process.instance: process.role for process in plan.processes if process.role != "hub"}
    if hub:
        holders[OBSERVER] = OBSERVER
    holders[LAUNCHER] = LAUNCHER
    for name, role in holders.items():
        run.keys.make(name, role, hub=hub)
