"""Advisory locks on files, and the error where the file system has none."""

import errno
import fcntl
import os
from typing import Literal

Mode = Literal["shared", "exclusive"]

_MODES = {"shared": fcntl.LOCK_SH, "exclusive": fcntl.LOCK_EX}
_UNSUPPORTED = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EBADF)
"""What file systems without locks answer. NFS answers EBADF to an exclusive lock through a read-only descriptor."""


class LocksUnsupported(OSError):
    """The file system cannot lock files. ``strerror`` says so, and what to do."""


def lock(descriptor: int, mode: Mode, *, wait: bool = True) -> bool:
    """Locks an open file; the lock ends with its last descriptor. Without `wait`, False where somebody else holds it.

    Raises:
        LocksUnsupported: the file system has no locks.
        OSError: it failed otherwise.
    """
    try:
        fcntl.flock(descriptor, _MODES[mode] | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        raise LocksUnsupported(
            error.errno,
            f"its file system cannot lock files ({os.strerror(error.errno)}): use a folder on a local disk, or mount "
            "the network file system with locks",
        ) from error
    return True
