"""A small made-up run as the log would tell it: two rounds, a refused adapter, flips, relabels, drops and a fault."""

import io
from collections.abc import Iterator
from typing import Literal

from PIL import Image, ImageDraw

from protocols.codec import adapter_digest, digest
from protocols.messages import (
    Adapter,
    Digest,
    Dropped,
    Estimate,
    Evaluation,
    Fault,
    Message,
    Question,
    Relabel,
    Role,
    Round,
    Step,
    Swap,
    Task,
    Trajectory,
    Verdict,
)
from runtime.streams import Delivery

QUOTA = 6
PICK = Task(id="pick:apple", instruction="pick up the apple", verb="pick", object="apple")
OPEN = Task(id="open:fridge", instruction="open the fridge", verb="open", object="fridge")
FOUND = Task(id="pick:knife", instruction="pick up the knife", verb="pick", object="knife")


def picture(text: str) -> bytes:
    """A PNG that differs from that of any other text."""
    colour = int(digest(text.encode())[:6], 16)
    image = Image.new("RGB", (128, 128), (colour >> 16, colour >> 8 & 255, colour & 255))
    ImageDraw.Draw(image).text((8, 56), text, fill="white")
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


class Story:
    """Collects deliveries, a second apart, and the blobs they name."""

    def __init__(self) -> None:
        self.told: list[Delivery] = []
        self.blobs: dict[Digest, bytes] = {}
        self.time = 1000.0

    def say(self, topic: str, id: str, message: Message, *, producer: str = "x", after: float = 1.0) -> None:
        self.time += after
        self.told.append(Delivery(topic, len(self.told) + 1, id, producer, self.time, message))  # pyright: ignore[reportArgumentType]

    def frame(self, text: str) -> Digest:
        data = picture(text)
        self.blobs[digest(data)] = data
        return digest(data)

    def round(
        self,
        number: int,
        phase: Literal["collect", "train_critic", "rejudge", "train_actor", "finished"],
        actor: int,
        critic: int,
    ) -> None:
        message = Round(number=number, phase=phase, quota=QUOTA, actor_version=actor, critic_version=critic)
        self.say("rounds", f"r{number}/{phase}", message)

    def trajectory(self, round: int, index: int, *, actor: int, ended: Literal["done", "truncated"] = "done") -> str:
        id = f"r{round}-{index:05d}"
        task = PICK if index % 2 == 0 else OPEN
        actions = [f"find the {task.object}", task.instruction, "done"]
        steps = tuple(
            Step(
                frame=self.frame(f"{id} {n}"),
                action=action,
                error="the hand is <full>" if index == 2 and n == 1 else None,
                admissible=("done",),
            )
            for n, action in enumerate(actions)
        )
        self.say(
            "trajectories",
            id,
            Trajectory(
                id=id,
                round=round,
                index=index,
                world="household",
                seed=index,
                task=task,
                steps=steps,
                final_frame=self.frame(f"{id} end") if ended == "done" else None,
                actor_version=actor,
                ended=ended,
            ),
        )
        return id

    def verdict(self, id: str, task: Task, *, critic: int, judged: bool, success: bool) -> None:
        frame = self.frame(f"{id} end")
        question = Question(
            text="Which object is the robot holding?", answer="knife", frame=frame, version=0, expected="apple"
        )
        self.say(
            "verdicts",
            f"{id}/task/c{critic}",
            Verdict(
                trajectory=id,
                round=int(id[1]),
                task=task,
                frame=frame,
                judged=judged,
                log_odds=1.25 if judged else -1.25,
                success=success,
                questions=(question,),
                critic_version=critic,
            ),
        )

    def adapter(self, role: Role, version: int, *, promoted: bool = True) -> None:
        files = {"adapter_model.safetensors": digest(f"{role}{version}".encode())}
        named = adapter_digest(files)
        self.say(
            "adapters",
            f"{role}@{version}",
            Adapter(
                role=role,
                version=version,
                round=version,
                parent=version - 1,
                files=files,
                digest=named,
                base_model="micro@1",
                dataset=digest(b"rows"),
                rows=48,
                promoted=promoted,
                reason=None if promoted else "self-feedback collapsed: 100% of 64 probe answers are 'yes'",
                metrics={"loss": 0.4, "first_loss": 1.5},
                seconds=3.5,
            ),
        )
        if promoted:
            swap = Swap(
                role=role, instance=f"{role}-0", version=version, digest=named, served=True, seconds=0.2, in_flight=7
            )
            self.say("swaps", f"{role}-0/{role}@{version}", swap)

    def evaluation(self, role: Role, version: int, value: float) -> None:
        score = Estimate(value=value, n=200, ci95=(value - 0.06, value + 0.06))
        by_task = {"pick": score, "open": Estimate(value=value / 2, n=50, ci95=(value / 2 - 0.1, value / 2 + 0.1))}
        message = Evaluation(role=role, version=version, round=version, score=score, by_task=by_task, seconds=2.0)
        self.say("evaluations", f"{role}@{version}", message)


def two_rounds() -> Story:
    """Round 1 promotes both adapters; in round 2 the critic's is refused and one trajectory is dropped."""
    story = Story()
    story.round(1, "collect", 0, 0)
    story.evaluation("actor", 0, 0.46)
    story.evaluation("critic", 0, 0.66)
    for number in (1, 2):
        if number == 2:
            story.round(2, "collect", 1, 1)
        for index in range(QUOTA):
            truncated = number == 2 and index == 5
            id = story.trajectory(number, index, actor=number - 1, ended="truncated" if truncated else "done")
            if truncated:
                story.say("dropped", id, Dropped(trajectory=id, round=number, reason="truncated: the world died"))
                continue
            task = PICK if index % 2 == 0 else OPEN
            success = index in (0, 1, 3)
            story.verdict(id, task, critic=number - 1, judged=index in (0, 4), success=success)
            if not success:
                found = FOUND if index == 2 else None
                story.say("relabels", id, Relabel(trajectory=id, round=number, task=found, act=1 if found else None))
        story.round(number, "train_critic", number - 1, number - 1)
        story.adapter("critic", number, promoted=number == 1)
        if number == 1:
            story.round(1, "rejudge", 0, 1)
            for index in range(QUOTA):
                story.verdict(f"r1-{index:05d}", PICK, critic=1, judged=index < 2, success=index < 2)
            story.evaluation("critic", 1, 0.8)
        story.round(number, "train_actor", number - 1, 1)
        story.adapter("actor", number)
        story.evaluation("actor", number, 0.46 + 0.1 * number)
    story.say("faults", "f1", Fault(service="trainer-0", what="critic@2 refused", why="it collapsed", do="nothing"))
    story.round(2, "finished", 2, 1)
    return story


def metrics() -> Iterator[dict[str, object]]:
    yield {"time": 999.0, "kind": "session", "event": "start"}
    yield {"time": 1000.0, "kind": "engine", "instance": "actor-0", "name": "scripted", "version": "1", "device": "cpu"}
    for time, answered in ((1005.0, 10), (1010.0, 30)):
        for service in ("actor-0", "critic-0"):
            yield {
                "time": time, "kind": "health", "service": service, "pid": 7, "rss_bytes": 100, "answered": answered,
                "answers_wrong_version": 0, "answers_failed": 1.0,
            }  # fmt: skip
    yield {"time": 1011.0, "kind": "restart", "service": "critic-0"}
    yield {"time": 1012.0, "kind": "health", "service": "critic-0", "pid": 8, "rss_bytes": 50, "answered": 5}
    yield {"time": 1013.0, "kind": "weather", "rain": True}
