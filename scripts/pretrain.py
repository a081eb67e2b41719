"""Makes the micro model: pretraining on the source household, post-training, practice on placements, and a model card.

    python -m scripts.pretrain OUT [--size micro|small] [--minutes 5.6] [--seed 0] [--images 120000] [--device auto]

On a GPU this takes under ten minutes. A CPU runs the same steps, slowly; this short version tests them there:
`--images 2000 --minutes 1 --pictures 16 --post-images 500 --post-steps 5 --practice-images 500 --practice-steps 5
--episodes 20`.
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
    from scripts.pretraining.card import Stage
    from scripts.pretraining.data import Corpus
    from scripts.pretraining.model import Micro

log = logging.getLogger("pretrain")

STAGES = "stages.json"
"""A file beside a model with the stages of its training. `--from` continues with the remaining ones."""


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
    parser.add_argument("--practice-images", type=int, default=9_000, help="pictures for practice (%(default)s)")
    parser.add_argument("--practice-steps", type=int, default=450, help="steps of practice (%(default)s)")
    parser.add_argument("--from", dest="base", type=Path, help="go on with this model, by the stages that it lacks")
    parser.add_argument("--keep", type=Path, help="also write the model as it was after pretraining here")
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

    if options.base and not (options.base / STAGES).is_file():
        sys.exit(f"pretrain: {options.base} has no {STAGES}: --from goes on with a model that this command has made")

    import torch

    from scripts.pretraining import card, train
    from scripts.pretraining.model import SHAPES, VOCABULARY, Micro, build_model, build_tokenizer, chat
    from scripts.pretraining.posttrain import PRACTICE, Recipe, posttrain

    done = msgspec.json.decode((options.base / STAGES).read_bytes(), type=list[card.Stage]) if options.base else []
    corpora = _corpora(options, done={stage.name for stage in done})
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(options.seed)
    torch.set_float32_matmul_precision("high")

    def describe(name: str, trained: train.Trained, recipe: msgspec.Struct) -> card.Stage:
        words = arguments if arguments is not None else sys.argv[1:]
        command = f"python -m scripts.pretrain {' '.join(words)}"
        return card.describe(
            name, trained, corpora[name], recipe=recipe, command=command, seed=options.seed, hardware=_hardware(device)
        )

    if options.base:
        micro = Micro.load(options.base, device)
    else:
        corpus, recipe = corpora["pretraining"], train.Recipe(pictures=options.pictures)
        tokenizer = build_tokenizer({text for row in corpus.rows[:60_000] for text in (chat(row.prompt), row.answer)})
        micro = Micro(build_model(VOCABULARY, SHAPES[options.size]), tokenizer, device)
        trained = train.pretrain(micro, corpus, recipe, seed=options.seed, minutes=options.minutes, steps=options.steps)
        done.append(describe("pretraining", trained, recipe))
        if options.keep:
            _save(micro, options.keep, done)
    recipes = {
        "post-training": Recipe(steps=options.post_steps, missed=options.missed),
        "practice": msgspec.structs.replace(PRACTICE, steps=options.practice_steps),
    }
    for name, recipe in recipes.items():
        if name in corpora:
            done.append(describe(name, posttrain(micro, corpora[name], recipe, seed=options.seed), recipe))
    _save(micro, options.out, done)
    answers, acting = _measure(micro, options)
    card.write(options.out, card.Record(options.out.name, micro.parameters, done, answers, acting))
    log.info("%s after %.0f s", options.out, time.monotonic() - started)


def _corpora(options: argparse.Namespace, done: set[str]) -> "dict[str, Corpus]":
    """The data of the stages that are not done yet, by stage name."""
    from scripts.pretraining.data import gather, shards

    started = time.monotonic()
    wanted = {
        "pretraining": shards("pretrain", options.seed, options.images),
        "post-training": shards("posttrain", options.seed, options.post_images),
        "practice": shards("practise", options.seed, options.practice_images),
    }
    found = {name: gather(parts, options.workers) for name, parts in wanted.items() if name not in done}
    for name, corpus in found.items():
        log.info("%s: %d pictures, %d rows, sha256 %s", name, len(corpus.images), len(corpus.rows), corpus.digest)
    log.info("data after %.0f s", time.monotonic() - started)
    return found


def _save(micro: "Micro", folder: Path, stages: "list[Stage]") -> None:
    micro.save(folder)
    (folder / STAGES).write_bytes(msgspec.json.format(msgspec.json.encode(stages)) + b"\n")


def _measure(micro: "Micro", options: argparse.Namespace) -> tuple[list, list]:
    """Accuracies by kind of question in source and unknown households, and acting and judging in the latter."""
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
