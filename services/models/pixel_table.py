"""Replaces a picture processor by a lookup table, learned from noise pictures, if the results are identical.

Processors that neither resize nor rearrange map each byte of each channel to one number, and a lookup costs a fraction
of running them. A table is used only if it reproduces further pictures bit for bit.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
"""A picture: height x width x 3."""


def probes(size: tuple[int, int], count: int = 3) -> list[Bytes]:
    """Returns noise pictures of a size (width, height). Unless tiny, the first has every byte value in each channel."""
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8) for _ in range(count)]


def learn(pictures: Sequence[Bytes], tensors: Sequence[NDArray[np.float32]]) -> NDArray[np.float32] | None:
    """Returns the table (3 x 256) with which `apply` turns each picture into its tensor; None if no table does.

    ``tensors`` are the processor's outputs: any shape that ends in 3 x height x width and holds one picture.
    """
    table = np.zeros((3, 256), dtype=np.float32)
    for number, (picture, tensor) in enumerate(zip(pictures, tensors, strict=True)):
        channels = picture.transpose(2, 0, 1)
        if tensor.shape[-3:] != channels.shape or tensor.size != channels.size:
            return None
        if number == 0:
            for channel in range(3):
                table[channel][channels[channel]] = tensor.reshape(channels.shape)[channel]
        if not np.array_equal(apply(table, picture), tensor.reshape(channels.shape)):
            return None
    return table


def apply(table: NDArray[np.float32], picture: Bytes) -> NDArray[np.float32]:
    """Returns the picture's tensor, 3 x height x width."""
    return np.stack([table[channel][picture[..., channel]] for channel in range(3)])


def expansion(short: Sequence[int], long: Sequence[int]) -> tuple[int, list[int], list[int]]:
    """Returns how a processor changed a prompt's tokens: index, replaced tokens, new tokens."""
    ends = range(min(len(short), len(long)))
    at = next((i for i in ends if short[i] != long[i]), len(ends))
    after = next((i for i in ends if short[-1 - i] != long[-1 - i]), len(ends))
    after = min(after, min(len(short), len(long)) - at)
    return at, list(short[at : len(short) - after]), list(long[at : len(long) - after])
