"""The name of the user, for libraries that want one."""

import getpass
import os


def user_variables() -> dict[str, str]:
    """What the environment needs beside its own so that the user has a name.

    A container's user id may be in no /etc/passwd. Libraries that name folders after the user (PyTorch's compiler
    caches) then fail at their import.
    """
    try:
        getpass.getuser()
    except (KeyError, OSError, ImportError):  # which of them depends on the version of Python
        name = f"uid-{os.getuid()}"
        return {"USER": name, "LOGNAME": name}
    return {}
