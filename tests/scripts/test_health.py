"""What `selu doctor` finds, each with what to do."""

from pathlib import Path

import pytest

from scripts.launch import health


@pytest.mark.parametrize(
    ("installed", "state"),
    [
        ({"torch": "2.13.0+cpu"}, "ok"),
        ({"torch": "2.13.0+cpu", "torchvision": "0.28.0"}, "fail"),
        ({"torch": "2.13.0+cpu", "torchvision": "0.28.0+cpu"}, "ok"),
        ({"torch": "2.11.0", "torchvision": "0.26.0"}, "ok"),
        ({}, "ok"),
    ],
)
def test_a_torchvision_for_cuda_beside_a_torch_for_cpu_is_found(installed: dict[str, str], state: str) -> None:
    (finding,) = health.image_packages(installed.get)
    assert finding.state == state
    assert ("pip uninstall -y torchvision" in finding.do) == (state == "fail")


def test_an_old_python_and_little_memory_are_found() -> None:
    (finding,) = health.python((3, 10, 2))
    assert finding.state == "fail" and "3.11" in finding.do
    (finding,) = health.memory(available=1 << 30)
    assert finding.state == "warn" and finding.do


def test_a_machine_that_can_make_sockets_leaves_none_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (finding,) = health.sockets()
    assert finding.state == "ok" and list(tmp_path.iterdir()) == []


def test_a_model_folder_without_weights_is_found(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (finding,) = health.model_files(tmp_path)
    assert finding.state == "fail" and "safetensors" in finding.found
