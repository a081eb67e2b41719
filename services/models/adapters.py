"""Moves adapters between blobs and folders: the blobs that an `Adapter` message names, and files that engines load."""

import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import anyio.to_thread

from protocols.codec import adapter_digest
from protocols.codec import digest as digest_of
from protocols.messages import Adapter, Digest
from runtime import crash
from runtime.storage import when_there_is_room

FILES = frozenset({"adapter_config.json", "adapter_model.safetensors", "adapter_model.json"})
"""The files of an adapter; adapter_model.json is for the scripted engine. Other weight formats could contain code."""


class AdapterBroken(Exception):
    """An adapter's files are missing, have unexpected names, or do not match their digests."""


class Blobs(Protocol):
    """The part of the mesh client that stores and fetches blobs."""

    async def put_blob(self, data: bytes) -> Digest: ...

    async def get_blob(self, digest: Digest) -> bytes: ...


async def materialise(blobs: Blobs, adapter: Adapter, folder: Path) -> Path:
    """Returns the adapter's folder, ``folder/<role>@<version>-<digest>``. Fetches the files if it is not intact.

    Several processes may call it at once, and it may be interrupted: the folder is renamed into place when complete.

    Raises:
        AdapterBroken: a file name is not in `FILES`, or bytes do not match their digest.
        ProtocolError: a blob cannot be fetched.
    """
    name = f"{adapter.role}@{adapter.version}"
    if strange := sorted(adapter.files.keys() - FILES):
        raise AdapterBroken(f"{name} has a file named {strange[0]!r}: only {' and '.join(sorted(FILES))} are taken")
    if not adapter.files or adapter_digest(adapter.files) != adapter.digest:
        raise AdapterBroken(f"the files of {name} do not match its digest {adapter.digest[:12]}: train it again")
    target = folder / f"{name}-{adapter.digest[:12]}"
    if await anyio.to_thread.run_sync(_intact, target, adapter.files):
        return target
    data = {file: await blobs.get_blob(digest) for file, digest in adapter.files.items()}
    for file, digest in adapter.files.items():
        if digest_of(data[file]) != digest:
            raise AdapterBroken(f"{file} of {name} does not match its digest {digest[:12]}: restore the blob")
    await when_there_is_room(lambda: anyio.to_thread.run_sync(_write, target, data, adapter.files))
    crash.at("adapter.after")
    return target


def _write(target: Path, data: Mapping[str, bytes], files: Mapping[str, Digest]) -> None:
    scratch = target.with_name(f".{target.name}-{uuid.uuid4().hex}")
    scratch.mkdir(parents=True)
    try:
        for file, content in data.items():
            (scratch / file).write_bytes(content)
        if target.is_dir() and not _intact(target, files):
            shutil.rmtree(target)
        crash.at("adapter.half")
        try:
            os.rename(scratch, target)  # noqa: PTH104 - atomic, and refuses to replace a folder that holds something
        except OSError:
            if not _intact(target, files):  # if it is intact, another process wrote it first
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _intact(target: Path, files: Mapping[str, Digest]) -> bool:
    try:
        return {file.name: digest_of(file.read_bytes()) for file in target.iterdir()} == dict(files)
    except OSError:
        return False


async def store(blobs: Blobs, folder: Path) -> dict[str, Digest]:
    """Puts the files of an adapter folder into the blob store; returns name -> digest, for `Adapter.files`."""
    data = await anyio.to_thread.run_sync(
        lambda: {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.is_file()}
    )
    return {name: await blobs.put_blob(content) for name, content in data.items()}
