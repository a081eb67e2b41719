"""A vision-language model in transformers; the transformers engine and the learner share this code.

Prompts are fed in one of two ways. If picture features can be computed separately and inserted into the prompt's
embeddings (Idefics3, SmolVLM, LLaVA), they are computed once for each picture and cached. The vision tower is frozen,
so one set of features serves every adapter. Otherwise (Qwen2-VL's rotary positions depend on the picture) each prompt
goes through the model's processor. A comparison of both ways' logits when the model is loaded decides.
"""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch.nn.utils.rnn import pad_sequence

from services.models.canary import canary_request
from services.models.chat import ChatFormat
from services.models.cpu_kernels import fast_bfloat16
from services.models.engine import EngineError, ModelUnusable
from services.models.hf_kernels import speed_up
from services.models.picture_features import FeatureCache, Features, PictureEncoder
from services.models.pictures import decode
from services.models.processors import load_processor
from services.settings import Model

IGNORED = -100
"""The label of tokens that are excluded from the loss."""

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 2e-2}
"""The largest accepted difference between the logits of the two ways, relative to the largest logit. On a GPU the order
of summation depends on the batch, which shows in bfloat16."""


class Row(msgspec.Struct, frozen=True):
    """A prompt about a picture and, for training, the tokens of its answer."""

    prompt: str
    image: bytes
    image_id: str
    answer: tuple[int, ...] = ()


class Batch(msgspec.Struct, frozen=True):
    """``inputs`` are the arguments of the model's forward; ``labels`` (rows x tokens) are `IGNORED` outside answers."""

    inputs: dict[str, torch.Tensor]
    labels: torch.Tensor


class Backbone:
    """The model with its processor and chat format on one device. Not thread-safe: use it from one thread only."""

    def __init__(self, folder: Path, settings: Model, *, cache_bytes: int) -> None:
        from transformers import AutoModelForImageTextToText

        self.device = _device(settings)
        self.dtype = torch.bfloat16 if self.device.type == "cuda" or fast_bfloat16() else torch.float32
        try:
            self.chat = ChatFormat.load(folder)
            self.processor: Any = load_processor(folder)
            loaded: Any = AutoModelForImageTextToText.from_pretrained(
                folder, dtype=self.dtype, local_files_only=True, use_safetensors=True, output_loading_info=True,
                ignore_mismatched_sizes=True,
            )  # fmt: skip
        except EngineError:
            raise
        except Exception as error:  # safetensors, tokenizers and templates have no common error class
            raise EngineError(f"transformers cannot load {folder}: {error}") from error
        self.model, loading = loaded
        if missing := sorted(loading["missing_keys"]):  # transformers initialises these at random
            raise ModelUnusable(
                f"{folder} lacks {len(missing)} of the model's weights, e.g. {missing[0]}; copy the model again"
            )
        if other := sorted(loading["mismatched_keys"]):  # these are random too
            name, there, wanted = other[0]
            raise ModelUnusable(
                f"{len(other)} weights in {folder} have other shapes than its config.json says, e.g. {name} "
                f"{tuple(there)} and not {tuple(wanted)}; copy the model again, all of its files"
            )
        self.model.to(self.device).eval().requires_grad_(False)
        if self.device.type == "cpu" and self.dtype == torch.bfloat16:
            speed_up(self.model)
        self.image_token = getattr(self.model.config, "image_token_id", None)
        self.encoder = PictureEncoder(self.model, self.processor, self.chat, FeatureCache(cache_bytes))
        self.apart = self._proves_apart()
        """Whether picture features are computed separately from the prompt and cached."""

    def language_linears(self) -> list[str]:
        """Returns the full names of the language model's linear layers, without vision tower, connector and output
        head."""
        decoder = self.model.get_decoder()
        names = {id(module): name for name, module in self.model.named_modules()}
        return [names[id(m)] for m in decoder.modules() if isinstance(m, torch.nn.Linear) and id(m) in names]

    def batch(self, rows: Sequence[Row], *, pad: str) -> Batch:
        """Returns all rows as one batch. ``pad`` is the padded side: "left" to generate, "right" to train."""
        return self._apart_batch(rows, pad) if self.apart else self._whole_batch(rows, pad)

    def logits(self, inputs: Mapping[str, torch.Tensor], where: torch.Tensor) -> torch.Tensor:
        """Returns the logits (selected tokens x vocabulary) at the positions where the mask ``where`` (rows x tokens)
        is true."""
        if self.apart:
            hidden = self.model.get_decoder()(**inputs).last_hidden_state
            return self.model.get_output_embeddings()(hidden[where])
        return self.model(**inputs).logits[where]

    def _apart_batch(self, rows: Sequence[Row], pad: str) -> Batch:
        pictures = self.encoder.features({row.image_id: row.image for row in rows})
        prompts = [_expand(self.chat.prompt_ids(row.prompt), pictures[row.image_id]) for row in rows]
        ids = [torch.tensor(prompt + list(row.answer)) for prompt, row in zip(prompts, rows, strict=True)]
        labels = [
            torch.tensor([IGNORED] * len(prompt) + list(row.answer)) for prompt, row in zip(prompts, rows, strict=True)
        ]
        tokens = pad_sequence(ids, batch_first=True, padding_side=pad).to(self.device)
        ones = [torch.ones_like(one) for one in ids]
        mask = pad_sequence(ones, batch_first=True, padding_side=pad).to(self.device)
        embeds = self.model.get_input_embeddings()(tokens)
        places = (tokens == self.image_token) & mask.bool()
        features = torch.cat([pictures[row.image_id].values for row in rows]).to(embeds.device, embeds.dtype)
        if int(places.sum()) != len(features):
            raise EngineError(f"{int(places.sum())} picture tokens in the prompts, {len(features)} picture features")
        embeds = embeds.masked_scatter(places[..., None], features)
        return Batch(
            {"inputs_embeds": embeds, "attention_mask": mask},
            pad_sequence(labels, batch_first=True, padding_value=IGNORED, padding_side=pad).to(self.device),
        )

    def _whole_batch(self, rows: Sequence[Row], pad: str) -> Batch:
        inputs: dict[str, torch.Tensor] = dict(
            self.processor(
                text=[self.chat.prompt(row.prompt) for row in rows],
                images=[[decode(row.image)] for row in rows],
                padding=True,
                padding_side="left",
                add_special_tokens=self.chat.adds_special,
                return_tensors="pt",
            )
        )
        shape = inputs["input_ids"].shape
        answers = [torch.tensor(row.answer, dtype=torch.long) for row in rows]
        labels = torch.full(shape, IGNORED)
        if any(len(answer) for answer in answers):
            # Left-padded prompts, right-padded answers: all answers begin in one column. Loss and positions allow it.
            tails = pad_sequence(answers, batch_first=True)
            real = pad_sequence([torch.ones_like(answer) for answer in answers], batch_first=True)
            for name, value in inputs.items():
                if value.shape == shape:
                    tail = (
                        tails if name == "input_ids" else real if name == "attention_mask" else torch.zeros_like(tails)
                    )
                    inputs[name] = torch.cat([value, tail.to(value.dtype)], dim=1)
            labels = torch.cat([labels, tails.masked_fill(real == 0, IGNORED)], dim=1)
        return Batch({name: self._place(value) for name, value in inputs.items()}, labels.to(self.device))

    def _place(self, value: torch.Tensor) -> torch.Tensor:
        return value.to(self.device, self.dtype if value.is_floating_point() else value.dtype)

    @torch.no_grad()
    def _proves_apart(self) -> bool:
        """Whether separately computed features give the same logits as the model's processor, within `TOLERANCE`."""
        if self.image_token is None or hasattr(getattr(self.model, "model", None), "get_rope_index"):
            return False
        canary = canary_request(0)
        rows = [Row(canary.prompt, canary.image, canary.image_id), Row("Which?", canary.image, canary.image_id)]
        try:
            apart, whole = self._apart_batch(rows, "left"), self._whole_batch(rows, "left")
            if apart.inputs["attention_mask"].shape != whole.inputs["attention_mask"].shape:
                return False
            position = _positions(apart.inputs["attention_mask"])
            decoder, head = self.model.get_decoder(), self.model.get_output_embeddings()
            mine = head(decoder(**apart.inputs, position_ids=position).last_hidden_state[:, -1])
            theirs = self.model(**whole.inputs, **_accepted(self.model, position_ids=position)).logits[:, -1]
        except Exception:  # the model's classes lack a method that this uses: use the processor
            return False
        return bool((mine - theirs).abs().max() <= TOLERANCE[self.dtype] * theirs.abs().max())


def _expand(prompt: list[int], picture: Features) -> list[int]:
    end = picture.at + len(picture.short)
    if tuple(prompt[picture.at : end]) != picture.short:
        raise EngineError("the picture's placeholder is not where the chat template put it before")
    return [*prompt[: picture.at], *picture.long, *prompt[end:]]


def _positions(mask: torch.Tensor) -> torch.Tensor:
    return (mask.cumsum(1) - 1).clamp(min=0)


def _accepted(model: Any, **arguments: Any) -> dict[str, Any]:
    known = inspect.signature(model.forward).parameters
    return {name: value for name, value in arguments.items() if name in known}


def _device(settings: Model) -> torch.device:
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise EngineError("model.device is cuda, but torch finds no GPU; install selu[gpu] or set model.device = cpu")
    return torch.device("cuda" if settings.device != "cpu" and torch.cuda.is_available() else "cpu")
