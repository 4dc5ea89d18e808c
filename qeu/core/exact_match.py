"""Whether an answer is right: held against the forms that a record accepts, or its reference.

Numbers are compared by value, options and names by their words, yes and no by their meaning in
English, Japanese and Chinese. A right answer in a form that nobody listed counts as wrong, and
whether an answer is *good* is not asked. Nothing raises on any text.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from qeu.core.record import Record
from qeu.core.segments import is_unspaced, numbers, sentence_spans
from qeu.core.text import fold

KINDS = ("number", "option", "name", "date", "phrase", "yes_no")
# Kinds of records whose short answers may be held against the reference alone.
_CHECKABLE = ("open_qa", "closed_qa", "classification", "math", "code")
_SHORT_WORDS, _SHORT_CHARACTERS = 6, 12
# A longer answer is judged by how it begins and ends: in the middle all that was weighed is named.
_LONG_WORDS, _LONG_CHARACTERS = 60, 120
_MOST = 20_000  # characters looked at

_YES = re.compile(
    r"[\W_]*(?:(?:yes|yeah|yep|true|correct)\b|はい|うん|ええ(?![とっ])|そうです|是的|是[，。,.!！]?\s*$"
    r"|对(?![于不])|對(?![於不])|正确|正確|可以(?!吗)|能[，。,.]|会[，。,.]|會[，。,.]|有[，。,.])",
    re.IGNORECASE,
)
_NO = re.compile(
    r"[\W_]*(?:(?:no|nope|false|incorrect)\b|いいえ|いえ|ちが(?:う|い)|違(?:う|い)|不是|不对|不對|不会|不會"
    r"|不可以|不能|不行|否|没有|沒有|错|錯)",
    re.IGNORECASE,
)
_CONCLUDES = re.compile(
    r"\b(?:final answer|answer)\b\s*(?:is|was|comes to|:|=)\s*|\\boxed\{|####"
    r"|(?:答え|正解|答案)(?:は|が|是|为|為|：|:|＝|=)",
    re.IGNORECASE,
)
# What stands behind is no result, nor what stands in brackets.
_CHECKING = re.compile(
    r"\b(?i:check|checking|verification|proof)\s*[:：]|\b[Tt]o check\b"
    r"|验算|驗算|検算|確かめ|たしかめ"
)
# Words by which a text goes on to its result.
_GOES_ON = re.compile(
    r"\b(?:so|thus|therefore|hence|left|in all|altogether|in total)\b|[=＝]"
    r"|だから|よって|したがって|全部で|合計|残り|所以|因此|一共|总共|總共|还剩|還剩",
    re.IGNORECASE,
)
_BRACKETS = re.compile(r"[(（][^()（）]{0,200}[)）]")
_SMALL_WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve",
)  # fmt: skip
_SMALL = {word: str(value) for value, word in enumerate(_SMALL_WORDS)} | {
    kanji: str(value) for value, kanji in enumerate("〇一二三四五六七八九十")
}
_TOKEN = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+")
_NEGATION = re.compile(
    r"(?:\bnot|n['’]t|\bnever|\bneither|\brather than|\binstead of|不是|并非|並非|不属于|不屬於)"
    r"(?:\s+(?:a|an|the|be|really|actually))?\s*[\"“‘「'*]*$",
    re.IGNORECASE,
)
_NEGATED_AFTER = re.compile(r"[\"”’」'*]*(?:では|じゃ)(?:ない|なく|ありません|なかった)")
_NO_ARTICLE = r"(?!(?<=[Aa])\s(?!(?:because|since|as|is|was)\b)[a-z])"
_FIRST_LETTER = re.compile(
    rf"[\W_]*(?:(?:option|answer)\b[\W_]*)?([A-Ha-h])(?![\w'’]){_NO_ARTICLE}", re.IGNORECASE
)
_LETTER = re.compile(r"[(（]?([A-H])[)）.:：]?")


@dataclass(frozen=True)
class Expected:
    """What an answer is held against: the forms that are right, and how they are compared."""

    forms: tuple[str, ...]
    kind: str


def expected_of(record: Record) -> Expected | None:
    """What a right answer of this record is; None where a program cannot check it.

    `accepted_answers` and `answer_type` of the record's own file come first; else a short reference
    of a question that has one answer.
    """
    forms = _accepted(record.extra.get("accepted_answers"))
    if forms:
        if all(yes_or_no(form) is not None for form in forms):
            return Expected(forms, "yes_no")
        told = record.extra.get("answer_type")
        kind = told if isinstance(told, str) and told in KINDS else _kind_of(forms)
        return Expected(forms, kind)
    if "accepted_answers" in record.extra or record.category not in _CHECKABLE:
        return None  # the file says itself that there is no one answer
    return _from_reference(record.output.strip(), record.category)


def is_right(answer: str, record: Record) -> bool | None:
    """Whether the answer is right; None where the record's answers cannot be checked."""
    expected = expected_of(record)
    return None if expected is None else matches(answer, expected)


def matches(answer: str, expected: Expected) -> bool:
    """Whether the answer says one of the forms; an empty one does not."""
    answer = answer.strip()[:_MOST]
    if not answer:
        return False
    if expected.kind == "yes_no":
        said = yes_or_no(answer)
        return said is not None and said in {yes_or_no(form) for form in expected.forms}
    if expected.kind == "number":
        wanted = {value for form in expected.forms for value in _form_values(form)}
        if wanted & set(stated_numbers(answer)):
            return True
        if _signed(answer) or not _is_short(answer):
            return False  # another number, or words about many things
    shown = _judged(answer)
    return any(_says(shown, form, expected.kind) for form in expected.forms)


def yes_or_no(text: str) -> bool | None:
    """What a text says that begins with yes or no; None for any other."""
    plain = fold(text.strip()[:40])
    if _NO.match(plain):
        return False
    return True if _YES.match(plain) else None


def stated_numbers(text: str) -> list[str]:
    """The values that a text may be stating as its result, as plain decimals.

    That behind the last concluding words ("the answer is", 答えは), if there are some; else the
    last number, and that which its first sentence gives at once, before it is explained.
    """
    checking = _CHECKING.search(text)
    if checking and _signed(text[: checking.start()]):
        text = text[: checking.start()]
    for match in reversed(list(_CONCLUDES.finditer(text))):
        rest = text[match.end() :]
        spans = sentence_spans(rest)
        sentence = rest[: spans[0][1]] if spans else rest
        if behind := [value for _, value in _signed(sentence)]:
            # of a calculation the result, which is last
            return behind[-1:] if re.search("[=＝]", sentence) else behind[:1]
    outside = _BRACKETS.sub(lambda found: " " * len(found[0]), text)
    text = outside if _signed(outside) else text
    found = _signed(text)
    if not found:
        return list(dict.fromkeys(_small_numbers(text)))
    return list(dict.fromkeys([found[-1][1], *_first_sentence(text, found)]))


def _small_numbers(text: str) -> list[str]:
    """The first and the last number up to twelve that is written as a word."""
    words = [word for word in re.findall(r"[a-z]+", fold(text)) if word in _SMALL]
    return [_SMALL[word] for word in (*words[:1], *words[-1:])]


def _first_sentence(text: str, found: Sequence[tuple[int, str]]) -> list[str]:
    """The number of a first sentence that gives one and no calculation."""
    spans = sentence_spans(text)
    end = spans[0][1] if spans else len(text)
    head = re.split(r"[:：;；]|\b(?:because|since|as)\b|、なぜなら|因为|因為", text[:end])[0]
    values = [value for at, value in found if at < len(head)]
    is_sum = re.search(r"[=＝×÷*+]|\d\s[-−–]\s\d", head)
    return values if len(values) == 1 and not is_sum and not _GOES_ON.search(text[end:]) else []


def _form_values(form: str) -> set[str]:
    found = {value for _, value in _signed(form)}
    word = fold(form).strip()
    return found | ({_SMALL[word]} if word in _SMALL else set())


def _signed(text: str) -> list[tuple[int, str]]:
    """(place, value) of the numbers in order, a minus sign kept where it is one."""
    found = []
    for number in numbers(text):
        before = text[max(0, number.start - 4) : number.start]
        # a sign stands right before its number, and behind no number: 10 - 5 is a calculation
        minus = re.search(r"(?:^|[^\w)）])[-−－][$€£¥￥]?$", before)
        if minus and re.search(r"[\d)）]\s*[-−－][$€£¥￥]?$", before):
            minus = None
        found.append((number.start, f"-{number.value}" if minus else number.value))
    return found


def _kind_of(forms: Sequence[str]) -> str:
    if any(re.fullmatch(r"[^\w]*\d[\d,.]*\s?[^\d\s]{0,12}", form) for form in forms):
        return "number"
    return "option" if any(_LETTER.fullmatch(form.strip()) for form in forms) else "phrase"


def _from_reference(reference: str, category: str) -> Expected | None:
    """What the reference itself tells to expect; None where many answers would be as good."""
    if not reference:
        return None
    if _is_short(reference):
        if yes_or_no(reference) is not None:
            return Expected((reference,), "yes_no")
        bare = reference.rstrip(" .。!！").strip("\"'“”「」*")
        if not bare:
            return None
        kind = "number" if len(_signed(bare)) == 1 else _kind_of((bare,))
        return Expected((bare,), kind)
    stated = stated_numbers(reference) if category == "math" else []
    return Expected((stated[0],), "number") if stated else None


def _is_short(text: str) -> bool:
    if is_unspaced(text):
        return len(text) <= _SHORT_CHARACTERS
    return len(text.split()) <= _SHORT_WORDS


def _judged(answer: str) -> str:
    """The parts of an answer that count: all of a short one, else how it begins and ends."""
    long = len(answer) > _LONG_CHARACTERS if is_unspaced(answer) else (
        len(answer.split()) > _LONG_WORDS
    )  # fmt: skip
    spans = sentence_spans(answer)
    if not long or len(spans) <= 3:
        return answer
    return "\n".join(answer[start:end] for start, end in (*spans[:2], spans[-1]))


def _says(text: str, form: str, kind: str) -> bool:
    """Whether the form stands in the text as whole words, not denied."""
    form = form.strip()
    letter = _LETTER.fullmatch(form)
    if letter:
        # capital, on its own: the article "a" is no option
        alone = rf"(?<![\w'’]){letter[1]}(?![\w'’]){_NO_ARTICLE}|[(（]{letter[1]}[)）]"
        first = _FIRST_LETTER.match(text)
        said_first = bool(first and first[1].upper() == letter[1])
        return said_first or bool(re.search(alone, text))
    if is_unspaced(form):
        return _holds_unspaced(text, form)
    wanted = _tokens(form)
    if not wanted:
        return fold(form) in fold(text)
    found = [(match[0], match.start()) for match in _TOKEN.finditer(_plain(text))]
    for at in range(len(found) - len(wanted) + 1):
        if [token for token, _ in found[at : at + len(wanted)]] == wanted:
            start = found[at][1]
            if kind != "option" or not _NEGATION.search(_plain(text)[max(0, start - 30) : start]):
                return True
    return False


def _holds_unspaced(text: str, form: str) -> bool:
    plain, wanted = "".join(_plain(text).split()), "".join(_plain(form).split())
    for match in re.finditer(re.escape(wanted), plain):
        before, after = plain[: match.start()], plain[match.end() :]
        cut_number = (wanted[0].isdigit() and before[-1:].isdigit()) or (
            wanted[-1].isdigit() and after[:1].isdigit()
        )
        if not cut_number and not _NEGATED_AFTER.match(after) and not _NEGATION.search(before[-8:]):
            return True
    return False


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(_plain(text))


def _plain(text: str) -> str:
    """Folded, without the commas within numbers."""
    return re.sub(r"(?<=\d),(?=\d{3})", "", fold(text))


def _accepted(value: object) -> tuple[str, ...]:
    """The listed forms; a table's cell may hold the list as JSON."""
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except ValueError:
            value = [value]
    if not isinstance(value, list | tuple):
        return ()
    return tuple(str(one) for one in value if str(one).strip())
