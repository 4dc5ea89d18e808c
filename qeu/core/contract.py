"""Hold a reasoning or an answer to its contract, and show where it breaks it.

A check is a fact with numbers and places; whether a record is kept is decided elsewhere. Offsets
are code points [start, end) into the text as passed in. Nothing here raises on any text.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields

from qeu.core.language import identify, identify_lines
from qeu.core.leak import LIMIT as LEAK_LIMIT
from qeu.core.leak import LeakReport, commits_to_answer, states_reference
from qeu.core.loops import find_loop
from qeu.core.record import CATEGORIES
from qeu.core.segments import (
    count_characters,
    count_words,
    is_unspaced,
    line_spans,
    sentence_spans,
    skip_list_markers,
    word_spans,
)

__all__ = ["CATEGORIES", "LIMITS", "Check", "Span", "check_answer", "check_reasoning"]

# Source: the note of 3 May (5 lines, 120 words); 300 characters say about as much in Japanese and
# Chinese.
LIMITS: Mapping[str, int] = {"lines": 5, "words": 120, "characters": 300}
_HAN_ONLY = re.compile(r"[^A-Za-z]*[\u4e00-\u9fff]{4}[^A-Za-z]*")
_MAX_JUDGED = 100_000  # characters whose lines are judged one by one
CREATIVE_CATEGORIES = ("creative",)
VERDICTS = ("pass", "fail", "partial", "skip")
LANGUAGE_NAMES: Mapping[str, str] = {"en": "English", "ja": "Japanese", "zh": "Chinese"}

# How a sentence of a creative reasoning begins; the Japanese and Chinese say the same thing.
CREATIVE_FORMS = (
    re.compile(r"(?:creator|you) should\b", re.IGNORECASE),
    re.compile(
        r"(?:作成者|作者|制作者|創作者|クリエイター|書き手|あなた)は.*"
        r"(?:べき|必要がある|必要があります|ましょう|ください|(?:方|ほう)が(?:よい|良い|いい)|とよい|と良い)",
        re.DOTALL,
    ),
    re.compile("(?:创作者|創作者|作者|你|您)(?:们|們)?(?:还|還|也)?(?:应|應|需要|要|须|須)"),
)
_SENTENCE_END = re.compile(r"[.!?…。！？｡][\"'”’」』）)\]*_]*\s*\Z|[\r\n]\s*\Z")
# While text streams in, "1" may become 156 and "(B" may become "(Both)".
_OPEN_TOKEN = re.compile(r"[0-9０-９A-Za-z][0-9０-９A-Za-z.,/'’．，-]{0,40}\Z")


@dataclass(frozen=True)
class Span:
    """An offending stretch [start, end) and what is wrong with it."""

    start: int
    end: int
    note: str


@dataclass(frozen=True)
class Check:
    """One check: verdict "pass", "fail", "partial" (could not be checked wholly) or "skip".

    `name` is "lines", "length", "form", "language", "loop", "leak_reference" or "leak_commit";
    `message` is one plain English sentence; `value` and `limit` are counted in `unit`.
    """

    name: str
    verdict: str
    value: float | int | str | None
    limit: float | int | str | None
    unit: str
    spans: tuple[Span, ...]
    message: str

    def to_json(self) -> dict[str, object]:
        """Plain values, as in tests/contract/checks.json."""
        values = asdict(self)
        values["spans"] = list(values["spans"])
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> "Check":
        """The reverse of `to_json`; ValueError on unknown or missing fields, or a bad verdict."""
        _refuse_other_fields(values, cls)
        if values["verdict"] not in VERDICTS:
            raise ValueError(
                f"Unknown verdict {values['verdict']!r}. Known: {', '.join(VERDICTS)}."
            )
        listed = values["spans"]
        if not isinstance(listed, list):
            raise ValueError("The spans of a check must be a list.")
        for span in listed:
            if not isinstance(span, Mapping):
                raise ValueError(f"A span must be an object, not {span!r}.")
            _refuse_other_fields(span, Span)
        return cls(**{**values, "spans": tuple(Span(**span) for span in listed)})  # type: ignore[arg-type]


def _refuse_other_fields(values: Mapping[str, object], shape: "type[Check] | type[Span]") -> None:
    known = {field.name for field in fields(shape)}
    if set(values) != known:
        wrong = ", ".join(sorted(known.symmetric_difference(values)))
        raise ValueError(f"Unknown or missing fields of {shape.__name__}: {wrong}.")


def check_reasoning(
    text: str,
    *,
    category: str = "open_qa",
    question: str = "",
    reference: str = "",
    expected_language: str | None = "en",
    final: bool = True,
) -> tuple[Check, ...]:
    """All seven checks of a reasoning, in the order of the chips.

    `final` False while the text still grows: the last word is not judged for leaks yet, nor the
    last sentence for its form. An empty final text fails "length"; the rest is skipped.
    """
    if not text.strip():
        names = ("lines", "form", "language", "loop", "leak_reference", "leak_commit")
        lines, *others = (_skipped(name, "There is no text yet.") for name in names)
        return (lines, _empty_length(text, final), *others)
    settled = text if final else _OPEN_TOKEN.sub("", text)
    return (
        _check_lines(text),
        _check_length(text),
        _check_form(text, category, final),
        _check_language(text, expected_language),
        _check_loop(text),
        _check_reference(settled, reference, question, category),
        _check_commit(settled, question, category),
    )


def check_answer(
    text: str, *, expected_language: str | None = None, final: bool = True
) -> tuple[Check, ...]:
    """Language and loop checks of an answer, which may be as long and of any form as it likes.

    Without an expected language, lines in another language than the whole make it "partial".
    An empty final answer fails "length", a check that other answers do not have.
    """
    if not text.strip():
        skipped = [_skipped(name, "There is no text yet.") for name in ("language", "loop")]
        return (_empty_length(text, final), *skipped) if final else tuple(skipped)
    return _check_language(text, expected_language), _check_loop(text)


def _skipped(name: str, message: str) -> Check:
    return Check(name, "skip", None, None, "", (), message)


def _empty_length(text: str, final: bool) -> Check:
    spans = (Span(0, len(text), "no text"),) if final else ()
    verdict = "fail" if final else "skip"
    message = "The text is empty." if final else "There is no text yet."
    return Check("length", verdict, 0, LIMITS["words"], "words", spans, message)


def _check_lines(text: str) -> Check:
    lines, limit = line_spans(text), LIMITS["lines"]
    spans = tuple(
        Span(start, end, f"line {number} of at most {limit}")
        for number, (start, end) in enumerate(lines[limit:], limit + 1)
    )
    counted = _counted(len(lines), "1 line", f"{len(lines)} lines")
    message = f"{counted} of at most {limit}."
    return Check("lines", "fail" if spans else "pass", len(lines), limit, "lines", spans, message)


def _check_length(text: str) -> Check:
    unit = "characters" if is_unspaced(text) else "words"
    limit = LIMITS[unit]
    count = count_characters(text) if unit == "characters" else count_words(text)
    spans = ()
    if count > limit:
        start = _start_of_excess(text, unit, limit)
        spans = (Span(start, len(text.rstrip()), f"beyond {limit} {unit}"),)
    if unit == "characters":
        counted = _counted(count, "1 character", f"{count} characters")
    else:
        counted = _counted(count, "1 word", f"{count} words")
    message = f"{counted} of at most {limit}."
    return Check("length", "fail" if spans else "pass", count, limit, unit, spans, message)


def _start_of_excess(text: str, unit: str, limit: int) -> int:
    if unit == "words":
        words = word_spans(text)
        # with Japanese in between, the words alone may stay below the limit
        return words[limit][0] if len(words) > limit else words[-1][0] if words else 0
    seen = 0
    for at, character in enumerate(text):
        seen += not character.isspace()
        if seen > limit:
            return at
    return 0


def _check_form(text: str, category: str, final: bool) -> Check:
    if category not in CREATIVE_CATEGORIES:
        return _skipped("form", "Only creative records have a sentence form.")
    sentences = sentence_spans(text)
    if not final and sentences and not _SENTENCE_END.search(text[-200:]):
        sentences.pop()
    note = 'does not begin "Creator should" or "You should"'
    spans = tuple(
        Span(start, end, note) for start, end in sentences if not _has_form(text, start, end)
    )
    verdict = "fail" if spans else "pass"
    count, good = len(sentences), len(sentences) - len(spans)
    counted = _counted(count, "1 sentence", f"{count} sentences")
    message = f'{good} of {counted} begin "Creator should" or "You should".'
    return Check("form", verdict, good, count, "sentences", spans, message)


def _has_form(text: str, start: int, end: int) -> bool:
    begin = skip_list_markers(text, start, end)
    return any(form.match(text, begin, end) for form in CREATIVE_FORMS)


def _check_language(text: str, expected: str | None) -> Check:
    language, certain = identify(text)
    expected = None if expected == "und" else expected
    if not any(character.isalpha() for character in text):
        return Check("language", "skip", None, expected, "", (), "There are no letters to judge.")
    wanted = expected or language
    name = _language_name(language)
    spans = tuple(_drifts(text, wanted))
    if not spans and certain and language != wanted:
        spans = (Span(0, len(text), f"the text is {name}"),)
    if spans:
        verdict = "fail" if expected else "partial"
        what = "; ".join(span.note for span in spans[:3]) + ("; …" if len(spans) > 3 else "")
        message = f"Asked for {_language_name(expected)}, but {what}." if expected else f"{what}."
        message = message[0].upper() + message[1:]
    elif not expected:
        verdict, message = "skip", f"The text is {name}; no language was asked for."
    elif language == expected:
        verdict, message = "pass", f"The text is {name}, as asked."
    else:
        verdict = "partial"
        message = f"Too little text to tell whether it is {_language_name(expected)}."
    return Check("language", verdict, language, expected, "", spans, message)


def _drifts(text: str, wanted: str) -> Iterable[Span]:
    """Lines, and sentences in lines that are as wanted, that are surely in another language."""
    for number, line in enumerate(identify_lines(text[:_MAX_JUDGED]), 1):
        shown = text[line.start : line.end]
        if line.language != wanted and line.certain:
            yield Span(line.start, line.end, f"line {number} is {_language_name(line.language)}")
            continue
        if wanted == "en" and line.language != wanted and _HAN_ONLY.fullmatch(shown):
            # Japanese or Chinese may be in doubt, but English it is not
            yield Span(line.start, line.end, f"line {number} is Japanese or Chinese")
            continue
        sentences = sentence_spans(shown)
        for start, end in sentences if len(sentences) > 1 else ():
            language, certain = identify(shown[start:end])
            if certain and language != wanted:
                note = f"a sentence of line {number} is {_language_name(language)}"
                yield Span(line.start + start, line.start + end, note)


def _language_name(code: str | None) -> str:
    return LANGUAGE_NAMES.get(code or "", "in another language")


def _check_loop(text: str) -> Check:
    loop = find_loop(text)
    if not loop:
        return Check("loop", "pass", 0, 0, "repeats", (), "Nothing repeats without end.")
    size = _counted(loop.period, "1 character", f"{loop.period} characters")
    message = f"{size} come {loop.repeats} times in a row from character {loop.start} on."
    span = Span(loop.start, loop.end, f"period {loop.period}, {loop.repeats} times")
    return Check("loop", "fail", loop.repeats, 0, "repeats", (span,), message)


def _check_reference(text: str, reference: str, question: str, category: str) -> Check:
    if not reference.strip():
        return _skipped("leak_reference", "There is no reference answer to compare with.")
    report = states_reference(text, reference, question, category=category)
    spans = _leak_spans(report)
    if report.leaked:
        verdict, message = "fail", f"States the reference answer: {_details(report)}."
    elif report.partial:
        verdict = "partial"
        message = (
            "Reasoning and reference are in different languages: "
            "only numbers, options and names could be compared."
        )
    else:
        verdict, message = (
            "pass",
            f"Score {report.score} of {LEAK_LIMIT}: keeps the reference back.",
        )
    return Check("leak_reference", verdict, report.score, LEAK_LIMIT, "score", spans, message)


def _check_commit(text: str, question: str, category: str) -> Check:
    report = commits_to_answer(text, question, category=category)
    spans = _leak_spans(report)
    if report.leaked:
        message = f"Commits to an answer: {_details(report)}."
    else:
        message = "Says how to proceed and commits to no answer."
    verdict = "fail" if report.leaked else "pass"
    return Check("leak_commit", verdict, len(spans), 0, "places", spans, message)


def _leak_spans(report: LeakReport) -> tuple[Span, ...]:
    return tuple(Span(span.start, span.end, span.detail) for span in report.spans)


def _details(report: LeakReport) -> str:
    details = list(dict.fromkeys(span.detail for span in report.spans))
    return "; ".join(details[:3]) + ("; …" if len(details) > 3 else "")


def _counted(count: int, one: str, many: str) -> str:
    return one if count == 1 else many
