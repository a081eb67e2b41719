"""The cheap dropout does what torch's own does."""

import pytest

torch = pytest.importorskip("torch")

from services.trainer.dropout import ByteDropout  # noqa: E402


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 0.9])
def test_it_leaves_out_its_share_and_keeps_the_mean(share: float) -> None:
    torch.manual_seed(0)
    kept = ByteDropout(share)(torch.ones(500, 401))
    assert float((kept == 0).float().mean()) == pytest.approx(share, abs=0.005)
    assert float(kept.mean()) == pytest.approx(1.0, abs=0.02)
    assert kept.unique().numel() == 2


@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 7, 11)])
def test_it_takes_any_shape_and_passes_gradients_where_it_kept(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = torch.ones(shape, requires_grad=True)
    y = ByteDropout(0.5)(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


def test_it_does_nothing_in_use_or_at_no_share() -> None:
    x = torch.randn(4, 9)
    assert ByteDropout(0.5).eval()(x) is x
    assert ByteDropout(0.0)(x) is x


def test_it_keeps_the_type() -> None:
    assert ByteDropout(0.2)(torch.ones(8, dtype=torch.bfloat16)).dtype is torch.bfloat16
