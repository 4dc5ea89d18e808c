"""What a loaded model says of texts that are given to it: how probable they are, and their loss."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from qeu.backends import torch_loading
from qeu.backends.adapter_files import AdapterFolder
from qeu.backends.compute_queue import StopSign
from qeu.backends.failures import explain_failure, explain_not_finite
from qeu.backends.lens_scores import TextScores, TokenText, read_scores
from qeu.backends.losses import (
    MOST_TOKENS,
    LossLine,
    LossPlan,
    LossRow,
    TextLoss,
    measure_losses,
    plan_losses,
)
from qeu.backends.scoring import ScoreRow, TextScore, encode_row, score_rows
from qeu.backends.shown_tokens import ShownTokens
from qeu.core.errors import QeuError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from qeu.backends.adapter_switch import AdapterSwitch
    from qeu.backends.tokenize import PromptEncoder


class GivenTexts(ABC):
    """The half of `LocalModel` that computes on given texts; the other half writes texts."""

    name: str
    context: int
    device: str
    precision: str
    _encoder: "PromptEncoder"
    _model: "PreTrainedModel | None"
    _switch: "AdapterSwitch"
    _tokenizer: "PreTrainedTokenizerBase"
    _vocabulary: int

    def score(
        self, rows: Sequence[ScoreRow], adapter: str | None = None, stop: StopSign | None = None
    ) -> list[tuple[TextScore, ...]]:
        """How probable each choice of each row is behind its prompt; [] where `stop` was set.

        Raises QeuError for a prompt that is too long, an adapter that does not fit, a full memory.
        """
        tokens = [encode_row(row, self._encoder, self.name, self.context) for row in rows]
        found: list[tuple[TextScore, ...]] = []
        with self._speaking(adapter, stop) as (model, _):
            if model is not None:
                found = score_rows(model, tokens, self._cache_budget(), lambda: _is_set(stop))
        self._check_finite(one.log_probability for row in found for one in row)
        return found

    def plan_losses(self, rows: Sequence[LossRow]) -> LossPlan:
        """The rows as batches for `losses`, and those that are too long, with the reason."""
        most = MOST_TOKENS.get(self.device, MOST_TOKENS["cpu"])
        if self._model is not None and (budget := self._cache_budget()) < math.inf:
            # the scores of all words are the largest thing; a float32 copy of a line comes to them
            most = min(most, int(budget / (self._vocabulary * (self._model.dtype.itemsize + 4))))
        end_id = self._tokenizer.eos_token_id
        return plan_losses(rows, self._encoder, end_id, self.name, self.context, most)

    def losses(
        self,
        batch: Sequence[LossLine],
        adapter: str | None = None,
        stop: StopSign | None = None,
        adapter_hash: str | None = None,
    ) -> list[TextLoss]:
        """The losses of one batch of a plan, in its order; [] where `stop` was set first.

        Raises QeuError for an adapter that does not fit or, where its hash is given, has another
        by now, and for a full memory.
        """
        found: list[TextLoss] = []
        with self._speaking(adapter, stop) as (model, hash_):
            if model is not None:
                if adapter_hash and hash_ != adapter_hash:
                    raise QeuError(
                        f"Adapter {adapter!r} was changed meanwhile. Run again: losses of the new "
                        "one are computed afresh."
                    )
                found = measure_losses(model, batch, torch_loading.free_memory)
        self._check_finite(one.loss for one in found)
        return found

    @cached_property
    def shown_tokens(self) -> ShownTokens:
        """The model's tokens as a person can read them."""
        return ShownTokens(self._tokenizer, self._encoder)

    @property
    def score_bytes(self) -> int:
        """Memory of the scores of all tokens at one position."""
        model = self._model
        return self._vocabulary * (model.dtype.itemsize if model is not None else 4)

    def read_scores(
        self,
        text: TokenText,
        keep: range,
        adapter: str | None = None,
        stop: StopSign | None = None,
        adapter_hash: str | None = None,
    ) -> TextScores | None:
        """Read a text and keep the scores at some positions; None where `stop` was set first.

        Raises QeuError for a text that is too long, a full memory, and an adapter that does not
        fit or, where its hash is given, has another by now.
        """
        if len(text.ids) > self.context:
            raise QeuError(
                f"Prompt and text have {len(text.ids):,} tokens; {self.name} reads "
                f"{self.context:,}. Shorten the text, or choose a model with a longer context."
            )
        with self._speaking(adapter, stop) as (model, hash_):
            if model is None:
                return None
            if adapter_hash and hash_ != adapter_hash:
                raise QeuError(
                    f"Adapter {adapter!r} was changed meanwhile. Look again: the new one is read "
                    "afresh."
                )
            found = read_scores(model, text, keep, lambda: _is_set(stop))
        if found is not None:
            # the best score tells, as it does to the engine: a vocabulary may have masked tokens
            best = (float(row.max()) for row in found.rows.values())
            self._check_finite((*found.bits, *best))
        return found

    @contextmanager
    def _speaking(
        self, adapter: str | None, stop: StopSign | None
    ) -> "Iterator[tuple[PreTrainedModel | None, str | None]]":
        """(the model, held, the hash of the adapter that speaks); None where `stop` came first."""
        folder = self._find_adapter(adapter, stop) if adapter else None
        with self._held(lambda: _is_set(stop)) as held:
            if not held or self._model is None:
                yield None, None
                return
            hash_ = self._switch.load(folder) if folder else None
            self._switch.trim([hash_])
            self._switch.activate([hash_])
            try:
                yield self._model, hash_
            except QeuError:
                raise
            except Exception as e:
                torch_loading.free_memory()
                raise QeuError(explain_failure(e, f"{self.name} failed")) from e

    def _check_finite(self, numbers: Iterable[float]) -> None:
        if not all(map(math.isfinite, numbers)):
            raise QeuError(explain_not_finite(self.name, self.precision))

    @abstractmethod
    def _held(self, is_stopped: object) -> AbstractContextManager[bool]: ...

    @abstractmethod
    def _find_adapter(self, name: str, stop: StopSign | None) -> AdapterFolder: ...

    @abstractmethod
    def _cache_budget(self) -> float: ...


def _is_set(stop: StopSign | None) -> bool:
    return stop is not None and stop.is_set()
