"""Blobs that come in pieces: stored when they are what was announced, and else nothing is left of them."""

from pathlib import Path

import pytest

from protocols.codec import digest
from protocols.commands import PutBlob
from protocols.errors import Busy, DecodeError
from runtime.blobs import BlobStore
from runtime.uploads import AT_ONCE, Uploads

pytestmark = pytest.mark.anyio

DATA = b"abcdefghij"
ME, OTHER = b"me", b"other"


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def piece(at: int, *, size: int = len(DATA), of: bytes = DATA) -> PutBlob:
    return PutBlob(digest=digest(of), size=size, at=at)


def files(blobs: BlobStore) -> list[Path]:
    return list(blobs.folder.glob("*/*"))


async def test_pieces_become_a_blob_with_the_last_of_them(blobs: BlobStore) -> None:
    uploads = Uploads(blobs)
    await uploads.put(ME, piece(0), DATA[:4])
    await uploads.put(OTHER, piece(0), DATA)  # somebody else's upload of the same is another
    assert blobs.get(digest(DATA)) == DATA
    await uploads.put(ME, piece(4), DATA[4:])
    assert blobs.get(digest(DATA)) == DATA and len(files(blobs)) == 1
    await uploads.put(ME, piece(0, size=0, of=b""), b"")
    assert blobs.get(digest(b"")) == b""


@pytest.mark.parametrize(
    ("commands", "said"),
    [
        ([(piece(0), DATA[:4]), (piece(4), DATA)], "more bytes than the 10 that were announced"),
        ([(piece(0, size=3), DATA)], "more bytes than the 3"),
        ([(piece(0), DATA[::-1])], "another digest"),
        ([(piece(0), DATA[:4]), (piece(5), DATA[5:])], "out of place"),
        ([(piece(0), DATA[:4]), (piece(4, size=11), DATA[4:])], "out of place"),
        ([(piece(4), DATA[4:])], "out of place"),
    ],
)
async def test_what_is_not_as_announced_is_refused_and_leaves_nothing(
    blobs: BlobStore, commands: list[tuple[PutBlob, bytes]], said: str
) -> None:
    uploads = Uploads(blobs)
    *before, (last, data) = commands
    for command, part in before:
        await uploads.put(ME, command, part)
    with pytest.raises(DecodeError, match=said):
        await uploads.put(ME, last, data)
    assert files(blobs) == []


async def test_a_session_takes_its_unfinished_uploads_with_it_and_has_a_bound_of_them(blobs: BlobStore) -> None:
    uploads = Uploads(blobs)
    for number in range(AT_ONCE):
        await uploads.put(ME, piece(0, of=b"%010d" % number), b"000")
    with pytest.raises(Busy):
        await uploads.put(ME, piece(0), DATA[:4])
    await uploads.put(OTHER, piece(0), DATA[:4])
    uploads.drop(ME)
    assert len(files(blobs)) == 1
    await uploads.put(OTHER, piece(4), DATA[4:])
    assert blobs.get(digest(DATA)) == DATA


def test_a_blob_is_read_in_pieces(blobs: BlobStore) -> None:
    name = blobs.put(DATA)
    assert blobs.piece(name, 0, 4) == (10, b"abcd")
    assert blobs.piece(name, 8, 4) == (10, b"ij")
    assert blobs.piece(name, 99, 4) == (10, b"")
