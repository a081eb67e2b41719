"""A tiny Idefics3 with random weights, tokenizer and processor, and adapters for it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from services.models.adapter_check import tensor_shapes

LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

WORDS = """Task: pick up put open close break slice turn on sit the apple fridge mug table. Done so far: nothing find.
Next action? Is the task done? yes no done Which object is robot holding? What sitting Where are you? User: Assistant:
"""

TEMPLATE = (
    "<|im_start|>{% for m in messages %}{{m['role'] | capitalize}}:{% if m['content'] is string %} {{m['content']}}"
    "{% else %}{% for c in m['content'] %}{% if c['type'] == 'image' %}<image>{% elif 'text' in c %}{{c['text']}}"
    "{% endif %}{% endfor %}{% endif %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)


def build_model(folder: Path) -> Path:
    """An Idefics3 of 0.2M parameters in the micro model's layout: 128x128 pictures, 16 tokens each."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3Processor,
        PreTrainedTokenizerFast,
    )
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    special = ["<pad>", "<|im_start|>", "<end_of_utterance>", "<image>", "<fake_token_around_image>", "<global-img>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=384,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([WORDS] * 20, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<end_of_utterance>",
        pad_token="<pad>",
        additional_special_tokens=special[3:],
    )
    pictures = Idefics3ImageProcessorPil(
        size={"longest_edge": 128}, max_image_size={"longest_edge": 128}, do_image_splitting=False
    )
    Idefics3Processor(pictures, fast, image_seq_len=16, chat_template=TEMPLATE).save_pretrained(folder)
    config = Idefics3Config(
        image_token_id=3,
        scale_factor=2,
        pad_token_id=0,
        tie_word_embeddings=False,
        vision_config={
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 128,
            "patch_size": 16,
        },
        text_config={
            "model_type": "llama",
            "vocab_size": len(fast),
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "max_position_embeddings": 1024,
            "initializer_range": 0.15,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 0,
        },
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: Any = Idefics3ForConditionalGeneration(config)
    model = model.to(torch.bfloat16)
    model.generation_config.eos_token_id = 2
    model.generation_config.pad_token_id = 0
    model.save_pretrained(folder)
    return folder


def build_adapter(
    folder: Path, base: Path | Mapping[str, tuple[int, ...]], *, seed: int, rank: int = 8, size: float = 0.05
) -> Path:
    """A random LoRA on the language layers of a model folder, or of tensors of these shapes.

    `size` is the standard deviation of its B factors.
    """
    from safetensors.numpy import save_file

    random = np.random.default_rng(seed)
    tensors: dict[str, Any] = {}
    shapes = tensor_shapes(base) if isinstance(base, Path) else base
    for name, shape in shapes.items():
        module = name.removesuffix(".weight")
        if "text_model" in name and module.endswith(LINEARS):
            a = random.normal(0, shape[1] ** -0.5, (rank, shape[1]))
            b = random.normal(0, size, (shape[0], rank))
            tensors[f"base_model.model.{module}.lora_A.weight"] = a.astype(np.float32)
            tensors[f"base_model.model.{module}.lora_B.weight"] = b.astype(np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": 2 * rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "base_model_name_or_path": "tiny",
        "target_modules": ".*text_model.*\\.(" + "|".join(LINEARS) + ")",
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def picture(seed: int, size: int = 128) -> bytes:
    """Coarse coloured squares as PNG."""
    import io

    from PIL import Image

    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(coarse).resize((size, size), Image.Resampling.NEAREST).save(out, "PNG")
    return out.getvalue()
