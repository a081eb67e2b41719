"""The run's read model: a fold over the log's messages and the lines of metrics.jsonl, in order of time. Pure."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, cast

from protocols.messages import (
    Adapter,
    Dropped,
    Estimate,
    Evaluation,
    Fault,
    Relabel,
    Role,
    Round,
    Swap,
    Trajectory,
    Verdict,
)
from runtime.streams import Delivery
from services.feedback.figures import Feedback
from services.report.summary import (
    AdapterFigures,
    AnswerFigures,
    EngineFigures,
    LetGo,
    RoundFigures,
    Summary,
    TrajectoryFigures,
)
from services.settings import Trainer

READS = ("trajectories", "verdicts", "relabels", "adapters", "swaps", "rounds", "dropped", "evaluations", "faults")
"""The topics that a summary is made from. Outcomes are not among them: only the evaluator may read them."""

_ANSWERS = ("answered", "answers_wrong_version", "answers_failed")
"""Counters in `Service.counts`: answers given, and wrong and failed answers as counted by the services that ask."""

_LEARNING = ("train_critic", "rejudge", "train_actor", "finished")


class ReportState:
    """Call `apply` with each message in log order and `note` with each line of the metrics, `summary` at any time.

    Duplicate messages have no effect. ``holdback`` is the run's setting of that name.
    """

    def __init__(self, *, holdback: float = Trainer().holdback) -> None:
        self.round: Round | None = None
        self.feedback = Feedback(holdback)
        self.trajectories: dict[int, dict[int, str]] = defaultdict(dict)
        self.verdicts: dict[str, Verdict] = {}
        self.rejudged: set[str] = set()
        self.relabels: dict[str, bool] = {}
        self.dropped: dict[str, str] = {}
        self.adapters: dict[tuple[Role, int], Adapter] = {}
        self.swaps: dict[tuple[Role, int], dict[str, Swap]] = defaultdict(dict)
        self.evaluations: dict[tuple[Role, int], Evaluation] = {}
        self.faults: list[Fault] = []
        self._withdrawn: set[tuple[str, int]] = set()
        self._quota: dict[int, int] = {}
        self._standing: dict[int, dict[Role, int]] = {}
        self._learned: set[int] = set()
        self._fault_ids: set[str] = set()
        self._clock = _Clock()
        self._engines: dict[str, EngineFigures] = {}
        self._answers: dict[tuple[str, int], dict[str, int]] = defaultdict(dict)
        self._memory: dict[str, int] = {}
        self._memory_peak = 0
        self._restarts = 0
        self._let_go = LetGo()

    # -- messages

    def apply(self, delivery: Delivery) -> None:
        """Applies one message of the log."""
        self._clock.see(delivery.time)
        self.feedback.apply(delivery.message)
        match delivery.message:
            case Round() as message:
                self._apply_round(message, delivery.time)
            case Trajectory() as message:
                self.trajectories[message.round].setdefault(message.index, message.id)
            case Verdict() as message:
                self._apply_verdict(message)
            case Relabel() as message:
                self.relabels.setdefault(message.trajectory, message.task is not None)
            case Dropped() as message:
                self.dropped.setdefault(message.trajectory, message.reason)
            case Adapter() as message:
                self.adapters.setdefault((message.role, message.version), message)
            case Swap() as message:
                known = self.swaps[message.role, message.version]
                if message.instance not in known or message.served:
                    known[message.instance] = message
            case Evaluation() as message:
                self.evaluations.setdefault((message.role, message.version), message)
            case Fault() as message:
                if delivery.id not in self._fault_ids:
                    self._fault_ids.add(delivery.id)
                    self.faults.append(message)
            case _:
                pass

    def _apply_round(self, message: Round, time: float) -> None:
        if self.round is not None:
            stood = {"actor": self.round.actor_version, "critic": self.round.critic_version}
            now = {"actor": message.actor_version, "critic": message.critic_version}
            self._withdrawn |= {(role, version) for role, version in stood.items() if now[role] < version}
        self.round = message
        self._quota[message.number] = message.quota
        if message.phase in ("collect", "finished"):
            after = message.number - 1 if message.phase == "collect" else message.number
            self._standing[after] = {"actor": message.actor_version, "critic": message.critic_version}
        if message.number and message.phase in _LEARNING:
            self._learned.add(message.number)
        self._clock.phase(message.number, message.phase, time)

    def _apply_verdict(self, message: Verdict) -> None:
        if message.critic_version >= message.round:
            self.rejudged.add(message.trajectory)
        elif message.subject == "task":
            known = self.verdicts.get(message.trajectory)
            if known is None or message.critic_version < known.critic_version:
                self.verdicts[message.trajectory] = message

    # -- metrics

    def note(self, row: Mapping[str, Any]) -> None:
        """Applies one line of metrics.jsonl. Unknown kinds are ignored."""
        kinds: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "session": self._note_session,
            "engine": self._note_engine,
            "health": self._note_health,
            "restart": self._note_restart,
            "let_go": self._note_let_go,
        }
        if note := kinds.get(str(row["kind"])):
            note(row)

    def _note_session(self, row: Mapping[str, Any]) -> None:
        self._clock.session(float(row["time"]), str(row.get("event")))

    def _note_engine(self, row: Mapping[str, Any]) -> None:
        self._engines[str(row.get("instance"))] = EngineFigures(
            name=str(row.get("name", "")),
            version=str(row.get("version", "")),
            device=str(row.get("device", "")),
            base_model=str(row.get("base_model", "")),
        )

    def _note_health(self, row: Mapping[str, Any]) -> None:
        service = str(row.get("service"))
        self._memory[service] = int(row.get("rss_bytes") or 0)
        self._memory_peak = max(self._memory_peak, sum(self._memory.values()))
        counts = self._answers[service, int(row.get("pid") or 0)]
        for name in _ANSWERS:
            counts[name] = max(counts.get(name, 0), int(row.get(name) or 0))

    def _note_restart(self, row: Mapping[str, Any]) -> None:
        self._restarts += 1
        self._memory.pop(str(row.get("service")), None)

    def _note_let_go(self, row: Mapping[str, Any]) -> None:
        rounds = {int(number) for number in str(row.get("rounds") or "").split()}
        self._let_go = LetGo(
            rounds=tuple(sorted(rounds.union(self._let_go.rounds))),
            blobs=self._let_go.blobs + int(row.get("blobs") or 0),
            bytes=self._let_go.bytes + int(row.get("bytes") or 0),
        )

    # -- what it comes to

    @property
    def finished(self) -> bool:
        return self.round is not None and self.round.phase == "finished"

    @property
    def lost(self) -> list[str]:
        """The ids of trajectories that are missing, or lack a verdict or relabel, in rounds that were trained on."""
        found: list[str] = []
        for number in sorted(self._learned):
            have = self.trajectories[number]
            for index in range(self._quota[number]):
                if index not in have:
                    found.append(f"r{number}-{index:05d}")
                    continue
                id = have[index]
                if id in self.dropped:
                    continue
                verdict = self.verdicts.get(id)
                if verdict is None or not (verdict.success or id in self.relabels):
                    found.append(id)
        return found

    def standing(self, number: int, role: Role) -> int:
        """The active version of a role after a round; 0 is the base model."""
        return self._standing.get(number, {}).get(role, 0)

    def _figure(self, role: Role, version: int) -> Estimate | None:
        found = self.evaluations.get((role, version))
        return found.score if found else None

    def rounds(self) -> tuple[RoundFigures, ...]:
        """Round 0 and every round whose training is over."""
        last = 0
        if self.round is not None:
            last = self.round.number if self.finished else self.round.number - 1
        figures: list[RoundFigures] = []
        for number in range(last + 1):
            actor, critic = self.standing(number, "actor"), self.standing(number, "critic")
            figures.append(
                RoundFigures(
                    round=number,
                    critic_version=critic,
                    actor_version=actor,
                    critic_accuracy=self._figure("critic", critic),
                    actor_success=self._figure("actor", actor),
                    seconds=self._clock.of_round(number),
                )
            )
        return tuple(figures)

    def _adapter(self, adapter: Adapter) -> AdapterFigures:
        swaps = [s for s in self.swaps.get((adapter.role, adapter.version), {}).values() if s.served]
        return AdapterFigures(
            role=adapter.role,
            version=adapter.version,
            round=adapter.round,
            digest=adapter.digest,
            promoted=adapter.promoted,
            withdrawn=(adapter.role, adapter.version) in self._withdrawn,
            reason=adapter.reason,
            rows=adapter.rows,
            train_seconds=round(adapter.seconds, 3),
            swap_seconds=round(max(s.seconds for s in swaps), 4) if swaps else None,
            in_flight=sum(s.in_flight for s in swaps) if swaps else None,
        )

    def _trajectories(self) -> TrajectoryFigures:
        stale = sum(reason.startswith("stale") for reason in self.dropped.values())
        return TrajectoryFigures(
            collected=sum(map(len, self.trajectories.values())),
            judged=len(self.verdicts),
            asked=sum(bool(verdict.questions) for verdict in self.verdicts.values()),
            flipped=sum(verdict.flipped for verdict in self.verdicts.values()),
            relabeled=sum(self.relabels.values()),
            dropped_stale=stale,
            dropped_other=len(self.dropped) - stale,
            lost=len(self.lost),
        )

    def summary(self, *, run: str = "", version: str = "") -> Summary:
        """The summary of the run so far. ``run`` and ``version`` name the run folder and the software that ran it."""
        answers = {name: sum(counts.get(name, 0) for counts in self._answers.values()) for name in _ANSWERS}
        evaluating = sum(evaluation.seconds for evaluation in self.evaluations.values())
        engine = next((self._engines[name] for name in sorted(self._engines)), None)
        return Summary(
            run=run,
            version=version,
            finished=self.finished,
            engine=engine,
            rounds=self.rounds(),
            adapters=tuple(self._adapter(self.adapters[key]) for key in sorted(self.adapters, key=_by_version)),
            trajectories=self._trajectories(),
            answers=AnswerFigures(
                total=answers["answered"],
                wrong_version=answers["answers_wrong_version"],
                failed=answers["answers_failed"],
            ),
            seconds={**self._clock.phases(), "evaluate": round(evaluating, 2), "total": self._clock.total()},
            faults=len(self.faults),
            restarts=self._restarts,
            memory_peak_bytes=self._memory_peak,
            let_go=self._let_go,
            feedback=self.feedback.rounds,
        )


def _by_version(key: tuple[Role, int]) -> tuple[int, str]:
    role, version = key
    return version, cast(str, role)


class _Clock:
    """Time spent in each phase, without the time in which no launcher was running."""

    def __init__(self) -> None:
        self._latest: float | None = None
        self._running = 0.0
        self._now: tuple[int, str] | None = None
        self._spent: dict[tuple[int, str], float] = defaultdict(float)

    def see(self, time: float) -> None:
        """Records activity at that time. Times that go backwards (two clocks) add nothing."""
        if self._latest is not None:
            passed = max(0.0, time - self._latest)
            self._running += passed
            if self._now is not None:
                self._spent[self._now] += passed
        self._latest = time if self._latest is None else max(time, self._latest)

    def session(self, time: float, event: str) -> None:
        """Records a launcher's start or end. The time before a start is a pause."""
        if event == "start":
            self._latest = time if self._latest is None else max(time, self._latest)
        else:
            self.see(time)

    def phase(self, number: int, phase: str, time: float) -> None:
        self.see(time)
        self._now = None if phase == "finished" else (number, phase)

    def phases(self) -> dict[str, float]:
        found: dict[str, float] = defaultdict(float)
        for (_, phase), seconds in self._spent.items():
            found[phase] += seconds
        return {phase: round(seconds, 2) for phase, seconds in found.items()}

    def of_round(self, number: int) -> dict[str, float]:
        return {phase: round(seconds, 2) for (found, phase), seconds in self._spent.items() if found == number}

    def total(self) -> float:
        return round(self._running, 2)
