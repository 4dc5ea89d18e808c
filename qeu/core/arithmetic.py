"""Check plain sums: `12 + 5 = 18` in a text, and questions that are one sum with a bare answer."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, DivisionByZero, InvalidOperation, localcontext

_NUMBER = r"-?\d{1,15}(?:,\d{3}){0,4}(?:\.\d{1,10})?"
_SIGN = r"\s*[-+*/×÷−x]\s*"
# Nothing before or behind that would make it a part of something larger: 2x + 3 + 4 = 9, 5%; nor
# a remainder. A unit in Japanese or Chinese may stand right behind: 4,600円.
_EQUATION = re.compile(
    rf"(?<![\w.)+\-*/×÷^=])(?<![+\-*/×÷^=] )({_NUMBER}(?:{_SIGN}{_NUMBER}){{1,6}})"
    rf"\s*=\s*({_NUMBER})"
    rf"(?![0-9A-Za-z_^%°]|[.,]\d|\s*[-+*/×÷^]|\s*\([-\d]|\s*(?:余|あまり|remainder|rem\b|[Rr] ?\d))"
)
_ASKED = re.compile(
    rf"^\D{{0,60}}?({_NUMBER}(?:{_SIGN}{_NUMBER}){{1,6}})\s*(?:=\s*)?(?:[?？は]|です|等于|是)?\D{{0,20}}$"
)
_BARE = re.compile(rf"\D{{0,12}}({_NUMBER})\D{{0,6}}")
_SIGNS = str.maketrans({"×": "*", "÷": "/", "−": "-", "x": "*"})
_TOKEN = re.compile(r"\d[\d,]*(?:\.\d+)?|[-+*/]")


@dataclass(frozen=True)
class WrongSum:
    """[start, end) of the text states `stated` where `right` comes out."""

    start: int
    end: int
    stated: str
    right: str


def find_wrong_sums(text: str) -> list[WrongSum]:
    """Equations of plain numbers whose result is wrong, not even right when rounded."""
    return list(_wrong_sums(text))


def check_answer_of_sum(question: str, answer: str) -> WrongSum | None:
    """A question that is one sum ("What is 12 + 5?") whose bare answer is another number."""
    asked = _ASKED.match(_plain(question.strip()))
    given = _BARE.fullmatch(_plain(answer).strip())
    right = _compute(asked[1]) if asked else None
    if not given or right is None or _agrees(right, given[1]):
        return None
    return WrongSum(0, len(answer), given[1], _show(right))


def _wrong_sums(text: str) -> Iterator[WrongSum]:
    for match in _EQUATION.finditer(_plain(text)):
        right = _compute(match[1])
        if right is not None and not _agrees(right, match[2]):
            yield WrongSum(match.start(), match.end(), match[2], _show(right))


def _plain(text: str) -> str:
    """Full-width digits and signs, and the minus sign, as ASCII; offsets stay."""
    if text.isascii():
        return text
    text = text.replace("−", "-")
    return "".join(
        n if 0xFF00 < ord(c) < 0xFF5F and len(n := unicodedata.normalize("NFKC", c)) == 1 else c
        for c in text
    )


def _compute(expression: str) -> Decimal | None:
    """The value, times and divided by first; None where it divides by zero or is no sum."""
    tokens = _TOKEN.findall(expression.translate(_SIGNS).replace(" ", ""))
    terms: list[Decimal] = []
    sign, operation, after_number = 1, "+", False
    with localcontext() as context:
        context.prec = 40
        for token in tokens:
            if token in "+-*/":
                if after_number:
                    operation, after_number = token, False
                elif token == "-":
                    sign = -sign
                else:
                    return None
                continue
            value, sign, after_number = sign * Decimal(token.replace(",", "")), 1, True
            try:
                if operation == "*":
                    terms[-1] *= value
                elif operation == "/":
                    terms[-1] /= value
                else:
                    terms.append(value if operation == "+" else -value)
            except (DivisionByZero, InvalidOperation, IndexError):
                return None
        return sum(terms, Decimal(0)) if terms and after_number else None


def _agrees(right: Decimal, stated: str) -> bool:
    number = Decimal(stated.replace(",", ""))
    places = -int(number.as_tuple().exponent)
    return abs(right - number) <= (Decimal(10) ** -places) / 2 + Decimal("1e-20") and (
        # 7 / 2 = 3 is wrong, 10 / 3 = 3.3 is rounded
        places > 0 or right == number
    )


def _show(value: Decimal) -> str:
    text = format(value.quantize(Decimal("1e-6")) if value.as_tuple().exponent < -6 else value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
