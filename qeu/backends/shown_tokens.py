"""Single tokens as a person can read them: text, bytes of half a character, control tokens.

A tokenizer's own `decode` of one token loses the blank before a word and makes � of half a
character; here nothing is lost.
"""

import hashlib
import re
from functools import cached_property
from typing import TYPE_CHECKING

from qeu.core.lens import ShownToken, show_bytes, show_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from qeu.backends.tokenize import PromptEncoder

_LINE_END = "Ċ"  # of tokenizers that have a sign for each byte
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_BLANK = "▁"  # of tokenizers that write blanks so (SentencePiece)


class ShownTokens:
    """Names the tokens of one tokenizer; safe from several threads."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", encoder: "PromptEncoder") -> None:
        self._tokenizer = tokenizer
        self._encoder = encoder
        self._added = dict(tokenizer.added_tokens_decoder)
        self._control = {id_ for id_, token in self._added.items() if token.special}
        self._control |= set(tokenizer.all_special_ids)

    def name(self, token: int) -> ShownToken:
        """The token with what it stands for."""
        piece = self._piece(token)
        if piece is None:
            return ShownToken(token, f"[{token}]", "unused")
        if token in self._control:
            return ShownToken(token, show_text(piece), "control")
        data = self.data(token)
        return ShownToken(token, show_bytes(data), "text" if _is_text(data) else "bytes")

    def data(self, token: int) -> bytes:
        """The bytes that the token adds to a text; none for control tokens."""
        piece = self._piece(token)
        if piece is None or token in self._control:
            return b""
        if token in self._added:
            return piece.encode("utf-8")
        if self._writes_bytes:
            return bytes(_BYTE_OF[sign] for sign in piece if sign in _BYTE_OF)
        if byte := _BYTE.fullmatch(piece):
            return bytes.fromhex(byte[1])
        return piece.replace(_BLANK, " ").encode("utf-8")

    def encode(self, text: str, *, specials: bool = False) -> tuple[int, ...]:
        """The ids of a text; with `specials` what reads like a control token is one."""
        return tuple(self._encoder.encode(text, specials=specials))

    @cached_property
    def fingerprint(self) -> str:
        """Equal for tokenizers whose ids mean the same."""
        tokens = sorted(self._tokenizer.get_vocab().items(), key=lambda item: item[1])
        listed = "\0".join(f"{id_} {piece}" for piece, id_ in tokens)
        return hashlib.sha256(listed.encode("utf-8", "surrogatepass")).hexdigest()

    @cached_property
    def _writes_bytes(self) -> bool:
        # asked, since its vocabulary does not tell: other kinds know the same letters, and some of
        # this kind lack signs for bytes that no text has
        pieces = self._tokenizer.convert_ids_to_tokens(self._encoder.encode("\n"))
        return any(_LINE_END in piece for piece in pieces)

    def _piece(self, token: int) -> str | None:
        if token in self._added:
            return self._added[token].content
        piece = self._tokenizer.convert_ids_to_tokens(token)
        return piece if isinstance(piece, str) else None


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _byte_signs() -> dict[str, int]:
    """The byte that each sign of a byte-level vocabulary stands for.

    Source: bytes_to_unicode of GPT-2's encoder: printable bytes are themselves, all others are
    numbered from U+0100 on.
    """
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {
        chr(0x100 + at): byte for at, byte in enumerate(others)
    }


_BYTE_OF = _byte_signs()
