"""Cut text into lines, sentences, words and numbers, with offsets.

Offsets are code-point offsets [start, end) into the text that was passed in. Nothing here raises on
any string. The rules are for English, Japanese and Chinese prose; other languages are cut at
line breaks and at . ! ? only. Every function is linear in the length of its text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from math import ceil
from typing import Literal

Offsets = tuple[int, int]

# 120 words and 300 characters are the two limits of one contract; their ratio prices mixed text.
CHARACTERS_PER_WORD = 2.5

CJK = "\u3005-\u3007\u3040-\u30ff\u3105-\u312f\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff\uff66-\uff9d"
CJK += "\U00020000-\U0003ffff"
_UNSPACED = CJK + "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # and Thai, Lao, Burmese, Khmer

_LINE = re.compile("[^\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]+")
_TOKEN = re.compile(
    r"(?P<stop>(?:[。！？｡]+|(?<![.!?…])[.!?…]+(?=[\"'”’)\]*_]*(?:\s|$)))[\"'”’」』）)\]*_]*)"
    r"|(?P<open>[「『（(“\[])|(?P<close>[」』）)”\]])|(?P<quote>\")"
)
_CLOSERS = "」』）)”]"
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:(?i:cf|vs|mr|mrs|ms|dr|prof|st|no|fig|approx|etc|[a-z](?:\.[a-z])+)|[A-Z])\.$"
)
_NUMBER_AT_START = re.compile(r"[\s#*>(-]*\d{1,3}\.$")
_MARKER = re.compile(
    r"\s*(?:[-+•‣◦▪●○・–—>]\s*|\*+\s*|_+|#{1,6}\s+|[\"'“”‘「『]|[(（]?\d{1,3}[.)、：:．）]\s*"
    r"|\([a-z]\)\s*|[a-z][.)]\s+|[①-⑳]\s*|[一二三四五六七八九十]{1,3}[、.．]\s*"
    r"|(?:step|ステップ|手順|步骤|步驟)\s*[\d一二三四五六七八九十]+\s*[:.)、：-]\s*)",
    re.IGNORECASE,
)
_MAX_MARKERS = 8  # "> - **1. "
_CHUNK = re.compile(rf"[^\s{CJK}]+")
_ALNUM = re.compile(r"[^\W_]")
_CJK_RUN = re.compile(f"[{CJK}]+")
_UNSPACED_RUN = re.compile(f"[{_UNSPACED}]+")
_WORD_CHARACTERS = re.compile(r"[^\W\d_]+")

_FULL_WIDTH = {0xFF10 + i: 0x30 + i for i in range(10)} | {0xFF0E: 0x2E, 0xFF0C: 0x2C}
_SCALES = {
    "hundred": 100,
    "thousand": 1000,
    "million": 10**6,
    "billion": 10**9,
    "万": 10**4,
    "萬": 10**4,
    "億": 10**8,
    "亿": 10**8,
    "兆": 10**12,
}
_NUMBER = re.compile(
    r"(?<![A-Za-z_\d.])(?<![A-Za-z]-)(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?(?:/\d+)?)"
    r"(?P<scale>\s?(?:hundred|thousand|million|billion)\b|[万萬億亿兆])?"
    r"(?![A-Z]?D\b)"
)
_KANJI_NUMBER = re.compile("[〇一二三四五六七八九十百千万億]+")
_KANJI_SCALE = re.compile("[十百千万億]")
_UNITS = tuple(
    re.findall(
        r"\w+",
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
        "fifteen sixteen seventeen eighteen nineteen",
    )
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
# Words below eleven are left out: "one of the", "the first two" are no quantities.
_NUMBER_WORD = re.compile(
    rf"\b(?:(?P<tens>{'|'.join(_TENS)})(?:[-\s](?P<unit>{'|'.join(_UNITS[1:10])}))?"
    rf"|(?P<teen>{'|'.join(_UNITS[11:])}))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Number:
    """One number as written at [start, end); `value` is its plain decimal form without a sign."""

    start: int
    end: int
    value: str
    as_word: bool = False

    def forms(self) -> set[str]:
        """The value and its roundings to fewer decimals, at least one of them."""
        whole, _, decimals = self.value.partition(".")
        places = range(1, min(len(decimals), 12)) if len(whole) <= 12 else ()
        rounded = {f"{float(self.value):.{count}f}".rstrip("0") for count in places}
        return {self.value} | {form for form in rounded if not form.endswith(".")}


def line_spans(text: str) -> list[Offsets]:
    """Offsets of the non-empty lines, without the white space around them."""
    spans = []
    for match in _LINE.finditer(text):
        line = match.group()
        body = line.strip()
        if body:
            start = match.start() + len(line) - len(line.lstrip())
            spans.append((start, start + len(body)))
    return spans


def sentence_spans(text: str) -> list[Offsets]:
    """Offsets of the sentences; a line break ends one, a full stop inside quotes does not."""
    spans = []
    for start, end in line_spans(text):
        spans.extend(_sentences_of_line(text, start, end))
    return spans


def _sentences_of_line(text: str, start: int, end: int) -> Iterator[Offsets]:
    line = text[start:end]
    # an unclosed bracket would swallow the rest of the line: then brackets are not looked at
    opened = sum(map(line.count, "「『（(“["))
    nesting = opened == sum(map(line.count, _CLOSERS)) and line.count('"') % 2 == 0
    depth, quoted, begin = 0, False, 0
    for match in _TOKEN.finditer(line):
        if match.lastgroup == "open":
            depth += 1
        elif match.lastgroup == "close":
            depth = max(0, depth - 1)
        elif match.lastgroup == "quote":
            quoted = not quoted
        else:
            stop = match.group()
            depth = max(0, depth - sum(map(stop.count, _CLOSERS)))
            quoted ^= stop.count('"') % 2 == 1
            rest = line[match.end() : match.end() + 2]
            if nesting and (depth or quoted or _goes_on(stop, rest)):
                continue
            if stop == "." and _is_abbreviation(line, begin, match.end(), rest):
                continue
            yield from _trimmed(line, begin, match.end(), start)
            begin = match.end()
    yield from _trimmed(line, begin, len(line), start)


def _goes_on(stop: str, rest: str) -> bool:
    # 「…。」と言った and "Stop." he said: the sentence around the quotation is still running
    if stop[-1] in "」』）":
        return bool(rest) and not rest[0].isspace()
    return stop[-1] in '"”’)' and len(rest) == 2 and rest[1].islower()


def _is_abbreviation(line: str, begin: int, end: int, rest: str) -> bool:
    tail = line[max(begin, end - 12) : end]
    if _NUMBER_AT_START.match(line[begin:end] if end - begin < 12 else ""):
        return True
    if not _ABBREVIATION.search(tail):
        return False
    return not (tail.lower().endswith("etc.") and rest[1:2].isupper())


def _trimmed(line: str, begin: int, end: int, offset: int) -> Iterator[Offsets]:
    body = line[begin:end]
    left = begin + len(body) - len(body.lstrip())
    if body.strip():
        yield offset + left, offset + left + len(body.strip())


def skip_list_markers(text: str, start: int, end: int) -> int:
    """Offset where the words begin: past bullets, numbering, "Step 2:", emphasis, quote marks."""
    for _ in range(_MAX_MARKERS):
        match = _MARKER.match(text, start, end)
        if not match or match.end() == start:
            break
        start = match.end()
    return start


def is_unspaced(text: str) -> bool:
    """Whether at least half of the letters, by weight, belong to a script without word spaces."""
    unspaced = sum(len(run) for run in _UNSPACED_RUN.findall(text))
    letters = sum(len(run) for run in _WORD_CHARACTERS.findall(text))
    return unspaced > 0 and unspaced * CHARACTERS_PER_WORD >= letters - unspaced


def word_spans(text: str) -> list[Offsets]:
    """Offsets of the words: runs without white space that hold a letter or digit; no CJK inside."""
    return [match.span() for match in _CHUNK.finditer(text) if _ALNUM.search(match.group())]


def count_words(text: str) -> int:
    """Words; characters of Japanese and Chinese in between count 2.5 to the word, rounded up."""
    inside = sum(len(run) for run in _CJK_RUN.findall(text))
    return len(word_spans(text)) + ceil(inside / CHARACTERS_PER_WORD)


def count_characters(text: str) -> int:
    """Characters that are not white space, punctuation included."""
    return sum(map(len, text.split()))


def numbers(text: str) -> list[Number]:
    """Numbers in order: 1,234.5, 3/4, 12万, 2 million, twenty-one, 四十二; not H2O, COVID-19, 3D.

    Full-width digits are read as digits. Signs, percent signs and units are left out. English words
    below eleven and single kanji digits are not numbers here: they mostly do not state a quantity.
    """
    plain = text.translate(_FULL_WIDTH)
    found = [
        Number(*match.span(), _decimal_form(match.group(), match.group("scale")))
        for match in _NUMBER.finditer(plain)
    ]
    for match in _NUMBER_WORD.finditer(plain):
        found.append(Number(*match.span(), str(_word_value(match)), as_word=True))
    for match in _KANJI_NUMBER.finditer(plain):
        alone = not (match.start() and plain[match.start() - 1].isdigit())
        if alone and 2 <= len(match.group()) <= 20 and _KANJI_SCALE.search(match.group()):
            found.append(Number(*match.span(), str(_kanji_value(match.group())), as_word=True))
    return sorted(found, key=lambda number: number.start)


def number_values(text: str) -> set[str]:
    """The values of all numbers in the text, in plain decimal form."""
    return {number.value for number in numbers(text)}


def _decimal_form(written: str, scale: str | None) -> str:
    digits = written.removesuffix(scale or "").replace(",", "")
    if "/" in digits or len(digits) > 40:
        return digits
    value = Decimal(digits) * _SCALES.get((scale or "").strip(), 1)
    form = format(value, "f")
    return form.rstrip("0").rstrip(".") if "." in form else form.lstrip("0") or "0"


def _word_value(match: re.Match[str]) -> int:
    if match["teen"]:
        return _UNITS.index(match["teen"].lower())
    unit = _UNITS.index(match["unit"].lower()) if match["unit"] else 0
    return 20 + 10 * _TENS.index(match["tens"].lower()) + unit


def _kanji_value(written: str) -> int:
    total = section = digit = 0
    for character in written:
        if character in "万億":
            section = (section + digit) or 1
            total += section * (10**4 if character == "万" else 10**8)
            section = digit = 0
        elif character in "十百千":
            section += (digit or 1) * {"十": 10, "百": 100, "千": 1000}[character]
            digit = 0
        else:
            digit = digit * 10 + "〇一二三四五六七八九".index(character)
    return total + section + digit


NumberRole = Literal["structural", "operand", "result", "plain"]

_COUNTED = (
    r"steps?|lines?|sentences?|words?|paragraphs?|bullets?|points?|parts?|things|ways|items?"
    r"|examples?|reasons?|tips|ideas|characters|syllables|stanzas?|verses?|sections?|questions"
    r"|aspects|stages|phases|decimals?|significant|places|unknowns?|variables|equations?"
    r"|operations|methods|approaches|elements"
)
_STRUCTURAL_BEFORE = re.compile(
    r"(?:\b(?:steps?|lines?|parts?|rules?|sections?|figures?|tables?|chapters?|phases?|stages?"
    r"|questions?|problems?|examples?|items?|no\.|options?)|第|ステップ|手順|步骤|步驟|图)\s*#?\s*$",
    re.IGNORECASE,
)
_STRUCTURAL_AFTER = re.compile(
    rf"[\s-]*(?:[a-z]+\s)?(?:{_COUNTED})\b|\s*(?:行|文|字|語|単語|段落|項目|例|ステップ|段階|章|節|番目|手順"
    r"|桁|[つ個](?:の)?(?:点|段階|部分|要素|観点|ステップ|手順|方法|側面|こと)|句|个?字|个?词|段|步|个?步骤"
    r"|个?方面|个?部分|种方法|位小数|个要点)",
    re.IGNORECASE,
)
_LINE_BEFORE = re.compile(r"(?:^|[\r\n])[\s*#>(（-]*$")
_LINE_AFTER = re.compile(r"[.)）、：:]\s*\S")
_OPERAND_BEFORE = re.compile(
    r"(?:[\w)]\s?[+*×·÷^/]|√|\d\s[-−]|\b(?:by|plus|minus|add|adding|subtract|subtracting|times"
    r"|over|modulo|mod|power|power of|exponent|raised to|base|log|multiply|divide|roots? of)"
    r"|除以|乘以|加上|减去|減去|加|减|乘)\s?$",
    re.IGNORECASE,
)
_OPERAND_AFTER = re.compile(
    r"\s?[+*×·÷^²³√]|\s[-−]\s?\d|/\d|\s(?:times|plus|minus|squared|cubed)\b"
    r"|を(?:足|引|掛|かけ|割|加)|で(?:割|掛|かけ)|倍|乗|次方|的平方|の平方",
    re.IGNORECASE,
)
_RESULT_BEFORE = re.compile(
    r"(?:[=＝≈≒→]|\b(?:equals?|equal to|approximately|approx\.?|roughly|comes? (?:out )?to"
    r"|works out (?:to|as)|evaluates to|amounts? to|adds? up to|totals|results? in|yields?"
    r"|we get|you get|turns out to be|simplifies to|reduces to)"
    r"|およそ|だいたい|ほぼ|等于|等於|约为|約為|大约|大約|得到|得出)"
    r"\s?[:：]?\s?[$€£¥￥(（-]?\s?$",
    re.IGNORECASE,
)


def number_role(text: str, start: int, end: int) -> NumberRole:
    """What a number at [start, end) does in its sentence, by the words next to it.

    "structural": numbers a list or step, or counts lines, words, things to do; "operand": is
    calculated with; "result": stands after =, "approximately", "comes to" and the like.
    """
    before, after = text[max(0, start - 24) : start], text[end : end + 24]
    if _STRUCTURAL_BEFORE.search(before) or _STRUCTURAL_AFTER.match(after):
        return "structural"
    if _LINE_AFTER.match(after) and _LINE_BEFORE.search(before):
        return "structural"
    if _OPERAND_BEFORE.search(before) or _OPERAND_AFTER.match(after):
        return "operand"
    return "result" if _RESULT_BEFORE.search(before) else "plain"
