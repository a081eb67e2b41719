"""Memory without a name that two processes share: a frame goes through it with one copy, that of who lays it there.

Nothing of it can be left behind: the kernel takes it back when the last process that holds its descriptor is gone,
however that went. POSIX only, like the processes it is for.
"""

import fcntl
import mmap
import os
import tempfile
import weakref
from collections.abc import Iterable
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from services.worlds.world import Frame

MAX_BYTES = 256 << 20
"""The largest frame: 8192 x 8192 fits."""

PLACES = 3
"""A frame being looked at, the next one, and one for whoever collects them."""


def nameless() -> int:
    """The descriptor of new memory, empty. It is not inherited unless it is passed on."""
    if not hasattr(os, "memfd_create"):  # elsewhere than on Linux: a file that is nowhere
        descriptor, path = tempfile.mkstemp()
        os.unlink(path)  # noqa: PTH108
        return descriptor
    descriptor = os.memfd_create("selu-frame", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    # Who reads memory that was taken back under it is killed; so that no side can do that to the other:
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    return descriptor


class SharedFrame:
    """Memory for one frame. Owns its descriptor until `close`, which may come from any thread; else not thread-safe."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._map: mmap.mmap | None = None
        self._bytes: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._lent: weakref.ref[NDArray[np.uint8]] | None = None

    @property
    def free(self) -> bool:
        """Whether nobody holds what was lent, or a view into it, any more."""
        return self._lent is None or self._lent() is None

    def put(self, frame: Frame) -> None:
        """Lays a frame down. Raises ValueError for one that is too large, OSError where there is no memory."""
        if frame.nbytes > MAX_BYTES:
            raise ValueError(f"a frame of {frame.nbytes} bytes, where {MAX_BYTES} is the most")
        if frame.nbytes > self._bytes.size:
            os.ftruncate(self.descriptor, frame.nbytes)
            self._open(frame.nbytes)
        np.copyto(self._bytes[: frame.nbytes].reshape(frame.shape), frame)

    def lend(self, height: int, width: int) -> Frame:
        """The frame that lies here, itself. Raises ValueError or OSError where none of that size can be."""
        count = height * width * 3
        if min(height, width) < 1 or count > self._bytes.size:
            size = os.fstat(self.descriptor).st_size
            if min(height, width) < 1 or count > min(size, MAX_BYTES):
                raise ValueError(f"a frame of {height}x{width} is not in {size} bytes")
            self._open(size)
        mapped = self._map
        if mapped is None:  # another thread has closed it since
            raise ValueError("the memory was closed")
        whole = np.frombuffer(mapped, np.uint8, count)  # numpy keeps this very array alive for all views into it
        self._lent = weakref.ref(whole)
        return whole.reshape(height, width, 3)

    def close(self) -> None:
        self._unmap()
        with suppress(OSError):
            os.close(self.descriptor)
        self.descriptor = -1

    def _open(self, size: int) -> None:
        self._unmap()
        self._map = mmap.mmap(self.descriptor, size)
        self._bytes = np.frombuffer(self._map, np.uint8)

    def _unmap(self) -> None:
        self._bytes = np.empty(0, np.uint8)
        if self._map is not None:
            with suppress(BufferError):  # somebody still holds a frame in it: gone when that is
                self._map.close()
        self._map = None


class SharedFrames:
    """The few places of one simulator's frames. Whoever asks for a frame says in which `place` it shall be laid.

    A frame that was taken is its taker's for good: its place is not used again before the taker lets go of it. Where
    that is so of all places, the last one is, whose frames are taken as copies.
    """

    def __init__(self, descriptors: Iterable[int]) -> None:
        self._slots = [SharedFrame(descriptor) for descriptor in descriptors]

    @property
    def descriptors(self) -> tuple[int, ...]:
        return tuple(slot.descriptor for slot in self._slots)

    @property
    def place(self) -> int:
        """The first place that is free."""
        return next(number for number, slot in enumerate(self._slots) if slot.free)

    def put(self, place: int, frame: Frame) -> None:
        """As `SharedFrame.put`."""
        self._slots[place].put(frame)

    def take(self, place: int, height: int, width: int) -> Frame:
        """As `SharedFrame.lend`."""
        frame = self._slots[place].lend(height, width)
        return frame.copy() if place == len(self._slots) - 1 else frame

    def close(self) -> None:
        for slot in self._slots:
            slot.close()
