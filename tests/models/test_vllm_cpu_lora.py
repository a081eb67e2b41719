"""The grouped LoRA and the dense vision attention give what vLLM's own CPU code gives."""

from importlib.util import find_spec
from typing import Any

import pytest

torch = pytest.importorskip("torch")
# Only the tests import vLLM: every worker collects this module, and vLLM takes 4 s to import.
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed"),
]

SLOTS, RANK, INPUT, TOKENS = 3, 8, 32, 40


@pytest.fixture(scope="module")
def wrappers() -> tuple[Any, Any]:
    """vLLM's wrapper class as it was, and with the replacement installed."""
    from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

    from services.models.vllm_cpu_lora import install

    originals = getattr(PunicaWrapperCPU, "selu_originals", {})  # an engine in this process has replaced them
    slow, fast = type("Slow", (PunicaWrapperCPU,), originals), type("Fast", (PunicaWrapperCPU,), originals)
    install(fast)
    return slow, fast


def batch(wrapper_class: Any, ids: list[int]) -> Any:
    """A wrapper prepared for a batch whose tokens use these adapter ids (0: none); id n lies in slot n - 1."""
    from vllm.lora.layers import LoRAMapping

    wrapper = wrapper_class(256, 64, "cpu")
    mapping = LoRAMapping(index_mapping=tuple(ids), prompt_mapping=tuple(ids), is_prefill=True)
    wrapper.update_metadata(mapping, [1, 2, 3], SLOTS, 100)
    return wrapper


def weights(parts: tuple[int, ...], dtype: Any, seed: int = 0) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    random = torch.Generator().manual_seed(seed)
    a = tuple(torch.randn(SLOTS, 1, RANK, INPUT, generator=random).to(dtype) for _ in parts)
    b = tuple(torch.randn(SLOTS, 1, out, RANK, generator=random).to(dtype) for out in parts)
    return a, b


MIXED = [0, 0, 1, 1, 1, 3, 3, 2, 0, 1] * (TOKENS // 10)


@pytest.mark.parametrize("parts", [(24,), (24, 24), (32, 16, 16)], ids=["plain", "gate and up", "q, k and v"])
@pytest.mark.parametrize("ids", [[0] * TOKENS, [2] * TOKENS, MIXED, [1]], ids=["none", "one", "mixed", "one token"])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_grouped_lora_equals_the_original(
    wrappers: tuple[Any, Any], parts: tuple[int, ...], ids: list[int], scale: float
) -> None:
    a, b = weights(parts, torch.float32)
    x, y = torch.randn(len(ids), INPUT), torch.randn(len(ids), sum(parts))
    slow, fast = y.clone(), y.clone()
    batch(wrappers[0], ids).add_lora_linear(slow, x, a, b, scale, parts)
    batch(wrappers[1], ids).add_lora_linear(fast, x, a, b, scale, parts)
    adapted = torch.tensor(ids) > 0
    torch.testing.assert_close(fast[adapted], slow[adapted], rtol=1e-4, atol=1e-4)
    assert torch.equal(fast[~adapted], y[~adapted])  # the original adds the last slot's adapter to these


def test_in_bfloat16_it_is_as_near_to_full_precision_as_the_original(wrappers: tuple[Any, Any]) -> None:
    parts = (32, 16, 16)
    a, b = weights(parts, torch.bfloat16)
    x, y = torch.randn(TOKENS, INPUT).bfloat16(), torch.zeros(TOKENS, sum(parts), dtype=torch.bfloat16)
    exact = y.float()
    batch(wrappers[0], MIXED).add_lora_linear(
        exact, x.float(), tuple(t.float() for t in a), tuple(t.float() for t in b), 1.0, parts
    )
    errors, adapted = [], torch.tensor(MIXED) > 0
    for wrapper in wrappers:
        out = y.clone()
        batch(wrapper, MIXED).add_lora_linear(out, x, a, b, 1.0, parts)
        errors.append((out.float() - exact)[adapted].abs().mean().item())
    assert errors[1] <= 1.5 * errors[0]


def test_an_adapter_loaded_into_a_used_slot_takes_effect(wrappers: tuple[Any, Any]) -> None:
    a, b = weights((24,), torch.float32)
    newer_a, newer_b = weights((24,), torch.float32, seed=1)
    x = torch.randn(TOKENS, INPUT)
    fast = batch(wrappers[1], [2] * TOKENS)
    fast.add_lora_linear(torch.zeros(TOKENS, 24), x, a, b, 1.0, (24,))
    a[0][1].copy_(newer_a[0][1])
    b[0][1].copy_(newer_b[0][1])
    before, after = torch.zeros(TOKENS, 24), torch.zeros(TOKENS, 24)
    batch(wrappers[0], [2] * TOKENS).add_lora_linear(before, x, a, b, 1.0, (24,))
    fast.add_lora_linear(after, x, a, b, 1.0, (24,))
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)


def test_what_it_does_not_know_goes_to_the_original(wrappers: tuple[Any, Any]) -> None:
    a, b = weights((24,), torch.float32)
    x, buffer = torch.randn(TOKENS, INPUT), (torch.zeros(TOKENS, RANK),)
    slow, fast = torch.zeros(TOKENS, 24), torch.zeros(TOKENS, 24)
    batch(wrappers[0], [1] * TOKENS).add_lora_linear(slow, x, a, b, 1.0, (24,))
    batch(wrappers[1], [1] * TOKENS).add_lora_linear(fast, x, a, b, 1.0, (24,), buffer=buffer)
    assert torch.equal(fast, slow)
    assert buffer[0].abs().sum() > 0


def test_a_class_with_other_parameters_is_left_alone() -> None:
    from services.models import vllm_cpu_lora

    class Other:
        token_lora_indices = property(lambda self: None)

        def update_metadata(self, mapping: Any) -> None: ...

        def add_lora_linear(self, y: Any, x: Any) -> None: ...

    assert "add_lora_linear" in vllm_cpu_lora._unlike(Other)


@pytest.mark.parametrize("pictures", [1, 37])
def test_dense_vision_attention_is_near_the_fused_kernel(pictures: int) -> None:
    from services.models.cpu_kernels import dense_attention

    torch.manual_seed(0)
    q, k, v = (torch.randn(pictures, 64, 3, 16).bfloat16() for _ in range(3))
    exact = torch.nn.functional.scaled_dot_product_attention(*(x.float().transpose(1, 2) for x in (q, k, v)))
    torch.testing.assert_close(dense_attention(q, k, v).float(), exact.transpose(1, 2), rtol=0.05, atol=0.02)


def test_the_near_gelu_differs_less_than_rounding_its_input_does() -> None:
    from services.models.cpu_kernels import NearGelu

    x = torch.linspace(-6, 6, 4001)
    exact = torch.nn.functional.gelu(x, approximate="tanh")
    rounded = torch.nn.functional.gelu(x.bfloat16().float(), approximate="tanh")
    near = torch.nn.functional.gelu(x)
    assert (near - exact).abs().max() < 0.2 * (rounded - exact).abs().max()
    assert torch.equal(NearGelu()(x), exact)
    assert torch.equal(NearGelu()(x.bfloat16()), torch.nn.functional.gelu(x.bfloat16()))
