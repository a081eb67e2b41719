"""The micro model's making: a tiny pretraining on CPU gives a folder that transformers loads and that answers alike."""

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from PIL import Image  # noqa: E402

from scripts.pretrain import main  # noqa: E402
from scripts.pretraining.data import Corpus, Shard, gather  # noqa: E402
from scripts.pretraining.measure import accuracy  # noqa: E402
from scripts.pretraining.model import SHAPES, VOCABULARY, Micro, Shape, build_model, build_tokenizer, chat  # noqa: E402
from scripts.pretraining.posttrain import PRACTICE, posttrain  # noqa: E402
from scripts.pretraining.posttrain import Recipe as PostRecipe  # noqa: E402
from scripts.pretraining.train import Recipe, pretrain  # noqa: E402
from services.models.folder import MICRO, PACKAGED  # noqa: E402
from services.worlds.household.vocabulary import KINDS  # noqa: E402

TINY = Shape(hidden=64, layers=2, mlp=128, vision_hidden=64, vision_layers=1)
PROMPT = "Is the fridge open?"

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Tiny matrices are slower on several threads, and far slower beside other work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return gather([Shard(stage="pretrain", seed=0, index=0, images=40)], workers=1)


@pytest.fixture(scope="module")
def made(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> tuple[Micro, Path, list[float]]:
    """A tiny model after a few steps of each stage, where it was saved, and its pretraining losses."""
    torch.manual_seed(0)
    texts = {text for row in corpus.rows for text in (chat(row.prompt), row.answer)}
    micro = Micro(build_model(VOCABULARY, TINY), build_tokenizer(texts))
    pictures, recipe = micro.features(corpus.images[:1]), Recipe(pictures=8, questions=2, warmup=1)
    before = float(micro.loss(*micro.batch([(PROMPT, "no")]), pictures).detach())
    pretrain(micro, corpus, recipe, seed=0, minutes=10, steps=20)
    after = float(micro.loss(*micro.batch([(PROMPT, "no")]), micro.features(corpus.images[:1])).detach())
    frozen = micro.features(corpus.images[:2])
    posttrain(
        micro, gather([Shard(stage="posttrain", seed=0, index=0, images=20)], 1), PostRecipe(steps=2, batch=16), seed=0
    )
    practice = gather([Shard(stage="practise", seed=0, index=0, images=20)], 1)
    posttrain(micro, practice, replace(PRACTICE, steps=2), seed=0)
    assert torch.equal(frozen, micro.features(corpus.images[:2])), "post-training and practice leave vision alone"
    folder = tmp_path_factory.mktemp("micro")
    micro.save(folder)
    return micro, folder, [before, after]


def test_training_lowers_the_loss(made):
    before, after = made[2]
    assert after < before - 1


def test_transformers_loads_the_folder_and_sees_and_answers_the_same(made, corpus):
    _, folder, _ = made
    ours = Micro.load(folder)
    model = transformers.AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    processor = transformers.AutoProcessor.from_pretrained(folder)
    turn = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": PROMPT}]}]
    text = processor.apply_chat_template(turn, add_generation_prompt=True)
    inputs = processor(text=[text], images=[[Image.fromarray(corpus.images[0])]], return_tensors="pt")
    assert inputs["input_ids"][0].tolist() == ours.ids(chat(PROMPT))
    with torch.no_grad():
        seen = model.model.get_image_features(inputs["pixel_values"], inputs["pixel_attention_mask"]).pooler_output
        next_token = model(**inputs).logits[0, -1]
    torch.testing.assert_close(ours.encode(torch.as_tensor(corpus.images[:1])).float(), seen, atol=0.05, rtol=0.05)
    yes, no = (processor.tokenizer.convert_tokens_to_ids(word) for word in ("yes", "no"))
    (margin,) = ours.margins(ours.features(corpus.images[:1]), [PROMPT])
    assert margin == pytest.approx(float(next_token[yes] - next_token[no]), abs=0.1)


def test_a_whole_conversation_is_the_prompt_then_the_answer_then_the_end_of_the_turn(made):
    processor = transformers.AutoProcessor.from_pretrained(made[1])
    turn = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": PROMPT}]}
    answer = {"role": "assistant", "content": [{"type": "text", "text": "yes"}]}
    whole = processor.apply_chat_template([turn, answer])
    assert whole == processor.apply_chat_template([turn], add_generation_prompt=True) + "yes<end_of_utterance>\n"


def test_batched_answers_are_those_given_one_at_a_time(made, corpus):
    micro = made[0]
    rows = [row for row in corpus.rows if row.kind != "caption"][:12]
    features = micro.features(corpus.images)[[row.image for row in rows]]
    together = micro.answers(features, [row.prompt for row in rows])
    alone = [micro.answers(features[i : i + 1], [row.prompt])[0] for i, row in enumerate(rows)]
    assert together == alone


def test_accuracy_counts_every_question_once(made, corpus):
    shares = accuracy(made[0], corpus)
    kinds = [share.of for kind, share in shares.items() if kind != "questions"]
    assert shares["questions"].of == sum(kinds) > 50


def test_the_shipped_model_is_small_and_has_every_name_and_both_choices_as_one_token():
    files = {path.name: path.stat().st_size for path in MICRO.iterdir()}
    assert sum(files.values()) < 20 * 2**20
    tokenizer = transformers.AutoTokenizer.from_pretrained(MICRO)
    for word in ("yes", "no", "nothing", "hidden", "hand", "floor", "done", *KINDS):
        assert len(tokenizer(word, add_special_tokens=False)["input_ids"]) == 1, word


def test_the_shipped_model_knows_its_source_household():
    micro = Micro.load(MICRO)
    held_out = gather([Shard(stage="pretrain", seed=901, index=0, images=40)], workers=1)
    assert accuracy(micro, held_out)["questions"].value > 0.9
    assert np.isfinite(micro.margins(micro.features(held_out.images[:2]), [PROMPT, PROMPT])).all()


@pytest.mark.parametrize("name", PACKAGED)
def test_the_shipped_models_tell_whether_a_thing_is_in_a_place(name):
    micro = Micro.load(MICRO.parent / name)
    held_out = gather([Shard(stage="practise", seed=901, index=0, images=60)], workers=1)
    assert accuracy(micro, held_out)["is-placed"].value > 0.8


def test_only_a_model_that_says_what_it_went_through_can_be_gone_on_with(tmp_path):
    with pytest.raises(SystemExit, match=r"has no stages\.json: --from goes on with a model that this command"):
        main([str(tmp_path / "out"), "--from", str(tmp_path)])


def test_the_sizes_are_what_they_are_said_to_be() -> None:
    with torch.device("meta"):
        millions = {
            name: sum(parameter.numel() for parameter in build_model(VOCABULARY, shape).parameters()) / 1e6
            for name, shape in SHAPES.items()
        }
    assert {name: round(count) for name, count in millions.items()} == {"micro": 7, "small": 19}
