"""All settings: one struct for each section of a TOML profile. The defaults are those of the household profile.

Each field has its text, bounds and unit, from which `selu up --dry-run`, docs/SETTINGS.md and error texts are made.
`runtime.settings` reads files and ``--set`` into these structs. Imports nothing heavy.
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
