"""The next token under the lens: look at a choice, redraw it, compare two sides, go on elsewhere.

What a look needs is read once and kept: other settings compute nothing, and other positions of
the same text mostly nothing either.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from qeu.backends.compute_queue import StopSign
from qeu.backends.engines import Engines
from qeu.backends.lens_scores import (
    CACHE_BYTES,
    TEXT_BYTES,
    ScoreCache,
    TextScores,
    TokenText,
    blocks,
    choose_kept,
)
from qeu.backends.lens_steps import TOP, divergence_bits, draw_picture
from qeu.backends.shelf import OnProgress
from qeu.backends.shown_tokens import ShownTokens
from qeu.core.errors import QeuError, UsageError
from qeu.core.lens import (
    LensPicture,
    PairedToken,
    ShownToken,
    Surprise,
    TwoSides,
    average_parts,
    find_divergence,
)
from qeu.core.sampling import Sampling
from qeu.services.asks import Ask
from qeu.services.lens_reader import LensSide, Reader, explain_tokenizers, open_reader

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Look:
    """One choice under the lens, and what another picture of it needs.

    `tokens` are all that the side wrote, `notes` sentences that a reader should know. `row` are
    the scores at the position, `used` the ids before it: neither belongs on a page.
    """

    side: LensSide
    position: int
    sampling: Sampling
    picture: LensPicture
    tokens: tuple[ShownToken, ...]
    notes: tuple[str, ...]
    top: int
    row: "torch.Tensor" = field(repr=False, compare=False)
    used: tuple[int, ...] = field(repr=False)
    names: ShownTokens = field(repr=False, compare=False)

    def to_json(self) -> dict[str, object]:
        """Plain values: whose choice it is, and the picture."""
        return {
            "model": self.side.ask.model,
            "position": self.position,
            "tokens": len(self.tokens),
            "sampling": self.sampling.to_json(),
            "notes": list(self.notes),
            "picture": self.picture.to_json(),
        }


class Lens:
    """The next-token view of one program; all visitors share what was read. Safe from any thread.

    `limit_bytes` is what the scores may take that are kept for other pictures, `text_bytes` those
    of one text.
    """

    def __init__(self, limit_bytes: int = CACHE_BYTES, text_bytes: int = TEXT_BYTES) -> None:
        self._cache = ScoreCache(limit_bytes)
        self._text_bytes = text_bytes

    def look(
        self,
        engines: Engines,
        side: LensSide,
        position: int | None = None,
        *,
        top: int = TOP,
        stop: StopSign | None = None,
        on_load: OnProgress | None = None,
    ) -> Look:
        """The choice at a position of a side's text; None is behind its end.

        Raises QeuError where the model tells no probabilities, or there is no such position.
        """
        reader = open_reader(engines, side, stop, on_load)
        last = reader.positions - 1
        position = last if position is None else position
        if not 0 <= position <= last:
            raise UsageError(
                f"Position {position:,} is not in the text. Choose 0 (the end of the prompt) to "
                f"{last:,} (behind the last token)."
            )
        keep = self._choose_kept(reader, position)
        scores = self._read(engines, reader, keep, [position], stop)
        ids, names = reader.text.completion, reader.model.shown_tokens
        look = start_look(
            side,
            scores.rows[position],
            reader.text.before(position),
            names,
            position=position,
            tokens=tuple(map(names.name, ids)),
            notes=reader.notes,
            top=top,
        )
        why = reader.explain_choice(look.picture.written, look.picture.chosen)
        return replace(look, notes=(*look.notes, *why))

    def surprise(
        self,
        engines: Engines,
        side: LensSide,
        *,
        stop: StopSign | None = None,
        on_load: OnProgress | None = None,
    ) -> Surprise:
        """How little the side's model expects each token of its text, reasoning and answer apart.

        To let a model read what another one wrote, give a side its question and that text.
        """
        reader = open_reader(engines, side, stop, on_load)
        if not reader.text.completion:
            raise UsageError("There is no text to read yet. Let the model write first.")
        keep = self._choose_kept(reader, 0)
        scores = self._read(engines, reader, keep, (), stop)
        tokens = reader.name_parts(scores.bits)
        return Surprise(tokens, average_parts(tokens))

    def compare_two(
        self,
        engines: Engines,
        left: LensSide,
        right: LensSide,
        *,
        stop: StopSign | None = None,
        on_load: OnProgress | None = None,
    ) -> TwoSides:
        """Both texts token by token, each read by both sides: what an adapter changed, and where.

        Each side reads behind its own prompt. Where their tokenizers differ, each text has its own
        writer's surprise only, and `why` says so.
        """
        readers = [open_reader(engines, side, stop, on_load) for side in (left, right)]
        one, two = readers
        if not one.text.completion or not two.text.completion:
            raise UsageError("There is no text to read yet. Let both sides write first.")
        why = explain_tokenizers(one, two)
        found = []
        for writer, other in ((one, two), (two, one)):
            if why:
                keep = self._choose_kept(writer, 0)
                bits = self._read(engines, writer, keep, (), stop).bits
                rest: list[tuple[float | None, float | None]] = [(None, None)] * len(bits)
            else:
                bits, rest = self._read_both(engines, writer, other, stop)
            read = writer.name_parts(bits)
            found.append(
                tuple(
                    PairedToken(token.token, token.part, token.bits, *more)
                    for token, more in zip(read, rest, strict=True)
                )
            )
        apart = None if why else find_divergence(one.text.completion, two.text.completion)
        return TwoSides(*found, *map(average_parts, found), apart, why)

    def _read_both(
        self, engines: Engines, writer: Reader, other: Reader, stop: StopSign | None
    ) -> tuple[Sequence[float], list[tuple[float | None, float | None]]]:
        """The writer's surprises, and (the other's surprise, divergence) of each of its tokens."""
        import torch

        other = replace(other, text=TokenText(other.text.prompt, writer.text.completion))
        divergences: list[float] = []
        row_bytes = max(writer.model.score_bytes, other.model.score_bytes)
        for block in blocks(writer.positions, row_bytes, self._text_bytes):
            ours = self._read(engines, writer, block, block, stop)
            theirs = self._read(engines, other, block, block, stop)
            # nothing was written behind the end, but a click there needs its scores
            inside = [at for at in block if at < len(writer.text.completion)]
            if inside:
                divergences += divergence_bits(
                    torch.stack([ours.rows[at] for at in inside]),
                    torch.stack([theirs.rows[at] for at in inside]),
                )
        return ours.bits, list(zip(theirs.bits, divergences, strict=True))

    def _choose_kept(self, reader: Reader, position: int) -> range:
        return choose_kept(position, reader.positions, reader.model.score_bytes, self._text_bytes)

    def _read(
        self,
        engines: Engines,
        reader: Reader,
        keep: range,
        needed: Sequence[int],
        stop: StopSign | None,
    ) -> TextScores:
        """What is known of a text, if the `needed` positions are; else a pass that keeps `keep`."""

        def kept() -> TextScores | None:
            found = self._cache.get(reader.identity, reader.text)
            return found if found is not None and found.rows.keys() >= set(needed) else None

        if found := kept():
            return found
        with engines.queue.turn(stop) as mine:
            # while this one waited, another may have read the same text
            if found := kept():
                return found
            scores = None
            if mine:
                hash_ = reader.identity.adapter_hash
                scores = reader.model.read_scores(reader.text, keep, reader.adapter, stop, hash_)
        if scores is None:
            raise QeuError("The look was stopped. Look again.")
        self._cache.put(reader.identity, reader.text, scores)
        return scores


def start_look(
    side: LensSide,
    row: "torch.Tensor",
    used: tuple[int, ...],
    names: ShownTokens,
    *,
    position: int = 0,
    tokens: tuple[ShownToken, ...] = (),
    notes: tuple[str, ...] = (),
    top: int = TOP,
) -> Look:
    """A look at scores that are there, by the side's own settings; `tokens` are the text's."""
    sampling = side.ask.sampling.checked()
    written = tokens[position].id if position < len(tokens) else None
    picture = _draw(row, used, sampling, names, position, top, written)
    return Look(side, position, sampling, picture, tokens, notes, top, row, used, names)


def redraw(look: Look, sampling: Sampling) -> Look:
    """The same choice by other settings; computes no model and takes a few milliseconds."""
    sampling = sampling.checked()
    picture = _draw(
        look.row, look.used, sampling, look.names, look.position, look.top, look.picture.written
    )
    return replace(look, sampling=sampling, picture=picture)


def put_token(side: LensSide, look: Look, tokens: Sequence[int]) -> Ask:
    """What to ask for a text that has these tokens at the look's position and goes on from there.

    The seed's later draws stay those of the first text. Raises UsageError for no token, one that
    the model does not have, or no room behind it.
    """
    if not tokens:
        raise UsageError("There is no token to put there. Choose a candidate, or write some text.")
    for token in tokens:
        if not 0 <= token < look.picture.vocabulary:
            raise UsageError(
                f"Token {token:,} does not exist: the model has {look.picture.vocabulary:,}, "
                "counted from 0."
            )
    begun = (*(token.id for token in look.tokens[: look.position]), *tokens)
    sampling = look.sampling
    if len(begun) >= sampling.max_new_tokens:
        most = Sampling.__dataclass_fields__["max_new_tokens"].metadata["high"]
        longer = min(len(begun) + sampling.max_new_tokens, most)
        if longer <= len(begun):
            raise UsageError(
                f"The text has {len(begun):,} tokens, the most that one may have. Choose an "
                "earlier position."
            )
        sampling = replace(sampling, max_new_tokens=longer)
    return replace(side.ask, sampling=sampling, begun=begun)


def _draw(
    row: "torch.Tensor",
    used: tuple[int, ...],
    sampling: Sampling,
    names: ShownTokens,
    position: int,
    top: int,
    written: int | None,
) -> LensPicture:
    uniform = _draw_number(sampling.seed, position)
    return draw_picture(row, used, sampling, names.name, top=top, written=written, uniform=uniform)


def _draw_number(seed: int, position: int) -> float:
    """The number that the engine draws for this token: one a token, from the row's own seed."""
    source = random.Random(seed)
    for _ in range(position):
        source.random()
    return source.random()
