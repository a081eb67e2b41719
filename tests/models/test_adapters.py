"""Adapters between blobs and folders: whole or absent, and never a file that does not match its digest."""

import shutil
from pathlib import Path

import anyio
import pytest

from protocols.codec import adapter_digest, digest
from protocols.errors import NotFound
from protocols.messages import Adapter
from services.models.adapters import AdapterBroken, materialise, store

pytestmark = pytest.mark.anyio


class Blobs:
    """Blobs in memory, counting what is read."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}
        self.read = 0

    async def put_blob(self, data: bytes) -> str:
        self.data[digest(data)] = data
        return digest(data)

    async def get_blob(self, digest: str) -> bytes:
        self.read += 1
        if digest not in self.data:
            raise NotFound(f"no blob {digest}")
        return self.data[digest]


def adapter(files: dict[str, str], **fields: object) -> Adapter:
    values: dict[str, object] = {
        "role": "actor", "version": 3, "round": 3, "parent": 2, "files": files, "digest": adapter_digest(files),
        "base_model": "m", "dataset": digest(b""), "rows": 9, "promoted": True,
    }  # fmt: skip
    return Adapter(**{**values, **fields})  # type: ignore[arg-type]


async def stored(blobs: Blobs, tmp_path: Path) -> Adapter:
    made = tmp_path / "made"
    made.mkdir()
    (made / "adapter_config.json").write_text("{}")
    (made / "adapter_model.safetensors").write_bytes(b"weights")
    return adapter(await store(blobs, made))


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


async def test_an_adapter_comes_back_as_the_files_it_was_stored_from(tmp_path: Path) -> None:
    blobs = Blobs()
    folder = await materialise(blobs, await stored(blobs, tmp_path), tmp_path / "adapters")
    assert contents(folder) == {"adapter_config.json": b"{}", "adapter_model.safetensors": b"weights"}
    assert folder.name.startswith("actor@3-")
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


async def test_what_is_there_is_not_fetched_again_but_what_was_damaged_is(tmp_path: Path) -> None:
    blobs = Blobs()
    made = await stored(blobs, tmp_path)
    folder = await materialise(blobs, made, tmp_path / "adapters")
    read = blobs.read
    assert await materialise(blobs, made, tmp_path / "adapters") == folder
    assert blobs.read == read
    for damage in (
        lambda: (folder / "adapter_model.safetensors").write_bytes(b"weighty"),
        lambda: (folder / "adapter_config.json").unlink(),
        lambda: (folder / "stray").write_bytes(b""),
        lambda: shutil.rmtree(folder),
    ):
        damage()
        await materialise(blobs, made, tmp_path / "adapters")
        assert contents(folder)["adapter_model.safetensors"] == b"weights"
        assert len(contents(folder)) == 2


async def test_many_processes_may_make_the_same_folder_at_once(tmp_path: Path) -> None:
    blobs = Blobs()
    made = await stored(blobs, tmp_path)
    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(materialise, blobs, made, tmp_path / "adapters")
    (folder,) = (tmp_path / "adapters").iterdir()
    assert len(contents(folder)) == 2


STRANGE = ["../evil", "a/b", "..", "", "/etc/passwd", "a\\b", "a\0b", "../adapter_config.json", "adapter_model.bin"]


@pytest.mark.parametrize("name", STRANGE)
async def test_file_names_that_leave_the_folder_or_may_hold_code_are_refused(tmp_path: Path, name: str) -> None:
    blobs = Blobs()
    files = {name: await blobs.put_blob(b"x")}
    with pytest.raises(AdapterBroken, match="only adapter_config"):
        await materialise(blobs, adapter(files), tmp_path / "adapters")
    assert not (tmp_path / "adapters").exists()


async def test_files_that_do_not_match_are_refused_and_nothing_is_left_behind(tmp_path: Path) -> None:
    blobs = Blobs()
    made = await stored(blobs, tmp_path)
    with pytest.raises(AdapterBroken, match="do not match its digest"):
        await materialise(blobs, adapter(dict(made.files), digest=digest(b"else")), tmp_path / "adapters")
    with pytest.raises(AdapterBroken):
        await materialise(blobs, adapter({}), tmp_path / "adapters")
    blobs.data[made.files["adapter_config.json"]] = b"swapped"
    with pytest.raises(AdapterBroken, match=r"adapter_config\.json"):
        await materialise(blobs, made, tmp_path / "adapters")
    del blobs.data[made.files["adapter_config.json"]]
    with pytest.raises(NotFound):
        await materialise(blobs, made, tmp_path / "adapters")
    assert not (tmp_path / "adapters").exists() or not list((tmp_path / "adapters").iterdir())
