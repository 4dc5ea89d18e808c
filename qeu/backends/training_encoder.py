"""Tokens of a prompt and its completion, each with its field, by a base's own tokenizer."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qeu.backends.catalog import ModelCard
from qeu.backends.chat_text import render_chat
from qeu.backends.folders import ResolvedWeights
from qeu.backends.token_pieces import TokenPiece, split_tokens
from qeu.backends.tokenize import PromptEncoder
from qeu.backends.weights import Progress, fetch_embedded
from qeu.backends.weights_here import find_here
from qeu.core.errors import QeuError
from qeu.core.prompts import Prompt, Rendered, field_spans
from qeu.core.training_example import Encoded, token_fields

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# (text, whether it may hold control tokens): what is encoded in one piece.
_Piece = tuple[str, bool]


class TrainingEncoder:
    """An `encode` for training: the prompt's ids are the engine's own, to the last one.

    For one thread at a time: how a tokenizer splits is a switch that its users share.
    Raises QeuError for a tokenizer that cannot tell where its tokens stand, or has no end token.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self._tokenizer = tokenizer
        self._engine = PromptEncoder(tokenizer)
        if not tokenizer.is_fast:
            raise QeuError(
                "The base's tokenizer does not tell where its tokens stand in a text. "
                "Choose a base that has a tokenizer.json."
            )
        if tokenizer.eos_token_id is None:
            raise QeuError(
                "The base's tokenizer names no end token, so no text that is learned could end. "
                "Choose another base, or set eos_token in its tokenizer_config.json."
            )
        self.end_id: int = tokenizer.eos_token_id

    def __call__(self, rendered: Rendered) -> Encoded:
        """Prompt and completion, encoded each for itself as generation joins them."""
        prepared = self._engine.prepare(rendered.prompt)
        ids, starts = self._encode(self._pieces(rendered.prompt, prepared.text))
        assert tuple(ids) == prepared.token_ids, "the prompt is not encoded as the engine does"
        fields = token_fields(starts, prepared.spans)
        learned = len(ids)
        if completion := rendered.completion_text:
            more, starts = self._encode([(completion, False)])
            ids += more
            fields += token_fields(starts, field_spans(rendered.completion))
        return Encoded(tuple(ids), fields, learned)

    def read(self, ids: Sequence[int]) -> list[TokenPiece]:
        """The ids as text that a person can read."""
        return split_tokens(self._tokenizer, ids)

    def _pieces(self, prompt: Prompt, text: str) -> list[_Piece]:
        """The prompt's text in the pieces that PromptEncoder.prepare encodes one by one."""
        if prompt.layout != "chat":
            return self._behind_head(prompt.text, text)
        rendered = render_chat(self._tokenizer, prompt.messages, self._engine.has_control_tokens)
        without_prefill = text.removesuffix(prompt.prefill)
        values = [part for part, is_template in rendered.parts if not is_template]
        if any(map(self._engine.has_control_tokens, values)):
            parts = [(part, own and rendered.has_template) for part, own in rendered.parts]
        else:
            parts = [(rendered.text, rendered.has_template)]
        if not rendered.has_template:
            head = without_prefill.removesuffix(rendered.text)
            parts = [(head, True), *parts]
        return [piece for piece in (*parts, (prompt.prefill, False)) if piece[0]]

    def _behind_head(self, text: str, whole: str) -> list[_Piece]:
        """The model's first token, where its tokenizer puts one there, and the text."""
        head = whole.removesuffix(text)
        return [(head, True), (text, False)] if head else [(text, False)]

    def _encode(self, pieces: list[_Piece]) -> tuple[list[int], list[int]]:
        """(ids, the code point at which each token starts in the joined text)."""
        ids: list[int] = []
        starts: list[int] = []
        at = 0
        for text, specials in pieces:
            found = self._tokenizer(
                text,
                add_special_tokens=False,
                split_special_tokens=not specials,
                return_offsets_mapping=True,
                verbose=False,
            )
            ids += found.input_ids
            starts += [at + start for start, _ in found["offset_mapping"]]
            at += len(text)
        return ids, starts


def find_base(
    card: ModelCard,
    cache: Path,
    progress: Callable[[Progress], None] = lambda _: None,
    stop: threading.Event | None = None,
    hub_cache: Path | None = None,
) -> ResolvedWeights:
    """The base's files on this machine; the embedded one is fetched if need be.

    Raises QeuError for a base that cannot be trained or is not here, FetchStopped on `stop`.
    """
    if card.kind != "local":
        raise QeuError(
            f"{card.id} runs on a server, and only models on this machine are trained. "
            "Choose a local base, such as smollm2-135m."
        )
    if card.embedded:
        fetch_embedded(cache, progress, stop)
    weights = find_here(card, cache, hub_cache)
    if weights is None:
        raise QeuError(
            f"The base {card.id} is not on this machine yet, so its tokens cannot be counted. "
            "Load it once on the page or with `compare`; that fetches it."
        )
    if weights.gguf_file:
        raise QeuError(
            f"{card.id} is a GGUF file, which is for asking and not for training. "
            "Choose its base as safetensors."
        )
    return weights


def open_encoder(weights: ResolvedWeights) -> TrainingEncoder:
    """The encoder of a base that is here; reads its tokenizer and none of its weights."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            weights.path, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, ImportError, KeyError) as e:
        raise QeuError(
            f"The tokenizer in {weights.path} cannot be read ({e}). Fetch or save it again."
        ) from e
    return TrainingEncoder(tokenizer)


def linear_layers(weights: ResolvedWeights) -> tuple[str, ...]:
    """Names of the kinds of linear layers that the base has, as LoRA's target_modules."""
    from qeu.backends.headers import read_safetensors

    names = {
        name.removesuffix(".weight").rpartition(".")[2]
        for file in sorted(Path(weights.path).glob("*.safetensors"))
        for name, shape in read_safetensors(file).shapes
        if len(shape) == 2 and name.endswith(".weight") and not _is_vocabulary(name)
    }
    return tuple(sorted(names))


def _is_vocabulary(name: str) -> bool:
    """Embedding and output matrix: adapting them makes a file as large as the vocabulary."""
    return any(part in name for part in ("embed", "wte", "wpe", "lm_head", "output.weight"))
