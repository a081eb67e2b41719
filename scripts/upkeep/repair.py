"""Fixes problems of a run folder that is not in use, without losing anything that was acknowledged."""

import shutil
from collections.abc import Iterator

from runtime.blobs import BlobStore
from runtime.log import Log
from runtime.runfolder import RunFolder
from scripts.upkeep.inspect import Found


def repair(run: RunFolder, found: Found) -> Iterator[str]:
    """Fixes the problems that `inspect` found and yields a text for each fix. The caller holds the folder's lock.

    No message is changed and no blob deleted. A damaged blob is moved to ``damaged/``, which allows its content to be
    stored again.
    """
    for path in found.leftovers:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        yield f"removed {path.relative_to(run.path)}"
    store = BlobStore(run.blobs)
    for digest in found.damaged_blobs:
        aside = run.path / "damaged" / digest
        aside.parent.mkdir(exist_ok=True)
        store.path(digest).replace(aside)
        yield f"set blob {digest[:12]} aside in {aside.parent.name}/"
    for file in found.restorable:
        yield f"restored blob {store.put(file.read_bytes())[:12]} from {file.relative_to(run.path)}"
    for folder in found.damaged_adapters:
        shutil.rmtree(folder)
        yield f"removed the copy {folder.relative_to(run.path)}"
    for file in found.torn_lines:
        with file.open("ab") as lines:
            lines.write(b"\n")
        yield f"ended the half line in {file.relative_to(run.path)}"
    if found.stale_sockets:
        run.stop_listening()
        yield "removed the sockets of a mesh that is gone"
    if found.beyond is not None:
        log = Log(run.log_file)
        try:
            log.lower(found.beyond)
        finally:
            log.close()
        yield f"took the groups that stood beyond the log back to its end at {found.beyond}"
