"""On which GPU players draw: what CUDA_VISIBLE_DEVICES names, found in the orders of nvidia-smi and Vulkan."""

from contextlib import closing

import pytest

from scripts.launch.health_players import graphics
from services.worlds import gpu
from services.worlds.ai2thor.options import read_options
from services.worlds.ai2thor.start import _arguments

A, B = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "GPU-1e2f3a4b-0000-1111-2222-333344445555"
PART = "MIG-5d6e7f80-aaaa-bbbb-cccc-ddddeeeeffff"
LISTED = f"GPU 0: NVIDIA H100 (UUID: {A})\n  MIG 1g.10gb     Device  0: (UUID: {PART})\nGPU 1: NVIDIA L4 (UUID: {B})\n"
VULKAN = (
    f"Device Properties\nGPU0:\n\tdeviceName = L4\n\tdeviceUUID      = {B[4:]}\n"
    f"GPU1:\n\tdeviceUUID      = {A[4:]}\nGPU2:\n\tdeviceUUID = 00000000-0000-0000-0000-000000000000\n"
)


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two GPUs, which Vulkan counts the other way round."""
    monkeypatch.setattr(gpu, "installed", lambda: gpu.read_cards(LISTED))
    monkeypatch.setattr(gpu, "vulkan_order", lambda: gpu.read_vulkan(VULKAN))


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        (None, None), ("", []), ("-1", []), ("2", ["2"]), (" 1, 0 ", ["1", "0"]), ("1,-1,0", ["1"]), ("0,x,1", ["0"]),
        ("0,0", ["0"]), (f"{A},1", [A, "1"]), (PART, [PART]), ("NoDevFiles", []),
    ],
)  # fmt: skip
def test_the_variable_is_read_as_cuda_reads_it(text: str | None, devices: list[str] | None) -> None:
    assert gpu.visible({} if text is None else {"CUDA_VISIBLE_DEVICES": text}) == devices


@pytest.mark.parametrize(
    ("device", "card"),
    [
        ("0", 0), ("1", 1), ("2", None), (A, 0), ("GPU-1e2f", 1), ("GPU-", None), ("GPU-77", None), (PART, 0),
        (f"MIG-{B}/3/0", 1), ("MIG-77", None),
    ],
)  # fmt: skip
def test_a_device_is_found_among_the_gpus_of_the_machine(device: str, card: int | None) -> None:
    assert gpu.card_of(device, gpu.read_cards(LISTED)) == card


def test_players_are_told_the_gpu_in_vulkans_order(two: None) -> None:
    assert [gpu.device_arguments(card) for card in (0, 1, None)] == [
        ("-force-device-index", "1"), ("-force-device-index", "0"), (),
    ]  # fmt: skip


def test_without_the_tools_numbers_are_taken_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "installed", tuple)
    monkeypatch.setattr(gpu, "vulkan_order", dict)
    assert gpu.chosen(-1, {"CUDA_VISIBLE_DEVICES": "2,3"}) == [2, 3]
    assert gpu.chosen(-1, {"CUDA_VISIBLE_DEVICES": A}) == []
    assert gpu.device_arguments(2) == ("-force-device-index", "2")


@pytest.mark.parametrize(("named", "option", "card"), [("1", -1, 1), (B, -1, 1), ("", -1, None), ("1", 0, 0)])
def test_ai2thors_players_draw_where_the_run_is(
    two: None, monkeypatch: pytest.MonkeyPatch, named: str, option: int, card: int | None
) -> None:
    monkeypatch.setattr("shutil.which", lambda tool: tool)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert _arguments(read_options({"gpu": option})).get("gpu_device") == card


def test_players_are_spread_over_several_gpus_and_make_room_when_they_end() -> None:
    cards = [901, 902, 903]  # no other test's
    places = [gpu.Place(cards) for _ in range(6)]
    assert [place.card for place in places] == cards * 2
    for place in places[1::3]:
        place.close()
    with closing(gpu.Place(cards)) as again:
        assert again.card == 902
    for place in places:
        place.close()


@pytest.mark.parametrize(
    ("environ", "state", "found"),
    [
        ({}, "ok", "not set: all players draw on the driver's first of 2 GPUs"),
        ({"CUDA_VISIBLE_DEVICES": ""}, "warn", "it leaves no GPU to models"),
        ({"CUDA_VISIBLE_DEVICES": "GPU-77"}, "warn", "which GPU GPU-77 is cannot be told"),
        ({"CUDA_VISIBLE_DEVICES": PART}, "warn", "MIG devices do not draw"),
        ({"CUDA_VISIBLE_DEVICES": "1"}, "warn", "CUDA orders GPUs of different models by speed"),
        ({"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, "ok", "draw on GPU 1 (Vulkan's 0)"),
        ({"CUDA_VISIBLE_DEVICES": B}, "ok", "draw on GPU 1 (Vulkan's 0)"),
    ],
)
def test_doctor_says_where_players_draw(two: None, environ: dict[str, str], state: str, found: str) -> None:
    (finding,) = graphics(environ)
    assert (finding.state, found in finding.found) == (state, True), finding
