"""Renders prompts and answers with a model's own chat template, for engines and learner alike."""

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from services.models.chat_template import find_template
from services.models.engine import EngineError
from services.models.model_json import Unreadable

FOLLOWING = 4096
"""The number of answers whose tokens are cached: the same choices are offered again and again."""

PROMPTS = 8192
"""The number of prompts whose tokens are cached: many frames share a prompt, and each epoch repeats the same rows."""

_MARK, _OTHER = "Which colour is it?", "yes"


class ChatFormat:
    """Formats one user turn with one picture and a text, and the assistant's answer.

    An answer's tokens are those that the template puts between the generation prompt and the end of the turn, with the
    end token. The learner trains on the same tokens that the engines generate.
    """

    def __init__(self, tokenizer: Any, template: str, end_ids: Sequence[int]) -> None:
        self.tokenizer = tokenizer
        self.end_ids = tuple(end_ids)
        self._template = template
        before, found, after = self._render(_MARK).partition(_MARK)
        if not found:
            raise EngineError("the model's chat template drops the text of a user's turn; use a model made for chat")
        self._before, self._after = before, after
        verbatim = self._render(_OTHER) == before + _OTHER + after
        self._frame = (before, after) if verbatim else None
        self._before_answer = tokenizer.encode(after, add_special_tokens=False)
        self._following = lru_cache(FOLLOWING)(self._follow)
        self._prompt_ids = lru_cache(PROMPTS)(self._encode)
        self.adds_special = self._puts_bos() and not before.startswith(tokenizer.bos_token)
        """Whether the tokenizer, not the template, adds the begin-of-sequence token (Llama, Mistral)."""
        self._lead, self._end = self._turn_end()

    @classmethod
    def load(cls, folder: Path) -> "ChatFormat":
        """Reads the tokenizer, the template and the end tokens. Raises EngineError if there is no chat template."""
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        try:
            template = find_template(folder)
        except Unreadable as error:
            raise EngineError(f"{error}; copy the model again") from None
        if template is None:
            raise EngineError(f"{folder} has no chat template; add a chat_template.jinja as its authors use it")
        return cls(tokenizer, template, _end_ids(folder, tokenizer))

    def prompt(self, text: str) -> str:
        """Returns the whole prompt up to the start of the answer, with the template's picture placeholder."""
        if self._frame and text.strip() == text:
            return self._frame[0] + text + self._frame[1]
        return self._render(text)

    def prompt_ids(self, text: str) -> list[int]:
        return list(self._prompt_ids(text))

    def choice(self, answer: str) -> str:
        """Returns the answer as the model generates it, without the end of the turn; often with a leading space."""
        return self._lead + answer

    def choice_ids(self, answer: str) -> list[int]:
        return list(self._following(self.choice(answer)))

    def answer_ids(self, answer: str) -> list[int]:
        """Returns the tokens to train on for an answer, including the end token.

        If the template ends a turn without an end token (LLaVA's misspells it), an end token replaces that text.
        """
        ids = list(self._following(self.choice(answer) + self._end))
        for index, token in enumerate(ids):
            if token in self.end_ids:
                return ids[: index + 1]
        return [*self.choice_ids(answer), self.end_ids[0]]

    def text(self, ids: Sequence[int]) -> str:
        """Decodes generated tokens to the answer's text."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True).strip()

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(self.prompt(text), add_special_tokens=self.adds_special))

    def _render(self, text: str, answer: Any = None) -> str:
        messages: list[dict[str, Any]] = [
            {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}
        ]
        if answer is not None:
            messages.append({"role": "assistant", "content": answer})
        return self.tokenizer.apply_chat_template(
            messages, chat_template=self._template, tokenize=False, add_generation_prompt=answer is None
        )

    def _follow(self, text: str) -> tuple[int, ...]:
        """Tokenizes text that follows a prompt. Tokenized alone, some tokenizers would add a space before it."""
        before = self._before_answer
        ids = self.tokenizer.encode(self._after + text, add_special_tokens=False)
        if ids[: len(before)] == before:
            return tuple(ids[len(before) :])
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def _puts_bos(self) -> bool:
        bos = self.tokenizer.bos_token_id
        return bos is not None and self.tokenizer.encode("a")[:1] == [bos]

    def _turn_end(self) -> tuple[str, str]:
        """Returns the text that the template writes before and after an answer."""
        prompt = self._render(_MARK)
        for answer in (_OTHER, [{"type": "text", "text": _OTHER}]):
            try:
                whole = self._render(_MARK, answer)
            except Exception:  # templates raise any error for a message format that they do not support
                continue
            if whole.startswith(prompt) and _OTHER in whole[len(prompt) :]:
                lead, _, end = whole[len(prompt) :].partition(_OTHER)
                return lead, end
        return "", self.tokenizer.eos_token or ""


def _end_ids(folder: Path, tokenizer: Any) -> list[int]:
    """Returns the tokens that end an answer: those of generation_config.json, then the tokenizer's, as vLLM does."""
    file = folder / "generation_config.json"
    ends = json.loads(file.read_text(encoding="utf-8")).get("eos_token_id") if file.is_file() else None
    named = ends if isinstance(ends, list) else [ends]
    known = list(dict.fromkeys(end for end in [*named, tokenizer.eos_token_id] if end is not None))
    if not known:
        raise EngineError(f"{folder} names no end token; set eos_token_id in its generation_config.json")
    return known
