"""Checks adapter_config.json: whether vLLM would apply the adapter as PEFT trained it, and which layers PEFT adapts.

vLLM reads the rank, alpha and a few features, matches tensors to layers by name, and ignores the rest.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from services.models.engine import AdapterRefused

CONFIG_BYTES = 1 << 20

PLAIN = (None, False, 0, "", [], {})
"""Values of a feature that is not used."""

FEATURES = {
    "use_dora": "it uses DoRA",
    "use_rslora": "it is scaled by the root of its rank (use_rslora)",
    "use_qalora": "it uses QALoRA",
    "use_bdlora": "it is block-diagonal (use_bdlora)",
    "modules_to_save": "it trains whole modules (modules_to_save)",
    "trainable_token_indices": "it trains single tokens' embeddings (trainable_token_indices)",
    "target_parameters": "it adapts parameters that are no layer's weight (target_parameters)",
    "alora_invocation_tokens": "it acts on a part of a prompt only (alora_invocation_tokens)",
    "lora_bias": "its factors have biases (lora_bias)",
    "rank_pattern": "its rank differs by layer (rank_pattern)",
    "alpha_pattern": "its scale differs by layer (alpha_pattern)",
    "fan_in_fan_out": "its weights are transposed (fan_in_fan_out)",
    "exclude_modules": "it leaves out layers by name (exclude_modules), which only PEFT does",
    "velora_config": "it uses VeLoRA",
    "monteclora_config": "it uses MonteCLoRA",
    "arrow_config": "it chooses among adapters (arrow_config)",
    "kasa_config": "it changes the base model's weights (kasa_config)",
    "ensure_weight_tying": "it ties what it adapts to the embeddings (ensure_weight_tying)",
    "auto_mapping": "it sets auto_mapping, which names code",
    "megatron_config": "it sets megatron_config, which names code",
    "layer_replication": "it sets layer_replication, which changes the model's layers",
}
"""Features that an engine ignores or applies differently from PEFT, each with the reason for the refusal."""

INITS = (None, True, False, "true", "false", "gaussian", "eva", "orthogonal")
"""Initialisations that leave the base model unchanged. Others, such as PiSSA and OLoRA, change its weights."""


def read_config(file: Path, blob: bytes, max_rank: int) -> dict[str, Any]:
    """Returns the configuration of a plain LoRA adapter of at most this rank.

    Raises:
        AdapterRefused: it is not one; the text says why.
    """
    try:
        config = json.loads(blob) if len(blob) <= CONFIG_BYTES else None
    except (ValueError, RecursionError) as error:
        raise AdapterRefused(f"{file} is not JSON: {error}; fetch the adapter again") from None
    if not isinstance(config, dict):
        raise AdapterRefused(f"{file} is no adapter configuration; fetch the adapter again")
    known = cast("dict[str, Any]", config)
    if problem := _problem(known, max_rank):
        raise AdapterRefused(f"{file}: {problem}; train a plain LoRA of rank at most {max_rank}")
    return known


def _problem(config: Mapping[str, Any], max_rank: int) -> str:
    if config.get("peft_type") != "LORA":
        return f"peft_type is {config.get('peft_type')!r}, not 'LORA'"
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if isinstance(rank, bool) or not isinstance(rank, int) or not 1 <= rank <= max_rank:
        return f"rank {rank!r} is not between 1 and {max_rank}"
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not math.isfinite(alpha) or alpha <= 0:
        return f"lora_alpha is {alpha!r}, which is not a finite number over 0"
    if config.get("bias", "none") not in ("none", None):
        return f"it trains biases (bias = {config['bias']!r})"
    if (init := config.get("init_lora_weights", True)) not in INITS:
        return f"its factors were drawn by {init!r} (init_lora_weights), which changes the base model's weights too"
    for name, reason in FEATURES.items():
        if config.get(name) not in PLAIN:
            return reason
    targets = config.get("target_modules")
    named = isinstance(targets, list) and all(isinstance(one, str) for one in cast("list[Any]", targets))
    if not targets or not (named or isinstance(targets, str)):
        return "it does not say which layers it adapts (target_modules)"
    return ""


def targeted(config: Mapping[str, Any]) -> Callable[[str], bool]:
    """Returns a predicate on layer names: whether PEFT adapts the layer.

    Uses target_modules, layers_to_transform and layers_pattern.

    Raises:
        ValueError: a pattern is not a regular expression, or a layer's number is not an integer.
    """
    targets: Any = config["target_modules"]
    if isinstance(targets, str):
        pattern = None if targets == "all-linear" else re.compile(targets)
    else:
        ends = "|".join(re.escape(one) for one in cast("list[str]", targets))
        pattern = None if "all-linear" in targets else re.compile(rf"(?:.*\.)?(?:{ends})", re.DOTALL)
    chosen: Any = config.get("layers_to_transform")
    layers = None if chosen is None or chosen == [] else {int(one) for one in ([chosen] if _number(chosen) else chosen)}
    named: Any = config.get("layers_pattern")
    patterns = [named] if isinstance(named, str) and named else list(named or [r"[^.]*"])
    numbered = re.compile(r".*\.(?:" + "|".join(map(str, patterns)) + r")\.(\d+)\.")

    def adapts(module: str) -> bool:
        if pattern is not None and not pattern.fullmatch(module):
            return False
        found = numbered.match(module) if layers is not None else None
        return layers is None or (found is not None and int(found[1]) in layers)

    return adapts


def _number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
