"""A model folder's processor, also where torchvision is missing.

Qwen-VL's and SmolVLM2's processors have a part for videos that cannot be loaded without torchvision. Pictures do not
need it, and torchvision does not go with every build of torch.
"""

import importlib.util
import json
from pathlib import Path
from typing import Any


def load_processor(folder: Path) -> Any:
    """As transformers' AutoProcessor; without torchvision, a processor that takes no videos.

    Raises:
        ImportError, OSError, ValueError: as AutoProcessor does, where that does not help either.
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
    """Stands where the part for videos would be, which one-picture prompts never call."""

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
    """The processor's class where it has a part for videos."""
    import transformers

    files = ("processor_config.json", "preprocessor_config.json")
    names = [_read(folder / file).get("processor_class") for file in files]
    kind = getattr(transformers, next((name for name in names if name), ""), None)
    return kind if kind is not None and "video_processor" in kind.get_attributes() else None


def _read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
