"""A device that is not there is found before a run starts."""

import pytest

from services.models import devices
from services.models.devices import check_device, device_of
from services.models.engine import ModelUnusable
from services.settings import Model


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Both engines run on the device of the test's parameter."""
    for engine in ("transformers", "vllm"):
        monkeypatch.setitem(devices.PROGRAMS, engine, f"print('a warning'); print({request.param!r})")


@pytest.mark.parametrize(
    ("found", "engine", "device", "why"),
    [
        ("cpu", "transformers", "cuda", "model.device is cuda, but torch finds no GPU"),
        ("cpu", "vllm", "cuda", "model.device is cuda, but the installed vLLM runs on cpu"),
        ("cuda", "vllm", "cpu", "model.device is cpu, but the installed vLLM runs on cuda"),
        ("", "vllm", "cuda", "model.device is cuda, but vLLM finds no GPU"),
    ],
    indirect=["found"],
)
@pytest.mark.usefixtures("found")
def test_an_engine_that_runs_elsewhere_is_refused(engine: str, device: str, why: str) -> None:
    with pytest.raises(ModelUnusable, match=why):
        check_device(Model(device=device), engine)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "engine", "device"),
    [
        ("cuda", "vllm", "cuda"),
        ("cpu", "vllm", "cpu"),
        ("cuda", "transformers", "cuda"),
        ("cuda", "transformers", "cpu"),
        ("cpu", "vllm", "auto"),
        ("cpu", "openai", "cuda"),
        ("cpu", "scripted", "cuda"),
    ],
    indirect=["found"],
)
@pytest.mark.usefixtures("found")
def test_a_device_that_is_there_or_of_no_matter_is_accepted(engine: str, device: str) -> None:
    check_device(Model(device=device), engine)  # type: ignore[arg-type]


@pytest.mark.parametrize("program", ["raise SystemExit(3)", "", "import time; time.sleep(60)"])
def test_a_look_that_fails_or_takes_too_long_refuses_nothing(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(devices.PROGRAMS, "vllm", program)
    monkeypatch.setattr(devices, "SECONDS", 0.5)
    check_device(Model(device="cuda"), "vllm")


def test_the_device_is_what_torch_finds() -> None:
    torch = pytest.importorskip("torch")
    assert device_of("transformers") == ("cuda" if torch.cuda.is_available() else "cpu")
