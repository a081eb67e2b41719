"""Checks a model's chat template without the model: whether a prompt contains both the picture and the question.

`services.models.chat` renders the same template with the tokenizer. This module uses Jinja alone, which is fast.
"""

import importlib.util
import json
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from services.models.model_json import Unreadable, object_or_empty, read_object, read_text
from services.models.needs import FAMILIES, Lack

JINJA, JSON, TOKENIZER = "chat_template.jinja", "chat_template.json", "tokenizer_config.json"
ADD = f"add the {JINJA} that its authors publish, or take the -Instruct or -chat version of the model"
MARK = "Which colour is it?"

_GENERATION = re.compile(r"\{%-?\s*(end)?generation\s*-?%\}")
"""Block tags that only mark the assistant's text; plain Jinja does not know them."""


class NoTemplate(Exception):
    """A template cannot be rendered. The text says why."""


def find_template(folder: Path) -> str | None:
    """Returns the chat template of a model folder, or None. The processor's template comes first, because the
    tokenizer's may be for text alone.

    Raises:
        Unreadable: the template's file cannot be read; the text begins with its name.
    """
    for name, read in ((JINJA, _plain), (JSON, _inside), ("processor_config.json", _inside), (TOKENIZER, _inside)):
        file = folder / name
        if file.exists() or file.is_symlink():
            try:
                found = read(file)
            except Unreadable as error:
                raise Unreadable(f"{file} {error}") from None
            if found:
                return found
    return None


def _plain(file: Path) -> str | None:
    return read_text(file).strip() or None


def _inside(file: Path) -> str | None:
    found: Any = read_object(file).get("chat_template")
    if isinstance(found, list):  # older tokenizers hold a list of named templates
        found = {one.get("name"): one.get("template") for one in cast("list[Any]", found) if isinstance(one, dict)}
    if isinstance(found, dict):
        found = cast("dict[str, Any]", found).get("default")
    return found if isinstance(found, str) and found.strip() else None


def template_flaws(folder: Path, config: Mapping[str, Any]) -> Iterator[Lack]:
    """Reports why the folder's chat template cannot make prompts about pictures; at most one reason."""
    try:
        template = find_template(folder)
    except Unreadable as error:
        yield Lack(str(error), "copy the model again")
        return
    if template is None:
        yield Lack(f"{folder} has no chat template", ADD)
        return
    if importlib.util.find_spec("jinja2") is None:  # transformers needs it too, and reports that it is missing
        return
    names = special_tokens(folder)
    try:
        shown = render(template, names)
        blind = render(template, names, picture=False)
    except NoTemplate as error:
        yield Lack(f"the chat template of {folder} takes no picture: {error}", ADD)
        return
    token = image_token(folder, config)
    if MARK not in shown:
        yield Lack(f"the chat template of {folder} drops the text of a user's turn", ADD)
    elif shown == blind or re.search(r"""['"]type['"]:\s*['"](text|image)['"]""", shown):
        yield Lack(f"the chat template of {folder} places no picture: it is for text alone", ADD)
    elif config.get("model_type") in FAMILIES and token and token not in shown:
        yield Lack(f"the chat template of {folder} does not write {token}, which stands for the model's pictures", ADD)


def render(template: str, names: Mapping[str, str], *, picture: bool = True) -> str:
    """Renders the prompt for one turn with a text and, if `picture` is true, a picture.

    Raises:
        NoTemplate: the template cannot be rendered.
    """
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False)
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda format: "2026-01-01"
    content = [*([{"type": "image"}] if picture else []), {"type": "text", "text": MARK}]
    try:
        with warnings.catch_warnings():  # Jinja warns about a stray backslash in LLaVA's published template
            warnings.simplefilter("ignore")
            return environment.from_string(_GENERATION.sub("", template)).render(
                {**names, "messages": [{"role": "user", "content": content}], "add_generation_prompt": True}
            )
    except jinja2.TemplateSyntaxError as error:
        raise NoTemplate(f"it is not a Jinja template ({error.message} at line {error.lineno})") from None
    except (jinja2.TemplateError, TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
        raise NoTemplate(" ".join(str(error).split())[:200]) from None


def _refuse(message: str) -> str:
    raise NoTemplate(message)


def special_tokens(folder: Path) -> dict[str, str]:
    """Returns the special tokens that templates use, e.g. bos_token, by name, from the tokenizer's files."""
    said = {**object_or_empty(folder / "special_tokens_map.json"), **object_or_empty(folder / TOKENIZER)}
    found: dict[str, str] = {}
    for name in ("bos_token", "eos_token", "pad_token", "unk_token", "image_token"):
        value = said.get(name)
        if isinstance(value, dict):
            value = cast("dict[str, Any]", value).get("content")
        found[name] = value if isinstance(value, str) else ""
    return found


def image_token(folder: Path, config: Mapping[str, Any]) -> str:
    """Returns the picture placeholder token according to config.json; empty if it cannot be determined."""
    number = config.get("image_token_id", config.get("image_token_index"))
    added: Any = object_or_empty(folder / TOKENIZER).get("added_tokens_decoder")
    if isinstance(added, dict) and isinstance(one := cast("dict[str, Any]", added).get(str(number)), dict):
        return str(cast("dict[str, Any]", one).get("content") or "")
    listed: Any = object_or_empty(folder / "tokenizer.json").get("added_tokens")
    for token in cast("list[Any]", listed) if isinstance(listed, list) else []:
        if isinstance(token, dict) and cast("dict[str, Any]", token).get("id") == number:
            return str(cast("dict[str, Any]", token).get("content") or "")
    return ""
