"""Chooses the GPU on which a Unity player renders: one of those in CUDA_VISIBLE_DEVICES.

CUDA, nvidia-smi and Vulkan number a machine's GPUs in different orders, and players use Vulkan's. A `Card` is a GPU in
nvidia-smi's order; its UUID identifies it in the other orders.
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
"""The time limit of nvidia-smi and vulkaninfo."""


class Card(msgspec.Struct, frozen=True):
    """A GPU. ``uuid`` is as nvidia-smi prints it, "GPU-..."; ``parts`` are the UUIDs of its MIG devices."""

    index: int
    name: str
    uuid: str
    parts: tuple[str, ...] = ()


def visible(environ: Mapping[str, str]) -> list[str] | None:
    """Returns the devices in CUDA_VISIBLE_DEVICES; None if it is not set.

    Parsed as CUDA does: the list ends before the first invalid entry, such as -1, and an empty value means no devices.
    """
    text = environ.get("CUDA_VISIBLE_DEVICES")
    if text is None:
        return None
    entries = [entry.strip() for entry in text.split(",")]
    known = itertools.takewhile(lambda entry: re.fullmatch(r"\d+|(?:GPU|MIG)-[\w/-]+", entry), entries)
    return list(dict.fromkeys(known))


def card_of(device: str, cards: Sequence[Card]) -> int | None:
    """Returns nvidia-smi's index of the GPU of a CUDA_VISIBLE_DEVICES entry; None if it is unknown.

    A number is taken as nvidia-smi's index, which is right with CUDA_DEVICE_ORDER=PCI_BUS_ID or for GPUs of one kind.
    """
    if device.isdigit():
        return int(device) if not cards or int(device) < len(cards) else None
    whole = device.removeprefix("MIG-").partition("/")[0] if device.startswith("MIG-GPU-") else device
    found = [card for card in cards if card.uuid.startswith(whole) or any(one.startswith(device) for one in card.parts)]
    return found[0].index if len(found) == 1 else None


def chosen(option: int, environ: Mapping[str, str]) -> list[int]:
    """Returns nvidia-smi's indices of the GPUs that players may use: ``option`` unless it is -1, else those in
    CUDA_VISIBLE_DEVICES. If empty, the player chooses."""
    if option >= 0:
        return [option]
    devices = visible(environ) or []
    cards = () if all(device.isdigit() for device in devices) else installed()
    return list(dict.fromkeys(card for device in devices if (card := card_of(device, cards)) is not None))


class Place:
    """One player's reservation on the GPU ``card``, held until `close`. If ``card`` is None, the player chooses."""

    def __init__(self, cards: Sequence[int]) -> None:
        self.card: int | None = cards[0] if cards else None
        self._held: socket.socket | None = None
        if len(cards) > 1:
            self.card, self._held = _least_used(cards)

    def close(self) -> None:
        if self._held is not None:
            self._held.close()


def _least_used(cards: Sequence[int]) -> tuple[int, socket.socket | None]:
    """Returns the GPU with the fewest players on this machine, and a socket that counts this player while open."""
    for number in range(1024):
        for card in cards:
            held = socket.socket(socket.AF_UNIX)
            try:
                held.bind(f"\0selu-player-on-gpu-{card}-{number}")  # an abstract name: freed when the process ends
                return card, held
            except OSError:
                held.close()
    return cards[os.getpid() % len(cards)], None


def device_arguments(card: int | None) -> tuple[str, ...]:
    """Returns the command-line arguments that make a Unity player render on a GPU."""
    return () if card is None else ("-force-device-index", str(vulkan_index(card)))


def vulkan_index(card: int) -> int:
    """Returns Vulkan's index of a GPU; nvidia-smi's own index if nvidia-smi or vulkaninfo gives none."""
    uuid = next((one.uuid for one in installed() if one.index == card), None)
    return vulkan_order().get((uuid or "").removeprefix("GPU-"), card)


def installed() -> tuple[Card, ...]:
    """Returns all NVIDIA GPUs of this machine; none if nvidia-smi cannot run."""
    return read_cards(_said("nvidia-smi", "-L"))


def read_cards(text: str) -> tuple[Card, ...]:
    """Parses the output of `nvidia-smi -L`: the GPUs, each with its MIG devices."""
    cards: list[Card] = []
    for line in text.splitlines():
        if found := re.match(r"GPU (\d+): (.*?) \(UUID: (GPU-[\w-]+)\)", line):
            cards.append(Card(int(found[1]), found[2], found[3]))
        elif cards and (part := re.match(r"\s+MIG .*\(UUID: (MIG-[\w/-]+)\)", line)):
            cards[-1] = msgspec.structs.replace(cards[-1], parts=(*cards[-1].parts, part[1]))
    return tuple(cards)


def vulkan_order() -> dict[str, int]:
    """Returns Vulkan's index of each GPU by its UUID without "GPU-"; empty if vulkaninfo cannot run."""
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
