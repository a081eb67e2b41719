"""A judgement set shared by several runs: the first run collects it, and all are measured on the same frames.

<folder>/<key>.jsonl  one set, named by a digest of what it depends on; contains truths, readable by its owner only
<folder>/blobs/       the frames, by sha256
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from protocols.codec import digest
from protocols.errors import ProtocolError
from protocols.messages import Digest
from runtime.atomic import sync_folder, temporary_file
from runtime.blobs import BlobStore
from runtime.paths import given_path
from runtime.settings import SettingsError
from services.evaluator.judgements import Held
from services.models.folder import base_model_name, model_folder
from services.setting_kinds import contents, kind_of
from services.settings import Settings, World


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of a set: the settings that it depends on, and the digest of the lines after it."""

    made_with: msgspec.Raw
    digest: Digest


def made_with(settings: Settings) -> bytes:
    """Everything that a judgement set depends on, as JSON: base model, world, length of episodes, split and size."""
    return msgspec.json.encode(
        {
            "base_model": _base_model(settings),
            "world": _world(settings),
            "max_steps": settings.simulator.max_steps,
            "split": settings.evaluator.split,
            "judgements": settings.evaluator.judgements,
        },
        order="sorted",
    )


def _world(settings: Settings) -> World:
    """The world's settings without those of execution, and with digests in the place of file paths."""
    held = contents(settings)
    options = {
        name: held.get(f"world.options.{name}", value)
        for name, value in settings.world.options.items()
        if kind_of(f"world.options.{name}", settings.world.name) != "execution"
    }
    return msgspec.structs.replace(settings.world, options=options)


def _base_model(settings: Settings) -> str:
    if settings.model.engine == "scripted":
        from services.models.scripted_engine import BASE_MODEL

        return BASE_MODEL
    if settings.model.engine == "openai":
        return f"{settings.model.url} {settings.model.path}"
    return base_model_name(model_folder(settings.model))


def _place(scratch: Path, file: Path) -> bool:
    """Gives the scratch file its final name unless that name exists. Returns whether it did."""
    try:
        os.link(scratch, file)
    except FileExistsError:
        return False
    except OSError:  # exFAT, SMB: no hard links; of two simultaneous writers the later one wins
        if file.exists():
            return False
        scratch.replace(file)
    sync_folder(file.parent)
    return True


class SharedSet:
    """The set for these settings in ``evaluator.judgement_sets``. Blocking: call it in a worker thread."""

    def __init__(self, settings: Settings) -> None:
        folder = given_path(settings.evaluator.judgement_sets)
        self._made_with = made_with(settings)
        self._size = settings.evaluator.judgements
        self._blobs = folder / "blobs"
        self.file = folder / f"{digest(self._made_with)[:16]}.jsonl"

    def read(self) -> list[Held]:
        """The whole set; empty if no run has shared it yet.

        Raises:
            SettingsError: the stored set is damaged.
        """
        try:
            first, _, rest = self.file.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return []
        try:
            head = msgspec.json.decode(first, type=Head)
            held = [msgspec.json.decode(line, type=Held) for line in rest.splitlines()]
        except msgspec.MsgspecError as error:
            raise self._damaged(str(error)) from error
        if head.digest != digest(rest) or bytes(head.made_with) != self._made_with:
            raise self._damaged("its lines are not those that were written")
        return held

    def frames(self, held: Sequence[Held]) -> Iterator[bytes]:
        """The frames of a set that `read` returned, each checked against its digest. Raises as `read` does."""
        blobs = BlobStore(self._blobs)
        for one in held:
            if one.frame is not None:
                try:
                    yield blobs.get(one.frame)
                except ProtocolError as error:
                    raise self._damaged(str(error)) from error

    def write(self, held: Sequence[Held], frames: Sequence[bytes]) -> bool:
        """Shares a complete set. Returns False if one is there already, which is kept."""
        blobs = BlobStore(self._blobs)
        for frame in frames:
            blobs.put(frame)
        rest = b"".join(msgspec.json.encode(one) + b"\n" for one in held)
        head = msgspec.json.encode(Head(made_with=msgspec.Raw(self._made_with), digest=digest(rest)))
        with temporary_file(self.file, head + b"\n" + rest, mode=0o600) as scratch:
            return _place(scratch, self.file)

    def _damaged(self, why: str) -> SettingsError:
        return SettingsError(
            f"the judgement set {self.file} (evaluator.judgement_sets) is damaged: {why}; delete it, and the next run "
            "collects it again"
        )
