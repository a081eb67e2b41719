"""What vLLM is started with follows from the settings and the machine."""

import pytest

pytest.importorskip("torch")

from services.models import cpu_kernels, vllm_settings
from services.models.engine import EngineError
from services.models.folder import MICRO
from services.settings import Model


def dtype(*, on_cpu: bool) -> str:
    return vllm_settings.engine_arguments(MICRO, Model(), max_versions=2, max_rank=16, on_cpu=on_cpu)["dtype"]


@pytest.mark.parametrize(("fast", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_a_cpu_that_would_emulate_bfloat16_computes_in_float32(monkeypatch, fast, expected):
    monkeypatch.setattr(cpu_kernels, "fast_bfloat16", lambda: fast)
    assert dtype(on_cpu=True) == expected
    assert dtype(on_cpu=False) == "bfloat16"


def test_the_rank_is_the_next_that_vllm_serves_and_one_beyond_all_is_refused():
    def arguments(rank: int) -> dict:
        return vllm_settings.engine_arguments(MICRO, Model(), max_versions=2, max_rank=rank, on_cpu=True)

    assert [arguments(rank)["max_lora_rank"] for rank in (8, 9, 512)] == [8, 16, 512]
    with pytest.raises(EngineError, match="a LoRA rank of 513 is more than vLLM serves"):
        arguments(513)
