"""Makes the micro model: pretraining on the source household, then post-training, and a model card of what came out.

    python -m scripts.pretrain OUT [--size micro|small] [--minutes 5.6] [--seed 0] [--images 120000] [--device auto]

On a GPU this takes under ten minutes. On a CPU the same happens, slowly;
`--images 2000 --minutes 1 --pictures 16 --episodes 20` shows there that it works.
"""

import argparse
import logging
import os
import platform
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from scripts.pretraining.model import Micro

log = logging.getLogger("pretrain")

STAGE = "pretraining.json"
"""Beside a model kept before post-training: how it was pretrained."""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.pretrain", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, help="folder for the model; its files there are overwritten")
    parser.add_argument(
        "--minutes", type=float, default=5.6, help="of pretraining, data and measuring apart (%(default)s)"
    )
    parser.add_argument("--steps", type=int, help="pretrain for exactly so many steps instead")
    parser.add_argument("--seed", type=int, default=0, help="of data, weights and order (%(default)s)")
    parser.add_argument(
        "--size", choices=("micro", "small"), default="micro", help="7M or 19M parameters (%(default)s)"
    )
    parser.add_argument("--images", type=int, default=120_000, help="pictures for pretraining (%(default)s)")
    parser.add_argument("--pictures", type=int, default=320, help="pictures a step (%(default)s)")
    parser.add_argument("--post-images", type=int, default=13_500, help="pictures for post-training (%(default)s)")
    parser.add_argument("--post-steps", type=int, default=150, help="steps of post-training (%(default)s)")
    parser.add_argument(
        "--missed", type=float, default=0.3, help="successes the judge's labellers missed (%(default)s)"
    )
    parser.add_argument("--from", dest="base", type=Path, help="a folder written by --keep: only post-train it")
    parser.add_argument("--keep", type=Path, help="also write the model as it was before post-training here")
    parser.add_argument("--shifts", default="0.3,0.45", help="looks of the unknown household to measure at")
    parser.add_argument("--episodes", type=int, default=300, help="episodes and 1/10 of the pictures measured on")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes drawing pictures (%(default)s)"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    started = time.monotonic()

    from scripts.pretraining.data import Corpus, gather, shards

    corpora: dict[str, Corpus] = {}
    if not options.base:
        corpora["pretraining"] = gather(shards("pretrain", options.seed, options.images), options.workers)
    corpora["post-training"] = gather(shards("posttrain", options.seed, options.post_images), options.workers)
    for name, corpus in corpora.items():
        log.info("%s: %d pictures, %d rows, sha256 %s", name, len(corpus.images), len(corpus.rows), corpus.digest)
    log.info("data after %.0f s", time.monotonic() - started)

    import torch

    from scripts.pretraining import card, posttrain, train
    from scripts.pretraining.model import SHAPES, VOCABULARY, Micro, build_model, build_tokenizer, chat

    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(options.seed)
    torch.set_float32_matmul_precision("high")
    stages: list[card.Stage] = []

    def describe(name: str, trained: train.Trained, recipe: msgspec.Struct) -> card.Stage:
        words = arguments if arguments is not None else sys.argv[1:]
        command = f"python -m scripts.pretrain {' '.join(words)}"
        hardware = _hardware(device)
        corpus = corpora[name]
        return card.describe(
            name, trained, corpus, recipe=recipe, command=command, seed=options.seed, hardware=hardware
        )

    if options.base:
        micro = Micro.load(options.base, device)
        stages.append(msgspec.json.decode((options.base / STAGE).read_bytes(), type=card.Stage))
    else:
        corpus, recipe = corpora["pretraining"], train.Recipe(pictures=options.pictures)
        tokenizer = build_tokenizer({text for row in corpus.rows[:60_000] for text in (chat(row.prompt), row.answer)})
        micro = Micro(build_model(VOCABULARY, SHAPES[options.size]), tokenizer, device)
        trained = train.pretrain(micro, corpus, recipe, seed=options.seed, minutes=options.minutes, steps=options.steps)
        stages.append(describe("pretraining", trained, recipe))
        if options.keep:
            micro.save(options.keep)
            (options.keep / STAGE).write_bytes(msgspec.json.format(msgspec.json.encode(stages[0])))
    recipe = posttrain.Recipe(steps=options.post_steps, missed=options.missed)
    trained = posttrain.posttrain(micro, corpora["post-training"], recipe, seed=options.seed)
    stages.append(describe("post-training", trained, recipe))
    micro.save(options.out)
    answers, acting = _measure(micro, options)
    card.write(options.out, card.Record(options.out.name, micro.parameters, stages, answers, acting))
    log.info("%s after %.0f s", options.out, time.monotonic() - started)


def _measure(micro: "Micro", options: argparse.Namespace) -> tuple[list, list]:
    """Accuracies by kind in the source and in unknown households, and how the model acts and judges in those."""
    from scripts.pretraining import card, measure

    def success(played: list[measure.Played]) -> measure.Share:
        return measure.Share.true([episode.success for episode in played])

    images = 10 * options.episodes
    answers = [("source", measure.accuracy(micro, measure.held_out("source", 0.0, images, options.workers)))]
    acting = []
    for shift in map(float, options.shifts.split(",")):
        name = f"unknown, shift {shift:g}"
        answers.append((name, measure.accuracy(micro, measure.held_out("unknown", shift, images, options.workers))))
        greedy = measure.play(micro, shift, options.episodes, temperature=0.0)
        sampled = measure.play(micro, shift, options.episodes, temperature=1.0)
        acting.append((name, card.Acting(success(greedy), success(sampled), measure.judge(micro, sampled))))
    return answers, acting


def _hardware(device: str) -> str:
    if device == "cuda":
        import torch

        return torch.cuda.get_device_name(0)
    return f"{os.cpu_count()} CPU threads ({platform.machine()})"


if __name__ == "__main__":
    main()
