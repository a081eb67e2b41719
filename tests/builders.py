"""Messages for tests, complete and valid, with only what matters to the test said."""

from typing import Any

from protocols.codec import adapter_digest, digest
from protocols.messages import Act, Adapter, Round, Step, Task, Trajectory, Verdict

FRAME = digest(b"a frame")


def task(verb: str = "open", object: str = "fridge", target: str | None = None) -> Task:
    parts = [verb, object, *([target] if target else [])]
    return Task(id=":".join(parts), instruction=" ".join(parts), verb=verb, object=object, target=target)


def round_(number: int = 1, **fields: Any) -> Round:
    return Round(
        **{"number": number, "phase": "collect", "quota": 2, "actor_version": 0, "critic_version": 0, **fields}
    )


def trajectory(index: int = 0, round: int = 1, **fields: Any) -> Trajectory:
    defaults: dict[str, Any] = {
        "id": f"r{round}-{index:05d}", "round": round, "index": index, "world": "household", "seed": index,
        "task": task(), "steps": (Step(frame=FRAME, action="find fridge"),), "final_frame": FRAME,
        "actor_version": 0, "ended": "done",
    }  # fmt: skip
    return Trajectory(**{**defaults, **fields})


def verdict(of: Trajectory, success: bool = True, **fields: Any) -> Verdict:
    defaults: dict[str, Any] = {
        "trajectory": of.id, "round": of.round, "task": of.task, "frame": of.final_frame or FRAME,
        "judged": success, "log_odds": 1.0 if success else -1.0, "success": success, "critic_version": 0,
    }  # fmt: skip
    return Verdict(**{**defaults, **fields})


def act(episode: str = "e", **fields: Any) -> Act:
    return Act(**{"episode": episode, "frame": FRAME, "task": task(), **fields})


def adapter(**fields: Any) -> Adapter:
    files = {"adapter_config.json": digest(b"config"), "adapter_model.safetensors": digest(b"weights")}
    defaults: dict[str, Any] = {
        "role": "critic", "version": 1, "round": 1, "parent": 0, "files": files, "digest": adapter_digest(files),
        "base_model": "m", "dataset": digest(b""), "rows": 9, "promoted": True,
    }  # fmt: skip
    return Adapter(**{**defaults, **fields})
