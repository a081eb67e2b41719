"""Checks the names and types of a checkpoint's tensors: wrappers around the model, adapters inside it, packed weights.

Loaders match tensors by name: they initialise missing tensors at random and ignore unknown ones.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from services.models.model_json import object_or_empty
from services.models.model_kinds import text_config
from services.models.needs import Lack
from services.models.tensor_files import Tensor

_ADAPTED = re.compile(r"(^base_model\.model\.|\.base_layer\.|\.lora_(A|B|embedding_A|embedding_B|magnitude_vector)\.)")
_WRAPPED = re.compile(r"^(_orig_mod|module|_fsdp_wrapped_module|_forward_module)\.")
_EMBEDDING = re.compile(r"^(?!.*(?:vision|visual|tower)).*\b(embed_tokens|wte|word_embeddings)\.weight$")

ADAPTER = "adapter_config.json"


def foreign_names(folder: Path, tensors: Mapping[str, Tensor]) -> Iterator[Lack]:
    """Reports why no loader finds the model in a complete checkpoint; at most one reason."""
    if adapted := next((name for name in tensors if _ADAPTED.search(name)), ""):
        yield Lack(
            f"the weights in {folder} have an adapter of PEFT in them ({adapted}), which loaders pass over",
            "save the model again after merge_and_unload()",
        )
    elif tensors and (wrapper := _WRAPPED.match(next(iter(tensors)))) and all(map(_WRAPPED.match, tensors)):
        yield Lack(
            f"all names of the weights in {folder} begin with {wrapper[0]!r}: a wrapper was saved, not the model",
            "save the model in it with save_pretrained (torch.compile's is ._orig_mod, a parallel one's .module)",
        )


def adapter_beside(folder: Path) -> Iterator[Lack]:
    """Reports an adapter in a model's folder: transformers applies it when it loads the model, and vLLM does not."""
    if (folder / ADAPTER).exists():
        yield Lack(
            f"{folder} has a LoRA adapter ({ADAPTER}) beside the model's weights, which transformers would put on the "
            "model and vLLM would not",
            "move the adapter's files to another folder; the weights of a merged model have it in them already",
        )


def tokens_without_rows(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Iterator[Lack]:
    """Reports a tokenizer with tokens that have no row in the embedding, e.g. tokens added in training."""
    rows = [tensor.shape[0] for name, tensor in tensors.items() if _EMBEDDING.match(name) and len(tensor.shape) == 2]
    if not rows or "additional_vocab_size" in text_config(config):  # added embeddings are in another tensor
        return
    said = object_or_empty(folder / "tokenizer.json")
    listed: Any = said.get("added_tokens")
    listed = listed if isinstance(listed, list) else []
    added = [cast("dict[str, Any]", one) for one in cast("list[Any]", listed) if isinstance(one, dict)]
    for token in added:
        number = token.get("id")
        if isinstance(number, int) and number >= max(rows):
            yield Lack(
                f"the tokenizer of {folder} has a token {token.get('content')!r} of number {number}, and the model has "
                f"embeddings for {max(rows)} tokens",
                "copy tokenizer and weights of one model, or save the model after resize_token_embeddings",
            )
            return
