"""Find out how a text file is encoded: UTF-8, UTF-16, Shift-JIS or GB18030; never by extension."""

import codecs
from pathlib import Path

_SAMPLE = 256 * 1024
_PIECE = 1024 * 1024
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def detect_encoding(path: Path) -> str:
    """Python's name of the encoding; "utf-8" also where some bytes are not (those rows say so)."""
    with path.open("rb") as file:
        head = file.read(_SAMPLE)
        for mark, name in _MARKS:
            if head.startswith(mark):
                return name
        if wide := _wide(head):
            return wide
        file.seek(0)
        decoder = codecs.getincrementaldecoder("utf-8")()
        while piece := file.read(_PIECE):
            try:
                decoder.decode(piece)
            except UnicodeDecodeError:
                place = max(0, file.tell() - len(piece))
                file.seek(place)
                return _choose(_foreign_part(file.read(_PIECE + _SAMPLE)))
    return "utf-8"


def _wide(head: bytes) -> str:
    """UTF-16 without a mark: every other byte of its ASCII characters is zero."""
    even, odd = head[0::2], head[1::2]
    if len(head) < 4 or not head.count(0):
        return ""
    share = len(even) / 20
    for zeros, others, name in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if zeros.count(0) > max(share, 4 * others.count(0)):
            text = head[: len(head) // 2 * 2].decode(name, "replace")
            controls = sum(character < " " and character not in "\t\r\n" for character in text)
            return name if controls * 20 < len(text) else ""
    return ""


def _foreign_part(data: bytes) -> bytes:
    """From the line of the first byte above ASCII on."""
    first = next((i for i, byte in enumerate(data) if byte > 127), 0)
    start = data.rfind(b"\n", 0, first) + 1
    return data[start : start + _SAMPLE]


def _choose(data: bytes) -> str:
    scores = {
        "utf-8": _score_utf8(data),
        "cp932": _score(data, "cp932", _japanese),
        "gb18030": _score(data, "gb18030", _chinese),
    }
    return max(scores, key=lambda name: scores[name])


def _score_utf8(data: bytes) -> float:
    """1 minus the share of bytes above ASCII that are no UTF-8: a file with a few bad bytes."""
    high = sum(byte > 127 for byte in data)
    kept = data.decode("utf-8", "ignore").encode()
    return 1 - 3 * (len(data) - len(kept)) / max(high, 1)


def _score(data: bytes, name: str, is_common: "object") -> float:
    text = data.decode(name, "replace")
    letters = [c for c in text if ord(c) > 127]
    bad = text[:-2].count("\ufffd")
    good = sum(is_common(c) for c in letters)  # type: ignore[operator]
    return (good - 10 * bad) / max(len(letters), 1)


def _japanese(character: str) -> bool:
    code = ord(character)
    if 0x3000 <= code <= 0x30FF or 0xFF01 <= code <= 0xFF5E:
        return True  # kana and wide punctuation; half-width kana are what others decode to
    return 0x4E00 <= code <= 0x9FFF and _lead_byte(character, "shift_jis") in range(0x88, 0x98)


def _chinese(character: str) -> bool:
    # the 3,755 characters of GB2312's first level, and its punctuation
    lead = _lead_byte(character, "gb2312")
    return 0xB0 <= lead <= 0xD7 or lead in (0xA1, 0xA3)


def _lead_byte(character: str, name: str) -> int:
    try:
        return character.encode(name)[0]
    except UnicodeEncodeError:
        return 0
