"""The PEFT learner: what it trains, engines say; the same rows give the same bytes; broken training shows."""

import hashlib
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from services.models.adapter_check import check_adapter, tensor_shapes
from services.models.engine import Request
from services.models.load import load_engine
from services.settings import Lora, Model
from services.trainer.learner import Row, Trained
from tests.models.tiny import build_model, picture

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not importlib.util.find_spec("peft"), reason="needs peft"),
]

LORA = Lora(rank=8, alpha=16, learning_rate=1e-2, epochs=25, batch=10)
ANSWERS = ("find apple", "open fridge", "yes", "no", "put mug in fridge")
FRAMES = {hashlib.sha256(image).hexdigest(): image for image in map(picture, range(20))}
ROWS = [
    Row(frame=frame, prompt=f"Task: {task}. Next action?", answer=ANSWERS[index % len(ANSWERS)])
    for index, frame in enumerate(FRAMES)
    for task in [("pick up apple", "open fridge", "is it done", "is it open", "put mug")[index % 5]]
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_model(tmp_path_factory.mktemp("tiny") / "tiny")


Train = Callable[..., Trained]


@pytest.fixture(scope="module")
def train(model: Path) -> Train:
    """Trains on rows with one learner: ``train(out, rows=..., parent=..., lora=..., seed=...)``."""
    from services.trainer.lora import PeftLearner

    learner = PeftLearner(Model(path=str(model), device="cpu"), threads=1)

    def run(
        out: Path,
        rows: list[Row] = ROWS,
        parent: Path | None = None,
        lora: Lora = LORA,
        seed: int = 0,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Trained:
        return learner.train(
            "actor", rows, images=FRAMES.__getitem__, parent=parent, lora=lora, seed=seed, out=out, progress=progress
        )

    return run


@pytest.fixture(scope="module")
def trained(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(tmp_path_factory.mktemp("trained") / "adapter")


def said(engine_name: str, model: Path, adapter: Path) -> list[str]:
    """Greedy answers of an engine with that adapter to the rows' prompts."""

    async def main() -> list[str]:
        with anyio.fail_after(240):
            settings = Model(engine=engine_name, path=str(model), device="cpu", max_in_flight=8, cache_gib=0.1)  # type: ignore[arg-type]
            engine = await load_engine(settings, role="actor", max_versions=1, max_rank=8)
            try:
                await engine.load(1, adapter)
                requests = [
                    Request(prompt=row.prompt, image=FRAMES[row.frame], image_id=row.frame, version=1) for row in ROWS
                ]
                return [answer.text for answer in await engine.generate(requests)]
            finally:
                await engine.close()

    return anyio.run(main)


@pytest.mark.parametrize("engine", ["transformers", pytest.param("vllm", marks=pytest.mark.vllm)])
def test_engines_say_what_was_learned(engine: str, model: Path, trained: Trained) -> None:
    if not importlib.util.find_spec(engine):
        pytest.skip(f"needs {engine}")
    answers = said(engine, model, trained.folder)
    assert answers == [row.answer for row in ROWS]


def test_the_loss_falls_and_the_probe_shows_what_was_learned(trained: Trained) -> None:
    assert len(trained.losses) == 10
    assert trained.losses[-1] < 0.2 * trained.losses[0]
    assert trained.probe == tuple(row.answer for row in ROWS)
    assert trained.metrics["rows"] == len(ROWS)


def test_the_adapter_holds_language_layers_only_and_passes_the_engines_check(model: Path, trained: Trained) -> None:
    files = check_adapter(trained.folder, max_rank=8, base=tensor_shapes(model))
    assert files.modules == 2 * 7
    assert files.size > 0
    config = json.loads((trained.folder / "adapter_config.json").read_text())
    assert str(model) not in json.dumps(config), "a machine's path would change the adapter's digest"
    assert sorted(file.name for file in trained.folder.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]


def test_the_same_training_gives_the_same_bytes_and_another_seed_does_not(train: Train, tmp_path: Path) -> None:
    short = Lora(rank=8, alpha=16, learning_rate=1e-2, epochs=2, batch=10)
    folders = [train(tmp_path / str(n), lora=short, seed=seed).folder for n, seed in enumerate((3, 3, 4))]
    read = [[(file.name, file.read_bytes()) for file in sorted(folder.iterdir())] for folder in folders]
    assert read[0] == read[1] != read[2]


def test_dropout_draws_from_the_seed_alone_and_changes_what_is_learned(train: Train, tmp_path: Path) -> None:
    import torch

    def weights(name: str, dropout: float) -> bytes:
        short = Lora(rank=8, alpha=16, learning_rate=1e-2, epochs=2, batch=10, dropout=dropout)
        state = torch.get_rng_state()
        folder = train(tmp_path / name, lora=short, seed=3).folder
        assert torch.equal(torch.get_rng_state(), state), "the generators of others are left alone"
        torch.rand(7)
        return (folder / "adapter_model.safetensors").read_bytes()

    assert weights("a", 0.3) == weights("b", 0.3) != weights("c", 0.0)


def test_dropout_is_for_training_only(train: Train, trained: Trained, tmp_path: Path) -> None:
    forgetful = Lora(rank=8, alpha=16, learning_rate=1e-9, epochs=1, batch=10, dropout=0.9)
    child = train(tmp_path / "child", parent=trained.folder, lora=forgetful)
    assert child.losses[0] > 10 * trained.losses[-1], "so much left out is felt while it trains"
    assert child.probe == trained.probe, "and not when it answers"


def test_training_goes_on_from_the_parent(train: Train, trained: Trained, tmp_path: Path) -> None:
    once = Lora(rank=8, alpha=16, learning_rate=1e-3, epochs=1, batch=10)
    child = train(tmp_path / "child", parent=trained.folder, lora=once)
    assert child.losses[0] < 0.2 * trained.losses[0]
    assert child.probe == trained.probe
    assert (child.folder / "adapter_model.safetensors").read_bytes() != (
        trained.folder / "adapter_model.safetensors"
    ).read_bytes()


def test_a_parent_of_another_rank_is_an_error_that_says_what_to_do(
    train: Train, trained: Trained, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"rank 8.*continue_from"):
        train(tmp_path / "child", parent=trained.folder, lora=Lora(rank=16))


def test_diverging_training_ends_early_and_says_so_in_its_losses(train: Train, tmp_path: Path) -> None:
    wild = Lora(rank=8, alpha=16, learning_rate=1e30, epochs=5, batch=10)
    result = train(tmp_path / "wild", lora=wild)
    assert not all(loss < 1e6 for loss in result.losses)
    assert result.metrics["steps"] < 10


def test_progress_is_told_step_by_step(train: Train, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    train(
        tmp_path / "one",
        lora=Lora(rank=8, epochs=2, batch=10),
        progress=lambda done, total: steps.append((done, total)),
    )
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_one_row_is_enough_and_none_is_an_error(train: Train, tmp_path: Path) -> None:
    assert len(train(tmp_path / "one", rows=ROWS[:1], lora=Lora(rank=8, epochs=1)).probe) == 1
    with pytest.raises(ValueError, match="no rows"):
        train(tmp_path / "none", rows=[])


def test_training_leaves_the_base_model_as_it_was(train: Train, trained: Trained, tmp_path: Path) -> None:
    learner_rows = Lora(rank=8, alpha=16, learning_rate=1e-2, epochs=1, batch=10)
    first = train(tmp_path / "a", lora=learner_rows)
    train(tmp_path / "b", parent=trained.folder, lora=learner_rows)
    again = train(tmp_path / "c", lora=learner_rows)
    assert first.losses == again.losses


@pytest.mark.parametrize("epochs,steps", [(1.0, 2), (1.5, 3), (3.0, 6)])
def test_epochs_may_be_fractions(train: Train, tmp_path: Path, epochs: float, steps: int) -> None:
    result = train(tmp_path / "out", lora=Lora(rank=8, epochs=epochs, batch=10))
    assert result.metrics["steps"] == steps
