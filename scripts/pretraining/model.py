"""The micro model: an Idefics3 small enough for two cores, its tokenizer and processor, and fast code to train it.

The vision tower splits a 128x128 picture into 256 patches; the connector merges these into 16 tokens of the text model.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from services.models.cpu_kernels import fast_bfloat16

IMAGE_TOKENS = 16
IMAGE_SIZE = 128
VOCABULARY = 640
PAD, START, END, IMAGE, AROUND, GLOBAL = (
    "<pad>",
    "<|im_start|>",
    "<end_of_utterance>",
    "<image>",
    "<fake_token_around_image>",
    "<global-img>",
)
SPECIAL = (PAD, START, END, IMAGE, AROUND, GLOBAL)
"""Special tokens in the order of their ids."""

CHAT_TEMPLATE = (
    "<|im_start|>{% for message in messages %}"
    "{{ message['role'] | capitalize }}:{% if message['role'] == 'assistant' %}{{ '\\n' }}{% endif %}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] in ('image', 'image_url') %}<image>{% elif 'text' in part %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:\n{% endif %}"
)
"""A turn is ``User:<image>text<end_of_utterance>``. The answer begins on its own line, where it is tokenized like the
same words alone: a choice between "yes" and "no" is then a choice between two tokens."""


def chat(prompt: str) -> str:
    """The processor's text for one user turn: a picture with its placeholder expanded, then `prompt`."""
    return f"{START}User:{AROUND}{GLOBAL}{IMAGE * IMAGE_TOKENS}{AROUND}{prompt}{END}\nAssistant:\n"


class Shape(NamedTuple):
    """Widths and depths. The defaults are those of the committed model (7.2M parameters)."""

    hidden: int = 256
    layers: int = 6
    mlp: int = 688
    vision_hidden: int = 192
    vision_layers: int = 4


SHAPES = {"micro": Shape(), "small": Shape(hidden=384, layers=8, mlp=1024, vision_hidden=256, vision_layers=6)}
"""Sizes by name: 7M parameters (the committed models), and 19M for studying the effect of scale."""


def build_model(vocabulary: int, shape: Shape = Shape()) -> nn.Module:  # noqa: B008 (a tuple, immutable)
    """An Idefics3ForConditionalGeneration with new weights from torch's global generator."""
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration

    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    vision = {
        "hidden_size": shape.vision_hidden,
        "intermediate_size": 3 * shape.vision_hidden,
        "num_hidden_layers": shape.vision_layers,
        "num_attention_heads": shape.vision_hidden // 64,
        "image_size": IMAGE_SIZE,
        "patch_size": 8,
    }
    text = {
        "model_type": "llama",
        "vocab_size": vocabulary,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.mlp,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.hidden // 64,
        "num_key_value_heads": max(1, shape.hidden // 128),
        "max_position_embeddings": 2048,
        **ids,
    }
    config = Idefics3Config(
        image_token_id=SPECIAL.index(IMAGE),
        scale_factor=4,
        pad_token_id=0,
        tie_word_embeddings=False,
        vision_config=vision,
        text_config=text,
    )
    return Idefics3ForConditionalGeneration(config)


def build_tokenizer(texts: Iterable[str], vocabulary: int = VOCABULARY) -> Any:
    """A byte-level BPE trained on `texts` (prompts and answers). The order of the texts does not matter."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sorted(texts), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=START,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[IMAGE, AROUND, GLOBAL],
    )


def build_processor(tokenizer: Any) -> Any:
    """A processor that makes pictures of any size one 128x128 tile of 16 tokens, without splitting."""
    from transformers import Idefics3Processor
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    edge = {"longest_edge": IMAGE_SIZE}
    pictures = Idefics3ImageProcessorPil(size=edge, max_image_size=edge, do_image_splitting=False)
    return Idefics3Processor(pictures, tokenizer, image_seq_len=IMAGE_TOKENS, chat_template=CHAT_TEMPLATE)


class Micro:
    """A transformers ``model`` and its tokenizer on one device. A picture is encoded once for many questions.

    Weights are float32. Arithmetic is bfloat16 under autocast, except on CPUs that only emulate it.
    """

    def __init__(self, model: Any, tokenizer: Any, device: str = "cpu") -> None:
        self.model = model.to(device)
        self.tokenizer = tokenizer
        self.device = device
        self._ids: dict[str, list[int]] = {}
        self._first = self.ids(chat("")).index(SPECIAL.index(IMAGE))

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> "Micro":
        from transformers import Idefics3ForConditionalGeneration, PreTrainedTokenizerFast

        model = Idefics3ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        return cls(model, PreTrainedTokenizerFast.from_pretrained(folder), device)

    def save(self, folder: Path) -> None:
        """Writes weights (bfloat16 safetensors), configuration, tokenizer, processor and chat template."""
        import copy

        copy.deepcopy(self.model).to(torch.bfloat16).save_pretrained(folder)
        build_processor(self.tokenizer).save_pretrained(folder)

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.model.parameters())

    def ids(self, text: str) -> list[int]:
        """Token ids of `text`, cached because prompts repeat."""
        known = self._ids.get(text)
        if known is None:
            known = self._ids[text] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return known

    def row(self, prompt: str, answer: str) -> tuple[list[int], list[int]]:
        """Ids of a whole conversation, and labels: -100 for tokens that the loss ignores."""
        asked, said = self.ids(chat(prompt)), self.ids(answer + END)
        return asked + said, [-100] * len(asked) + said

    def _autocast(self) -> AbstractContextManager[Any]:
        halved = self.model.dtype == torch.float32 and (self.device != "cpu" or fast_bfloat16())
        return torch.autocast(self.device, torch.bfloat16, enabled=halved)

    def encode(self, pixels: Tensor) -> Tensor:
        """uint8 or float pictures in 0..255, [n, 128, 128, 3] -> features [n, 16, hidden].

        Equals the model's own path for whole square pictures, and is several times faster without its padding masks.
        """
        inner = self.model.model
        x = pixels.to(self.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        with self._autocast():
            eyes = inner.vision_model
            x = eyes.embeddings.patch_embedding(x.to(self.model.dtype)).flatten(2).transpose(1, 2)
            x = x + eyes.embeddings.position_embedding.weight
            x = eyes.encoder(inputs_embeds=x, attention_mask=None).last_hidden_state
            return inner.connector(eyes.post_layernorm(x))

    @torch.no_grad()
    def features(self, images: NDArray[np.uint8] | Tensor, batch: int = 256) -> Tensor:
        """Features of all pictures, without gradients, in bfloat16 on this device."""
        pictures = torch.as_tensor(images)
        parts = [self.encode(pictures[i : i + batch]).to(torch.bfloat16) for i in range(0, len(pictures), batch)]
        return torch.cat(parts)

    def hidden(self, ids: Tensor, features: Tensor) -> Tensor:
        """Last hidden states [n, length, hidden] of right-padded ids with one picture each."""
        inner = self.model.model.text_model
        embedded = inner.get_input_embeddings()(ids)
        before, after = embedded[:, : self._first], embedded[:, self._first + IMAGE_TOKENS :]
        embedded = torch.cat([before, features.to(embedded.dtype), after], 1)
        # Padding is on the right, where causal attention ignores it: no mask is needed.
        with self._autocast():
            return inner(inputs_embeds=embedded, attention_mask=None, use_cache=False).last_hidden_state

    def loss(self, ids: Tensor, labels: Tensor, features: Tensor) -> Tensor:
        """Mean cross-entropy of the labelled tokens, in nats per token."""
        following = functional.pad(labels[:, 1:], (0, 1), value=-100).flatten()
        said = torch.nonzero(following != -100)[:, 0]
        with self._autocast():
            logits = self.model.lm_head(self.hidden(ids, features).flatten(0, 1).index_select(0, said))
        return functional.cross_entropy(logits.float(), following[said])

    def batch(self, rows: Sequence[tuple[str, str]]) -> tuple[Tensor, Tensor]:
        """(prompt, answer) pairs -> right-padded ids and labels [n, length] on this device."""
        pairs = [self.row(*row) for row in rows]
        longest = max(len(ids) for ids, _ in pairs)
        ids = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in pairs])
        labels = torch.tensor([labels + [-100] * (longest - len(labels)) for _, labels in pairs])
        return ids.to(self.device), labels.to(self.device)

    @torch.no_grad()
    def answers(
        self,
        features: Tensor,
        prompts: Sequence[str],
        *,
        temperature: float = 0.0,
        limit: int = 12,
        batch: int = 512,
    ) -> list[str]:
        """One answer of at most `limit` tokens for each prompt; `features` is [len(prompts), 16, hidden].

        Greedy at temperature 0, else sampled from torch's global generator.
        """
        out: list[str] = []
        for i in range(0, len(prompts), batch):
            out += self._decode(features[i : i + batch], prompts[i : i + batch], temperature, limit)
        return out

    def _decode(self, features: Tensor, prompts: Sequence[str], temperature: float, limit: int) -> list[str]:
        from transformers import DynamicCache

        asked = [self.ids(chat(prompt)) for prompt in prompts]
        longest = max(map(len, asked))
        ids = torch.tensor([[0] * (longest - len(row)) + row for row in asked], device=self.device)
        mask = (ids != 0).long()
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        inner, cache = self.model.model.text_model, DynamicCache()
        step = inner.get_input_embeddings()(ids)
        pictured = (ids == SPECIAL.index(IMAGE))[..., None]
        step = step.masked_scatter(pictured, features.to(self.device, step.dtype))
        done = torch.zeros(len(prompts), dtype=torch.bool, device=self.device)
        said: list[Tensor] = []
        for _ in range(limit):
            with self._autocast():
                hidden = inner(
                    inputs_embeds=step,
                    attention_mask=mask,
                    position_ids=positions,
                    past_key_values=cache,
                    use_cache=True,
                ).last_hidden_state[:, -1]
                logits = self.model.lm_head(hidden).float()
            if temperature > 0:
                token = torch.multinomial(torch.softmax(logits / temperature, -1), 1)[:, 0]
            else:
                token = logits.argmax(-1)
            token = torch.where(done, 0, token)
            said.append(token)
            done |= token == SPECIAL.index(END)
            if bool(done.all()):
                break
            mask = torch.cat([mask, mask.new_ones(len(prompts), 1)], 1)
            positions = positions[:, -1:] + 1
            step = inner.get_input_embeddings()(token[:, None])
        rows = torch.stack(said, 1).tolist()
        return [self.tokenizer.decode([t for t in row if t >= len(SPECIAL)]) for row in rows]

    @torch.no_grad()
    def margins(self, features: Tensor, prompts: Sequence[str], *, batch: int = 512) -> NDArray[np.float32]:
        """log p(yes) - log p(no) in nats for each prompt; `features` is [len(prompts), 16, hidden]."""
        yes, no = self.ids("yes")[0], self.ids("no")[0]
        out: list[NDArray[np.float32]] = []
        for i in range(0, len(prompts), batch):
            asked = [self.ids(chat(prompt)) for prompt in prompts[i : i + batch]]
            longest = max(map(len, asked))
            ids = torch.tensor([row + [0] * (longest - len(row)) for row in asked], device=self.device)
            last = torch.tensor([len(row) - 1 for row in asked], device=self.device)
            hidden = self.hidden(ids, features[i : i + batch].to(self.device))
            with self._autocast():
                logits = self.model.lm_head(hidden[torch.arange(len(asked), device=self.device), last]).float()
            out.append((logits[:, yes] - logits[:, no]).cpu().numpy())
        return np.concatenate(out)
