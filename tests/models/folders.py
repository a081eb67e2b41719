"""Model folders of a few bytes, sound as far as can be seen without loading them, for tests to spoil."""

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}{% if c['type'] == 'image' %}"
    "<|image_pad|>{% else %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
BYTES = {"F32": 4, "BF16": 2, "F16": 2, "I32": 4, "U8": 1, "F8_E4M3": 1}
LAYER = "model.layers.0.self_attn.q_proj"


def write_tensors(file: Path, tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> None:
    """A safetensors file of zeros, from dtype and shape by name."""
    header: dict[str, Any] = {}
    at = 0
    for name, (dtype, shape) in tensors.items():
        end = at + math.prod(shape) * BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + bytes(at))


def write_json(file: Path, **content: Any) -> None:
    """Puts `content` over what a JSON file holds; a None takes a key away."""
    before = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps({name: value for name, value in {**before, **content}.items() if value is not None}))


def sound_folder(folder: Path, model_type: str = "qwen2_vl", **config: Any) -> Path:
    """A folder in which nothing is found wrong."""
    folder.mkdir(parents=True)
    write_json(
        folder / "config.json", model_type=model_type, image_token_id=7,
        vision_config={"image_size": 336, "patch_size": 14}, **config,
    )  # fmt: skip
    write_tensors(folder / "model.safetensors", {f"{LAYER}.weight": ("BF16", (8, 8))})
    added = [{"id": 7, "content": "<|image_pad|>"}]
    write_json(folder / "tokenizer.json", added_tokens=added, model={"type": "BPE"})
    write_json(folder / "tokenizer_config.json", eos_token="<|im_end|>")
    write_json(folder / "preprocessor_config.json", patch_size=14, merge_size=2)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder
