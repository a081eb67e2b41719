"""A run folder as a whole run leaves it, made in milliseconds: the trainer's story, written to a log and blobs."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from protocols.codec import digest, seal
from protocols.messages import Adapter, Dropped, Message, Relabel, Round, Swap, Trajectory, Verdict
from runtime.blobs import BlobStore
from runtime.log import Append, Log
from runtime.runfolder import RunFolder
from runtime.settings import dump
from services.settings import Retention, Run, Settings, Simulator
from services.trainer.dataset import dataset_bytes
from services.trainer.state import Event
from tests.trainer.story import Story

SETTINGS = Settings(run=Run(rounds=3), simulator=Simulator(quota=6))


def with_retention(rounds: int = 0, gib: float = 0.0, settings: Settings = SETTINGS) -> Settings:
    return msgspec.structs.replace(settings, retention=Retention(rounds=rounds, gib=gib))


def named(event: Event) -> tuple[str, str]:
    """Topic and id of a story's event, as the services name them."""
    match event:
        case Round():
            return "rounds", f"r{event.number}/{event.phase}"
        case Trajectory():
            return "trajectories", event.id
        case Verdict():
            return "verdicts", f"{event.trajectory}/{event.subject}/c{event.critic_version}"
        case Relabel():
            return "relabels", event.trajectory
        case Adapter():
            return "adapters", f"{event.role}@{event.version}"
        case Swap():
            return "swaps", f"{event.instance}/{event.role}@{event.version}"
        case Dropped():
            return "dropped", event.trajectory


def append(topic: str, id: str, message: Message) -> Append:
    return Append(topic, id, seal(topic, message, id=id, producer="story", seq=1))


def make_run(path: Path, settings: Settings = SETTINGS) -> tuple[RunFolder, Story]:
    """A finished run and the story it tells. Its frames hold their own names' texts."""
    story = Story(settings)
    story.run()
    run = RunFolder.create(path)
    run.write_settings(dump(settings))
    for data in blobs_of(story):
        path = BlobStore(run.blobs).path(digest(data))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)  # not `put`: a hundred fsyncs prove nothing here
    log = Log(run.log_file)
    log.write([append(*named(event), event) for event in story.events])
    log.close()
    return run, story


def blobs_of(story: Story) -> Iterator[bytes]:
    for event in story.events:
        if isinstance(event, Trajectory):
            for text in (*map(str, range(len(event.steps))), "end"):
                yield f"{event.round}/{event.index}/{text}".encode()
        if isinstance(event, Adapter):
            yield f"{event.role}@{event.version}/{event.dataset}".encode()
    for work in story.trained.values():
        yield dataset_bytes(work.rows)
