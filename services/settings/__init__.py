"""Everything a person can set, in one place: one struct a section of the TOML profile, defaults being the household's.

Each field carries its text, its bounds and its unit; `selu up --dry-run`, docs/SETTINGS.md and errors are made from
them. `runtime.settings` reads files and ``--set`` into these structs. No heavy import here.
"""

from services.settings.base import Phrasing, Positive, Rate, Samples, Section, Share
from services.settings.operation import Mesh, Metrics, Retention
from services.settings.run import Model, Run, Seeds, World
from services.settings.services import Actor, Critic, Evaluator, Relabeler, Simulator
from services.settings.training import Alarms, Lora, Trainer

__all__ = [
    "Actor",
    "Alarms",
    "Critic",
    "Evaluator",
    "Lora",
    "Mesh",
    "Metrics",
    "Model",
    "Phrasing",
    "Positive",
    "Rate",
    "Relabeler",
    "Retention",
    "Run",
    "Samples",
    "Section",
    "Seeds",
    "Settings",
    "Share",
    "Simulator",
    "Trainer",
    "World",
]


class Settings(Section, frozen=True, kw_only=True):
    """All settings of a run, a field for each section."""

    run: Run = Run()
    world: World = World()
    model: Model = Model()
    simulator: Simulator = Simulator()
    actor: Actor = Actor()
    critic: Critic = Critic()
    relabeler: Relabeler = Relabeler()
    trainer: Trainer = Trainer()
    alarms: Alarms = Alarms()
    evaluator: Evaluator = Evaluator()
    mesh: Mesh = Mesh()
    retention: Retention = Retention()
    metrics: Metrics = Metrics()
