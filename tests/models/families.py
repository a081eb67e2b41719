"""Random-weight miniatures of the paper's model families, with the files that their authors publish.

Sizes apart, everything is a family's own: the classes of transformers, the special tokens and kind of tokenizer, the
chat template, the picture processor's settings. Nothing is downloaded; a tokenizer is trained on a few words.
"""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

WORDS = """Task: pick up put open close break slice turn on sit the apple fridge mug table. Done so far: nothing find.
Next action? Is the task done? yes no done Which object is robot holding? What sitting Where are you? open the fridge
User: Assistant: system user assistant You are a helpful assistant. [INST] [/INST] It is
"""

LLAVA_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'system' %}"
    "{{ '<<SYS>>\n' + message['content'][0]['text'] + '\n<</SYS>>\n\n' }}{% elif message['role'] == 'user' %}"
    "{{ '[INST] ' }}{# Render all images first #}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{# Render all text next #}{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{{ content['text'] }}{% endfor %}{{' [/INST]' }}{% elif message['role'] == 'assistant' %}"
    r"{{ ' ' + message['content'][0]['text'] + '<\s> '}}{% else %}"
    "{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
"""As published, with its misspelled end of a turn."""

QWEN_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>system\n"
    "You are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n{% else %}"
    "{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% elif 'text' in content %}{{ content['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

SMOL_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}"
    "{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)

CLIP_MEAN, CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]

LANGUAGE = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 4096,
    "initializer_range": 0.1,
}
"""Sizes of every miniature's language model: heads of 64, which all attention kernels take."""


def llava_next(folder: Path) -> Path:
    """LLaVA-v1.6-Mistral: a CLIP tower over tiles of any resolution, a Llama tokenizer with its BOS."""
    from transformers import LlavaNextConfig, LlavaNextForConditionalGeneration

    tokenizer = _sentencepiece(["<image>", "<pad>"])
    tokenizer.chat_template = LLAVA_TEMPLATE
    tokenizer.save_pretrained(folder)
    _tokenizer_class(folder, "LlamaTokenizer")
    tiles = [[56, 112], [112, 56], [112, 112], [168, 56], [56, 168]]
    _json(
        folder / "preprocessor_config.json",
        aspect_ratio_setting="anyres",
        crop_size={"height": 56, "width": 56},
        do_center_crop=True,
        do_convert_rgb=True,
        do_normalize=True,
        do_rescale=True,
        do_resize=True,
        image_grid_pinpoints=tiles,
        image_mean=CLIP_MEAN,
        image_std=CLIP_STD,
        image_processor_type="LlavaNextImageProcessor",
        processor_class="LlavaNextProcessor",
        resample=3,
        rescale_factor=1 / 255,
        size={"shortest_edge": 56},
    )
    _json(
        folder / "processor_config.json",
        image_token="<image>",
        num_additional_image_tokens=1,
        patch_size=14,
        processor_class="LlavaNextProcessor",
        vision_feature_select_strategy="default",
    )
    image, pad = tokenizer.convert_tokens_to_ids(["<image>", "<pad>"])
    config = LlavaNextConfig(
        image_token_index=image,
        image_grid_pinpoints=tiles,
        image_seq_length=16,
        tie_word_embeddings=False,
        vision_config={
            "model_type": "clip_vision_model",
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "image_size": 56,
            "patch_size": 14,
            "projection_dim": 64,
        },
        text_config={
            "model_type": "mistral",
            "vocab_size": len(tokenizer),
            "pad_token_id": pad,
            "sliding_window": None,
            **LANGUAGE,
        },
    )
    _save(folder, LlavaNextForConditionalGeneration, config, ends=2)
    return _rename(folder, r"^vision_tower\.(?!vision_model\.)", "vision_tower.vision_model.")


def qwen2_vl(folder: Path) -> Path:
    """Qwen2-VL: pictures of any size as runs of tokens, rotary positions that depend on them."""
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    vision = {
        "depth": 2,
        "embed_dim": 64,
        "hidden_size": 128,
        "num_heads": 2,
        "mlp_ratio": 2,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    }
    return _qwen(folder, Qwen2VLConfig, Qwen2VLForConditionalGeneration, vision, "Qwen2VLProcessor")


def qwen2_5_vl(folder: Path) -> Path:
    """Qwen2.5-VL: as Qwen2-VL, with a tower that attends in windows and, in some layers, to the whole picture."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    vision = {
        "depth": 2,
        "hidden_size": 64,
        "intermediate_size": 128,
        "out_hidden_size": 128,
        "num_heads": 2,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "window_size": 56,
        "fullatt_block_indexes": [1],
    }
    return _qwen(folder, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, vision, "Qwen2_5_VLProcessor")


def smolvlm(folder: Path) -> Path:
    """SmolVLM-Instruct, which is an Idefics3: pictures enlarged and split into tiles."""
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration

    return _smol(folder, Idefics3Config, Idefics3ForConditionalGeneration, "Idefics3")


def smolvlm2(folder: Path) -> Path:
    """SmolVLM2-Instruct: the same with classes of its own, whose processor also speaks about videos."""
    from transformers import SmolVLMConfig, SmolVLMForConditionalGeneration

    return _smol(folder, SmolVLMConfig, SmolVLMForConditionalGeneration, "SmolVLM")


FAMILIES: dict[str, Callable[[Path], Path]] = {
    "llava-next": llava_next,
    "qwen2-vl": qwen2_vl,
    "qwen2.5-vl": qwen2_5_vl,
    "smolvlm": smolvlm,
    "smolvlm2": smolvlm2,
}


def _qwen(folder: Path, config_class: Any, model_class: Any, vision: dict[str, Any], processor: str) -> Path:
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"]
    names += ["<|image_pad|>", "<|video_pad|>"]
    tokenizer = _byte_level(
        names, eos_token="<|im_end|>", pad_token="<|endoftext|>", tokenizer_class="Qwen2Tokenizer", add_bos_token=False
    )
    tokenizer.chat_template = QWEN_TEMPLATE
    tokenizer.save_pretrained(folder)
    _tokenizer_class(folder, "Qwen2Tokenizer")
    _json(
        folder / "preprocessor_config.json",
        min_pixels=56 * 56,
        max_pixels=28 * 28 * 1280,
        patch_size=14,
        temporal_patch_size=2,
        merge_size=2,
        image_mean=CLIP_MEAN,
        image_std=CLIP_STD,
        image_processor_type="Qwen2VLImageProcessor",
        processor_class=processor,
    )
    end, start, stop, see, seen, image, video = tokenizer.convert_tokens_to_ids(names)
    del start
    config = config_class(
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=see,
        vision_end_token_id=seen,
        tie_word_embeddings=False,
        vision_config=vision,
        text_config={
            "vocab_size": len(tokenizer),
            "bos_token_id": end,
            "eos_token_id": stop,
            "pad_token_id": end,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [8, 12, 12]},
            **LANGUAGE,
        },
    )
    return _save(folder, model_class, config, ends=[stop, end])


def _smol(folder: Path, config_class: Any, model_class: Any, name: str) -> Path:
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<end_of_utterance>", "<fake_token_around_image>"]
    names += ["<image>", "<global-img>", *(f"<row_{row}_col_{col}>" for row in range(1, 7) for col in range(1, 7))]
    tokenizer = _byte_level(names, bos_token="<|im_start|>", eos_token="<end_of_utterance>", pad_token="<|im_end|>")
    tokenizer.chat_template = SMOL_TEMPLATE
    tokenizer.save_pretrained(folder)
    pictures = {
        "do_convert_rgb": True,
        "do_image_splitting": True,
        "do_normalize": True,
        "do_pad": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "image_processor_type": f"{name}ImageProcessor",
        "processor_class": f"{name}Processor",
        "max_image_size": {"longest_edge": 56},
        "resample": 1,
        "rescale_factor": 1 / 255,
        "size": {"longest_edge": 112},
    }
    _json(folder / "preprocessor_config.json", **pictures)
    _json(folder / "processor_config.json", image_seq_len=4, processor_class=f"{name}Processor")
    ids = dict(zip(names, tokenizer.convert_tokens_to_ids(names), strict=True))
    config = config_class(
        image_token_id=ids["<image>"],
        scale_factor=2,
        pad_token_id=ids["<|im_end|>"],
        tie_word_embeddings=False,
        vision_config={
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 56,
            "patch_size": 14,
        },
        text_config={
            "model_type": "llama",
            "vocab_size": len(tokenizer),
            "bos_token_id": ids["<|im_start|>"],
            "eos_token_id": ids["<end_of_utterance>"],
            "pad_token_id": ids["<|im_end|>"],
            **LANGUAGE,
        },
    )
    return _save(folder, model_class, config, ends=ids["<end_of_utterance>"])


def _byte_level(special: Sequence[str], **options: Any) -> Any:
    """A byte-level BPE as Qwen's and SmolVLM's."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([WORDS, WORDS.replace(" ", "\n")] * 20, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, additional_special_tokens=list(special), **options)


def _sentencepiece(special: Sequence[str]) -> Any:
    """A BPE over spaces made visible, as Llama's and Mistral's: texts begin with one, and with a BOS."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    drawn = Tokenizer(models.BPE())
    drawn.pre_tokenizer = pre_tokenizers.Metaspace()
    drawn.train_from_iterator([WORDS] * 20, trainers.BpeTrainer(vocab_size=400, show_progress=False))
    model = json.loads(drawn.to_str())["model"]
    pieces = [*("<unk>", "<s>", "</s>"), *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces += sorted(model["vocab"], key=model["vocab"].get)
    vocab = {piece: number for number, piece in enumerate(pieces)}
    merges = [tuple(merge) if isinstance(merge, list) else tuple(merge.split(" ")) for merge in model["merges"]]
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        additional_special_tokens=list(special),
    )


def _save(folder: Path, model_class: Any, config: Any, *, ends: int | list[int]) -> Path:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = model_class(config)
    model = model.to(torch.bfloat16)
    model.generation_config.eos_token_id = ends
    model.save_pretrained(folder)
    return folder


def _rename(folder: Path, pattern: str, name: str) -> Path:
    """Gives weights the names that they have in the published files, where transformers now saves them under others."""
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    renamed = {re.sub(pattern, name, key): tensor for key, tensor in load_file(file).items()}
    save_file(renamed, file, {"format": "pt"})
    return folder


def _tokenizer_class(folder: Path, name: str) -> None:
    file = folder / "tokenizer_config.json"
    _json(file, **{**json.loads(file.read_text()), "tokenizer_class": name})


def _json(file: Path, **content: Any) -> None:
    file.write_text(json.dumps(content, indent=1))
