"""How many trials a machine bears at once, and how they share its GPUs."""

import os
from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from scripts.trials import machine
from services.settings import Model, Settings


@pytest.fixture
def big(monkeypatch: pytest.MonkeyPatch) -> None:
    """32 cores, 256 GiB, two GPUs, and vLLM."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(32)))
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: SimpleNamespace(available=256 << 30))
    monkeypatch.setattr(machine, "_gpus", lambda: ["a GPU", "a GPU"])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def bears(**model: object) -> int:
    return machine.at_once(Settings(model=Model(**model)))  # type: ignore[arg-type]


def test_a_machine_bears_as_many_trials_as_its_scarcest_part(big: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bears(engine="transformers", device="cpu") == 16
    assert bears(engine="vllm", gpu_memory=0.4) == 2
    assert bears(engine="vllm", gpu_memory=0.05) == 16
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert bears(engine="vllm", gpu_memory=0.2) == 2
    assert bears(engine="transformers") == machine.SHARING
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: SimpleNamespace(available=1 << 30))
    assert bears(engine="transformers") == 1


@pytest.mark.parametrize("named,found", [(None, ["0", "1"]), ("3, GPU-7f", ["3", "GPU-7f"]), ("", []), ("-1", [])])
def test_only_gpus_that_are_ours_are_used(
    big: None, monkeypatch: pytest.MonkeyPatch, named: str | None, found: list[str]
) -> None:
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert machine.gpus() == found


def test_each_trial_gets_the_gpu_with_the_fewest_and_gives_it_back() -> None:
    placement = machine.Placement(["0", "1"])
    with ExitStack() as first, ExitStack() as second:
        mine = [first.enter_context(placement.taken())["CUDA_VISIBLE_DEVICES"] for _ in range(3)]
        assert mine == ["0", "1", "0"]
        assert second.enter_context(placement.taken()) == {"CUDA_VISIBLE_DEVICES": "1"}
        first.close()
        assert second.enter_context(placement.taken()) == {"CUDA_VISIBLE_DEVICES": "0"}


@pytest.mark.parametrize("found", [[], ["0"]])
def test_where_there_is_no_choice_nothing_is_said(found: list[str]) -> None:
    with machine.Placement(found).taken() as place:
        assert place == {}
