"""Read the size and kind of weights from safetensors and GGUF headers, without loading them."""

import json
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO

from qeu.core.errors import QeuError

# A real header is a few hundred kilobytes; the format's own limit is 100 MB.
LARGEST_HEADER_BYTES = 100_000_000
DTYPE_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "I16": 2, "U16": 2, "F16": 2,
    "BF16": 2, "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8,
}  # fmt: skip
# GGUF metadata value kinds with a fixed width: kind -> bytes. 8 is a string, 9 an array.
_GGUF_WIDTH = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_GGUF_STRING, _GGUF_ARRAY = 8, 9


@dataclass(frozen=True)
class Header:
    """What a weights file holds: tensors, numbers in them, their bytes, and the main dtype.

    `shapes` are the tensors' names and shapes; a GGUF's are left out.
    """

    tensors: int
    parameters: int
    bytes: int
    dtype: str
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()


def read_safetensors(path: Path) -> Header:
    """Read one .safetensors header and check that the file is exactly as long as it says.

    Raises QeuError for a truncated, overlong or unreadable file: such a file is never loaded.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            prefix = file.read(8)
            length = int.from_bytes(prefix, "little")
            if len(prefix) < 8 or length > min(LARGEST_HEADER_BYTES, size - 8):
                raise ValueError("the header is cut off")
            entries = json.loads(file.read(length))
        entries.pop("__metadata__", None)
        end, counts, numbers, shapes = 0, {}, 0, []
        for name, entry in entries.items():
            first, last = entry["data_offsets"]
            numbers += prod(entry["shape"])
            shapes.append((name, tuple(entry["shape"])))
            end = max(end, last)
            counts[entry["dtype"]] = counts.get(entry["dtype"], 0) + last - first
        if 8 + length + end != size:
            raise ValueError(f"it should have {8 + length + end} bytes and has {size}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise QeuError(
            f"The weights file {path} cannot be read ({e}). Delete it and fetch it again."
        ) from e
    main = max(counts, key=counts.__getitem__) if counts else ""
    return Header(len(entries), numbers, sum(counts.values()), main, tuple(shapes))


def read_gguf(path: Path) -> Header:
    """Read one .gguf header; `bytes` is what the tensors need as bfloat16, once unpacked.

    Only the length of a GGUF file's tensors is known from the header, not that all are there.
    """
    try:
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise ValueError("it does not begin with 'GGUF'")
            version, tensors, pairs = struct.unpack("<IQQ", _read(file, 20))
            if version not in (2, 3) or max(tensors, pairs) > 1_000_000:
                raise ValueError(f"GGUF version {version} is not known")
            for _ in range(pairs):
                _skip_string(file)
                _skip_value(file, _number(file, 4))
            numbers = 0
            for _ in range(tensors):
                _skip_string(file)
                dimensions = _number(file, 4)
                numbers += prod(struct.unpack(f"<{dimensions}Q", _read(file, 8 * dimensions)))
                _read(file, 12)  # kind and offset
    except (OSError, ValueError, struct.error, KeyError) as e:
        raise QeuError(
            f"The weights file {path} cannot be read ({e}). Delete it and fetch it again."
        ) from e
    return Header(tensors, numbers, 2 * numbers, "GGUF")


def _read(file: BinaryIO, count: int) -> bytes:
    data = file.read(count) if count <= LARGEST_HEADER_BYTES else b""
    if len(data) < count:
        raise ValueError("the header is cut off")
    return data


def _number(file: BinaryIO, width: int) -> int:
    return int.from_bytes(_read(file, width), "little")


def _skip_string(file: BinaryIO) -> None:
    _read(file, _number(file, 8))


def _skip_value(file: BinaryIO, kind: int) -> None:
    if kind == _GGUF_STRING:
        _skip_string(file)
    elif kind == _GGUF_ARRAY:
        inner, count = _number(file, 4), _number(file, 8)
        if inner in _GGUF_WIDTH:
            _read(file, _GGUF_WIDTH[inner] * count)
            return
        for _ in range(count):
            _skip_value(file, inner)
    else:
        _read(file, _GGUF_WIDTH[kind])
