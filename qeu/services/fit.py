"""Say by how much a prompt is too long for a model, and cut a text so that it fits."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import replace

from qeu.backends.base import Backend
from qeu.backends.engines import Engines
from qeu.core.errors import QeuError
from qeu.core.prompts import Prompt
from qeu.services.compare import Comparison
from qeu.services.runs import Ask, settle_layout

# First guess of a text's length in characters from a number of tokens; English has about four.
CHARACTERS_PER_TOKEN = 4
# A search that interpolates needs three to six steps; this many bound the worst text.
MOST_STEPS = 24
# A cut may give up this share of the text to end at a sentence or a word.
NEAR_SHARE = 0.1
_SENTENCE_END = re.compile(r"[。！？][」』）]*|[.!?…][\"'”’)\]]*(?=\s)|\n")
_WORD_END = re.compile(r"(?=\s)|(?<=[\u3040-\u30ff\u3400-\u9fff\uff00-\uffef])")
_JOINERS = frozenset("\u200d\ufe0e\ufe0f")


def too_long(backend: Backend, prompt: Prompt, max_new_tokens: int) -> int:
    """By how many tokens prompt and answer together exceed the context; 0 if they fit."""
    if not backend.context:
        return 0
    return max(0, backend.prepare(prompt).tokens + max_new_tokens - backend.context)


def cut_to_fit(backend: Backend, make_prompt: Callable[[str], Prompt], text: str, room: int) -> str:
    """The longest beginning of `text` whose prompt leaves `room` tokens of the context free.

    It ends at a sentence or word where one ends nearby, and never within a character. Raises
    QeuError where the rest of the prompt alone is too long.
    """
    text = text.strip()
    limit = backend.context - room
    if not backend.context or not text:
        return text

    def count(length: int) -> int:
        return backend.prepare(make_prompt(text[:length])).tokens

    # a beginning of one character: an empty one may be no valid question
    low, low_tokens = 1, count(1)
    if low_tokens > limit:
        raise QeuError(
            f"Without this text the prompt is still {low_tokens - limit:,} tokens too long for "
            f"{backend.name}. Shorten the other texts, or choose a model with a longer context."
        )
    high, high_tokens = len(text) + 1, 0
    guess = CHARACTERS_PER_TOKEN * (limit - low_tokens)
    for step in range(MOST_STEPS):
        guess = max(low + 1, min(guess, high - 1, len(text)))
        if guess >= high or low_tokens == limit:
            break
        tokens = count(guess)
        if tokens <= limit:
            low, low_tokens = guess, tokens
        else:
            high, high_tokens = guess, tokens
        if high > len(text):
            guess = 2 * low
        elif step % 3 == 2:  # a text of uneven density fools the straight line
            guess = (low + high) // 2
        else:
            share = (limit - low_tokens) / (high_tokens - low_tokens)
            guess = low + int((high - low) * share)
    if low >= len(text):
        return text
    nice = text[: _nice_end(text, low)].rstrip()
    return nice if count(len(nice)) <= limit else text[: _whole_character(text, low)].rstrip()


def fit_comparison(engines: Engines, comparison: Comparison, room: int = 128) -> Comparison:
    """The comparison with its context cut until every side's prompt fits, `room` tokens free.

    Without a context the question itself is cut. A side that wants fewer new tokens needs less
    room. Loads the models, one after the other.
    """
    name = "input" if comparison.input.strip() else "instruction"
    for index, ask in enumerate(comparison.asks()):
        ask = settle_layout(ask, engines)
        backend = engines.load(ask.model_name, exact=comparison.exact)
        wanted = min(room, ask.sampling.max_new_tokens)
        if too_long(backend, ask.prompt(), wanted):
            text = cut_to_fit(
                backend,
                _prompt_maker(comparison, index, name, ask.own_layout),
                getattr(comparison, name),
                wanted,
            )
            comparison = replace(comparison, **{name: text})
    return comparison


def _prompt_maker(
    comparison: Comparison, index: int, name: str, own_layout: str
) -> Callable[[str], Prompt]:
    def make(text: str) -> Prompt:
        ask: Ask = replace(comparison, **{name: text}).asks()[index]
        return replace(ask, own_layout=own_layout).prompt()

    return make


def _nice_end(text: str, end: int) -> int:
    """The last end of a sentence, else of a word, shortly before `end`; else a whole character."""
    if end >= len(text) or text[end].isspace():
        return end
    start = max(1, end - max(20, int(end * NEAR_SHARE)))
    for pattern in (_SENTENCE_END, _WORD_END):
        ends = [found.end() for found in pattern.finditer(text, start, end + 1)]
        if ends := [found for found in ends if found <= end]:
            return _whole_character(text, ends[-1])
    return _whole_character(text, end)


def _whole_character(text: str, end: int) -> int:
    """`end`, moved back to where no accent, joiner or skin tone is torn from its character."""
    while 1 < end < len(text) and (
        unicodedata.combining(text[end])
        or text[end] in _JOINERS
        or text[end - 1] == "\u200d"
        or "\U0001f3fb" <= text[end] <= "\U0001f3ff"
    ):
        end -= 1
    return end
