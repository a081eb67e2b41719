"""Reads a run folder into the report's state and contents. The only I/O of the report."""

from collections.abc import Iterator

from protocols.errors import ProtocolError
from protocols.messages import Digest
from runtime.blobs import BlobStore
from runtime.log import Log
from runtime.metrics import read_metrics
from runtime.runfolder import RunFolder
from runtime.streams import Delivery, delivery
from services.report.frames import Frames
from services.report.page import Material
from services.report.samples import Gathering, choose
from services.report.state import READS, ReportState
from services.report.summary import Summary
from services.settings import Trainer


def deliveries(run: RunFolder, topics: tuple[str, ...] = READS, *, after: int = 0) -> Iterator[Delivery]:
    """The logged messages of these topics above offset `after`, oldest first. Undecodable messages are left out.

    The log may be in use by a running hub.

    Raises:
        LogFormatError: the log is missing, or has another version's format.
    """
    log = Log(run.log_file, readonly=True)
    try:
        while records := log.read(after=after, topics=topics):
            for record in records:
                after = record.offset
                try:
                    yield delivery(record.envelope, record.offset)
                except ProtocolError:
                    continue
    finally:
        log.close()


def load_state(run: RunFolder, *, holdback: float = Trainer().holdback) -> ReportState:
    """The state of a run from its log and metrics, merged by time. Raises as `deliveries`."""
    state = ReportState(holdback=holdback)
    rows = read_metrics(run.metrics_file)
    row = next(rows, None)
    for found in deliveries(run):
        while row is not None and row["time"] <= found.time:
            state.note(row)
            row = next(rows, None)
        state.apply(found)
    while row is not None:
        state.note(row)
        row = next(rows, None)
    return state


def gather(run: RunFolder, state: ReportState, summary: Summary, settings: str) -> Material:
    """The contents of a run's report. Reads the log a second time for the chosen samples, then their frames."""
    gathering = Gathering(choose(state), state.dropped)
    for found in deliveries(run, ("trajectories", "verdicts", "relabels")):
        gathering.apply(found.message)
    samples = gathering.samples()
    frames = Frames(BlobStore(run.blobs))
    shown: dict[Digest, str] = {}
    # Last frames first: they matter most if the budget runs out, because verdicts are about them.
    finals = [sample.trajectory.final_frame for sample in samples if sample.trajectory.final_frame]
    for name in finals + [step.frame for sample in samples for step in sample.trajectory.steps]:
        if (uri := frames.uri(name)) is not None:
            shown[name] = uri
    return Material(
        summary=summary,
        evaluations=state.evaluations,
        faults=tuple(state.faults),
        samples=samples,
        frames=shown,
        settings=settings,
    )
