"""Right and wrong answers by form: numbers, options, names, yes and no; the shipped references."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from qeu.core.exact_match import Expected, expected_of, is_right, matches, stated_numbers, yes_or_no
from qeu.core.record import Record

DATA = Path(__file__).parents[2] / "data"
EXTRA = ("accepted_answers", "answer_type")


def shipped() -> list[Record]:
    found = []
    for split in ("train", "validation"):
        for line in (DATA / f"{split}.jsonl").read_text("utf-8").splitlines():
            row = json.loads(line)
            extra = {name: row.pop(name) for name in EXTRA}
            found.append(Record(**row, extra=extra))
    return found


def expect(*forms: str, kind: str = "number") -> Expected:
    return Expected(forms, kind)


def test_every_shipped_reference_and_every_accepted_form_is_right():
    counted = Counter()
    for record in shipped():
        expected = expected_of(record)
        forms = record.extra["accepted_answers"]
        assert bool(expected) == bool(forms), record.seq
        if expected:
            counted[expected.kind] += 1
            for answer in (record.output, *forms):
                assert matches(answer, expected), (record.seq, answer)
    assert sum(counted.values()) == 347
    assert set(counted) >= {"number", "option", "name", "date", "phrase"}


def test_the_answers_of_other_records_are_hardly_ever_right():
    records = [record for record in shipped() if record.extra["accepted_answers"]]
    pairs = [(records[at], records[at - step]) for step in (1, 5, 11) for at in range(len(records))]
    right = sum(bool(is_right(other.output, one)) for one, other in pairs)
    assert len(pairs) > 1_000
    assert right / len(pairs) < 0.02


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("65", True),
        ("65.0", True),
        ("There are 13 × 5 = 65 tiles.", True),
        ("The answer is 65. It is more than 60.", True),
        ("The answer is 60, not 65.", False),
        ("She needs 65 tiles, because 13 rows of 5 are needed.", True),
        ("13 × 5 = 65. So we need 65. Check: 65 ÷ 5 = 13.", True),
        ("We have 65 tiles at first. Then 3 break, so 62 are left.", False),
        ("So x = \\boxed{65}", True),
        ("Adding up gives #### 65", True),
        ("答えは65枚です。理由は13×5だからです。", True),
        ("一共需要65块地砖（每块30厘米）。", True),
        ("６５枚です。", True),
        ("六十五枚です。", True),
        ("sixty-five", True),
        ("650", False),
        ("-65", False),
        ("6.5", False),
        ("Many tiles.", False),
        ("", False),
        ("   ", False),
    ],
)  # fmt: skip
def test_a_number_is_what_is_stated_at_last_or_at_once(answer, right):
    assert matches(answer, expect("65", "六十五")) is right


def test_numbers_keep_sign_decimals_and_thousands():
    assert matches("It is −5 degrees.", expect("-5"))
    assert not matches("It is 5 degrees.", expect("-5"))
    assert not matches("10 - 5", expect("-5"))
    assert matches("The total is $13.50.", expect("13.5"))
    assert matches("11,700 yuan", expect("11700"))
    assert matches("Each team has four players.", expect("4"))
    assert matches("3/4", expect("3/4"))
    assert stated_numbers("no number here") == []


def test_an_option_is_named_and_not_denied():
    option = expect("phishing", kind="option")
    assert matches("It belongs to **Phishing**.", option)
    assert not matches("It is not phishing; it is advertising.", option)
    assert not matches("advertising", option)
    assert matches("will not return", expect("will not return", kind="option"))
    japanese = expect("辞退", kind="option")
    assert matches("「辞退」にあたります。", japanese)
    assert not matches("辞退ではありません。保留です。", japanese)
    assert not matches("这不是企鹅。", expect("企鹅", kind="option"))


def test_a_letter_is_an_option_and_no_article():
    letter = expect("A", kind="option")
    for answer in ("A", "(A)", "a)", "A. Paris", "The answer is A.", "Option A"):
        assert matches(answer, letter), answer
    for answer in ("B", "A cat sat there.", "It is a dog.", "Not at all"):
        assert not matches(answer, letter), answer


def test_names_stand_as_whole_words_and_japanese_ones_anywhere():
    assert matches("The city is TROY.", expect("Troy", kind="name"))
    assert not matches("A destroyer.", expect("Troy", kind="name"))
    assert matches("桂馬です。", expect("keima", "桂馬", kind="name"))
    assert matches("1974年5月15日のことです。", expect("1974年5月15日", kind="date"))
    assert not matches("11974年5月15日", expect("1974年5月15日", kind="date"))


def test_in_a_long_answer_only_its_beginning_and_its_end_count():
    weighed = "First look at the facts. " + "There is one more thing to be weighed here. " * 12
    name = expect("Troy", kind="name")
    assert not matches(f"{weighed} It might be Troy. {weighed} So it is Rome.", name)
    assert matches(f"It is Troy. {weighed}", name)
    assert matches(f"{weighed} So it is Troy.", name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Yes, it does.", True), ("no.", False), ("**No**, never", False), ("True", True),
        ("False", False), ("はい、そうです。", True), ("いいえ。", False), ("違います", False),
        ("是的。", True), ("不是。", False), ("对", True), ("没有。", False), ("不可以", False),
        ("Nobody knows.", None), ("Northern lights", None), ("", None), ("Perhaps", None),
        ("对于这个问题", None),
    ],
)  # fmt: skip
def test_yes_and_no_in_three_languages(text, said):
    assert yes_or_no(text) is said


def test_yes_and_no_are_compared_by_what_they_mean():
    yes = expect("Yes", "はい", kind="yes_no")
    assert matches("Yes. It is one.", yes)
    assert matches("是的", yes)
    assert not matches("No. Yes would be wrong.", yes)
    assert not matches("Perhaps it is.", yes)


def record(output: str, category: str = "open_qa", **extra: object) -> Record:
    return Record("What is it?", output=output, category=category, extra=extra)


def test_without_listed_forms_a_short_reference_is_what_is_expected():
    assert expected_of(record("Paris.")) == Expected(("Paris",), "phrase")
    assert expected_of(record("42 km")) == Expected(("42 km",), "number")
    assert expected_of(record("Yes")) == Expected(("Yes",), "yes_no")
    assert expected_of(record("B", "classification")) == Expected(("B",), "option")
    assert expected_of(record("東京です。")).kind == "phrase"
    assert expected_of(record("3 × 4 = 12. So there are 12 eggs in the box.", "math")) == Expected(
        ("12",), "number"
    )
    long = "It is a compromise between two effects of thin air at that height."
    assert expected_of(record(long)) is None
    assert is_right("anything", record(long)) is None


def test_what_has_many_good_answers_is_not_checked():
    for category in ("creative", "brainstorming", "summarization", "translation", "rewriting"):
        assert expected_of(record("A tea.", category)) is None
    assert expected_of(record("Paris", accepted_answers=[])) is None
    assert expected_of(record("")) is None


def test_forms_may_come_as_json_of_a_table_and_in_any_state():
    assert is_right("31", record("x", accepted_answers='["31", "31音"]', answer_type="number"))
    assert is_right("tea", record("x", accepted_answers="tea"))
    assert is_right("31", record("x", accepted_answers=[31], answer_type="nonsense"))
    assert expected_of(record("x" * 200, accepted_answers=[" ", ""])) is None
    assert expected_of(record("x" * 200, accepted_answers=5)) is None


def test_no_text_raises():
    odd = ("\x00", "((((", "\ud800", "9" * 5_000, "١٢٣", "½", "#### ", "\\boxed{", "-", "。" * 500)
    for kind in ("number", "option", "name", "date", "phrase", "yes_no"):
        for text in odd:
            for form in odd:
                assert matches(text, Expected((form,), kind)) in (True, False)
    for one in shipped()[:20]:
        assert is_right("word " * 3_000, replace(one)) in (True, False, None)
