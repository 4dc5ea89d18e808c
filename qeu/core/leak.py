"""Find out whether a reasoning gives the answer away: the reference answer, or any answer.

`states_reference` compares with a reference: wording, numbers, option letters, short answers.
`commits_to_answer` needs none: concluding phrases, the question turned into a statement, a number
or choice that the question does not bring. Neither sees an answer told wholly in other words or in
another language. Offsets are code points [start, end); nothing raises on any string.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from qeu.core.language import identify
from qeu.core.leak_cues import (
    ASIDE,
    ASKED,
    ASKED_CJK,
    CHOSEN,
    COMMON,
    EDGES,
    EN_ASIDE,
    EN_BLOCK,
    NAMED,
    OPTION_ANSWER,
    OR_AFTER,
    OR_BEFORE,
    RULED_OUT,
    STRONG,
    TOLD_CJK,
    WEAK,
    ZH_BLOCK,
)
from qeu.core.segments import is_unspaced, number_role, number_values, numbers, sentence_spans
from qeu.core.text_diff import LEAK_SCORE as LIMIT
from qeu.core.text_diff import shared_wording

_SHORT_LENGTH = {True: 12, False: 60}  # characters; True for Japanese and Chinese
_SMALL = {str(value) for value in range(11)}  # mostly they count things to do, not results
_MAX_SENTENCE = 2000  # characters of one sentence that are searched for phrases
_MAX_TEXT = 100_000  # characters looked at; the length check fails long before


@dataclass(frozen=True)
class LeakPolicy:
    """Which tests block a reasoning of one category: `number`, any new one or only one stated as a
    result; `phrase`, any or only the strong ones that name an answer."""

    wording: bool = True
    short_answer: bool = True
    option: bool = True
    restated: bool = True
    number: Literal["any", "result", "off"] = "any"
    small_numbers: bool = False
    phrase: Literal["any", "strong", "off"] = "any"


_WRITING = LeakPolicy(option=False, restated=False, number="off", phrase="strong")
# Open writing blocks shared wording, arithmetic the final statement, choice the named option
# (in the MGSM exemplars the number always stands in the worked steps, too).
POLICIES: Mapping[str, LeakPolicy] = {
    "open_qa": LeakPolicy(),
    "closed_qa": LeakPolicy(),
    "creative": _WRITING,
    "translation": _WRITING,
    "summarization": _WRITING,
    "rewriting": _WRITING,
    "brainstorming": _WRITING,
    "classification": LeakPolicy(wording=False, number="result"),
    "math": LeakPolicy(wording=False, small_numbers=True),
    "code": LeakPolicy(restated=False, number="result", phrase="strong"),
}
DEFAULT_POLICY = LeakPolicy()


@dataclass(frozen=True)
class LeakSpan:
    """What gave it away; `detail` is one English phrase, `kind` one of these: "wording",
    "sentence", "short_answer", "number", "option", "phrase", "restated".
    """

    start: int
    end: int
    kind: str
    detail: str


@dataclass(frozen=True)
class LeakReport:
    """`leaked` is `score >= 0.5`; `partial`: the wording could not be compared."""

    leaked: bool
    score: float
    partial: bool
    spans: tuple[LeakSpan, ...]


def policy_for(category: str) -> LeakPolicy:
    """The policy of a category; an unknown one gets the strictest, that of `open_qa`."""
    return POLICIES.get(category, DEFAULT_POLICY)


def states_reference(
    reasoning: str,
    reference: str,
    question: str = "",
    *,
    category: str = "",
    policy: LeakPolicy | None = None,
) -> LeakReport:
    """Whether the reasoning states the reference answer; score 0 to 1, a leak from 0.5 on.

    Tests: n-gram containment of the whole reference (a), of its best sentence (b), and exact match
    of short answers, option letters and telling numbers (d); all without what the question says.
    `partial`: the two are in different languages, so that wording could not be compared.
    """
    policy = policy or policy_for(category)
    reasoning, reference = reasoning[:_MAX_TEXT], reference[:_MAX_TEXT]
    if not reasoning.strip() or not reference.strip():
        return LeakReport(False, 0.0, False, ())
    partial = not _same_language(reasoning, reference)
    score, spans = 0.0, list[LeakSpan]()
    if policy.wording and not partial:
        score, spans = _wording(reasoning, reference, question)
    exact = [
        *_short_answer(reasoning, reference, question, policy),
        *_reference_numbers(reasoning, reference, question, policy),
        *(_reference_option(reasoning, reference) if policy.option else ()),
    ]
    if exact:
        score, spans = 1.0, spans + exact
    return LeakReport(score >= LIMIT, round(score, 3), partial, _ordered(spans))


def commits_to_answer(
    reasoning: str, question: str = "", *, category: str = "", policy: LeakPolicy | None = None
) -> LeakReport:
    """Whether the reasoning commits to any answer, right or wrong; the score is 0 or 1.

    Step and list numbers, counts of lines, words and the like, operands, and numbers that the
    question brings do not count; numbers up to 10 count only where the policy says so.
    """
    policy, reasoning = policy or policy_for(category), reasoning[:_MAX_TEXT]
    spans = [] if policy.phrase == "off" else [*_conclusions(reasoning, policy.phrase == "any")]
    if policy.restated:
        spans += _restatements(reasoning, question)
    if policy.option:
        spans += (
            LeakSpan(start, end, "option", f"names option {letter}")
            for start, end, letter in _options(CHOSEN, reasoning)
        )
    known = number_values(question)
    for number in numbers(reasoning):
        if number.value in known or number.as_word or policy.number == "off":
            continue
        role = number_role(reasoning, number.start, number.end)
        telling = policy.small_numbers or number.value not in _SMALL
        if role == "result" or (role == "plain" and policy.number == "any" and telling):
            detail = f"the number {number.value} is not in the question"
            spans.append(LeakSpan(number.start, number.end, "number", detail))
    return LeakReport(bool(spans), float(bool(spans)), False, _ordered(spans))


def _ordered(spans: Iterable[LeakSpan]) -> tuple[LeakSpan, ...]:
    unique = {(span.start, span.end, span.kind): span for span in spans}
    return tuple(sorted(unique.values(), key=lambda span: (span.start, span.end, span.kind)))


def _same_language(reasoning: str, reference: str) -> bool:
    (first, first_certain), (second, second_certain) = identify(reasoning), identify(reference)
    if first == second or not any(character.isalpha() for character in reference):
        return True
    # 東京 alone may be either; a short Latin name may belong to any language in Latin script
    unsure = not (first_certain and second_certain)
    return unsure and ({first, second} == {"ja", "zh"} or {first, second} == {"en", "und"})


# Wording, short answers, numbers and options of the reference


def _wording(reasoning: str, reference: str, question: str) -> tuple[float, list[LeakSpan]]:
    shared = shared_wording(reasoning, reference, question)
    if shared is None:
        return 0.0, []
    detail = f"{shared.whole:.0%} of the reference's wording"
    spans = [LeakSpan(*place, "wording", detail) for place in shared.whole_places]
    for place, share in shared.sentences:
        detail = f"{share:.0%} of one sentence of the reference"
        spans.append(LeakSpan(*place, "sentence", detail))
    return shared.score, spans


def _short_answer(
    reasoning: str, reference: str, question: str, policy: LeakPolicy
) -> Iterator[LeakSpan]:
    if not policy.short_answer or len(reference) > 200:
        return
    answer = EDGES.sub("", reference)
    too_long = len(answer) > _SHORT_LENGTH[is_unspaced(answer)] or len(answer.split()) > 5
    if too_long or not any(map(str.isalpha, answer)) or OPTION_ANSWER.fullmatch(reference.strip()):
        return
    words = r"\s+".join(re.escape(word) for word in answer.split())
    pattern = re.compile(rf"(?<![A-Za-z]){words}(?![A-Za-z])", re.IGNORECASE)
    areas = [(0, len(reasoning))]
    if pattern.search(question) or COMMON.fullmatch(answer):
        # a label that the question offers, or a plain yes, is told only by a conclusion
        told = [*_conclusions(reasoning, weak=True), *_restatements(reasoning, question)]
        areas = [(span.start, span.end) for span in told]
    for area in areas:
        for match in pattern.finditer(reasoning, *area):
            start, end = match.span()
            among_others = OR_BEFORE.search(reasoning[max(0, start - 8) : start])
            if not among_others and not OR_AFTER.match(reasoning[end : end + 8]):
                yield LeakSpan(start, end, "short_answer", "the reference answer itself")


def _reference_numbers(
    reasoning: str, reference: str, question: str, policy: LeakPolicy
) -> Iterator[LeakSpan]:
    telling = _telling_values(reference, policy) - number_values(question)
    for number in numbers(reasoning):
        if policy.number == "off" or number.value not in telling:
            continue
        role = number_role(reasoning, number.start, number.end)
        if role == "result" or (role == "plain" and policy.number == "any"):
            yield LeakSpan(number.start, number.end, "number", "a number of the reference answer")


def _telling_values(reference: str, policy: LeakPolicy) -> set[str]:
    """Numbers that are the answer, with their roundings: all of a short one, few of a long one."""
    found = [
        number
        for number in numbers(reference)
        if len(reference) < 20 or number_role(reference, number.start, number.end) != "structural"
    ]
    if len(reference) > 80:
        # the last number in arithmetic, elsewhere such as chance does not bring: 1969, 12.49
        last = found[-1:] if policy.small_numbers else []
        found = last + [n for n in found if len(n.value.replace(".", "").strip("0")) >= 3]
    return {value for number in found for value in number.forms()}


def _reference_option(reasoning: str, reference: str) -> Iterator[LeakSpan]:
    match = OPTION_ANSWER.fullmatch(reference.strip())
    if not match:
        return
    letter = unicodedata.normalize("NFKC", match[1]).upper()
    named = list(_options(NAMED, reasoning))
    # "compare option A with option B" names the right one without telling it
    alone = named if {name for _, _, name in named} == {letter} else []
    for start, end, name in [*alone, *_options(CHOSEN, reasoning)]:
        if name == letter:
            yield LeakSpan(start, end, "option", f"names option {letter}")


def _options(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, int, str]]:
    for match in pattern.finditer(text):
        letter = next(group for group in match.groups() if group)
        if not RULED_OUT.search(text[max(0, match.start() - 20) : match.start()]):
            yield match.start(), match.end(), unicodedata.normalize("NFKC", letter)


# Sentences that conclude


def _conclusions(reasoning: str, weak: bool) -> Iterator[LeakSpan]:
    for start, end in sentence_spans(reasoning):
        sentence = reasoning[start : min(end, start + _MAX_SENTENCE)]
        for pattern in (*STRONG, *(WEAK if weak else ())):
            match = next((m for m in pattern.finditer(sentence) if _concludes(m)), None)
            if match:
                yield LeakSpan(start + match.start(), end, "phrase", "a concluding phrase")
                break


def _concludes(match: re.Match[str]) -> bool:
    before = match.string[max(0, match.start() - 70) : match.start()]
    if "rest" in match.re.groupindex:
        return not ASIDE.search(match["rest"]) and not ZH_BLOCK.search(before)
    return not EN_BLOCK.search(before)


def _restatements(reasoning: str, question: str) -> Iterator[LeakSpan]:
    patterns = [*_statement_patterns(question[:_MAX_SENTENCE])][:8]
    for start, end in sentence_spans(reasoning) if patterns else ():
        sentence = reasoning[start : min(end, start + _MAX_SENTENCE)]
        if any(_concludes(m) for pattern in patterns for m in pattern.finditer(sentence)):
            yield LeakSpan(start, end, "restated", "the question turned into a statement")


def _statement_patterns(question: str) -> Iterator[re.Pattern[str]]:
    """What the question asks for, followed by "is" and a word: its answer as a sentence."""
    for match in ASKED.finditer(question):
        words = r"\s+".join(re.escape(word) for word in match[1].split())
        is_told = r"\s+(?:is|are|was|were|equals)\b|\s*[=≈]"
        yield re.compile(rf"\b{words}(?:{is_told})(?!{EN_ASIDE})\W{{0,4}}\w", re.IGNORECASE)
        yield re.compile(
            rf"\b[A-Z]\w*(?:\s[A-Z]\w*)*\s(?:is|was|are|were)\s(?:the\s)?(?i:{words})\b"
        )
    for match in ASKED_CJK.finditer(question):
        tail = re.split("[の的]", match[1])[-1]  # この本の作者は誰 is answered by 作者は…
        asked = match[1] if len(tail) < 2 else tail
        yield re.compile(rf"{re.escape(asked)}{TOLD_CJK}(?P<rest>[^。]{{1,60}})")
