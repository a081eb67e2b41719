"""Anonymous shared memory for frames between two processes: a frame is copied once, by its writer.

The memory cannot leak: the kernel frees it when the last process with its descriptor ends. POSIX only.
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
"""The largest frame; 8192 x 8192 fits."""

PLACES = 3
"""The number of slots: the current frame, the next one, and one for a caller that keeps frames."""


def nameless() -> int:
    """Returns the descriptor of new, empty shared memory. Child processes inherit it only if it is passed on."""
    if not hasattr(os, "memfd_create"):  # not Linux: use an unlinked file
        descriptor, path = tempfile.mkstemp()
        os.unlink(path)  # noqa: PTH108
        return descriptor
    descriptor = os.memfd_create("selu-frame", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    # Reading memory after the other process shrank it would raise SIGBUS, so shrinking is sealed off.
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    return descriptor


class SharedFrame:
    """Memory for one frame. Owns its descriptor until `close`, which any thread may call; otherwise not thread-safe."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._map: mmap.mmap | None = None
        self._bytes: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._lent: weakref.ref[NDArray[np.uint8]] | None = None

    @property
    def free(self) -> bool:
        """Whether no array that `lend` returned, and no view of one, is still referenced."""
        return self._lent is None or self._lent() is None

    def put(self, frame: Frame) -> None:
        """Copies a frame into the memory. Raises ValueError if it is too large, OSError if there is no memory."""
        if frame.nbytes > MAX_BYTES:
            raise ValueError(f"a frame of {frame.nbytes} bytes, where {MAX_BYTES} is the most")
        if frame.nbytes > self._bytes.size:
            os.ftruncate(self.descriptor, frame.nbytes)
            self._open(frame.nbytes)
        np.copyto(self._bytes[: frame.nbytes].reshape(frame.shape), frame)

    def lend(self, height: int, width: int) -> Frame:
        """Returns the frame in the memory without a copy. Raises ValueError or OSError if it has no frame of that
        size."""
        count = height * width * 3
        if min(height, width) < 1 or count > self._bytes.size:
            size = os.fstat(self.descriptor).st_size
            if min(height, width) < 1 or count > min(size, MAX_BYTES):
                raise ValueError(f"a frame of {height}x{width} is not in {size} bytes")
            self._open(size)
        mapped = self._map
        if mapped is None:  # another thread has closed it since
            raise ValueError("the memory was closed")
        whole = np.frombuffer(mapped, np.uint8, count)  # numpy keeps this array alive while a view exists
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
            with suppress(BufferError):  # a frame in it is still referenced: unmapped when that is freed
                self._map.close()
        self._map = None


class SharedFrames:
    """The frame slots of one simulator. The caller that requests a frame names the slot (`place`) for it.

    A returned frame stays valid: its slot is not reused while the frame is referenced. If all other slots are in use,
    the last slot is used, and its frames are returned as copies.
    """

    def __init__(self, descriptors: Iterable[int]) -> None:
        self._slots = [SharedFrame(descriptor) for descriptor in descriptors]

    @property
    def descriptors(self) -> tuple[int, ...]:
        return tuple(slot.descriptor for slot in self._slots)

    @property
    def place(self) -> int:
        """The index of the first free slot."""
        return next(number for number, slot in enumerate(self._slots) if slot.free)

    def put(self, place: int, frame: Frame) -> None:
        """Like `SharedFrame.put`."""
        self._slots[place].put(frame)

    def take(self, place: int, height: int, width: int) -> Frame:
        """Like `SharedFrame.lend`, but copies frames of the last slot."""
        frame = self._slots[place].lend(height, width)
        return frame.copy() if place == len(self._slots) - 1 else frame

    def close(self) -> None:
        for slot in self._slots:
            slot.close()
