"""The model card: how a micro model was made, from which data, and its abilities. Written beside the weights."""

import hashlib
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import msgspec

from scripts.pretraining.data import Corpus
from scripts.pretraining.measure import Judged, Share
from scripts.pretraining.train import Trained

PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "pillow")


class Acting(NamedTuple):
    """Success in the unknown household at a shift: greedy, and sampled at temperature 1; judgements of the latter."""

    greedy: Share
    sampled: Share
    judged: Judged


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One stage of training: command, hardware, data (rows by kind), duration and loss."""

    name: str
    command: str
    seed: int
    hardware: str
    versions: list[str]
    recipe: dict[str, float]
    steps: int
    seconds: float
    loss: float
    pictures: int
    rows: dict[str, int]
    digest: str


def describe(
    name: str, trained: Trained, corpus: Corpus, *, recipe: msgspec.Struct, command: str, seed: int, hardware: str
) -> Stage:
    """The stage's entry for the card."""
    return Stage(
        name=name,
        command=command,
        seed=seed,
        hardware=hardware,
        versions=_versions(),
        recipe=msgspec.structs.asdict(recipe),
        steps=trained.steps,
        seconds=trained.seconds,
        loss=trained.losses[-1][1] if trained.losses else float("nan"),
        pictures=len(corpus.images),
        rows=dict(sorted(Counter(_family(row.kind) for row in corpus.rows).items())),
        digest=corpus.digest,
    )


class Record(NamedTuple):
    """The card's contents. ``answers``: (household, accuracies by kind); ``acting``: (household, metrics)."""

    name: str
    parameters: int
    stages: Sequence[Stage]
    answers: Sequence[tuple[str, Mapping[str, Share]]]
    acting: Sequence[tuple[str, Acting]]


def write(folder: Path, record: Record) -> None:
    """Writes README.md into the model's folder. The card lists digests of the model's other files, which must exist."""
    parts = [
        _HEAD.format(name=record.name, millions=f"{record.parameters / 1e6:.1f}"),
        _section("What it can do", _answers(record.answers), _ANSWERS),
        _section("", _acting(record.acting), _ACTING),
        _section("How it was made", _making(record.stages), _MAKING),
        _section("Data", _data(record.stages), _DATA),
        _section("Files", _files(folder)),
    ]
    (folder / "README.md").write_text("\n".join(parts), encoding="utf-8")


def _section(title: str, *bodies: str) -> str:
    return "\n".join([*([f"## {title}", ""] if title else []), *(f"{body}\n" for body in bodies)])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _share(share: Share | None) -> str:
    return f"{share.value:.3f} ({share.of})" if share and share.of else "-"


def _answers(answers: Sequence[tuple[str, Mapping[str, Share]]]) -> str:
    kinds = sorted({kind for _, by_kind in answers for kind in by_kind} - {"questions"})
    rows = [
        [kind if kind != "questions" else "**all questions**", *(_share(by_kind.get(kind)) for _, by_kind in answers)]
        for kind in (*kinds, "questions")
    ]
    return _table(["kind", *(household for household, _ in answers)], rows)


def _acting(acting: Sequence[tuple[str, Acting]]) -> str:
    rows = [
        [
            household,
            _share(figures.greedy),
            _share(figures.sampled),
            _share(figures.judged.accuracy),
            _share(figures.judged.recall),
            _share(figures.judged.specificity),
            _share(figures.judged.asked),
        ]
        for household, figures in acting
    ]
    head = ["household", "acts, greedy", "acts, T=1", "judges", "of successes", "of failures", "state question alone"]
    return _table(head, rows)


def _making(stages: Sequence[Stage]) -> str:
    return "\n".join(
        f"- {stage.name}: `{stage.command}` (seed {stage.seed}) on {stage.hardware}: {stage.steps} steps in "
        f"{stage.seconds:.0f} s, last loss {stage.loss:.3f}. With "
        f"{', '.join(f'{name} {value:g}' for name, value in stage.recipe.items())}. {', '.join(stage.versions)}."
        for stage in stages
    )


def _versions() -> list[str]:
    found = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return found


def _data(stages: Sequence[Stage]) -> str:
    kinds = sorted({kind for stage in stages for kind in stage.rows})
    rows = [["pictures", *(f"{stage.pictures:,}" for stage in stages)]]
    rows += [[kind, *(f"{stage.rows.get(kind, 0):,}" for stage in stages)] for kind in kinds]
    rows.append(["sha256", *(f"`{stage.digest[:16]}`" for stage in stages)])
    return _table(["rows", *(stage.name for stage in stages)], rows)


def _family(kind: str) -> str:
    return "judge" if kind.startswith("judge") else kind


def _files(folder: Path) -> str:
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != "README.md")
    rows = [[path.name, f"{path.stat().st_size:,}", f"`{_sha256(path)}`"] for path in files]
    return _table(["file", "bytes", "sha256"], rows)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


_HEAD = """\
---
library_name: transformers
license: apache-2.0
pipeline_tag: image-text-to-text
tags: [idefics3, embodied, household, selu]
---

# {name}

A vision-language model of {millions}M parameters (Idefics3: a SigLIP-like tower, 128x128 pictures as 16 tokens, a Llama
text model), small enough that five processes can serve and fine-tune it on two cores. It knows the *source* household:
it was trained on pictures, questions, noisy demonstrations and judgements drawn there, with that household's truth.
It has never seen the *unknown* household, whose looks are shifted and whose rules are fixed, and which it is to
learn by itself. It knows nothing else: no other pictures, no other language.

One turn is `User:<image>text<end_of_utterance>`, and the answer begins on the line after `Assistant:`; the chat
template and the processor do this. Pictures of other sizes are scaled to 128 pixels.
"""

_ANSWERS = """\
Share of greedy answers equal to the truth (and how many were asked), on held-out episodes. `shift` is how far the
unknown household's looks lie from the source's. "where" is answered with a fixture, "hand", "floor" or "hidden"."""

_ACTING = """\
Acting: share of episodes done within 10 steps. Judging: of the episodes sampled at T=1. The judge was taught little,
and by labellers who missed some successes, so that its own judgement is poor where the answer to a question about the
object's state is right: that is the gap self-asking closes."""

_MAKING = """\
The data's bytes follow from the seed alone (the same on two machines with different versions). Training on a GPU is not
bit for bit repeatable; `--steps` instead of `--minutes` repeats the schedule on other hardware."""

_DATA = """\
"pretraining" has scrambled rooms, demonstrations with random acts, early stops and wrong beliefs, and true judgements,
which pretraining leaves out; "post-training" has one act and one judgement an episode, from near-even rules; "practice"
asks of scrambled rooms whether a thing is in or on a place ("is-placed"), with other questions and acts beside."""
