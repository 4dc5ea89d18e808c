"""Headers of weights files: sizes are read, and broken files refused by name."""

from collections.abc import Callable
from pathlib import Path

import pytest

from qeu.backends.headers import read_gguf, read_safetensors
from qeu.core.errors import QeuError
from tests.backends.fake_source import write_safetensors


def test_safetensors_headers_give_size_and_kind(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "a.safetensors", 10)
    header = read_safetensors(tmp_path / "a.safetensors")
    assert (header.tensors, header.parameters, header.bytes, header.dtype) == (1, 10, 20, "BF16")


@pytest.mark.parametrize(
    "data",
    [b"", b"\x01", b"\xff" * 8, b"\x02\0\0\0\0\0\0\0[]", b"\x03\0\0\0\0\0\0\0{}", b"PK\3\4" * 9],
)
def test_a_broken_header_is_an_error_with_the_path(tmp_path: Path, data: bytes) -> None:
    for name, read in (("w.safetensors", read_safetensors), ("w.gguf", read_gguf)):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(QeuError, match=name):
            read(tmp_path / name)


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"x"])
def test_a_file_of_another_length_than_its_header_says_is_refused(
    tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    file = tmp_path / "w.safetensors"
    write_safetensors(file)
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(QeuError, match=r"it should have \d+ bytes and has \d+"):
        read_safetensors(file)


def test_gguf_headers_are_read_past_their_metadata(tmp_path: Path) -> None:
    def text(value: str) -> bytes:
        return len(value).to_bytes(8, "little") + value.encode()

    def number(value: int, width: int = 4) -> bytes:
        return value.to_bytes(width, "little")

    strings = number(8) + number(2, 8) + text("a") + text("bb")
    pairs = text("name") + number(8) + text("tiny")
    pairs += text("tokens") + number(9) + strings
    pairs += text("types") + number(9) + number(5) + number(3, 8) + bytes(12)
    pairs += text("eps") + number(6) + bytes(4)
    tensor = text("weight") + number(2) + number(6, 8) + number(7, 8) + number(3) + number(0, 8)
    data = b"GGUF" + number(3) + number(1, 8) + number(4, 8) + pairs + tensor
    (tmp_path / "t.gguf").write_bytes(data)
    header = read_gguf(tmp_path / "t.gguf")
    assert (header.tensors, header.parameters, header.bytes) == (1, 42, 84)
    (tmp_path / "t.gguf").write_bytes(data[:-4])
    with pytest.raises(QeuError, match="cut off"):
        read_gguf(tmp_path / "t.gguf")
