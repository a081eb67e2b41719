"""Loads a model folder's processor, even if torchvision is missing.

The processors of Qwen-VL and SmolVLM2 have a video part that needs torchvision. Pictures do not need it, and not every
build of torch has a matching torchvision.
"""

import importlib.util
import json
from pathlib import Path
from typing import Any


def load_processor(folder: Path) -> Any:
    """Loads the processor with transformers' AutoProcessor; without torchvision, one that takes no videos.

    Raises:
        ImportError, OSError, ValueError: as AutoProcessor does, if the processor has no video part to leave out.
    """
    from transformers import AutoProcessor

    try:
        return AutoProcessor.from_pretrained(folder, local_files_only=True)
    except ImportError:
        kind = None if importlib.util.find_spec("torchvision") else _kind(folder)
        if kind is None:
            raise
        return _without_videos(folder, kind)


class _NoVideos:
    """A placeholder for the video part, which prompts with one picture never call."""

    model_input_names: tuple[str, ...] = ()


def _without_videos(folder: Path, kind: Any) -> Any:
    from transformers import AutoImageProcessor, AutoTokenizer

    class PicturesOnly(kind):
        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            if isinstance(argument, _NoVideos):
                return _NoVideos
            return super().check_argument_for_proper_class(argument_name, argument)

    settings = _read(folder / "processor_config.json")
    own = {name: settings[name] for name in ("image_seq_len",) if name in settings}
    return PicturesOnly(
        image_processor=AutoImageProcessor.from_pretrained(folder, local_files_only=True),
        tokenizer=AutoTokenizer.from_pretrained(folder, local_files_only=True),
        video_processor=_NoVideos(),
        **own,
    )


def _kind(folder: Path) -> Any:
    """Returns the processor's class if it has a video part, else None."""
    import transformers

    files = ("processor_config.json", "preprocessor_config.json")
    names = [_read(folder / file).get("processor_class") for file in files]
    kind = getattr(transformers, next((name for name in names if name), ""), None)
    return kind if kind is not None and "video_processor" in kind.get_attributes() else None


def _read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
