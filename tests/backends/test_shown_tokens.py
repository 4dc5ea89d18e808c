"""Single tokens as text: nothing is lost, nothing is invisible, control tokens have names."""

import pytest

from qeu.backends.shown_tokens import ShownTokens
from qeu.backends.tokenize import PromptEncoder
from tests.backends.tiny_engine import load_tiny

TEXT = "The capital\n\tof 質問 and 😀 is  12."


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    _, tokenizer = load_tiny(tmp_path_factory.getbasetemp(), "llama")
    return ShownTokens(tokenizer, PromptEncoder(tokenizer))


def pieces_tokenizer():
    """A tokenizer of the SentencePiece kind: blanks as ▁, bytes as <0x0A>."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {piece: at for at, piece in enumerate(("<s>", "▁the", "cat", "é", "<0xE3>"))}
    bpe = Tokenizer(models.BPE(vocabulary, [], unk_token="<s>"))
    bpe.pre_tokenizer = pre_tokenizers.Metaspace()
    bpe.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>")


def test_the_bytes_of_a_text_are_those_of_its_tokens(tokens):
    ids = tokens.encode(TEXT)
    assert b"".join(map(tokens.data, ids)) == TEXT.encode()


def test_half_a_character_is_shown_by_its_bytes(tokens):
    kinds = {tokens.name(id_).kind for id_ in tokens.encode("😀")}
    assert kinds == {"bytes"}
    shown = [tokens.name(id_).shown for id_ in tokens.encode("😀")]
    assert "".join(shown) == "⟨F0⟩⟨9F⟩⟨98⟩⟨80⟩"


def test_blanks_and_line_ends_are_visible(tokens):
    shown = "".join(tokens.name(id_).shown for id_ in tokens.encode("a b\n"))
    assert shown == "a␣b⏎"


def test_control_tokens_are_named_and_add_nothing(tokens):
    (end,) = tokens.encode("<|eot_id|>", specials=True)
    assert (tokens.name(end).shown, tokens.name(end).kind) == ("<|eot_id|>", "control")
    assert tokens.data(end) == b""
    # written by a person they are characters
    assert len(tokens.encode("<|eot_id|>")) > 1


def test_an_embedding_without_a_token_is_called_by_its_number(tokens):
    assert tokens.name(100_000).kind == "unused"
    assert tokens.name(100_000).shown == "[100000]"
    assert tokens.data(100_000) == b""


def test_tokenizers_are_told_apart(tokens, tmp_path_factory):
    _, phi = load_tiny(tmp_path_factory.getbasetemp(), "phi")
    _, llama = load_tiny(tmp_path_factory.getbasetemp(), "llama")
    assert ShownTokens(llama, PromptEncoder(llama)).fingerprint == tokens.fingerprint
    assert ShownTokens(phi, PromptEncoder(phi)).fingerprint != tokens.fingerprint


def test_tokens_of_the_other_kind():
    tokenizer = pieces_tokenizer()
    tokens = ShownTokens(tokenizer, PromptEncoder(tokenizer))
    names = [tokens.name(id_) for id_ in range(5)]
    assert [one.shown for one in names] == ["<s>", "␣the", "cat", "é", "⟨E3⟩"]
    assert [one.kind for one in names] == ["control", "text", "text", "text", "bytes"]
    assert tokens.data(1) == b" the"
