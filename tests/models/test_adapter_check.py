"""Adapters that vLLM would apply otherwise than PEFT trained them are refused, with the reason."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.models.adapter_check import check_adapter
from services.models.adapter_config import FEATURES
from services.models.engine import AdapterRefused
from tests.models.tiny import build_adapter

TEXT, SEEN = "model.text_model.layers.{}.", "model.vision_model.encoder.layers.0."
Q, UP = TEXT.format(0) + "self_attn.q_proj", TEXT.format(1) + "mlp.up_proj"
BASE = {
    f"{Q}.weight": (8, 6),
    f"{UP}.weight": (12, 6),
    f"{SEEN}self_attn.q_proj.weight": (8, 6),
    "model.connector.modality_projection.proj.weight": (8, 6),
    "lm_head.weight": (8, 6),
    "model.text_model.embed_tokens.weight": (8, 6),
}
"""Tensor shapes of an imagined base model whose parts cannot be told apart by their shapes."""


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    linear = {name: shape for name, shape in BASE.items() if name.startswith((Q, UP))}
    return build_adapter(tmp_path / "adapter", linear, seed=0, rank=4)


def configure(folder: Path, **fields: Any) -> None:
    """Puts fields over the configuration; an Ellipsis takes one away."""
    file = folder / "adapter_config.json"
    held = {**json.loads(file.read_text()), **fields}
    file.write_text(json.dumps({name: value for name, value in held.items() if value is not ...}))


def retensor(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "adapter_model.safetensors")
    change(tensors)
    save_file(tensors, folder / "adapter_model.safetensors")


def rename(old: str, new: str) -> Callable[[dict[str, Any]], object]:
    def change(tensors: dict[str, Any]) -> None:
        for name in [name for name in tensors if old in name]:
            tensors[name.replace(old, new)] = tensors.pop(name)

    return change


CONFIGURATIONS: list[tuple[dict[str, Any], str]] = [
    ({"alpha_pattern": {"q_proj": 64}}, "alpha_pattern"),
    ({"rank_pattern": {"q_proj": 2}}, "rank_pattern"),
    ({"lora_alpha": 0}, "lora_alpha is 0"),
    ({"lora_alpha": -8}, "lora_alpha is -8"),
    ({"lora_alpha": ...}, "lora_alpha is None"),
    ({"lora_alpha": None}, "lora_alpha is None"),
    ({"lora_alpha": float("nan")}, "lora_alpha is nan"),
    ({"lora_alpha": float("inf")}, "lora_alpha is inf"),
    ({"lora_alpha": "16"}, "lora_alpha is '16'"),
    ({"lora_alpha": True}, "lora_alpha is True"),
    ({"r": ...}, "rank None"),
    ({"r": 0}, "rank 0"),
    ({"r": True}, "rank True"),
    ({"r": 4.0}, "rank 4.0"),
    ({"r": 16}, "rank 16 is not between 1 and 8"),
    ({"use_rslora": True}, "use_rslora"),
    ({"use_dora": True}, "DoRA"),
    ({"use_qalora": True}, "QALoRA"),
    ({"use_bdlora": {"nblocks": 2}}, "use_bdlora"),
    ({"bias": "all"}, "biases"),
    ({"bias": "lora_only"}, "biases"),
    ({"lora_bias": True}, "lora_bias"),
    ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
    ({"trainable_token_indices": [1, 2]}, "trainable_token_indices"),
    ({"target_parameters": ["experts.gate_up_proj"]}, "target_parameters"),
    ({"alora_invocation_tokens": [1]}, "alora_invocation_tokens"),
    ({"fan_in_fan_out": True}, "fan_in_fan_out"),
    ({"exclude_modules": ["q_proj"]}, "exclude_modules"),
    ({"exclude_modules": ".*q_proj"}, "exclude_modules"),
    ({"init_lora_weights": "pissa"}, "drawn by 'pissa'"),
    ({"init_lora_weights": "pissa_niter_16"}, "drawn by 'pissa_niter_16'"),
    ({"init_lora_weights": "olora"}, "drawn by 'olora'"),
    ({"init_lora_weights": "corda"}, "drawn by 'corda'"),
    ({"init_lora_weights": "loftq"}, "drawn by 'loftq'"),
    ({"peft_type": "LOHA"}, "peft_type is 'LOHA'"),
    ({"target_modules": ...}, "target_modules"),
    ({"target_modules": []}, "target_modules"),
    ({"target_modules": 3}, "target_modules"),
    ({"target_modules": ["k_proj"]}, "leaves out"),
    ({"target_modules": r".*vision.*q_proj"}, "leaves out"),
    ({"target_modules": "("}, "cannot be read"),
    ({"target_modules": ["q_proj", "up_proj"], "layers_to_transform": [0]}, "leaves out"),
    ({"target_modules": ["q_proj", "up_proj"], "layers_to_transform": 7}, "leaves out"),
    (
        {"target_modules": ["q_proj", "up_proj"], "layers_to_transform": [0, 1], "layers_pattern": "blocks"},
        "leaves out",
    ),
    ({"layers_to_transform": ["first"]}, "cannot be read"),
]


@pytest.mark.parametrize(("fields", "said"), CONFIGURATIONS, ids=lambda value: str(value)[:60])
def test_a_configuration_that_engines_apply_otherwise_is_refused(
    adapter: Path, fields: dict[str, Any], said: str
) -> None:
    configure(adapter, **fields)
    with pytest.raises(AdapterRefused) as refusal:
        check_adapter(adapter, max_rank=8, base=BASE)
    assert said in str(refusal.value) and str(adapter) in str(refusal.value)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"target_modules": ["q_proj", "up_proj"]},
        {"target_modules": "all-linear"},
        {"target_modules": ["q_proj", "up_proj"], "layers_to_transform": [0, 1]},
        {"target_modules": ["q_proj", "up_proj"], "layers_to_transform": [0, 1], "layers_pattern": ["layers"]},
        {"init_lora_weights": "gaussian"},
        {"init_lora_weights": False},
        {"lora_alpha": 0.5},
        {"r": 4, "lora_dropout": 0.3, "inference_mode": True, "loftq_config": {}, "megatron_core": "megatron.core"},
        {"runtime_config": {"ephemeral_gpu_offload": False}, "qalora_group_size": 16, "peft_version": "0.21.2"},
        dict.fromkeys(FEATURES),
    ],
)
def test_what_changes_nothing_about_a_plain_adapter_is_accepted(adapter: Path, fields: dict[str, Any]) -> None:
    configure(adapter, **fields)
    assert check_adapter(adapter, max_rank=8, base=BASE).modules == 2


def test_a_configuration_as_peft_writes_it_is_accepted(adapter: Path) -> None:
    peft = pytest.importorskip("peft")
    written = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "up_proj"]).to_dict()
    (adapter / "adapter_config.json").write_text(json.dumps({**written, "target_modules": ["q_proj", "up_proj"]}))
    assert check_adapter(adapter, max_rank=8, base=BASE).rank == 4


TENSORS: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (rename(Q, f"{SEEN}self_attn.q_proj"), "is in the vision tower"),
    (rename(Q, "vision_tower.vision_model.encoder.layers.0.self_attn.q_proj"), "is in the vision tower"),
    (rename(Q, "visual.blocks.0.attn.qkv"), "is in the vision tower"),
    (rename(Q, "model.connector.modality_projection.proj"), "is in the connector"),
    (rename(Q, "multi_modal_projector.linear_1"), "is in the connector"),
    (rename(Q, "visual.merger.mlp.0"), "is in the"),
    (rename(Q, "lm_head"), "is in the embeddings or the output head"),
    (rename(Q, "model.text_model.embed_tokens"), "is in the embeddings or the output head"),
    (rename("base_model.model.model.text_model", "base_model.model.text_model"), "its layers are called"),
    (rename("base_model.model.model.text_model", "base_model.model.model.language_model"), "its layers are called"),
    (rename("model.text_model.layers", "anything.layers"), "its layers are called model.text_model.layers"),
    (rename("base_model.model.", "base_model.model.base_model.model."), "its layers are called"),
    (rename("base_model.model.", ""), "is not a LoRA factor"),
    (rename("lora_A.weight", "lora_A.default.weight"), "is not a LoRA factor"),
    (rename(".lora_A.weight", ".lora_embedding_A"), "is not a LoRA factor"),
    (rename(TEXT.format(1), TEXT.format(9)), "has no layer model.text_model.layers.9.mlp.up_proj"),
    (rename("q_proj", "qkv_proj"), "has no layer"),
    (lambda t: t.pop(f"base_model.model.{Q}.lora_A.weight"), "only one of its two"),
    (lambda t: t.pop(f"base_model.model.{Q}.lora_B.weight"), "only one of its two"),
    (lambda t: t.update({f"base_model.model.{Q}.lora_B.bias": np.zeros(8, np.float32)}), "is not a LoRA factor"),
    (lambda t: t.update({name: value.astype(np.int32) for name, value in t.items()}), "has type I32"),
    (lambda t: t.update({name: value.astype(np.int8) for name, value in t.items()}), "has type I8"),
    (lambda t: t.update({name: value.astype(np.float64) for name, value in t.items()}), "has type F64"),
    (lambda t: next(iter(t.values())).fill(np.nan), "is not finite"),
    (lambda t: t.update({name: np.ascontiguousarray(value.T) for name, value in t.items()}), "its rank is 4"),
    (lambda t: t.update({f"base_model.model.{Q}.lora_B.weight": np.ones((6, 4), np.float32)}), "shape (6, 6)"),
]


@pytest.mark.parametrize(("change", "said"), TENSORS, ids=[said for _, said in TENSORS])
def test_tensors_that_engines_place_otherwise_are_refused(
    adapter: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    configure(adapter, target_modules="all-linear")
    retensor(adapter, change)
    with pytest.raises(AdapterRefused) as refusal:
        check_adapter(adapter, max_rank=8, base=BASE)
    assert said in str(refusal.value) and str(adapter) in str(refusal.value)


@pytest.mark.parametrize(
    ("checkpoint", "memory"),
    [
        ("model.text_model", "model.text_model"),  # SmolVLM
        ("language_model.model", "model.language_model"),  # LLaVA as published, and as transformers names it
        ("model", "model.language_model"),  # Qwen2-VL
        ("model", "model"),
        ("model.language_model", "model.language_model"),
    ],
)
def test_a_layer_goes_by_its_name_in_the_checkpoint_or_in_memory(adapter: Path, checkpoint: str, memory: str) -> None:
    configure(adapter, target_modules="all-linear")
    retensor(adapter, rename("model.text_model", memory))
    base = {name.replace("model.text_model", checkpoint): shape for name, shape in BASE.items()}
    assert check_adapter(adapter, max_rank=8, base=base).modules == 2


@pytest.mark.parametrize("packed", [".qweight", ".weight_packed", ".weight.absmax"])
def test_a_quantised_base_model_is_named_as_the_cause(adapter: Path, packed: str) -> None:
    base = {f"{name.removesuffix('.weight')}{packed}": (64,) for name in BASE}
    with pytest.raises(AdapterRefused, match=r"the base model is quantised .* serve the unquantised") as refusal:
        check_adapter(adapter, max_rank=8, base=base)
    assert "another base model" not in str(refusal.value)
    with pytest.raises(AdapterRefused, match="the base model is quantised"):
        check_adapter(adapter, max_rank=8, base={f"{Q}.weight": (24, 1), f"{UP}.weight": (36, 1)})
