"""Advisory locks on files (flock), and the error for file systems without locks."""

import errno
import fcntl
import os
from typing import Literal

Mode = Literal["shared", "exclusive"]

_MODES = {"shared": fcntl.LOCK_SH, "exclusive": fcntl.LOCK_EX}
_UNSUPPORTED = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EBADF)
"""Errors of file systems without locks. NFS returns EBADF for an exclusive lock through a read-only descriptor."""


class LocksUnsupported(OSError):
    """The file system cannot lock files. ``strerror`` contains the remedy."""


def lock(descriptor: int, mode: Mode, *, wait: bool = True) -> bool:
    """Locks an open file until its last descriptor is closed. Without `wait`, returns False if the lock is taken.

    Raises:
        LocksUnsupported: the file system has no locks.
        OSError: it failed for another reason.
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
