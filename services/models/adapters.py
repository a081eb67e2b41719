"""Adapters as folders: from the blobs that an `Adapter` message names to files an engine can load, and back."""

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
"""What an adapter is made of; JSON is for the scripted engine. Weights in any other form could be code."""


class AdapterBroken(Exception):
    """An adapter whose files are missing, misnamed or not what their digests say."""


class Blobs(Protocol):
    """Where blobs come from and go to: the mesh client."""

    async def put_blob(self, data: bytes) -> Digest: ...

    async def get_blob(self, digest: Digest) -> bytes: ...


async def materialise(blobs: Blobs, adapter: Adapter, folder: Path) -> Path:
    """The adapter as ``folder/<role>@<version>-<digest>`` with exactly its files, fetched where they are missing.

    Safe for several processes at once and after a crash: a folder of that name is whole or absent.

    Raises:
        AdapterBroken: a file that is none of `FILES`, or bytes that do not match their digest.
        ProtocolError: a blob that cannot be had.
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
            if not _intact(target, files):  # else another process was first
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _intact(target: Path, files: Mapping[str, Digest]) -> bool:
    try:
        return {file.name: digest_of(file.read_bytes()) for file in target.iterdir()} == dict(files)
    except OSError:
        return False


async def store(blobs: Blobs, folder: Path) -> dict[str, Digest]:
    """Puts the files of an adapter folder into the blob store and returns name -> digest, for `Adapter.files`."""
    data = await anyio.to_thread.run_sync(
        lambda: {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.is_file()}
    )
    return {name: await blobs.put_blob(content) for name, content in data.items()}
