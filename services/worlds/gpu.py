"""Which GPU a Unity player draws on: one of those in CUDA_VISIBLE_DEVICES.

CUDA, nvidia-smi and Vulkan each count the GPUs of a machine in an order of their own, and players know only Vulkan's.
A `Card` is a GPU as nvidia-smi counts it; its UUID tells which one it is in the other orders.
"""

import itertools
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence

import msgspec

TOOL_SECONDS = 20.0
"""How long nvidia-smi and vulkaninfo may take."""


class Card(msgspec.Struct, frozen=True):
    """``uuid`` is as nvidia-smi writes it, "GPU-..."; ``parts`` are the UUIDs of its MIG devices."""

    index: int
    name: str
    uuid: str
    parts: tuple[str, ...] = ()


def visible(environ: Mapping[str, str]) -> list[str] | None:
    """The devices that CUDA_VISIBLE_DEVICES names, None where it is not set.

    As CUDA reads it: the list ends before the first entry that is none, such as -1, and an empty text names none.
    """
    text = environ.get("CUDA_VISIBLE_DEVICES")
    if text is None:
        return None
    entries = [entry.strip() for entry in text.split(",")]
    known = itertools.takewhile(lambda entry: re.fullmatch(r"\d+|(?:GPU|MIG)-[\w/-]+", entry), entries)
    return list(dict.fromkeys(known))


def card_of(device: str, cards: Sequence[Card]) -> int | None:
    """The index that nvidia-smi gives to the GPU of a device of CUDA_VISIBLE_DEVICES; None where that is not known.

    A number is taken for nvidia-smi's own, which it is with CUDA_DEVICE_ORDER=PCI_BUS_ID or among GPUs of one kind.
    """
    if device.isdigit():
        return int(device) if not cards or int(device) < len(cards) else None
    whole = device.removeprefix("MIG-").partition("/")[0] if device.startswith("MIG-GPU-") else device
    found = [card for card in cards if card.uuid.startswith(whole) or any(one.startswith(device) for one in card.parts)]
    return found[0].index if len(found) == 1 else None


def chosen(option: int, environ: Mapping[str, str]) -> list[int]:
    """The GPUs, by nvidia-smi's index, that players may draw on: the ``option`` where it is not -1, else those that
    CUDA_VISIBLE_DEVICES names. Empty leaves it to the player."""
    if option >= 0:
        return [option]
    devices = visible(environ) or []
    cards = () if all(device.isdigit() for device in devices) else installed()
    return list(dict.fromkeys(card for device in devices if (card := card_of(device, cards)) is not None))


class Place:
    """The place of one player on the GPU ``card``, or None where the player is to choose. Kept until it is closed."""

    def __init__(self, cards: Sequence[int]) -> None:
        self.card: int | None = cards[0] if cards else None
        self._held: socket.socket | None = None
        if len(cards) > 1:
            self.card, self._held = _least_used(cards)

    def close(self) -> None:
        if self._held is not None:
            self._held.close()


def _least_used(cards: Sequence[int]) -> tuple[int, socket.socket | None]:
    """The GPU with the fewest players of this machine, and what counts this one among them while it is open."""
    for number in range(1024):
        for card in cards:
            held = socket.socket(socket.AF_UNIX)
            try:
                held.bind(f"\0selu-player-on-gpu-{card}-{number}")  # a name without a file: gone with its holder
                return card, held
            except OSError:
                held.close()
    return cards[os.getpid() % len(cards)], None


def device_arguments(card: int | None) -> tuple[str, ...]:
    """What tells a Unity player to draw on a GPU."""
    return () if card is None else ("-force-device-index", str(vulkan_index(card)))


def vulkan_index(card: int) -> int:
    """Vulkan's number of a GPU; nvidia-smi's own where one of the two programs that tell is missing."""
    uuid = next((one.uuid for one in installed() if one.index == card), None)
    return vulkan_order().get((uuid or "").removeprefix("GPU-"), card)


def installed() -> tuple[Card, ...]:
    """All NVIDIA GPUs of this machine; none where nvidia-smi does not run."""
    return read_cards(_said("nvidia-smi", "-L"))


def read_cards(text: str) -> tuple[Card, ...]:
    """The GPUs that `nvidia-smi -L` lists, each with its MIG devices."""
    cards: list[Card] = []
    for line in text.splitlines():
        if found := re.match(r"GPU (\d+): (.*?) \(UUID: (GPU-[\w-]+)\)", line):
            cards.append(Card(int(found[1]), found[2], found[3]))
        elif cards and (part := re.match(r"\s+MIG .*\(UUID: (MIG-[\w/-]+)\)", line)):
            cards[-1] = msgspec.structs.replace(cards[-1], parts=(*cards[-1].parts, part[1]))
    return tuple(cards)


def vulkan_order() -> dict[str, int]:
    """Vulkan's number of each GPU by its UUID without "GPU-"; empty where vulkaninfo does not run."""
    return read_vulkan(_said("vulkaninfo"))


def read_vulkan(text: str) -> dict[str, int]:
    order: dict[str, int] = {}
    number = None
    for line in text.splitlines():
        if found := re.match(r"GPU(\d+):", line):
            number = int(found[1])
        elif number is not None and (uuid := re.match(r"\s*deviceUUID\s*=\s*([\w-]+)", line)):
            order.setdefault(uuid[1], number)
    return order


def _said(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    try:
        ran = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=TOOL_SECONDS, check=True
        )
        return ran.stdout.decode("utf-8", "replace")
    except (OSError, subprocess.SubprocessError):
        return ""
