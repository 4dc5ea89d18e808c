"""The contract of a reasoning, check by check, and the JSON shape of a check."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qeu.core.contract import (
    CATEGORIES,
    LIMITS,
    VERDICTS,
    Check,
    Span,
    check_answer,
    check_reasoning,
)

EXAMPLE = Path(__file__).parent.parent / "contract" / "checks.json"
NAMES = ("lines", "length", "form", "language", "loop", "leak_reference", "leak_commit")
ANY_TEXT = st.text(st.characters(), max_size=150)


def by_name(checks: tuple[Check, ...]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def offending(check: Check, text: str) -> list[str]:
    return [text[span.start : span.end] for span in check.spans]


def test_the_json_of_checks_is_the_example_in_the_contract_folder() -> None:
    example = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    assert example["cases"]
    for case in example["cases"]:
        checks = check_reasoning(case["text"], **case["asked"])
        assert [check.to_json() for check in checks] == case["checks"]
        assert tuple(Check.from_json(values) for values in case["checks"]) == checks


def test_json_with_unknown_or_missing_fields_is_refused() -> None:
    values = check_reasoning("Think.")[0].to_json()
    assert Check.from_json(values) == check_reasoning("Think.")[0]
    with pytest.raises(ValueError, match="colour"):
        Check.from_json({**values, "colour": "red"})
    with pytest.raises(ValueError, match="limit"):
        Check.from_json({name: value for name, value in values.items() if name != "limit"})
    with pytest.raises(ValueError, match="green"):
        Check.from_json({**values, "verdict": "green"})
    for spans in ("text", [{"start": 0}], [5]):
        with pytest.raises(ValueError, match=r"span|Span"):
            Check.from_json({**values, "spans": spans})


def test_good_guidance_passes_all_that_can_be_checked() -> None:
    text = (
        "Look at it as a basic square-root operation.\n"
        "Think about which perfect squares lie near it, and decide how exact it must be."
    )
    checks = check_reasoning(
        text, category="math", question="Find the square root of 156.", reference="12.49"
    )
    assert tuple(check.name for check in checks) == NAMES
    verdicts = {check.name: check.verdict for check in checks}
    assert verdicts.pop("form") == "skip"
    assert set(verdicts.values()) == {"pass"}


def test_the_notes_own_leak_fails_both_leak_checks() -> None:
    text = "Use the square root function; it is approximately 12.49 …"
    checks = by_name(
        check_reasoning(
            text, category="math", question="Find the square root of 156.", reference="12.49"
        )
    )
    for name in ("leak_reference", "leak_commit"):
        assert checks[name].verdict == "fail"
        assert offending(checks[name], text) == ["12.49"]


def test_empty_lines_do_not_count_and_the_sixth_line_is_shown() -> None:
    five = "Think.\n\n  \nLook.\r\nRead.\nAsk.\nSort.\n"
    assert by_name(check_reasoning(five))["lines"].verdict == "pass"
    check = by_name(check_reasoning(five + "Write.\nStop."))["lines"]
    assert (check.verdict, check.value, check.limit) == ("fail", 7, 5)
    assert offending(check, five + "Write.\nStop.") == ["Write.", "Stop."]


def test_words_are_counted_and_the_excess_is_shown() -> None:
    text = " ".join(f"word{chr(97 + i % 26)}" for i in range(120))
    fine = by_name(check_reasoning(text))["length"]
    assert (fine.verdict, fine.value, fine.unit) == ("pass", 120, "words")
    long = by_name(check_reasoning(text + " two more"))["length"]
    assert (long.verdict, long.value) == ("fail", 122)
    assert offending(long, text + " two more") == ["two more"]


def test_japanese_and_chinese_are_counted_in_characters() -> None:
    for unit in ("まず海を考える。", "先想想大海吧。"):
        text = unit * 50
        text = text[:300]
        fine = by_name(check_reasoning(text, expected_language="ja"))["length"]
        assert (fine.verdict, fine.value, fine.unit) == ("pass", 300, "characters")
        long = by_name(check_reasoning(text + " 一二", expected_language="ja"))["length"]
        assert (long.verdict, long.value) == ("fail", 302)
        assert offending(long, text + " 一二") == ["一二"]


@pytest.mark.parametrize(
    "text",
    [
        "Creator should open with the sea. You should end with silence.",
        "1. You should write 3 parts.\n2. **Creator should** add rain.\n- you should stop.",
        'You should let him say "Stop. Go home." before dawn. You should use e.g. fog.',
        "作成者は海の情景から始めるべきである。あなたは静かに終えるべきです。",
        "创作者应该先写大海。你应在结尾留白。",
    ],
)
def test_creative_sentences_in_the_right_form(text: str) -> None:
    check = by_name(check_reasoning(text, category="creative"))["form"]
    assert check.verdict == "pass", check.message


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("Creator should open. Then add rain.", ["Then add rain."]),
        ("You should open.\nThe hero runs.", ["The hero runs."]),
        ("Creators should open.", ["Creators should open."]),
        ("First, you should open.", ["First, you should open."]),
        ("作成者は海を書くべきだ。雨が降る。", ["雨が降る。"]),
        ("创作者应该写大海。下雨了。", ["下雨了。"]),
    ],
)
def test_other_creative_sentences_are_shown(text: str, wrong: list[str]) -> None:
    check = by_name(check_reasoning(text, category="creative"))["form"]
    assert check.verdict == "fail"
    assert offending(check, text) == wrong


def test_the_form_is_asked_of_creative_records_only() -> None:
    checks = by_name(check_reasoning("Think of the sea.", category="open_qa"))
    assert checks["form"].verdict == "skip"


def test_while_text_streams_its_last_sentence_and_word_are_not_judged() -> None:
    text = "Creator should open with the sea. You sh"
    assert by_name(check_reasoning(text, category="creative", final=False))["form"].verdict == (
        "pass"
    )
    assert by_name(check_reasoning(text, category="creative"))["form"].verdict == "fail"
    asked = {"question": "Find the square root of 156.", "category": "math"}
    growing = "Look for squares below 15"
    assert by_name(check_reasoning(growing, **asked, final=False))["leak_commit"].verdict == "pass"
    assert by_name(check_reasoning(growing, **asked))["leak_commit"].verdict == "fail"
    assert (
        by_name(check_reasoning(growing + "6 and", **asked, final=False))["leak_commit"].verdict
        == "pass"
    )


def test_a_line_in_another_language_is_marked() -> None:
    text = "Think about the sea first.\nThen think about the wind.\nこの行は日本語です。"
    check = by_name(check_reasoning(text))["language"]
    assert (check.verdict, check.value, check.limit) == ("fail", "en", "en")
    assert offending(check, text) == ["この行は日本語です。"]
    assert "line 3 is Japanese" in check.message


def test_a_sentence_in_another_language_inside_a_line_is_marked() -> None:
    text = "Think about the sea and the wind first. 次に波の音を考えます。 Then write about it."
    check = by_name(check_reasoning(text))["language"]
    assert check.verdict == "fail"
    assert offending(check, text) == ["次に波の音を考えます。"]


def test_quoted_words_do_not_count_as_drift() -> None:
    text = "Note that 「食べた」 is the past tense of 「食べる」 and keep it in English."
    assert by_name(check_reasoning(text, category="translation"))["language"].verdict == "pass"


@pytest.mark.parametrize(
    ("text", "expected", "verdict"),
    [
        ("Think about the sea.", "en", "pass"),
        ("まず海を考えます。", "en", "fail"),
        ("然后写人物感受", "en", "fail"),
        ("先想想这片大海。", "zh", "pass"),
        ("先想想这片大海。", "ja", "fail"),
        ("Pensez à la mer et au vent dans les voiles.", "en", "fail"),
        ("東京", "ja", "partial"),
        ("12.49", "en", "skip"),
        ("Think about the sea.", None, "skip"),
        ("Think about the sea.", "und", "skip"),
    ],
)
def test_language_against_what_was_asked(text: str, expected: str | None, verdict: str) -> None:
    check = by_name(check_reasoning(text, expected_language=expected))["language"]
    assert check.verdict == verdict, check.message


def test_reasoning_in_another_language_than_the_output_is_never_wholly_checked() -> None:
    reference = "人類は1969年に月に着陸し、世界中の人々がその様子を見守りました。"
    asked = {"reference": reference, "question": "人類が月に着陸したのはいつですか？"}
    assert by_name(check_reasoning("Recall the race to the moon.", **asked))[
        "leak_reference"
    ].verdict == ("partial")
    assert by_name(check_reasoning("Recall the summer of 1969.", **asked))[
        "leak_reference"
    ].verdict == ("fail")


def test_without_a_reference_that_check_is_skipped() -> None:
    assert by_name(check_reasoning("Think.", reference="  "))["leak_reference"].verdict == "skip"


def test_a_loop_is_shown_with_place_and_period() -> None:
    text = "Think first. " + "Look at the sea again and again. " * 6
    check = by_name(check_reasoning(text))["loop"]
    assert (check.verdict, check.value) == ("fail", 6)
    assert "33 characters" in check.message
    assert by_name(check_answer(text))["loop"] == check


def test_empty_text_fails_only_for_being_empty() -> None:
    for text in ("", " \n\t"):
        checks = by_name(check_reasoning(text, reference="12", category="creative"))
        assert tuple(checks) == NAMES
        verdicts = {name: check.verdict for name, check in checks.items()}
        assert verdicts.pop("length") == "fail"
        assert set(verdicts.values()) == {"skip"}
        assert {check.verdict for check in check_reasoning(text, final=False)} == {"skip"}
        assert [check.verdict for check in check_answer(text)] == ["fail", "skip", "skip"]
        assert {check.verdict for check in check_answer(text, final=False)} == {"skip"}


def test_an_answer_may_be_long_but_not_in_another_language() -> None:
    parts = ("The sea is wide", "It holds fish", "Ships cross it", "Wind moves its surface")
    long = " ".join(f"{parts[i * i % 7 % 4]} and {parts[i * 5 % 4]}." for i in range(60))
    assert [check.verdict for check in check_answer(long, expected_language="en")] == [
        "pass",
        "pass",
    ]
    assert check_answer(long, expected_language="ja")[0].verdict == "fail"
    mixed = "This is the answer to it.\n日本語の行です。"
    assert check_answer(mixed)[0].verdict == "partial"


@given(
    ANY_TEXT,
    ANY_TEXT,
    ANY_TEXT,
    st.sampled_from([*CATEGORIES, "?"]),
    st.sampled_from(["en", "ja", "zh", "und", "xx", None]),
    st.booleans(),
)
def test_any_text_gets_well_formed_checks_twice_the_same(
    text: str, question: str, reference: str, category: str, expected: str | None, final: bool
) -> None:
    def checked() -> tuple[Check, ...]:
        return (
            *check_reasoning(
                text,
                category=category,
                question=question,
                reference=reference,
                expected_language=expected,
                final=final,
            ),
            *check_answer(text, expected_language=expected, final=final),
        )

    checks = checked()
    assert checks == checked()
    for check in checks:
        assert check.verdict in VERDICTS
        assert check.message.endswith(".")
        assert check.verdict != "fail" or check.spans
        assert Check.from_json(json.loads(json.dumps(check.to_json()))) == check
        last = 0
        for span in check.spans:
            assert last <= span.start <= span.end <= len(text)
            assert span.start < span.end or not text
            last = span.start


def test_limits_are_those_of_the_notes() -> None:
    assert LIMITS == {"lines": 5, "words": 120, "characters": 300}


def test_very_long_texts_finish() -> None:
    for unit in ("You should go. ", "海。", "x\n"):
        text = unit * (100_000 // len(unit))
        checks = check_reasoning(text, category="creative", reference="Some answer, by the sea.")
        assert by_name(checks)["length"].verdict == "fail"


def test_checks_are_values() -> None:
    check = Check("lines", "pass", 1, 5, "lines", (Span(0, 1, "x"),), "One.")
    assert replace(check, value=2) != check
    assert hash(check)
