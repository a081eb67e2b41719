"""Finds problems of a run folder, with remedies. Read-only, so it works during a run too."""

import re
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil

from protocols.codec import digest as digest_of
from protocols.messages import Digest
from protocols.topics import TOPICS
from runtime.blobs import BlobStore
from runtime.log import Log, LogFormatError, Mark
from runtime.runfolder import RunFolder
from runtime.settings import SettingsError, load
from runtime.streams import Delivery
from scripts.launch.finding import Finding
from scripts.output import told
from scripts.upkeep.contents import Contents, shortly
from scripts.upkeep.sweep import measured_on, rounds_let_go
from services.report.numbers import size
from services.report.state import ReportState
from services.settings import Settings

SCRATCH = (".training-*", ".*-" + "[0-9a-f]" * 32)
"""Names that a killed process leaves among the adapters: a training's folder, an incompletely written folder."""


class Found(msgspec.Struct, kw_only=True):
    """The result of an inspection: ``findings`` for the user, the other fields for `repair`."""

    findings: list[Finding] = []
    live: bool = False
    leftovers: list[Path] = []
    damaged_blobs: list[Digest] = []
    damaged_adapters: list[Path] = []
    restorable: list[Path] = []
    """Files of unpacked adapters whose blobs are missing or damaged."""
    sound: set[Digest] = set()
    """The blobs that exist and match their digests."""
    torn_lines: list[Path] = []
    stale_sockets: bool = False
    beyond: int | None = None
    """The log's tail, if the offsets of some groups are beyond it."""

    def say(self, what: str, trouble: str, fine: str, do: str, *, state: str = "fail") -> None:
        """Adds one finding: the problem if there is one, else an ok."""
        if trouble:
            self.findings.append(Finding(what=what, state=state, found=trouble, do=do))  # type: ignore[arg-type]
        else:
            self.findings.append(Finding(what=what, state="ok", found=fine))


def inspect(run: RunFolder, *, live: bool | None = None) -> Found:
    """Checks everything in the folder; reads every blob once. ``live``: the folder is in use (None: test its lock)."""
    found = Found(live=run.in_use() if live is None else live)
    _processes(run, found)
    settings = _settings(run, found)
    if (contents := _log(run, settings, found)) is not None:
        with _readable("blobs", found):
            _blobs(run, contents, found)
        with _readable("adapters", found):
            _adapters(run, contents, found)
    with _readable("leftovers", found):
        _leftovers(run, found)
    return found


@contextmanager
def _readable(what: str, found: Found) -> Generator[None]:
    """Reports files that cannot be read as a finding; the inspection continues."""
    try:
        yield
    except OSError as error:
        state = "warn" if isinstance(error, PermissionError) else "fail"  # missing permission is no damage
        do = "look as the user who owns it" if state == "warn" else "restore it from a copy, or look after the disk"
        found.say(what, f"cannot be read: {told(error)}", "", do, state=state)


def _processes(run: RunFolder, found: Found) -> None:
    ours: list[str] = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        line = process.info["cmdline"] or []
        if "runtime.child" in line and "--run" in line and line[line.index("--run") + 1 :][:1] == [str(run.path)]:
            ours.append(f"{line[line.index('runtime.child') + 1]} ({process.pid})")
    if found.live:
        told = f"in use by {', '.join(ours)}" if ours else "in use by a launcher"
        found.findings.append(Finding(what="processes", state="ok", found=f"{told}; what is written now may look odd"))
        return
    found.say(
        "processes",
        f"left behind without a launcher: {', '.join(ours)}" if ours else "",
        "none, nobody holds the folder",
        "end them with `kill` and the numbers above",
    )


def _settings(run: RunFolder, found: Found) -> Settings:
    try:
        settings = load(Settings, file=run.settings_file)
    except SettingsError as error:
        found.say("settings", str(error), "", "mend settings.toml: without it the run cannot be resumed or replayed")
        return Settings()
    found.say("settings", "", f"{run.settings_file.name} reads", "")
    return settings


# -- the log


def _log(run: RunFolder, settings: Settings, found: Found) -> Contents | None:
    try:
        log = Log(run.log_file, readonly=True)
    except LogFormatError as error:
        found.say("log", str(error), "", "restore log.sqlite from a copy; a run that never began has none")
        return None
    try:
        problems = log.problems()
        found.say("log", shortly(problems), f"whole, {log.tail()} messages", "restore log.sqlite from a copy")
        contents, state = Contents(settings), ReportState()
        after = 0
        try:
            while records := log.read(after=after):
                for record in records:
                    if (message := contents.apply(record)) is not None:
                        state.apply(Delivery(record.topic, record.offset, record.id, "", 0.0, message))
                    after = record.offset
            marks = log.marks()
        except (sqlite3.DatabaseError, LogFormatError) as error:
            found.say("messages", f"unreadable after offset {after}: {error}", "", "restore log.sqlite from a copy")
            return None
    finally:
        log.close()
    counted = ", ".join(f"{count} {name}" for name, count in contents.topics.items()) or "none"
    found.say("messages", shortly(contents.broken), counted, "restore log.sqlite from a copy")
    if contents.newer:
        found.say("schema", f"{contents.newer} messages are of a newer schema", "", "use the newer selu", state="warn")
    found.say(
        "rounds",
        f"missing of rounds that were learned from: {shortly(state.lost)}" if state.lost else "",
        f"{sum(map(len, state.trajectories.values()))} trajectories, none lost",
        "restore log.sqlite from a copy: what was learned cannot be traced without them",
    )
    _groups(marks, contents.tail, found)
    return contents


def _groups(marks: list[Mark], tail: int, found: Found) -> None:
    odd = [f"{mark.group} reads {mark.topic}, which is no durable topic" for mark in marks if not _durable(mark.topic)]
    beyond = [mark for mark in marks if max((mark.committed, *mark.above)) > tail]
    odd += [
        f"{m.group} stands at {max((m.committed, *m.above))} of {m.topic}, and the log ends at {tail}" for m in beyond
    ]
    odd += [
        f"{m.group} of {m.topic} has offsets below its own mark"
        for m in marks
        if any(o <= m.committed for o in m.above)
    ]
    if beyond:
        found.beyond = tail
    found.say(
        "groups",
        shortly(odd),
        ", ".join(f"{mark.group}:{mark.topic} at {mark.committed}" for mark in marks[:4]) or "none",
        "`selu doctor RUN --repair` takes them back to the end of the log, so that they miss nothing that comes",
    )


def _durable(name: str) -> bool:
    return name in TOPICS and TOPICS[name].durable


# -- blobs and adapters


def _blobs(run: RunFolder, contents: Contents, found: Found) -> None:
    store = BlobStore(run.blobs)
    measured = measured_on(run)  # before listing blobs: a blob is stored before it is named, so none seems missing
    there, bytes_there = set[Digest](), 0
    for stored in store.entries():
        try:
            data = store.path(stored.digest).read_bytes()
        except FileNotFoundError:  # deleted by retention since it was listed
            continue
        there.add(stored.digest)
        bytes_there += stored.size
        if digest_of(data) == stored.digest:
            found.sound.add(stored.digest)
        else:
            found.damaged_blobs.append(stored.digest)
    holdings = contents.holdings
    gone_rounds = rounds_let_go(run)
    kept = [number for number in holdings.rounds if number not in gone_rounds]
    wanted = holdings.permanent | holdings.to_learn_from | holdings.frames(kept) | measured
    missing = sorted(wanted - there)
    excused = len((holdings.named | measured) - there - wanted)
    told = [f"{digest[:12]} ({_owner(digest, contents)})" for digest in missing]
    found.say(
        "blobs",
        f"{len(missing)} missing: {shortly(told)}" if missing else "",
        f"{len(there)} of {size(bytes_there)}, every one that is needed is there",
        "copy them back into blobs/ under their names; `--repair` does so where an unpacked adapter has them",
    )
    found.say(
        "digests",
        f"{len(found.damaged_blobs)} blobs do not match their names: {shortly(found.damaged_blobs)}"
        if found.damaged_blobs
        else "",
        "every blob is what its name says",
        "`selu doctor RUN --repair` sets them aside, so that they can be written again",
    )
    if gone_rounds:
        rounds = ", ".join(map(str, sorted(gone_rounds)))
        found.say("retention", "", f"{excused} frames of rounds {rounds} were let go on purpose", "")
    if orphans := len(there - holdings.named - measured):
        found.say("orphans", "", f"{orphans} blobs that no message names; `selu compact` lets go of them", "")


def _owner(digest: Digest, contents: Contents) -> str:
    if (name := contents.files().get(digest)) is not None:
        return name
    rounds = [number for number in contents.holdings.rounds if digest in contents.holdings.frames([number])]
    return f"a frame of round {rounds[0]}" if rounds else "a dataset, or a frame to measure on"


def _adapters(run: RunFolder, contents: Contents, found: Found) -> None:
    intact = 0
    strange: list[str] = []
    for folder in sorted(run.adapters.iterdir()) if run.adapters.is_dir() else []:
        if any(folder.match(pattern) for pattern in SCRATCH):
            if not found.live:
                found.leftovers.append(folder)
            continue
        shape = re.fullmatch(r"(.+@\d+)-([0-9a-f]{12})", folder.name)
        adapter = contents.adapters.get(shape[1]) if shape else None
        if shape is None or adapter is None or not adapter.digest.startswith(shape[2]):
            strange.append(f"{folder.name} is in no message")
            continue
        files = {file: digest_of(file.read_bytes()) for file in folder.iterdir()}
        lost = set(adapter.files.values()) - found.sound
        found.restorable += [file for file, digest in files.items() if digest in lost]
        if {file.name: digest for file, digest in files.items()} == adapter.files:
            intact += 1
        elif not lost:
            found.damaged_adapters.append(folder)
        else:
            strange.append(f"{folder.name} is damaged, and so are its blobs")
    found.say(
        "adapters",
        f"damaged: {shortly([folder.name for folder in found.damaged_adapters])}" if found.damaged_adapters else "",
        f"{len(contents.adapters)} trained, {intact} unpacked and as they were published",
        "`selu doctor RUN --repair` removes the copies; they are made again from the blobs",
    )
    if strange:
        found.say(
            "adapters", shortly(strange), "", "look at them by hand: here may be all that is left of them", state="warn"
        )


# -- leftovers of killed processes


def _leftovers(run: RunFolder, found: Found) -> None:
    if not found.live:  # incomplete files of a running mesh are still being written
        found.leftovers += BlobStore(run.blobs).halves() if run.blobs.is_dir() else []
        found.leftovers += sorted(run.path.glob("*.part"))
        found.leftovers += sorted(run.path.glob(".summary.json.*")) + sorted(run.path.glob(".report.html.*"))
        found.torn_lines = [
            file for file in (run.metrics_file, *(run.path / "evaluation").glob("*.jsonl")) if _torn(file)
        ]
        found.stale_sockets = run.endpoints_file.exists() or run.sockets_link.is_symlink()
    lying = [str(path.relative_to(run.path)) for path in found.leftovers]
    lying += [f"half a line at the end of {file.name}" for file in found.torn_lines]
    lying += ["sockets of a mesh that is gone"] if found.stale_sockets else []
    found.say(
        "leftovers", shortly(lying), "none", "`selu doctor RUN --repair` removes them; they hurt nobody", state="warn"
    )


def _torn(file: Path) -> bool:
    try:
        with file.open("rb") as lines:
            if lines.seek(0, 2) == 0:
                return False
            lines.seek(-1, 2)
            return lines.read(1) != b"\n"
    except FileNotFoundError:
        return False
