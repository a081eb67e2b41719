"""A user name for libraries that need one."""

import getpass
import os


def user_variables() -> dict[str, str]:
    """Returns environment variables that name the user, if the system has no name for it; else none.

    A container's user id may be missing from /etc/passwd. Libraries that name folders after the user (PyTorch's
    compiler caches) then fail at import.
    """
    try:
        getpass.getuser()
    except (KeyError, OSError, ImportError):  # the type depends on the version of Python
        name = f"uid-{os.getuid()}"
        return {"USER": name, "LOGNAME": name}
    return {}
