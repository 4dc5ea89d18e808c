"""Judge a language trial: each text's language against the one asked, totals, and what they say.

Verdicts are about the language only: whether a text is any good is not judged.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from qeu.core.language import identify
from qeu.services.runs import Live
from qeu.services.trial import LANGUAGES, Cell, Trial

VERDICTS = ("as_asked", "other", "uncertain", "loop", "empty", "failed")
# A rule that this share of the identified texts follows is called what the model does.
CLEAR_SHARE = 0.75
KNOWS_SHARE = 0.9


@dataclass(frozen=True)
class Verdict:
    """One text judged: a kind of VERDICTS, the language identified, and whether that is certain."""

    kind: str
    language: str = "und"
    certain: bool = False


@dataclass(frozen=True)
class Share:
    """`hits` of `total`."""

    hits: int
    total: int


@dataclass(frozen=True)
class Tally:
    """Cells in the language asked, in all and by each language; `kinds` counts every verdict."""

    overall: Share
    by_instruction: Mapping[str, Share]
    by_content: Mapping[str, Share]
    by_answer: Mapping[str, Share]
    kinds: Mapping[str, int]


@dataclass(frozen=True)
class Reading:
    """What the grid says, as a code for the page to word, with the numbers that back it.

    Codes: knows, fixed, instruction, content, partly, mixed, unclear (too few texts could be
    identified), narrow (only one answer language was asked for).
    """

    code: str
    hits: int = 0
    total: int = 0
    language: str = ""


def judge(text: str, finish_reason: str, asked: str) -> Verdict:
    """Whether a text is in the language asked; "und" that is certain is some fourth language."""
    if finish_reason == "error":
        return Verdict("failed")
    language, certain = identify(text)
    if finish_reason == "loop":
        return Verdict("loop", language, certain)
    if not text.strip():
        return Verdict("empty")
    if not certain:
        return Verdict("uncertain", language)
    return Verdict("as_asked" if language == asked else "other", language, True)


def judge_live(live: Live) -> Verdict | None:
    """The verdict as it stands; None while there is nothing to judge, or if it was stopped then."""
    reason = live.generation.finish_reason if live.generation else ""
    if live.phase == "failed":
        reason = "error"
    text = "".join(live.parts()).strip()
    if not text and (not live.finished or reason == "cancelled"):
        return None
    return judge(text, reason, live.ask.expected_language)


def judge_all(lives: Mapping[str, Live]) -> dict[Cell, Verdict]:
    """The verdicts of all cells that have one."""
    found = {Cell.from_key(key): judge_live(live) for key, live in lives.items()}
    return {cell: verdict for cell, verdict in found.items() if verdict}


def tally(verdicts: Mapping[Cell, Verdict]) -> Tally:
    """Count the cells in the language asked, by every axis; loops do not count, in any language."""

    def count(cells: Iterable[Cell]) -> Share:
        kinds = [verdicts[cell].kind for cell in cells]
        return Share(kinds.count("as_asked"), len(kinds))

    def by(axis: str) -> dict[str, Share]:
        groups = {code: [c for c in verdicts if getattr(c, axis) == code] for code in LANGUAGES}
        return {code: count(cells) for code, cells in groups.items() if cells}

    kinds = Counter(verdict.kind for verdict in verdicts.values())
    return Tally(count(verdicts), by("instruction"), by("content"), by("answer"), dict(kinds))


def read_grid(verdicts: Mapping[Cell, Verdict]) -> Reading:
    """Which simple rule explains the languages written: asked, instruction, content, or habit."""
    known = {cell: v.language for cell, v in verdicts.items() if v.kind in ("as_asked", "other")}
    total = len(known)
    if not verdicts or 2 * total < len(verdicts):
        return Reading("unclear", total, len(verdicts))
    asked = sum(language == cell.answer for cell, language in known.items())
    if len({cell.answer for cell in verdicts}) < 2:
        return Reading("narrow", asked, len(verdicts))
    if asked >= KNOWS_SHARE * len(verdicts):
        return Reading("knows", asked, len(verdicts))
    habit, fixed = Counter(known.values()).most_common(1)[0]
    rules = {
        "fixed": fixed,
        "instruction": sum(language == cell.instruction for cell, language in known.items()),
        "content": sum(language == cell.content for cell, language in known.items()),
    }
    best = max(rules, key=lambda rule: rules[rule])
    if rules[best] > asked and rules[best] >= CLEAR_SHARE * total:
        return Reading(best, rules[best], total, habit if best == "fixed" else "")
    if asked >= max(rules.values()):
        return Reading("partly", asked, len(verdicts))
    return Reading("mixed", asked, len(verdicts))


# -- taking it away ------------------------------------------------------------------------------


def cell_rows(lives: Mapping[str, Live]) -> list[dict[str, object]]:
    """Every cell as plain values: languages, verdict, and all that was said."""
    rows: list[dict[str, object]] = []
    for key, live in lives.items():
        verdict, generation = judge_live(live) or Verdict("empty"), live.generation
        rows.append(
            {
                **asdict(Cell.from_key(key)),
                "verdict": verdict.kind,
                "language": verdict.language,
                "certain": verdict.certain,
                "finish_reason": generation.finish_reason if generation else "error",
                "new_tokens": live.new_tokens,
                "asked": live.ask.record.instruction,
                "given": live.ask.record.input,
                "text": live.text,
                "error": live.error,
            }
        )
    return rows


def export_json(trial: Trial, lives: Mapping[str, Live]) -> str:
    """Settings, totals, reading and every cell, as JSON."""
    verdicts = judge_all(lives)
    data = {
        "kind": "qeu-language-trial",
        "settings": asdict(trial),
        "tally": asdict(tally(verdicts)),
        "reading": asdict(read_grid(verdicts)),
        "cells": cell_rows(lives),
    }
    return json.dumps(data, ensure_ascii=False, indent=1)


def export_csv(lives: Mapping[str, Live]) -> str:
    """Every cell as one row, for a spreadsheet.

    A text that a spreadsheet would compute ("=…") gets an apostrophe before it; JSON has it as is.
    """
    rows = cell_rows(lives)
    file = io.StringIO()
    # The mark at the start tells Excel that the file is UTF-8, or it garbles Japanese.
    file.write("\ufeff")
    writer = csv.DictWriter(file, list(rows[0]) if rows else ["text"])
    writer.writeheader()
    writer.writerows({name: _harmless(value) for name, value in row.items()} for row in rows)
    return file.getvalue()


def _harmless(value: object) -> object:
    risky = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if risky else value
