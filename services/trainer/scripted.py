"""A learner without a model: its adapter is a skill value that grows with the number of rows. See scripted_engine."""

import hashlib
import json
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path

from protocols.messages import Digest, Role
from services.models.scripted_engine import BASE_MODEL, BASE_SKILL, CONFIG, WEIGHTS
from services.settings import Lora
from services.trainer.learner import Row, Trained

ROWS_TO_LEARN = 400.0
"""Number of rows after which the distance to full skill has shrunk by a factor of e."""

PROBES = 64


class ScriptedLearner:
    """Implements `learner.Learner`. Reads every frame, as a real learner does."""

    base_model = BASE_MODEL

    def train(
        self,
        role: Role,
        rows: Sequence[Row],
        *,
        images: Callable[[Digest], bytes],
        parent: Path | None,
        lora: Lora,
        seed: int,
        out: Path,
        progress: Callable[[int, int], None],
    ) -> Trained:
        if not rows:
            raise ValueError(f"no rows to train the {role} on")
        digest = hashlib.sha256(f"{role}\0{seed}".encode())
        for row in rows:
            images(row.frame)
            digest.update(f"{row.frame}\0{row.prompt}\0{row.answer}\0".encode())
        rng = random.Random(digest.digest())
        before = json.loads((parent / WEIGHTS).read_text(encoding="utf-8"))["skill"] if parent else BASE_SKILL
        skill = round(1 - (1 - before) * math.exp(-len(rows) / ROWS_TO_LEARN), 6)
        out.mkdir(parents=True, exist_ok=True)
        config = {"peft_type": "SCRIPTED", "base_model_name_or_path": BASE_MODEL, "r": lora.rank}
        (out / CONFIG).write_text(json.dumps(config, sort_keys=True), encoding="utf-8")
        (out / WEIGHTS).write_text(json.dumps({"skill": skill}), encoding="utf-8")
        for tenth in range(10):
            progress(tenth + 1, 10)
        probed = [rows[index * len(rows) // min(PROBES, len(rows))] for index in range(min(PROBES, len(rows)))]
        others = [row.answer for row in rows]
        return Trained(
            folder=out,
            losses=tuple(round(2.0 * (1 - before) * math.exp(-tenth / 3) + 0.05, 6) for tenth in range(10)),
            probe=tuple(row.answer if rng.random() < skill else rng.choice(others) for row in probed),
            metrics={"rows": float(len(rows)), "skill": skill},
        )
