"""Settings of how a run is operated: its mesh of processes, what it keeps on disk, and where it can be watched."""

from typing import Annotated

from msgspec import Meta

from runtime.typed import doc
from services.settings.base import Rate, Section

# The formatter would give each argument of a type a line of its own.
# fmt: off


class Mesh(Section, frozen=True, kw_only=True):
    """The processes of a run and how they reach each other."""

    endpoint: Annotated[str, doc(
        "Address at which the hub listens: tcp://HOST:PORT, where the next port is taken too. Empty: a Unix socket in "
        "a private folder, for this user on this machine. An address that other machines can reach needs mesh.keys."
    )] = ""
    keys: Annotated[str, doc(
        "Folder of the keys that are let in, made by selu keys make. With it all traffic is encrypted (CURVE); it "
        "needs a tcp endpoint. Empty: no keys."
    )] = ""
    call_seconds: Annotated[Rate, doc(
        "Longest wait for an answer of the actor or the critic. A call without an answer is tried again, 5 times in "
        "all.", unit="seconds"
    )] = 120.0
    heartbeat_seconds: Annotated[Rate, doc(
        "Interval of the messages by which every process tells the hub that it is alive. It must be well below "
        "mesh.session_seconds.", unit="seconds"
    )] = 0.5
    session_seconds: Annotated[Rate, doc(
        "Silence after which the hub takes a process for gone: what it had been given and has not acknowledged goes to "
        "others.", unit="seconds"
    )] = 5.0
    grace_seconds: Annotated[Rate, doc(
        "Time for a process to end after SIGTERM before it is killed. The hub has 2 seconds at most.", unit="seconds"
    )] = 5.0
    restarts: Annotated[int, Meta(ge=0, le=100), doc(
        "How many times a process that dies is started again within 10 minutes. One more death ends the run, which can "
        "then be resumed."
    )] = 5


class Retention(Section, frozen=True, kw_only=True):
    """Which frames of old rounds are deleted while the run goes on; docs/OPERATIONS.md has the whole policy."""

    rounds: Annotated[int, Meta(ge=0), doc(
        "Number of closed rounds, the newest ones, whose frames are kept. 0 keeps those of all rounds. Frames that a "
        "training to come, a measurement or a consumer group still needs are kept in any case."
    )] = 0
    gib: Annotated[float, Meta(ge=0), doc(
        "Most disk space for the frames, adapters and training sets of a run. The frames of the oldest closed rounds "
        "are deleted first; adapters, training sets and frames still needed are kept in any case. 0: no bound.",
        unit="GiB",
    )] = 0.0


class Metrics(Section, frozen=True, kw_only=True):
    """The HTTP server of the launcher, with /healthz and /metrics (Prometheus)."""

    port: Annotated[int, Meta(ge=0, le=65535), doc(
        "TCP port of /healthz and /metrics. 0: no server."
    )] = 0
    host: Annotated[str, doc(
        "Address that the server listens at. One that other machines can reach needs metrics.token_file."
    )] = "127.0.0.1"
    token_file: Annotated[str, doc(
        "File with the token that every request must send (Authorization: Bearer TOKEN): at least 16 characters, "
        "readable by its owner only. Empty: no token is asked for."
    )] = ""
