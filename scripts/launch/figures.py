"""The contents of `/metrics` and `/healthz`, from the launcher's `Watch` and the hub's report. Pure."""

from collections.abc import Iterator
from http import HTTPStatus

import msgspec

from protocols.commands import Report
from runtime.exposition import Family, Histogram, Labels
from runtime.web import Page
from scripts.launch.watch import Watch

SWAP_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Bucket bounds in seconds."""


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """In bytes: the log with its write-ahead log, and the free space of its disk."""

    log: int
    free: int


def health(watch: Watch, report: Report | None) -> Page:
    """Status 200 while the hub answers and can write and all services are ready, else 503 with the problems."""
    missing = sorted(watch.unready)
    state = "ok" if report is not None and not missing and not watch.storage_full else "unready"
    said = {"status": state, "hub": report is not None, "disk_full": watch.storage_full, "unready": missing}
    status = HTTPStatus.OK if state == "ok" else HTTPStatus.SERVICE_UNAVAILABLE
    return Page(msgspec.json.encode(said).decode() + "\n", "application/json", status)


def families(watch: Watch, report: Report | None, sizes: Sizes) -> Iterator[Family | Histogram]:
    """All metrics. Those of the hub are left out while it does not answer."""
    yield _one("selu_hub_up", "gauge", "Whether the hub answers.", float(report is not None))
    yield from _processes(watch)
    yield _one("selu_log_bytes", "gauge", "Size of the log and its write-ahead log.", sizes.log)
    yield _one("selu_disk_free_bytes", "gauge", "Free space where the run folder is.", sizes.free)
    yield _one("selu_disk_full", "gauge", "Whether the hub waits for space to write.", float(watch.storage_full))
    if report is not None:
        yield from _hub(report)
    yield from _learning(watch)


def _one(name: str, kind: str, help: str, value: float) -> Family:
    return Family(name, kind, help, [({}, value)])  # type: ignore[arg-type]


def _processes(watch: Watch) -> Iterator[Family]:
    members = list(watch.members.values())

    def of(instance: str, role: str) -> Labels:
        return {"instance": instance, "role": role}

    services = [member for member in members if member.role != "hub"]
    unready = set(watch.unready)
    yield Family(
        "selu_ready", "gauge", "Whether the service can do its work.",
        [(of(m.instance, m.role), float(m.instance not in unready)) for m in services],
    )  # fmt: skip
    yield Family(
        "selu_restarts_total", "counter", "How often the process was started again.",
        [(of(m.instance, m.role), m.restarts) for m in members],
    )  # fmt: skip
    known = [(of(m.instance, m.role), m.health) for m in members if m.health is not None]
    yield Family(
        "selu_memory_bytes", "gauge", "Resident memory of the process and all it started.",
        [(labels, health.rss_bytes) for labels, health in known],
    )  # fmt: skip
    yield Family(
        "selu_event_loop_lag_seconds", "gauge", "How late the service's event loop woke at its last heartbeat.",
        [(labels, health.loop_lag_seconds) for labels, health in known if labels["role"] != "hub"],
    )  # fmt: skip
    yield Family(
        "selu_service", "gauge", "What the service itself says: totals since its start, and current values.",
        [
            ({**labels, "name": name}, value)
            for labels, health in known
            for name, value in sorted(health.gauges.items())
        ],
    )  # fmt: skip


def _hub(report: Report) -> Iterator[Family]:
    counts, gauges = report.counts, report.gauges
    yield _one("selu_messages_logged_total", "counter", "Offset of the newest message.", report.tail)
    yield _one("selu_published_total", "counter", "Publishes acknowledged.", counts.get("published", 0))
    yield _one("selu_duplicates_total", "counter", "Publishes of a known id.", counts.get("duplicates", 0))
    yield _one("selu_redelivered_total", "counter", "Messages handed out again.", counts.get("redelivered", 0))
    refused = {name.removeprefix("refused_"): n for name, n in sorted(counts.items()) if name.startswith("refused_")}
    yield Family(
        "selu_rejected_total", "counter", "Requests and messages refused, by the error's code.",
        [
            ({"code": code}, count)
            for code, count in {"malformed": counts.get("malformed", 0), **refused}.items()
        ],
    )  # fmt: skip
    yield Family(
        "selu_hub_total", "counter", "Everything the hub counts since its start.",
        [({"name": name}, count) for name, count in sorted(counts.items())],
    )  # fmt: skip
    yield Family(
        "selu_consumer_lag_messages", "gauge", "Messages a consumer group has not acknowledged.",
        [
            ({"group": group, "topic": topic}, lag)
            for (group, _, topic), lag in sorted((key.rpartition(":"), lag) for key, lag in report.lag.items())
        ],
    )  # fmt: skip
    yield Family(
        "selu_calls_running", "gauge", "Calls being answered.",
        [
            ({"method": method, "instance": instance}, load)
            for method, servers in sorted(report.serving.items())
            for instance, load in sorted(servers.items())
        ],
    )  # fmt: skip
    yield _one("selu_calls_waiting", "gauge", "Calls that nobody has taken yet.", gauges.get("calls_waiting", 0))
    yield _one("selu_writes_waiting", "gauge", "Writes waiting for a commit.", gauges.get("writes_waiting", 0))
    yield _one("selu_requests_open", "gauge", "Requests under way at the hub.", gauges.get("requests_open", 0))
    yield _one("selu_sessions", "gauge", "Clients of the hub.", len(report.sessions))
    yield _one(
        "selu_hub_loop_lag_seconds", "gauge", "The latest the hub's event loop woke in the last ten seconds.",
        gauges.get("loop_lag_seconds", 0.0),
    )  # fmt: skip


def _learning(watch: Watch) -> Iterator[Family | Histogram]:
    state = watch.state
    now = state.round
    yield _one("selu_round", "gauge", "The round the run is in.", now.number if now else 0)
    yield Family(
        "selu_phase", "gauge", "1 for the phase the round is in.", [({"phase": now.phase}, 1.0)] if now else []
    )  # fmt: skip
    collected = sum(map(len, state.trajectories.values()))
    yield _one("selu_trajectories_total", "counter", "Trajectories collected.", collected)
    yield _one("selu_trajectories_lost", "gauge", "Trajectories missing of rounds that went on.", len(state.lost))
    yield _one("selu_faults_total", "counter", "Faults recorded.", len(state.faults))
    yield Histogram(
        "selu_swap_seconds", "From an adapter's announcement to its first answer.", SWAP_BOUNDS,
        [
            ({"role": role}, [s.seconds for (of, _), found in state.swaps.items() if of == role
                              for s in found.values() if s.served])
            for role in ("actor", "critic")
        ],
    )  # fmt: skip
