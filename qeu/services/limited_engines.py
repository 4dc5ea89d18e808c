"""Engines as visitors of a public page may use them: every rule holds, whoever asks and from where.

All runs of the page and of its API pass here, so that no tab can forget a rule.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from qeu.backends.base import Backend, EngineIdentity, OnDone, Piece, Prepared, Row
from qeu.backends.catalog import is_hosted
from qeu.backends.compute_queue import StopSign, Turn
from qeu.backends.engines import Engines
from qeu.backends.shelf import OnProgress
from qeu.core.generation import Generation
from qeu.core.prompts import Prompt
from qeu.services.public_limits import PublicLimits, refuse_for_today

if TYPE_CHECKING:
    from qeu.backends.lens_scores import TextScores, TokenText
    from qeu.backends.shown_tokens import ShownTokens

# Beside the texts: marks between the turns, and the words that some models put before all.
_TEMPLATE_TOKENS = 200


class LimitedEngines(Engines):
    """The same engines under the rules of `limits`."""

    local_paths = False

    def __init__(self, engines: Engines, limits: PublicLimits) -> None:
        super().__init__(engines.shelf, engines.pool, engines.keyring, engines.adapters)
        self._limits = limits

    def load(
        self,
        model_id: str,
        *,
        exact: bool = False,
        precision: str | None = None,
        progress: OnProgress | None = None,
        stop: StopSign | None = None,
    ) -> Backend:
        """The model, if it is offered here, under its limits."""
        self._limits.check_model(model_id)
        # the owner chose the precision: another one would take memory a second time
        model = super().load(model_id, exact=exact, progress=progress, stop=stop)
        return LimitedModel(model, self._limits, hosted=is_hosted(model_id))

    def estimate_bytes(self, model_id: str, *, exact: bool = False) -> int:
        """As the engines say; a model that is not offered is refused before it is looked at."""
        self._limits.check_model(model_id)
        return super().estimate_bytes(model_id, exact=exact)


class LimitedModel:
    """A model that writes no more than it may, and a hosted one no more than the day allows."""

    def __init__(self, model: Backend, limits: PublicLimits, *, hosted: bool) -> None:
        self._model, self._limits, self._hosted = model, limits, hosted
        self.name, self.context = model.name, model.context

    def prepare(self, prompt: Prompt) -> Prepared:
        """As the model does; raises QeuError for a prompt that is too long here."""
        self._limits.check_texts(*_texts(prompt))
        return self._model.prepare(prompt)

    def identify(self, adapter: str | None) -> EngineIdentity:
        """As the model does; raises QeuError for an adapter that is not offered."""
        if adapter is not None:
            self._limits.check_adapter(adapter)
        return self._model.identify(adapter)

    @property
    def shown_tokens(self) -> "ShownTokens":
        """As the model says; models of this machine only."""
        return self._model.shown_tokens  # type: ignore[attr-defined]

    @property
    def score_bytes(self) -> int:
        """As the model says; models of this machine only."""
        return self._model.score_bytes  # type: ignore[attr-defined]

    def read_scores(
        self, text: "TokenText", keep: range, adapter: str | None = None, *more: object
    ) -> "TextScores | None":
        """As the model does; raises QeuError for an adapter that is not offered."""
        if adapter is not None:
            self._limits.check_adapter(adapter)
        return self._model.read_scores(text, keep, adapter, *more)  # type: ignore[attr-defined]

    def generate(
        self,
        rows: Sequence[Row],
        emit: Callable[[Piece], None] | None = None,
        *,
        exact: bool = False,
        on_done: OnDone | None = None,
        turn: Turn | None = None,
    ) -> list[Generation]:
        """As the model does; the receipt says where fewer tokens were allowed than asked for.

        Raises QeuError before anything is sent: an adapter that is not offered, a prompt that is
        too long, too many at once, nothing left for today.
        """
        for row in rows:
            if row.adapter is not None:
                self._limits.check_adapter(row.adapter)
            self._limits.check_texts(*_texts(row.prompt))
        allowed = [replace(row, sampling=self._limits.cap(row.sampling)) for row in rows]

        def explained(index: int, generation: Generation) -> None:
            if on_done:
                on_done(index, self._explain(rows[index], generation))

        how = {"exact": exact, "on_done": explained, "turn": turn}
        if self._hosted:
            done = self._generate_paid(allowed, emit, how)
        else:
            done = self._model.generate(allowed, emit, **how)  # type: ignore[arg-type]
        return [self._explain(row, item) for row, item in zip(rows, done, strict=True)]

    def _generate_paid(
        self,
        rows: Sequence[Row],
        emit: Callable[[Piece], None] | None,
        how: Mapping[str, object],
    ) -> list[Generation]:
        budget = self._limits.budget
        most = [most_tokens(row) for row in rows]
        with self._limits.hosted_places.take():
            # reserved before, settled after: visitors who ask at once cannot spend the same rest
            day = budget.reserve(sum(most))
            if day is None:
                refuse_for_today()
            # where the engine itself fails, nobody knows what was sent: all of it stays spent
            done = self._model.generate(rows, emit, **how)  # type: ignore[arg-type]
            spent = [spent_tokens(item, high) for item, high in zip(done, most, strict=True)]
            budget.settle(day, sum(most), sum(spent))
        return done

    def _explain(self, row: Row, generation: Generation) -> Generation:
        notice, receipt = self._limits.notice(row.sampling), generation.receipt
        if not notice or receipt is None:
            return generation
        parameters = tuple(
            replace(p, asked=row.sampling.max_new_tokens, why=notice)
            if p.name == "max_new_tokens"
            else p
            for p in receipt.parameters
        )
        return replace(generation, receipt=replace(receipt, parameters=parameters))


def most_tokens(row: Row) -> int:
    """What a row can cost at most: no tokenizer makes more than a token of a byte."""
    texts = sum(len(text.encode("utf-8", "surrogatepass")) for text in _texts(row.prompt))
    return texts + _TEMPLATE_TOKENS + row.sampling.max_new_tokens


def spent_tokens(generation: Generation, most: int) -> int:
    """What a row did cost, as far as it is known; in doubt `most`, so that the owner never loses.

    A provider that refused bills nothing. One that was cut short bills what it wrote until it
    noticed, and tells nobody.
    """
    if generation.finish_reason == "error" and not generation.new_tokens:
        return 0
    ended = generation.finish_reason in ("stop", "length")
    if ended and generation.prompt_tokens:
        return generation.prompt_tokens + generation.new_tokens
    return most


def _texts(prompt: Prompt) -> list[str]:
    return [prompt.text, prompt.prefill, *(message.content for message in prompt.messages)]
