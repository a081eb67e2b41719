"""How prompts and answers look in a model's own chat template: the one place where engines and learner agree on it."""

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from services.models.engine import EngineError

FOLLOWING = 4096
"""Answers whose tokens are remembered: the same choices are offered again and again."""

PROMPTS = 8192
"""Prompts whose tokens are remembered: the same is asked about many frames, and every epoch learns the same rows."""

_MARK, _OTHER = "Which colour is it?", "yes"


class ChatFormat:
    """One user turn with one picture and a text, answered by the assistant.

    An answer's tokens are those that the template puts between the generation prompt and the end of the turn, the end
    token included: what the learner trains on is what the engines generate.
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
        """Whether the tokenizer, not the template, writes the token with which a prompt begins (Llama, Mistral)."""
        self._lead, self._end = self._turn_end()

    @classmethod
    def load(cls, folder: Path) -> "ChatFormat":
        """Reads tokenizer, template and end tokens. Raises EngineError where there is no chat template."""
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        template = tokenizer.chat_template
        if isinstance(template, dict):
            template = template.get("default")
        if template is None and (file := folder / "chat_template.jinja").is_file():
            template = file.read_text(encoding="utf-8")
        if template is None and (file := folder / "chat_template.json").is_file():
            template = json.loads(file.read_text(encoding="utf-8"))["chat_template"]
        if template is None:
            raise EngineError(f"{folder} has no chat template; add a chat_template.jinja as its authors use it")
        return cls(tokenizer, template, _end_ids(folder, tokenizer))

    def prompt(self, text: str) -> str:
        """The whole prompt up to where the answer begins, with the picture's placeholder as the template writes it."""
        if self._frame and text.strip() == text:
            return self._frame[0] + text + self._frame[1]
        return self._render(text)

    def prompt_ids(self, text: str) -> list[int]:
        return list(self._prompt_ids(text))

    def choice(self, answer: str) -> str:
        """The answer as it is generated, without the end of the turn: often with a leading space."""
        return self._lead + answer

    def choice_ids(self, answer: str) -> list[int]:
        return list(self._following(self.choice(answer)))

    def answer_ids(self, answer: str) -> list[int]:
        """The tokens to learn for an answer, up to and with the end token.

        Where the template ends a turn by no end token (LLaVA's misspells it), what it writes there is left out.
        """
        ids = list(self._following(self.choice(answer) + self._end))
        for index, token in enumerate(ids):
            if token in self.end_ids:
                return ids[: index + 1]
        return [*self.choice_ids(answer), self.end_ids[0]]

    def text(self, ids: Sequence[int]) -> str:
        """The answer that generated tokens spell."""
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
        """The tokens of what follows a prompt: some tokenizers begin every text by itself with a space of their own."""
        before = self._before_answer
        ids = self.tokenizer.encode(self._after + text, add_special_tokens=False)
        if ids[: len(before)] == before:
            return tuple(ids[len(before) :])
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def _puts_bos(self) -> bool:
        bos = self.tokenizer.bos_token_id
        return bos is not None and self.tokenizer.encode("a")[:1] == [bos]

    def _turn_end(self) -> tuple[str, str]:
        """What the template writes before and after an answer."""
        prompt = self._render(_MARK)
        for answer in (_OTHER, [{"type": "text", "text": _OTHER}]):
            try:
                whole = self._render(_MARK, answer)
            except Exception:  # templates raise what they like at a form they do not take
                continue
            if whole.startswith(prompt) and _OTHER in whole[len(prompt) :]:
                lead, _, end = whole[len(prompt) :].partition(_OTHER)
                return lead, end
        return "", self.tokenizer.eos_token or ""


def _end_ids(folder: Path, tokenizer: Any) -> list[int]:
    """The tokens that end an answer: those of the generation settings, then the tokenizer's own. vLLM takes both."""
    file = folder / "generation_config.json"
    ends = json.loads(file.read_text(encoding="utf-8")).get("eos_token_id") if file.is_file() else None
    named = ends if isinstance(ends, list) else [ends]
    known = list(dict.fromkeys(end for end in [*named, tokenizer.eos_token_id] if end is not None))
    if not known:
        raise EngineError(f"{folder} names no end token; set eos_token_id in its generation_config.json")
    return known
