"""Measure how often the reference-leak test is right, on answers that exist in two languages.

    python -m benchmarks.leak_accuracy --ja parallel_ja.json --en parallel_en.json

Each file is a JSON list of {"instruction", "input", "output"}; no model is used. A false alarm is
the answer of the most similar other question taken for a leak. Three kinds of leak are made from
the right answer: its sentences shuffled with a fifth of the words lost ("reworded"), the first
third of it ("part"), and one sentence of it put into the other answer ("hidden"). All are cut to
the length limit of a reasoning. Real teachers reword more freely, and real guidance speaks about
the same subject as the answer: read the rates as a comparison of tests, not as a promise.
"""

import argparse
import json
import math
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from qeu.core.leak import LeakPolicy, states_reference  # noqa: E402
from qeu.core.segments import sentence_spans  # noqa: E402

LOST_WORDS = 0.2  # of the words; for Japanese, of the characters
LIMITS = {"en": 120, "ja": 300}  # words, characters
WORDING_ONLY = LeakPolicy(short_answer=False, option=False, number="off")


@dataclass(frozen=True)
class Row:
    """One question, its answer, and the answer of the most similar other question."""

    question: str
    answer: str
    other: str


def load_rows(path: Path, language: str) -> list[Row]:
    """Rows with an answer of some length; similarity is overlap of rare words or bigrams."""
    found = json.loads(path.read_text(encoding="utf-8"))
    pairs = [(f"{r['instruction']}\n{r.get('input', '')}".strip(), r["output"]) for r in found]
    pairs = [(question, answer) for question, answer in pairs if len(answer.strip()) >= 12]
    terms = [_terms(question, language) for question, _ in pairs]
    counts = Counter(term for group in terms for term in group)
    weight = {term: math.log(len(pairs) / count) for term, count in counts.items()}
    rows = []
    for i, (question, answer) in enumerate(pairs):
        others = [j for j in range(len(pairs)) if pairs[j][1] != answer]
        best = max(others, key=lambda j, i=i: _similarity(terms[i], terms[j], weight))
        rows.append(Row(question, answer, pairs[best][1]))
    return rows


def _terms(text: str, language: str) -> frozenset[str]:
    if language == "en":
        return frozenset(re.findall(r"\w+", text.casefold()))
    flat = re.sub(r"\W", "", text)
    return frozenset(flat[i : i + 2] for i in range(len(flat) - 1))


def _similarity(a: frozenset[str], b: frozenset[str], weight: dict[str, float]) -> float:
    shared = sum(weight[term] for term in a & b)
    return shared / (1 + sum(weight[term] for term in a | b))


def cut(text: str, language: str) -> str:
    """The text up to the length limit of a reasoning."""
    if language == "en":
        return " ".join(text.split()[: LIMITS["en"]])
    return text[: LIMITS["ja"]]


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


def reword(row: Row, language: str, rng: random.Random) -> str:
    """The answer with its sentences shuffled and a fifth of its words lost."""
    glue = " " if language == "en" else ""
    parts = sentences(row.answer)
    rng.shuffle(parts)
    lists = [part.split() if language == "en" else list(part) for part in parts]
    kept = [[word for word in words if rng.random() >= LOST_WORDS] for words in lists]
    return glue.join(glue.join(words) for words in kept)


def part(row: Row, language: str, rng: random.Random) -> str:
    """The first third of the answer."""
    return row.answer[: max(12, len(row.answer) // 3)]


def hide(row: Row, language: str, rng: random.Random) -> str:
    """One sentence of the answer inside the other answer."""
    own, other = sentences(row.answer), sentences(cut(row.other, language))
    other.insert(rng.randrange(len(other) + 1), rng.choice(own))
    return (" " if language == "en" else "").join(other)


LEAKS: dict[str, Callable[[Row, str, random.Random], str]] = {
    "reworded": reword,
    "part": part,
    "hidden": hide,
}


def area_under_curve(hits: Sequence[float], alarms: Sequence[float]) -> float:
    """Chance that a leak scores above a false alarm, ties counted half."""
    ordered = sorted(alarms)
    total = 0.0
    for score in hits:
        below = _count_below(ordered, score)
        ties = _count_below(ordered, math.nextafter(score, math.inf)) - below
        total += below + ties / 2
    return total / (len(hits) * len(alarms))


def _count_below(ordered: Sequence[float], score: float) -> int:
    low, high = 0, len(ordered)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if ordered[middle] < score else (low, middle)
    return low


def measure(path: Path, language: str, seed: int) -> list[str]:
    """Table lines: policy, false alarms, and per kind of leak the hit rate and the AUC."""
    rows = load_rows(path, language)
    lines = []
    for name, policy in (("wording", WORDING_ONLY), ("all tests", LeakPolicy())):
        rng = random.Random(seed)

        def scores(texts: Sequence[str], policy: LeakPolicy = policy) -> list[float]:
            return [
                states_reference(text, row.answer, row.question, policy=policy).score
                for text, row in zip(texts, rows, strict=True)
            ]

        alarms = scores([cut(row.other, language) for row in rows])
        cells = [f"{sum(score >= 0.5 for score in alarms) / len(rows):7.1%}"]
        for make in LEAKS.values():
            hits = scores([cut(make(row, language, rng), language) for row in rows])
            rate = sum(score >= 0.5 for score in hits) / len(rows)
            cells.append(f"{rate:7.1%} ({area_under_curve(hits, alarms):.3f})")
        lines.append(f"{language}  {len(rows):4}  {name:10} " + "  ".join(cells))
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--en", type=Path, help="English rows")
    parser.add_argument("--ja", type=Path, help="Japanese rows")
    parser.add_argument("--seed", type=int, default=1, help="of shuffling and losing words")
    given = parser.parse_args(arguments)
    if not given.en and not given.ja:
        parser.error("give --en FILE, --ja FILE or both")
    head = "  ".join(f"{name + ' (AUC)':15}" for name in LEAKS)
    print(f"      rows  tests      alarms   {head}")
    for language in ("en", "ja"):
        if path := getattr(given, language):
            print("\n".join(measure(path, language, given.seed)))


if __name__ == "__main__":
    main()
