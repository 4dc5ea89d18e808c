"""A side under the lens, ready to be read by its model: ids, parts, and what cannot be read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qeu.backends.base import EngineIdentity
from qeu.backends.catalog import is_hosted, split_ref
from qeu.backends.compute_queue import StopSign
from qeu.backends.engines import Engines
from qeu.backends.lens_scores import TokenText
from qeu.backends.shelf import OnProgress
from qeu.core.errors import QeuError
from qeu.core.generation import Generation
from qeu.core.lens import ReadToken, mark_parts
from qeu.core.prompts import split_completion
from qeu.services.asks import Ask
from qeu.services.runs import settle_layout

if TYPE_CHECKING:
    from qeu.backends.given_texts import GivenTexts

ROUNDING = (
    "These settings choose another token than the one in the text. If the text was drawn with "
    "them: it was read again in one pass, and {dtype} rounds differently there than while it was "
    "written. The exact setting does not have this."
)
ENCODED_AGAIN = (
    "The tokens of this text were not kept: it was cut into tokens again, which may differ from "
    "those that were written."
)


@dataclass(frozen=True)
class LensSide:
    """A question to a model and what stands behind it, if anything.

    `token_ids` are the tokens as they were written; `completion` is cut into tokens where they are
    not known. `exact` takes the model in float32.
    """

    ask: Ask
    token_ids: tuple[int, ...] = ()
    completion: str = ""
    exact: bool = False

    @classmethod
    def of(cls, ask: Ask, generation: Generation | None, exact: bool = False) -> "LensSide":
        """The side of a comparison as it stands; without a generation the end of its prompt."""
        if generation is None:
            return cls(ask, exact=exact)
        # as it was asked, whatever the adapter's folder says today
        asked = replace(ask, layout=generation.layout) if generation.layout else ask
        return cls(asked, generation.token_ids, generation.text, exact)


@dataclass(frozen=True)
class Reader:
    """A loaded model with one side's text; `ask` has its layout settled."""

    ask: Ask
    model: "GivenTexts"
    adapter: str | None
    identity: EngineIdentity
    text: TokenText
    notes: tuple[str, ...]

    def explain_choice(self, written: int | None, chosen: int | None) -> tuple[str, ...]:
        """What to say where another token was written than is chosen now; mostly nothing."""
        if written is None or written == chosen or self.identity.dtype == "float32":
            return ()
        return (ROUNDING.format(dtype=self.identity.dtype),)

    @property
    def positions(self) -> int:
        """Choices that can be looked at: one before each token, and one behind the last."""
        return len(self.text.completion) + 1

    def name_parts(self, bits: Sequence[float]) -> tuple[ReadToken, ...]:
        """The text's tokens with their surprises, each with the part that it stands in."""
        names, ids = self.model.shown_tokens, self.text.completion
        pieces = [names.data(id_) for id_ in ids]
        text = b"".join(pieces).decode("utf-8", "replace")
        reasoning, answer = split_completion(text, self.ask.chosen_layout(), self.ask.target)
        parts = mark_parts(pieces, reasoning, answer)
        return tuple(
            ReadToken(names.name(id_), part, value)
            for id_, part, value in zip(ids, parts, bits, strict=True)
        )


def open_reader(
    engines: Engines,
    side: LensSide,
    stop: StopSign | None = None,
    on_load: OnProgress | None = None,
) -> Reader:
    """Load the side's model, and cut prompt and text into its tokens.

    Raises QeuError where the model tells no probabilities, or cannot be asked at all.
    """
    ask = settle_layout(side.ask, engines)
    check_local(ask)
    name, adapter = split_ref(ask.model)
    model = engines.load(name, exact=side.exact, progress=on_load, stop=stop)
    identity = model.identify(adapter)
    prompt = model.prepare(ask.prompt()).token_ids
    ids, notes = side.token_ids, ()
    if not ids and side.completion:
        ids = model.shown_tokens.encode(side.completion)  # type: ignore[attr-defined]
        notes = (ENCODED_AGAIN,)
    return Reader(ask, model, adapter, identity, TokenText(prompt, ids), notes)  # type: ignore[arg-type]


def check_local(ask: Ask) -> None:
    """Refuse a model that tells no probabilities, before anything is asked of it."""
    if is_hosted(ask.model_name):
        raise QeuError(explain_hosted(ask.model_name))


def explain_hosted(model: str) -> str:
    """Why a hosted model cannot be looked into, and what there is instead."""
    return (
        f"{model} runs on a server that tells no probabilities of its tokens, so there is nothing "
        "to put under the lens. Its text, its speed and its checks are there; to see how expected "
        "the text is, let a model of this machine read it."
    )


def explain_reader(model: str, reader: str) -> str:
    """Why another model reads a hosted one's text."""
    return (
        f"{model} runs on a server that tells no probabilities of its tokens: {reader} reads its "
        "text here."
    )


def explain_tokenizers(left: Reader, right: Reader) -> str:
    """Why two sides cannot be compared token by token; "" where they can."""
    if left.model is right.model:
        return ""
    if left.model.shown_tokens.fingerprint == right.model.shown_tokens.fingerprint:
        return ""
    return (
        f"{left.identity.model} and {right.identity.model} cut texts into different tokens, so "
        "that their probabilities cannot be compared token by token. Compare two adapters, or a "
        "base and its adapter."
    )
