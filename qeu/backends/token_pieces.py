"""Token ids as pieces of text that a person can read: half characters joined, control tokens named.

A character of several tokens (an emoji, say) is one piece of that many; nothing is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# What a decoder puts where bytes make no whole character.
_BROKEN = "\ufffd"
# A character has four bytes at most, and a token may end one and begin the next.
_MOST_TOGETHER = 8


@dataclass(frozen=True)
class TokenPiece:
    """So many tokens that together are this text; `control` tokens are named by it."""

    text: str
    tokens: int = 1
    control: bool = False


def split_tokens(tokenizer: "PreTrainedTokenizerBase", ids: Sequence[int]) -> list[TokenPiece]:
    """The pieces of these ids, in their order."""
    decoder = tokenizer.added_tokens_decoder
    control = {id_ for id_, added in decoder.items() if added.special}
    control |= set(tokenizer.all_special_ids)
    pieces: list[TokenPiece] = []
    # `before` is where the last piece began: some decoders drop the blank that begins a text
    at = before = 0
    while at < len(ids):
        if ids[at] in control:
            name = tokenizer.convert_ids_to_tokens(ids[at])
            piece = TokenPiece(str(name), 1, control=True)
            before = at + 1
        else:
            piece = _piece(tokenizer, ids, before, at, control)
            before = at
        pieces.append(piece)
        at += piece.tokens
    return pieces


def _piece(
    tokenizer: "PreTrainedTokenizerBase",
    ids: Sequence[int],
    before: int,
    at: int,
    control: set[int],
) -> TokenPiece:
    known = _decode(tokenizer, ids[before:at])
    first = ""
    for count in range(1, min(_MOST_TOGETHER, len(ids) - at) + 1):
        if ids[at + count - 1] in control:
            break
        whole = _decode(tokenizer, ids[before : at + count])
        shown = whole[len(known) :] if whole.startswith(known) else _decode(
            tokenizer, ids[at : at + count]
        )  # fmt: skip
        if not shown.endswith(_BROKEN):
            return TokenPiece(shown, count)
        first = first or shown
    # bytes that are no text at all, or that very sign, written by a person
    return TokenPiece(first)


def _decode(tokenizer: "PreTrainedTokenizerBase", ids: Sequence[int]) -> str:
    if not ids:
        return ""
    return str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))
