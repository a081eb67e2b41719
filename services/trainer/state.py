"""The learning loop as a fold over the log: events in, decisions out, no I/O (paper, algorithm 1).

A round has four phases: collect trajectories, train the critic, judge the trajectories again with the new critic, train
the actor. With `trainer.shared` one adapter serves both roles: it is trained in the critic's phase, and no trajectory
is judged again. If the gate withdraws a critic after it judged again, its verdicts teach no actor. If the gate
withdraws an actor after a collection, the version before it continues.

Every decision has the id of the message that will record it. A decision that is taken twice, before and after a crash,
therefore has one effect.
"""

import hashlib

import msgspec

from protocols.messages import Adapter, Digest, Dropped, Fault, Message, Relabel, Role, Round, Swap, Trajectory, Verdict
from services.settings import Settings
from services.trainer.book import RoundBook
from services.trainer.dataset import (
    Example,
    Record,
    actor_examples,
    build_actor_set,
    build_critic_set,
    critic_examples,
)
from services.trainer.standing import Standing

PHASES = ("collect", "train_critic", "rejudge", "train_actor", "finished")


class Publish(msgspec.Struct, frozen=True, kw_only=True):
    """Decision: publish this message. It takes effect when it is in the log."""

    topic: str
    id: str
    message: Message


class Train(msgspec.Struct, frozen=True, kw_only=True):
    """Decision: train this version on these rows and publish the result. `parent` None starts from the base model."""

    role: Role
    version: int
    parent: Adapter | None
    rows: tuple[Example, ...]
    seed: int

    @property
    def id(self) -> str:
        return f"{self.role}@{self.version}"


Decision = Publish | Train
Event = Round | Trajectory | Verdict | Relabel | Adapter | Swap | Dropped


def order(round: Round) -> tuple[int, int]:
    """The sort key of a round's announcement within the run."""
    return round.number, PHASES.index(round.phase)


def training_seed(run_seed: int, role: Role, round: int) -> int:
    """The seed (31 bits) of one training."""
    return int.from_bytes(hashlib.sha256(f"{run_seed}/train/{role}/{round}".encode()).digest()[:4], "big") >> 1


class TrainerState:
    """Call `apply` with every event in log order, then `decide` for what to do. `decide` returns [] while others work.

    Between two round announcements, events may come in any order and more than once.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._round: Round | None = None
        self._books: dict[int, RoundBook] = {}
        self._adapters: dict[tuple[Role, int], Adapter] = {}
        self._served: dict[tuple[Role, int], bool] = {}
        self._standing = Standing(settings.trainer)
        self._critic_rounds: list[list[Example]] = []
        self._actor_rounds: list[list[Example]] = []

    @property
    def round(self) -> Round | None:
        """The most recent announcement, or None."""
        return self._round

    def book(self, number: int) -> RoundBook:
        if number not in self._books:
            self._books[number] = RoundBook(number)
        return self._books[number]

    @property
    def frames(self) -> set[Digest]:
        """The frames that a later training may read: those of open rounds and of rows kept from closed rounds."""
        kept = {row.frame for rounds in (self._critic_rounds, self._actor_rounds) for rows in rounds for row in rows}
        for book in self._books.values():
            kept |= book.frames
        return kept

    # -- events

    def apply(self, event: Event) -> None:
        match event:
            case Round():
                self._apply_round(event)
            case Adapter():
                self._adapters.setdefault((event.role, event.version), event)
            case Swap():
                key = (event.role, event.version)
                self._served[key] = event.served or self._served.get(key, False)
            case _:
                if self._round is None or event.round >= self._round.number:
                    self.book(event.round).apply(event)

    def _apply_round(self, event: Round) -> None:
        if self._round is not None and order(event) <= order(self._round):
            return
        previous, self._round = self._round, event
        if previous is not None and event.number > previous.number:
            self._close(previous)
        self._standing.apply(event)

    def _close(self, last: Round) -> None:
        """Keeps the training rows of a finished round and discards its messages."""
        records = self.book(last.number).records(last.critic_version)
        self._standing.close(self.book(last.number))
        trainer = self._settings.trainer
        self._critic_rounds.append(critic_examples(records, trainer, seed=self._settings.run.seed))
        self._actor_rounds.append(actor_examples(records, trainer, asked=self._asked))
        self._actor_rounds = [self._standing.sound(rows) for rows in self._actor_rounds]
        for rounds, limit in (
            (self._critic_rounds, trainer.critic.max_rows),
            (self._actor_rounds, trainer.actor.max_rows),
        ):
            while rounds and (not trainer.replay or sum(map(len, rounds[1:])) >= limit):
                del rounds[0]
        for number in [number for number in self._books if number <= last.number]:
            del self._books[number]

    @property
    def _asked(self) -> bool:
        return self._settings.critic.self_ask != "off"

    # -- decisions

    def decide(self) -> list[Decision]:
        now = self._round
        if now is None:
            return [self._next_round(0, actor_version=0, critic_version=0)]
        match now.phase:
            case "collect":
                return self._collect(now)
            case "train_critic":
                return self._train(now, "critic")
            case "rejudge":
                return self._rejudge(now)
            case "train_actor":
                return self._train(now, "actor")
            case "finished":
                if now.number < self._settings.run.rounds:  # resumed with a higher run.rounds
                    return [self._next_round(now.number, now.actor_version, now.critic_version)]
                return []

    def _collect(self, now: Round) -> list[Decision]:
        book = self.book(now.number)
        if not book.collected(now.quota):
            return []
        if drops := book.to_drop(now, self._standing.actors):
            return [Publish(topic="dropped", id=drop.trajectory, message=drop) for drop in drops]
        if not book.judged():
            return []
        if why := self._standing.actor_falls(book):
            return self._withdraw(now, "actor", why, phase="train_critic")
        return [self._announce(now, "train_critic")]

    def _rejudge(self, now: Round) -> list[Decision]:
        book = self.book(now.number)
        if not book.rejudged():
            return []
        if why := self._standing.critic_disagrees(book):
            return self._withdraw(now, "critic", why, phase="train_actor")
        return [self._announce(now, "train_actor")]

    def _withdraw(self, now: Round, role: Role, why: str, *, phase: str) -> list[Decision]:
        """Publishes a fault with the reason, and an announcement that names the role's previous version."""
        before = self._standing.before(role)
        if role == "actor":
            gone, do = now.actor_version, f"actor@{before} acts again from the next round on, and this one teaches none"
        else:
            gone, do = now.critic_version, f"critic@{before} goes on, and this round's first verdicts choose D_a"
        versions = {
            f"{name}_version": before for name in (("actor", "critic") if self._settings.trainer.shared else (role,))
        }
        fault = Fault(service="trainer", what=f"{role}@{gone} was withdrawn", why=why, do=do)
        return [
            Publish(topic="faults", id=f"{role}@{gone}/withdrawn", message=fault),
            self._announce(now, phase, **versions),
        ]

    def _train(self, now: Round, role: Role) -> list[Decision]:
        if role == "actor" and self._standing.actor_withdrawn_in(now.number):
            return [self._next_round(now.number, now.actor_version, now.critic_version)]
        adapter = self._adapters.get((role, now.number))
        shared = self._settings.trainer.shared
        if adapter is None:
            if shared and role == "actor":
                return [self._shared(self._adapters["critic", now.number])]
            return [self._training(now, role)]
        served = adapter.promoted and self._served.get((role, now.number))
        if served is None:  # promoted, but its engine has not reported a swap yet
            return []
        if role == "critic":
            phase = "rejudge" if served and not shared else "train_actor"
            return [self._announce(now, phase, critic_version=now.number if served else now.critic_version)]
        return [self._next_round(now.number, now.number if served else now.actor_version, now.critic_version)]

    def _training(self, now: Round, role: Role) -> Train:
        trainer, seed = self._settings.trainer, self._settings.run.seed
        records = self.book(now.number).records(now.critic_version)
        if role == "critic":
            rounds = [*self._critic_rounds, critic_examples(records, trainer, seed=seed)]
            rows = build_critic_set(rounds, trainer, seed=f"{seed}/balance/{now.number}")
            parent = now.critic_version
            if trainer.shared:
                rows += self._actor_rows(records)
        else:
            rows = self._actor_rows(records)
            parent = now.actor_version
        return Train(
            role=role,
            version=now.number,
            parent=self._adapters.get((role, parent)) if trainer.continue_from == "parent" else None,
            rows=tuple(rows),
            seed=training_seed(seed, role, now.number),
        )

    def _actor_rows(self, records: list[Record]) -> list[Example]:
        trainer = self._settings.trainer
        rounds = [*self._actor_rounds, actor_examples(records, trainer, asked=self._asked)]
        return build_actor_set([self._standing.sound(rows) for rows in rounds], trainer)

    def _shared(self, adapter: Adapter) -> Publish:
        """Publishes the critic's adapter as the actor's: the same files under the actor's name."""
        message = msgspec.structs.replace(adapter, role="actor", seconds=0.0)
        return Publish(topic="adapters", id=f"actor@{adapter.version}", message=message)

    def _next_round(self, last: int, actor_version: int, critic_version: int) -> Publish:
        more = last < self._settings.run.rounds
        round = Round(
            number=last + 1 if more else last,
            phase="collect" if more else "finished",
            quota=self._settings.simulator.quota,
            actor_version=actor_version,
            critic_version=critic_version,
            max_staleness=self._settings.simulator.max_staleness,
        )
        return _announcement(round)

    def _announce(self, now: Round, phase: str, **versions: int) -> Publish:
        return _announcement(msgspec.structs.replace(now, phase=phase, **versions))


def _announcement(round: Round) -> Publish:
    return Publish(topic="rounds", id=f"r{round.number}/{round.phase}", message=round)
