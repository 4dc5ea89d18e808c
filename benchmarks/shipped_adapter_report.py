"""What the shipped adapter does: base and adapter on the English validation records, as counts.

`python -m benchmarks.train_shipped_adapter --evaluate` runs it and writes the card. Three ways of
asking: the base and the adapter in the layout that the adapter learned, and the base in its own
chat template, which is how it answers best. Drawn as the page draws by default, one text a record.
"""

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qeu.backends.adapter_files import find_adapter
from qeu.backends.base import Row
from qeu.backends.shelf import Shelf
from qeu.core.contract import check_answer, check_reasoning
from qeu.core.generation import Generation
from qeu.core.prompts import render
from qeu.core.record import Record
from qeu.core.roles import find_role
from qeu.core.sampling import Sampling
from qeu.core.settings import Settings

MAX_NEW_TOKENS = 320
CARD = Path(__file__).with_name("shipped_adapter_card.md")
LEAKS = ("leak_reference", "leak_commit")
Rows = Sequence[tuple[Record, Mapping[str, object]]]


@dataclass(frozen=True)
class Way:
    """One way of asking: a column of the report."""

    title: str
    adapter: str | None
    layout: str
    target: str


@dataclass(frozen=True)
class Count:
    """So many of so many, as the card writes it."""

    hits: int
    of: int

    def __str__(self) -> str:
        share = f" ({100 * self.hits / self.of:.0f} %)" if self.of else ""
        return f"{self.hits} of {self.of}{share}"


def measure(
    rows: Rows, folder: Path, name: str, layout: str, role: str, seeds: Sequence[int] = (0,)
) -> tuple[list[Way], dict[str, list[Count | None]], dict[str, str]]:
    """(ways, counts by line of the table, what stands beside it); one text a record and seed."""
    from dataclasses import replace

    shelf = Shelf(replace(Settings.from_env(os.environ), adapters=folder))
    model = shelf.load("smollm2-135m")
    ways = [
        Way("base, `bonsai-v2`", None, layout, "both"),
        Way(f"with `{name}`, `bonsai-v2`", name, layout, "both"),
        Way("base, its chat template", None, "chat", "answer"),
    ]
    asked = [(record, row, seed) for seed in seeds for record, row in rows]
    found: list[list[Generation]] = []
    for way in ways:
        batch = []
        for record, _, seed in asked:
            # "answer" means without a given reasoning here: the adapter gets none either
            plain = replace(record, reasoning="")
            prompt = render(plain, way.layout, find_role(role), way.target).prompt
            settings = Sampling(max_new_tokens=MAX_NEW_TOKENS, seed=seed)
            batch.append(Row(prompt, settings, way.adapter))
        done = model.generate(batch)
        assert not [one.error for one in done if one.error], done[0].error
        found.append(done)
        print(f"{way.title}: {sum(one.new_tokens for one in done):,} tokens", flush=True)
    table: dict[str, list[Count | None]] = {}
    for line, judge in _LINES.items():
        table[line] = [
            _count(
                judge(record, row, one) for (record, row, _), one in zip(asked, done, strict=True)
            )
            if way.target == "both" or line in _FOR_ANSWERS
            else None
            for way, done in zip(ways, found, strict=True)
        ]
    right = [
        [_is_right(record, row, one) for (record, row, _), one in zip(asked, done, strict=True)]
        for done in found
    ]
    pairs = [(a, b) for a, b in zip(right[1], right[2], strict=True) if a is not None]
    beside = {
        "only with the adapter": str(sum(bool(a) and not b for a, b in pairs)),
        "only base in its chat template": str(sum(bool(b) and not a for a, b in pairs)),
        "both": str(sum(bool(a) and bool(b) for a, b in pairs)),
        "dtype": model.dtype,
        "revision": model.revision,
    }
    return ways, table, beside


def write_card(rows: Rows, folder: Path, name: str, seeds: Sequence[int]) -> None:
    """Measure, print the figures as one line of JSON, and write the card beside the adapter."""
    run = json.loads((folder / name / "run.json").read_text("utf-8"))
    assert not {record.identity for record, _ in rows} & _learned(run), "learned from these"
    ways, table, beside = measure(rows, folder, name, run["layout"], run["role"], seeds)
    head = ["", *(way.title for way in ways)]
    lines = [head, ["---"] * len(head)]
    lines += [[line, *("" if c is None else str(c) for c in row)] for line, row in table.items()]
    figures = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    size = (folder / name / "adapter_model.safetensors").stat().st_size
    card = CARD.read_text("utf-8").format(
        name=name,
        size=f"{size / 1e6:.1f} MB",
        hash=find_adapter(folder, name).hash,
        records=run["records"],
        n=len(rows),
        texts=len(rows) * len(seeds),
        seeds=len(seeds),
        tokens=MAX_NEW_TOKENS,
        figures=figures,
        answers=_tell_answers(table, beside),
        **{key: run["training"][key] for key in ("steps", "learning_rate", "max_length")},
        rank=run["lora"]["rank"],
        modules=", ".join(f"`{module}`" for module in run["lora"]["target_modules"]),
        layout=run["layout"],
        role=run["role"],
        dtype=beside["dtype"],
    )
    (folder / name / "README.md").write_text(card, "utf-8")
    told = {
        line: {
            way.title: None if count is None else [count.hits, count.of]
            for way, count in zip(ways, row, strict=True)
        }
        for line, row in table.items()
    }
    print(json.dumps({"figures": told, "beside": beside}))


def _learned(run: Mapping[str, object]) -> set[str]:
    from benchmarks.train_shipped_adapter import read_records

    records = [record for record, _ in read_records("train")]
    assert len(records) == run["records"]
    return {record.identity for record in records}


def _tell_answers(table: Mapping[str, Sequence[Count | None]], beside: Mapping[str, str]) -> str:
    """Whether answers got better, in one sentence: a sign test on the texts that differ."""
    adapter, base = (
        int(beside["only with the adapter"]),
        int(beside["only base in its chat template"]),
    )
    differing = adapter + base
    chance = sum(math.comb(differing, k) for k in range(min(adapter, base) + 1)) / 2**differing
    p = min(1.0, 2 * chance)
    if p > 0.05:
        verdict = "Whether answers get better or worse cannot be told from so few"
    elif adapter > base:
        verdict = "Answers get better on these records"
    else:
        verdict = "Answers get worse on these records"
    return (
        f"{verdict}: {adapter} texts are right only with the adapter, {base} only for the base in "
        f"its chat template, {beside['both']} for both (sign test, p = {p:.2g}; texts of one "
        "record are not independent, so that the real p is larger)."
    )


def _count(verdicts: Iterable[bool | None]) -> Count:
    judged = [verdict for verdict in verdicts if verdict is not None]
    return Count(sum(judged), len(judged))


def _reasoning_checks(record: Record, one: Generation) -> dict[str, str]:
    checks = check_reasoning(
        one.reasoning,
        category=record.category,
        question=record.question,
        reference=record.output,
    )
    return {check.name: check.verdict for check in checks}


def _keeps_contract(record: Record, row: Mapping[str, object], one: Generation) -> bool | None:
    return "fail" not in _reasoning_checks(record, one).values()


def _has_form(record: Record, row: Mapping[str, object], one: Generation) -> bool | None:
    good, sentences = _count_form(record, one)
    return None if record.category != "creative" else 0 < sentences == good


def _has_half_form(record: Record, row: Mapping[str, object], one: Generation) -> bool | None:
    good, sentences = _count_form(record, one)
    return None if record.category != "creative" else 0 < sentences <= 2 * good


def _count_form(record: Record, one: Generation) -> tuple[int, int]:
    """(sentences of the form, all sentences) of a creative record's reasoning."""
    for check in check_reasoning(one.reasoning, category=record.category):
        if check.name == "form" and check.verdict != "skip":
            return int(check.value or 0), int(check.limit or 0)
    return 0, 0


def _closes(record: Record, row: Mapping[str, object], one: Generation) -> bool | None:
    return bool(one.reasoning and one.answer) and one.finish_reason == "stop"


def _leaks(record: Record, row: Mapping[str, object], one: Generation) -> bool | None:
    if not one.reasoning:
        return None
    verdicts = _reasoning_checks(record, one)
    return any(verdicts[name] == "fail" for name in LEAKS)


def _loops(record: Record, row: Mapping[str, object], one: Generation) -> bool | None:
    verdicts = {check.name: check.verdict for check in check_answer(one.text)}
    return one.finish_reason == "loop" or verdicts.get("loop") == "fail"


def _is_right(record: Record, row: Mapping[str, object], one: Generation) -> bool | None:
    """Whether an accepted form stands in the answer as whole words; None if none is checkable."""
    accepted = row["accepted_answers"]
    assert isinstance(accepted, list)
    if not accepted:
        return None
    answer = _folded(one.answer)
    return any(f" {_folded(form)} " in f" {answer} " for form in accepted if _folded(form))


def _folded(text: str) -> str:
    """Lower case, commas within numbers gone, everything but letters and digits one blank."""
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text.casefold())
    return " ".join(re.findall(r"\d+(?:\.\d+)?|[^\W\d_]+", text))


Judge = Callable[[Record, Mapping[str, object], Generation], bool | None]
_LINES: dict[str, Judge] = {
    "reasoning keeps the whole contract": _keeps_contract,
    'creative: every sentence "Creator should" or "You should"': _has_form,
    "creative: at least half of the sentences": _has_half_form,
    "reasoning, response marker, answer, end": _closes,
    "reasoning leaks an answer": _leaks,
    "text runs into a loop": _loops,
    "answer has an accepted form (checkable ones)": _is_right,
}
_FOR_ANSWERS = {"text runs into a loop", "answer has an accepted form (checkable ones)"}
