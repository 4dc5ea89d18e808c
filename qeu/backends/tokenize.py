"""Turn a prompt into what a model reads: text, token ids, and which span is which field.

Values never become control tokens: where one contains `<|im_end|>`, it is encoded as the
characters it is made of. Tagged layouts begin with the model's first token (BOS) exactly if its
tokenizer puts one in front of any plain text: Llama does, Phi-2 and SmolLM2 do not.
"""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qeu.backends.base import Prepared
from qeu.backends.chat_text import ChatText, render_chat
from qeu.core.prompts import FieldSpan, Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class PromptEncoder:
    """One tokenizer, safe to use from several threads: its splitting switch is shared state."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self._tokenizer = tokenizer
        self._lock = threading.Lock()
        self._control_ids = {
            id_ for id_, token in tokenizer.added_tokens_decoder.items() if token.special
        } | set(tokenizer.all_special_ids)
        self._head_ids = self._find_head()

    def prepare(self, prompt: Prompt) -> Prepared:
        """Render and encode. Nothing is cut, however long it is."""
        if prompt.layout != "chat":
            return self._prepare_tagged(prompt)
        rendered = render_chat(self._tokenizer, prompt.messages, self.has_control_tokens)
        text, spans, ids = rendered.text, rendered.spans, self._encode_chat(rendered)
        if not rendered.has_template:
            text, spans, ids = self._behind_head(text, spans, ids)
        if prompt.prefill:
            # joined as ids, as training joins a prompt and its completion
            ids = [*ids, *self.encode(prompt.prefill)]
            spans = (*spans, FieldSpan("marker", len(text), len(text) + len(prompt.prefill)))
            text += prompt.prefill
        return Prepared(text, spans, tuple(ids), rendered.notes, rendered.stop)

    def encode(self, text: str, *, specials: bool = False) -> list[int]:
        """Ids of the text; `specials` lets it contain control tokens, as a template's text may."""
        with self._lock:
            return self._tokenizer(
                text,
                add_special_tokens=False,
                split_special_tokens=not specials,
                verbose=False,
            ).input_ids

    def has_control_tokens(self, text: str) -> bool:
        """Whether the tokenizer would read some part of the text as a control token."""
        return not self._control_ids.isdisjoint(self.encode(text, specials=True))

    def _prepare_tagged(self, prompt: Prompt) -> Prepared:
        text, spans, ids = self._behind_head(prompt.text, prompt.spans, self.encode(prompt.text))
        return Prepared(text, spans, tuple(ids))

    def _behind_head(
        self, text: str, spans: tuple[FieldSpan, ...], ids: list[int]
    ) -> tuple[str, tuple[FieldSpan, ...], list[int]]:
        if not self._head_ids:
            return text, spans, ids
        head = self._tokenizer.decode(self._head_ids)
        shifted = [FieldSpan(s.field, s.start + len(head), s.end + len(head)) for s in spans]
        lead = FieldSpan("template", 0, len(head))
        return head + text, (lead, *shifted), [*self._head_ids, *ids]

    def _encode_chat(self, rendered: ChatText) -> list[int]:
        values = [part for part, is_template in rendered.parts if not is_template]
        if not any(map(self.has_control_tokens, values)):
            # in one piece, so that the ids are those of the tokenizer's own chat encoding
            return self.encode(rendered.text, specials=rendered.has_template)
        ids: list[int] = []
        for part, is_template in rendered.parts:
            ids += self.encode(part, specials=is_template and rendered.has_template)
        return ids

    def _find_head(self) -> list[int]:
        with self._lock:
            bare = self._tokenizer("a", add_special_tokens=False).input_ids
            full = self._tokenizer("a").input_ids
        for at in range(len(full) - len(bare) + 1):
            if full[at : at + len(bare)] == bare:
                return list(full[:at])
        return []


def longest_first(lengths: Sequence[int]) -> list[int]:
    """The places of the lengths, longest first, equal ones in their order."""
    return sorted(range(len(lengths)), key=lambda at: -lengths[at])
