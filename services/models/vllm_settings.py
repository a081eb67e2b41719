"""Builds vLLM's engine: its environment variables, which it reads at import, and its arguments."""

import json
import os
from pathlib import Path
from typing import Any

from runtime.user import user_variables
from services.models import process_tie
from services.models.engine import EngineError
from services.settings import Model

GIB = 1 << 30

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The values that vLLM accepts for max_lora_rank."""

PICTURE_CACHE_GIB = 0.25
"""The size of vLLM's two caches of preprocessed pictures. The default of 4 GiB each takes too much host memory."""

CPU_BATCH_TOKENS = 8192
"""Tokens in one step on CPU. vLLM also caches encoded pictures up to this number of tokens, for the next question."""


def prepare_environment(settings: Model) -> None:
    """Sets the environment variables that vLLM and its child processes read. Does not import vLLM."""
    wanted = {
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        **user_variables(),
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # forking a process with threads may hang
    }
    for name, value in wanted.items():
        os.environ.setdefault(name, value)
    if settings.threads:
        os.environ["OMP_NUM_THREADS"] = str(settings.threads)
        os.environ["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
    process_tie.lead_children()


def import_vllm() -> None:
    """Imports vLLM, which takes seconds.

    It is a function of its own because an imported module keeps its callers' local variables alive; an engine among
    them would never be freed.
    """
    import vllm.engine.arg_utils
    import vllm.v1.engine.async_llm  # noqa: F401


def build_engine(folder: Path, settings: Model, *, max_versions: int, max_rank: int) -> tuple[Any, str, str]:
    """Starts vLLM; blocks. Returns the engine, its version and its device."""
    import vllm
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.platforms import current_platform
    from vllm.v1.engine.async_llm import AsyncLLM

    on_cpu = current_platform.is_cpu()
    if settings.device != "auto" and (settings.device == "cpu") != on_cpu:
        raise EngineError(
            f"model.device is {settings.device}, but the installed vLLM runs on {current_platform.device_type}"
        )
    arguments = engine_arguments(folder, settings, max_versions=max_versions, max_rank=max_rank, on_cpu=on_cpu)
    engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))
    device = "cpu" if on_cpu else f"{current_platform.device_type}:{current_platform.get_device_name()}"
    return engine, vllm.__version__, device


def engine_arguments(
    folder: Path, settings: Model, *, max_versions: int, max_rank: int, on_cpu: bool
) -> dict[str, Any]:
    """Returns vLLM's engine arguments for these settings: bfloat16, except on a CPU that would emulate it."""
    rank = next((rank for rank in RANKS if rank >= max_rank), None)
    if rank is None:
        raise EngineError(f"a LoRA rank of {max_rank} is more than vLLM serves; set a rank of at most {RANKS[-1]}")
    arguments: dict[str, Any] = {
        "model": str(folder),
        "load_format": "safetensors",
        "dtype": "bfloat16",
        "seed": 0,
        "max_model_len": settings.max_model_len,
        "max_num_seqs": settings.max_in_flight,
        "enable_lora": True,
        "max_loras": max_versions,
        "max_cpu_loras": max_versions,
        "max_lora_rank": rank,
        "limit_mm_per_prompt": _pictures_only(folder),
        "mm_processor_cache_gb": PICTURE_CACHE_GIB,
        "logprobs_mode": "processed_logprobs",
        "scheduling_policy": "priority",
        "disable_log_stats": True,
    }
    if on_cpu:
        from services.models.cpu_kernels import fast_bfloat16

        arguments |= {
            "dtype": "bfloat16" if fast_bfloat16() else "float32",
            "enforce_eager": True,
            "mm_processor_cache_gb": 0,  # see vllm_pictures: processing a picture again is cheaper than caching it
            "kv_cache_memory_bytes": int(settings.cache_gib * GIB),
            "max_num_batched_tokens": max(CPU_BATCH_TOKENS, settings.max_model_len),
        }
        if settings.threads:
            # vLLM accepts this executor on CPU if it is named by path. It runs the model in the engine's own process.
            arguments["distributed_executor_backend"] = "vllm.v1.executor.uniproc_executor.UniProcExecutor"
    else:
        arguments["gpu_memory_utilization"] = settings.gpu_memory
    return arguments


def _pictures_only(folder: Path) -> dict[str, int]:
    """Limits prompts to one picture. Models that also take videos would otherwise reserve memory for them."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return {"image": 1, "video": 0} if "video_token_id" in config else {"image": 1}
