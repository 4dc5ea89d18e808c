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


# Cues of a conclusion; and words after which a cue speaks about an answer ("the answer is short",
# 答えは何か, 答案是否) instead of giving one.
_ANSWER = "answer|result|solution|conclusion|translation|(?:correct|right) (?:label|choice|class)"
_EN_ASIDE = (  # after "is": the sentence describes the answer
    r"(?:\W*(?:also|then|usually|often|always|likely|very|as|most|more|too|both|only|quite|not)\b)*"
    r"\W*(?:important|necessary|essential|useful|helpful|crucial|critical|vital|key|good|better|best"
    r"|wise|worth|possible|recommended|required|needed|advisable|clear|concise|correct|right"
    r"|accurate|complete|consistent|relevant|reasonable|plausible|short|long|simple|brief|easy"
    r"|based|found|obtained|given|derived|expressed|written|supported|determined|reached|stated"
    r"|presented|known|unknown|asked|expected|supposed|in|on|at|from|within|to be|what|how|where"
    r"|when|which|that|whether|something|not|likely|well|there|here|up|engaging|natural|fluent"
    r"|divided|multiplied|squared|rounded|checked|compared|even|odd|close|\w+er\sthan"
    r"|(?:an?|the|one|your|his|her|their)\s(?:[\w-]+,?\s){0,4}?(?:number|list|word|sentence"
    r"|paragraph|story|poem|essay|text|summary|response|matter|process|combination|same|way|kind"
    r"|type|string|integer|value|form|format|question|topic|task|goal|approach|method|step"
    r"|piece|one|set))\b"
)
_EN_BLOCK = re.compile(  # before the cue, in the same clause: the sentence asks for the answer
    r"\b(?:if|whether|ensure|sure|so that|until|once|when|what|how|why|where|verify|check|determine"
    r"|decide|confirm|unless|before|as long as)\b[^,;:]{0,60}$",
    re.IGNORECASE,
)
_STRONG = (
    re.compile(
        rf"\b(?:{_ANSWER})s?(?:\s(?:to|of|for)\s[^,.;]{{1,60}}?)?(?:\s(?:is|are|was|must be"
        rf"|would be|will be|equals|comes (?:out )?to)\b\s*:?|\s?[:=])(?!{_EN_ASIDE})\W{{0,4}}\w",
        re.IGNORECASE,
    ),
    re.compile(
        rf"\b(?:translates (?:to|as|into)|is (?:classified|labell?ed|categori[sz]ed) as"
        rf"|belongs to the|falls (?:into|under) the)\b(?!{_EN_ASIDE})\W{{0,4}}\w",
        re.IGNORECASE,
    ),
    re.compile(  # what a program says, as a value: not "will print 3 lines", "output 0 if"
        r"\b(?:will|would|must|should)\s(?:then\s)?(?:output|print|display|evaluate to)\s"
        r"(?:-?\d[\d.,]*|[\"'`\[{(\u201c\u2018][^\n]{1,60})(?=[.,;:!]?(?:$|\s(?!(?:if|when|unless|for"
        r"|where|as|on|in|to|times|or|\w+s)\b)))",
        re.IGNORECASE,
    ),
    re.compile(
        r"(?:答え|正解|解答|回答|結果|結論|訳文|翻訳|合計|(?<![一-龥])解)(?:は|が|：|:)[「『]?"
        r"(?P<rest>[^「」。]{1,60}[」』]?[^。]{0,12})"
    ),
    re.compile(
        r"(?:答案|正解|结果|結果|结论|結論|译文|譯文|翻译|总数|总和|(?<![一-龥])解)"
        r"(?:就?是|应?[为為]|等[于於]|：|:)[“「]?(?P<rest>[^。]{1,60})"
    ),
)
_WEAK = (
    re.compile(
        r"(?:^|[,;]\s*)(?:thus|therefore|hence|consequently|in conclusion|as a result)\b,?"
        r"\s(?!(?:you|your|creator|this|that|there|we|one|the (?:approach|method|(?:next |first )?"
        r"step|goal|task|focus|tone|reader|question|key|aim|plan|structure|style|order|problem))\b)"
        rf"[^.;]{{1,120}}?\b(?:is|are|was|were|equals|must be)\b(?!{_EN_ASIDE}|\sto\b)\W{{0,4}}\w",
        re.IGNORECASE,
    ),
    re.compile(
        r"^(?:結論として|よって|したがって|従って|ゆえに|つまり|すなわち|結局|以上より|以上から|そのため)[、,]?"
        r"(?P<rest>.{1,80}(?:です|である|だ|となる|になる|なります|等しい|でした|だった|ない)[。.]?)$"
    ),
    re.compile(
        r"(?:因此|所以|因而|故而?|由此可见|综上(?:所述)?|總之|总之|可得|于是)[，,]?"
        r"(?P<rest>[^。]{1,60}?(?:等[于於]|就?是|为|為|得)[^。]{1,60})"
    ),
)
_ASIDE = re.compile(
    r"何|なに|どう|どの|どれ|いくつ|いくら|誰|どこ|いつ|か[。？?]?$|べき|ように|こと|必要|重要|大切"
    r"|明確|簡潔|正確|ください|下さい|ましょう|求め|確認|考え|得られ|書[かきくい]|示[しすさ]|述べ|まとめ"
    r"|導|含[まむみん]|見つ|文中|本文|変わ|異な|短く|什么|甚[么麼]|如何|怎|哪|^否|是否|[吗嗎]|多少|需要|應"
    r"|应|必须|可以|简洁|准确|清晰|完整|合理|原文|基于|根据|关键|首先|考虑|确保|检查|理解|分析|要[点求先注]"
    r"|步骤|方法|目标|重点"
)
_ZH_BLOCK = re.compile("(?:确保|检查|如果|判断|直到|使|看|让|为什么|もし|どんな)[^，。、]{0,12}$")

_OPTION = r"[(（「]?([A-EＡ-Ｅ])[)）」]?(?!(?<=A)\s[a-z])"  # not "A word"
_CHOSEN = re.compile(
    rf"\b(?i:answer|choice|option|one)\s?(?i:is|must be|would be|:|=)\s?(?i:option\s)?{_OPTION}"
    rf"(?![\w'’])"
    rf"|\b(?i:choose|select|pick|go with|mark)\s(?i:option\s|answer\s|choice\s)?{_OPTION}"
    rf"(?=[.,;:!]|\s(?:as|because|since)\b|$)"
    rf"|\b(?i:option|choice|answer)\s{_OPTION}\s(?:is|must be|seems|fits)\s(?!not\b|in)"
    rf"|(?<![A-Za-z]){_OPTION}\s?(?:が|を)\s?(?:正解|正しい|選ぶ|選び|選択|答え)"
    rf"|(?:正解|答え|答案)(?:は|是|为|：|:)\s?{_OPTION}(?![\w])"
    rf"|(?<![不或])(?:选|選|选择|選擇){_OPTION}(?!\w)"
)
_NAMED = re.compile(
    r"\b(?i:options?|choice|answer|alternative)\s[(（]?([A-E])[)）]?(?!\w)|(?<!\w)\(([A-E])\)"
    r"|(?:選択肢|选项|選項)\s?([A-EＡ-Ｅ])"
)
_OPTION_ANSWER = re.compile(
    r"(?i:option\s|answer:?\s|選択肢|选项)?[(（]?([A-Ea-eＡ-Ｅ])[)）]?(?:[.:、）．:)]\s?.{0,80})?"
)
_RULED_OUT = re.compile(
    r"(?:eliminat\w+|rule out|exclud\w+|not|whether|if|排除|不)\s?$", re.IGNORECASE
)

_EDGES = re.compile(r"^(?:\W|(?i:the|an?)\s)+|\W+$")
# Answers too common to be noticed by themselves; 水 is in 水曜日, too.
_COMMON = re.compile(
    r"(?i:yes|no|true|false|none|all|both|one|two|it|is|not|good|bad|[a-z])|はい|いいえ|あり|なし"
    r"|是的?|不是|否|对|.",
    re.DOTALL,
)
_OR = r"/|または|あるいは|もしくは|或者?|还是|還是|、"
_OR_BEFORE = re.compile(rf"(?:\bor|{_OR})\s?$", re.IGNORECASE)
_OR_AFTER = re.compile(rf"[\"'”’」]?,?\s?(?:or\b|か|{_OR})", re.IGNORECASE)

# What a question asks for: "What is X?", "Calculate X.", Xは何ですか, X是什么
_ASKED = re.compile(
    r"\b(?:(?:what|who|which|where|when)(?:['’]s|\s+is|\s+are|\s+was|\s+were)|calculate|compute|find"
    r"|name|determine|evaluate)\s+(?:the\s+|an?\s+)?([^\s?.!,;:][^?.!,;:\n]{3,80}?)\s*(?:[?.!,;:\n]|$)",
    re.IGNORECASE,
)
_TOLD_CJK = "(?:は|とは|が|是|为|為|等于|等於|在|＝|=)"
_ASKED_CJK = re.compile(
    r"([^\s、。，？?！「」]{2,40}?)(?:(?:とは|は|って)(?:何|なん|なに|どこ|誰|だれ|いつ|いく|どれ|どの)"
    r"|を(?:求め|計算|答え)|(?:是|在|等于|等於)(?:什么|什麼|哪|谁|誰|多少|几|幾|何))"
)


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
            for start, end, letter in _options(_CHOSEN, reasoning)
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
    answer = _EDGES.sub("", reference)
    too_long = len(answer) > _SHORT_LENGTH[is_unspaced(answer)] or len(answer.split()) > 5
    if too_long or not any(map(str.isalpha, answer)) or _OPTION_ANSWER.fullmatch(reference.strip()):
        return
    words = r"\s+".join(re.escape(word) for word in answer.split())
    pattern = re.compile(rf"(?<![A-Za-z]){words}(?![A-Za-z])", re.IGNORECASE)
    areas = [(0, len(reasoning))]
    if pattern.search(question) or _COMMON.fullmatch(answer):
        # a label that the question offers, or a plain yes, is told only by a conclusion
        told = [*_conclusions(reasoning, weak=True), *_restatements(reasoning, question)]
        areas = [(span.start, span.end) for span in told]
    for area in areas:
        for match in pattern.finditer(reasoning, *area):
            start, end = match.span()
            among_others = _OR_BEFORE.search(reasoning[max(0, start - 8) : start])
            if not among_others and not _OR_AFTER.match(reasoning[end : end + 8]):
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
    match = _OPTION_ANSWER.fullmatch(reference.strip())
    if not match:
        return
    letter = unicodedata.normalize("NFKC", match[1]).upper()
    named = list(_options(_NAMED, reasoning))
    # "compare option A with option B" names the right one without telling it
    alone = named if {name for _, _, name in named} == {letter} else []
    for start, end, name in [*alone, *_options(_CHOSEN, reasoning)]:
        if name == letter:
            yield LeakSpan(start, end, "option", f"names option {letter}")


def _options(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, int, str]]:
    for match in pattern.finditer(text):
        letter = next(group for group in match.groups() if group)
        if not _RULED_OUT.search(text[max(0, match.start() - 20) : match.start()]):
            yield match.start(), match.end(), unicodedata.normalize("NFKC", letter)


# Sentences that conclude


def _conclusions(reasoning: str, weak: bool) -> Iterator[LeakSpan]:
    for start, end in sentence_spans(reasoning):
        sentence = reasoning[start : min(end, start + _MAX_SENTENCE)]
        for pattern in (*_STRONG, *(_WEAK if weak else ())):
            match = next((m for m in pattern.finditer(sentence) if _concludes(m)), None)
            if match:
                yield LeakSpan(start + match.start(), end, "phrase", "a concluding phrase")
                break


def _concludes(match: re.Match[str]) -> bool:
    before = match.string[max(0, match.start() - 70) : match.start()]
    if "rest" in match.re.groupindex:
        return not _ASIDE.search(match["rest"]) and not _ZH_BLOCK.search(before)
    return not _EN_BLOCK.search(before)


def _restatements(reasoning: str, question: str) -> Iterator[LeakSpan]:
    patterns = [*_statement_patterns(question[:_MAX_SENTENCE])][:8]
    for start, end in sentence_spans(reasoning) if patterns else ():
        sentence = reasoning[start : min(end, start + _MAX_SENTENCE)]
        if any(_concludes(m) for pattern in patterns for m in pattern.finditer(sentence)):
            yield LeakSpan(start, end, "restated", "the question turned into a statement")


def _statement_patterns(question: str) -> Iterator[re.Pattern[str]]:
    """What the question asks for, followed by "is" and a word: its answer as a sentence."""
    for match in _ASKED.finditer(question):
        words = r"\s+".join(re.escape(word) for word in match[1].split())
        is_told = r"\s+(?:is|are|was|were|equals)\b|\s*[=≈]"
        yield re.compile(rf"\b{words}(?:{is_told})(?!{_EN_ASIDE})\W{{0,4}}\w", re.IGNORECASE)
        yield re.compile(
            rf"\b[A-Z]\w*(?:\s[A-Z]\w*)*\s(?:is|was|are|were)\s(?:the\s)?(?i:{words})\b"
        )
    for match in _ASKED_CJK.finditer(question):
        tail = re.split("[の的]", match[1])[-1]  # この本の作者は誰 is answered by 作者は…
        asked = match[1] if len(tail) < 2 else tail
        yield re.compile(rf"{re.escape(asked)}{_TOLD_CJK}(?P<rest>[^。]{{1,60}})")
