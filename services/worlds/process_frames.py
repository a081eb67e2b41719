"""Memory without a name that two processes share: a frame goes through it with one copy on each side.

Nothing of it can be left behind: the kernel takes it back when the last process that holds its descriptor is gone,
however that went. POSIX only, like the processes it is for.
"""

import fcntl
import mmap
import os
import tempfile
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from services.worlds.world import Frame

MAX_BYTES = 256 << 20
"""The largest frame: 8192 x 8192 fits."""


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
    """One frame at a time: whoever asks for the next one has taken this one. Owns its descriptor until `close`.

    Not thread-safe, but that `close` may come from any thread.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._map: mmap.mmap | None = None
        self._bytes: NDArray[np.uint8] = np.empty(0, np.uint8)

    def put(self, frame: Frame) -> None:
        """Lays a frame down. Raises ValueError for one that is too large, OSError where there is no memory."""
        if frame.nbytes > MAX_BYTES:
            raise ValueError(f"a frame of {frame.nbytes} bytes, where {MAX_BYTES} is the most")
        if frame.nbytes > self._bytes.size:
            os.ftruncate(self.descriptor, frame.nbytes)
            self._open(frame.nbytes)
        np.copyto(self._bytes[: frame.nbytes].reshape(frame.shape), frame)

    def take(self, height: int, width: int) -> Frame:
        """A copy of the frame that lies there. Raises ValueError where none of that size can be."""
        count = height * width * 3
        if min(height, width) < 1 or count > self._bytes.size:
            size = os.fstat(self.descriptor).st_size
            if min(height, width) < 1 or count > min(size, MAX_BYTES):
                raise ValueError(f"a frame of {height}x{width} is not in {size} bytes")
            self._open(size)
        return self._bytes[:count].reshape(height, width, 3).copy()

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
            with suppress(BufferError):  # another thread is copying from it: gone when that is done
                self._map.close()
        self._map = None
