"""Find any substring in many texts: bit signatures of character groups, then the text itself.

Every record has a signature of SLICES bits: one for each three characters in a row, and for
Japanese and Chinese one for each character and each two. Signatures lie bit by bit, so that a
search reads only the bits of its term. Bits are only ever added: what a record said once may make
it a candidate, and comparing with the text decides. (Full-text tables of SQLite were measured
first: 83 µs a row for trigrams and 40 for bigrams, against 10 here.)
"""

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

SLICES = 2048
BLOCK_BITS = 12
BLOCK = 1 << BLOCK_BITS  # records whose bits lie in one value
_NUMBER_MASK = (1 << 32) - 1
# More groups than this do not narrow the candidates any further.
_MOST_GROUPS = 12
_CJK_RANGES = (
    *((0x3005, 0x3007), (0x3040, 0x30FF), (0x3105, 0x312F), (0x31F0, 0x31FF)),
    *((0x3400, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF)),
)
Read = Callable[[str, tuple[object, ...]], list[sqlite3.Row]]


Text = tuple[int, str, str]


def insert_texts(db: sqlite3.Connection, texts: Sequence[Text]) -> None:
    """Store (id, folded text, folded reasoning) of new records."""
    db.executemany("INSERT INTO search_texts VALUES (?, ?, ?)", texts)


def update_texts(db: sqlite3.Connection, texts: Sequence[Text], columns: Sequence[str]) -> None:
    """Store the texts of records that changed: "folded", "folded_reasoning" or both."""
    for column in columns:
        place = 1 if column == "folded" else 2
        db.executemany(
            f"UPDATE search_texts SET {column} = ? WHERE id = ?",
            [(text[place], text[0]) for text in texts],
        )


def index_texts(
    db: sqlite3.Connection, dataset: int, texts: Sequence[Text], fresh: bool = False
) -> None:
    """Set the bits of these texts; `fresh` records were not there before."""
    by_block: dict[int, list[tuple[int, str]]] = {}
    for number, *parts in texts:
        # no group of characters is lost at the seam; one that spans it finds nothing in the text
        text = "\x01".join(part for part in parts if part)
        by_block.setdefault((number & _NUMBER_MASK) >> BLOCK_BITS, []).append((number, text))
    for block, members in by_block.items():
        new_block = fresh and not members[0][0] & (BLOCK - 1)
        _add_bits(db, dataset, block, members, new_block)


def _add_bits(
    db: sqlite3.Connection, dataset: int, block: int, members: list[tuple[int, str]], new: bool
) -> None:
    import numpy as np

    rows, groups = _groups([text for _, text in members])
    places = np.array([number & (BLOCK - 1) for number, _ in members], dtype=np.int64)
    bits = np.zeros((SLICES, BLOCK), dtype=bool)
    bits[groups, places[rows]] = True
    packed = np.packbits(bits, axis=1, bitorder="little")
    touched = np.flatnonzero(packed.any(axis=1)).tolist()
    values = {part: packed[part].tobytes().rstrip(b"\0") for part in touched}
    if not new:
        known = db.execute(
            "SELECT slice, bits FROM search_bits WHERE dataset = ? AND block = ? "
            "AND slice IN (SELECT value FROM json_each(?))",
            (dataset, block, json.dumps(touched)),
        )
        for part, old in known.fetchall():
            joined = int.from_bytes(old, "little") | int.from_bytes(values[part], "little")
            value = joined.to_bytes(max(len(old), len(values[part])), "little")
            if value == old:
                del values[part]
            else:
                values[part] = value
    db.executemany(
        "INSERT OR REPLACE INTO search_bits (dataset, slice, block, bits) VALUES (?, ?, ?, ?)",
        [(dataset, part, block, value) for part, value in values.items()],
    )


def term_slices(term: str) -> list[int]:
    """The bits that a text with this folded term must have; none for 1-2 Latin letters."""
    _, groups = _groups([term])
    found = sorted(set(groups.tolist()))
    step = max(1, len(found) // _MOST_GROUPS)
    return found[::step][:_MOST_GROUPS]


def candidate_blocks(read: Read, dataset: int, term: str) -> Iterator[list[int]] | None:
    """Ids that may hold the folded term, a list per block, in order; None: any record may."""
    slices = term_slices(term)
    if not slices:
        return None
    masks: dict[int, int] = {}
    for count, part in enumerate(slices):
        rows = read(
            "SELECT block, bits FROM search_bits WHERE dataset = ? AND slice = ?", (dataset, part)
        )
        found = {row[0]: int.from_bytes(row[1], "little") for row in rows}
        masks = found if not count else {b: m & found[b] for b, m in masks.items() if b in found}
    return (_members(dataset, block, masks[block]) for block in sorted(masks) if masks[block])


def _members(dataset: int, block: int, mask: int) -> list[int]:
    import numpy as np

    data = np.frombuffer(mask.to_bytes(BLOCK // 8, "little"), dtype=np.uint8)
    base = dataset << 32 | block << BLOCK_BITS
    return (np.flatnonzero(np.unpackbits(data, bitorder="little")) + base).tolist()


def _groups(texts: Sequence[str]) -> "tuple[np.ndarray, np.ndarray]":
    """(row, bit) of every group of characters in the texts; rows repeat, bits may."""
    import numpy as np

    joined = "\0".join(texts) + "\0\0"
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    rows = np.cumsum(codes == 0, dtype=np.int32)
    cjk = _cjk_table()[np.minimum(codes, 0x3FFFF)]
    one, two, three = codes[:-2], codes[1:-1], codes[2:]
    wide_one, wide_two = cjk[:-2], cjk[1:-1]
    plain = (one != 0) & (two != 0) & (three != 0) & ~(wide_one | wide_two | cjk[2:])
    pair = wide_one & wide_two
    triples = one * np.uint32(0x9E3779B1) + two * np.uint32(0x85EBCA6B)
    pairs = triples[pair]
    triples = triples[plain] + three[plain] * np.uint32(0xC2B2AE35)
    singles = one[wide_one] * np.uint32(0x27D4EB2F)
    hashed = np.concatenate([triples, pairs ^ np.uint32(0x5BD1E995), singles])
    # the low bits of a product are poor: fold the high ones in
    hashed ^= hashed >> np.uint32(15)
    hashed *= np.uint32(0x2C1B3C6D)
    bits = (hashed >> np.uint32(21)).astype(np.int64)  # 11 bits: SLICES
    at = rows[:-2]
    return np.concatenate([at[plain], at[pair], at[wide_one]]), bits


@lru_cache(maxsize=1)
def _cjk_table() -> "np.ndarray":
    import numpy as np

    table = np.zeros(0x40000, dtype=bool)
    for first, last in _CJK_RANGES:
        table[first : last + 1] = True
    return table
