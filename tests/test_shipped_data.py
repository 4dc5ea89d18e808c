"""The data set we ship: counts, contract, split, form; it is what a stranger judges us by."""

import json
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest

from qeu.cli.main import main
from qeu.core.language import identify
from qeu.core.near_duplicates import shingles, similarity
from qeu.core.record import CATEGORIES, UNIQUENESS, Record
from qeu.core.record_checks import check_record
from qeu.core.segments import sentence_spans
from qeu.services.exhibits import EXHIBITS_FILE, read_exhibits

DATA = Path(__file__).parent.parent / "data"
COLUMNS = [
    *("no", "seq", "category", "field", "uniqueness", "language"),
    *("instruction", "input", "reasoning", "output", "accepted_answers", "answer_type"),
]
ANSWER_TYPES = ("number", "option", "name", "date", "phrase")


def read_rows(name: str) -> list[dict]:
    lines = (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


TRAIN, VALIDATION = read_rows("train"), read_rows("validation")
ROWS = TRAIN + VALIDATION
CHECKABLE = [row for row in ROWS if row["accepted_answers"]]


def make_record(row: dict) -> Record:
    return Record(**{name: row[name] for name in COLUMNS[:10]})


def is_english_out(row: dict) -> bool:
    return row["language"] != "en" and identify(row["instruction"])[0] == "en"


def plain(text: str) -> str:
    return "".join(c for c in text.casefold() if c.isalnum())


def test_every_row_has_exactly_the_columns_and_known_labels() -> None:
    for row in ROWS:
        assert list(row) == COLUMNS, row["seq"]
        assert row["category"] in CATEGORIES, row["seq"]
        assert row["uniqueness"] in UNIQUENESS, row["seq"]
        assert row["seq"] == f"{row['no']}{row['language'].upper()}"
        texts = [row[name] for name in ("instruction", "input", "reasoning", "output")]
        assert all(text == text.strip() for text in texts), row["seq"]
        assert all(row[name] for name in ("instruction", "reasoning", "output")), row["seq"]
    assert sorted(row["no"] for row in ROWS) == list(range(1, len(ROWS) + 1))


def test_counts_are_those_that_the_card_promises() -> None:
    languages = Counter(row["language"] for row in ROWS)
    assert len(ROWS) >= 560
    assert languages["en"] >= 320
    assert languages["ja"] >= 120
    assert languages["zh"] >= 120
    assert {row["category"] for row in ROWS} == set(CATEGORIES)
    assert {row["uniqueness"] for row in ROWS} == set(UNIQUENESS)
    assert 0.35 <= sum(bool(row["input"]) for row in ROWS) / len(ROWS) <= 0.5
    assert sum(row["category"] == "creative" for row in ROWS) >= 60
    for language in ("ja", "zh"):
        english_out = sum(is_english_out(row) for row in ROWS if row["language"] == language)
        assert english_out >= languages[language] / 2
    assert len(VALIDATION) >= 160
    assert len(CHECKABLE) >= 240
    assert sum(bool(row["accepted_answers"]) for row in VALIDATION) >= 120


def test_both_splits_hold_every_language_and_category() -> None:
    for rows in (TRAIN, VALIDATION):
        assert {row["category"] for row in rows} == set(CATEGORIES)
        assert {row["language"] for row in rows} == {"en", "ja", "zh"}


def test_no_two_instructions_of_a_language_are_alike() -> None:
    for language in ("en", "ja", "zh"):
        found = [
            (row["seq"], shingles(row["instruction"]), shingles(row["reasoning"]))
            for row in ROWS
            if row["language"] == language
        ]
        for (one, a, c), (other, b, d) in combinations(found, 2):
            assert similarity(a, b) <= 0.6, (one, other)
            assert similarity(c, d) <= 0.6, (one, other)


def test_every_reasoning_keeps_its_contract_and_every_answer_its_form() -> None:
    found = {row["seq"]: check_record(make_record(row), reasoning_language="en") for row in ROWS}
    assert {seq: [f.message for f in faults] for seq, faults in found.items() if faults} == {}


def test_creative_reasoning_speaks_to_the_creator() -> None:
    for row in ROWS:
        if row["category"] == "creative":
            text = row["reasoning"]
            for start, end in sentence_spans(text):
                assert text[start:end].startswith(("Creator should", "You should")), row["seq"]


def test_a_checkable_answer_holds_an_accepted_form_and_its_reasoning_does_not() -> None:
    for row in ROWS:
        assert bool(row["accepted_answers"]) == (row["answer_type"] in ANSWER_TYPES), row["seq"]
    for row in CHECKABLE:
        forms = [plain(form) for form in row["accepted_answers"]]
        assert all(forms), row["seq"]
        assert len(set(row["accepted_answers"])) == len(row["accepted_answers"]), row["seq"]
        assert any(form in plain(row["output"]) for form in forms), row["seq"]
        question = plain(row["instruction"] + row["input"])
        reasoning = plain(row["reasoning"])
        assert not [f for f in forms if len(f) > 1 and f in reasoning and f not in question]


def test_views_are_two_ways_of_thinking_for_each_of_their_records() -> None:
    by_seq: dict[str, list[dict]] = {}
    for view in read_rows("views"):
        by_seq.setdefault(view["seq"], []).append(view)
    rows = {row["seq"]: row for row in ROWS}
    assert len(by_seq) >= 40
    for seq, views in by_seq.items():
        assert len(views) == 2
        assert len({view["view"] for view in views}) == 2
        for view in views:
            assert list(view) == ["seq", "view", "reasoning"]
            changed = make_record({**rows[seq], "reasoning": view["reasoning"]})
            assert check_record(changed, reasoning_language="en") == [], (seq, view["view"])
            assert similarity(shingles(view["reasoning"]), shingles(rows[seq]["reasoning"])) < 0.5


def test_the_command_finds_nothing(tmp_path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("QEU_HOME", str(tmp_path))
    files = [str(DATA / "train.jsonl"), str(DATA / "validation.jsonl")]
    assert main(["data", "import", *files, "--dataset", "ours", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["imported"], told["rejected"]) == (len(ROWS), [])
    assert main(["data", "check", "ours", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["counts"].values()) <= {0}, told


def test_it_loads_with_datasets(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    loaded = datasets.load_dataset(str(DATA), cache_dir=str(tmp_path))
    assert {name: len(rows) for name, rows in loaded.items()} == {
        "train": len(TRAIN),
        "validation": len(VALIDATION),
    }
    assert loaded["train"].column_names == COLUMNS
    assert loaded["train"][0]["accepted_answers"] == TRAIN[0]["accepted_answers"]
    views = datasets.load_dataset(str(DATA), "views", cache_dir=str(tmp_path))
    assert views["train"].column_names == ["seq", "view", "reasoning"]


def test_exhibits_are_real_runs() -> None:
    exhibits = read_exhibits(EXHIBITS_FILE)
    assert exhibits
    assert all(exhibit.note for exhibit in exhibits)
