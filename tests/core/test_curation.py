"""Merge, rules, labels, sums, near-duplicates, split: pure operations on records."""

import pytest

from qeu.core.arithmetic import check_answer_of_sum, find_wrong_sums
from qeu.core.errors import QeuError
from qeu.core.labels import SURE, label_record
from qeu.core.length_stats import count_longer, make_histogram
from qeu.core.merge import LANGUAGE_SENTENCES, MergePlan, merge_rows
from qeu.core.near_duplicates import NearDuplicates, group_similar, shingles, similarity
from qeu.core.record import Record
from qeu.core.record_checks import check_record
from qeu.core.rules import Rule, apply_rules, find_quarrels, read_rules
from qeu.core.split import assign_parts


def rows(*texts):
    return [{"instruction": t, "reasoning": ""} for t in texts]


def test_merge_goes_row_by_row_with_seq_and_sentence():
    merged = list(merge_rows([rows("a", "b"), rows("あ", "い")], ["en", "ja"]))
    assert [(r["seq"], r["instruction"], r["no"]) for r in merged] == [
        ("1EN", "a", 1), ("1JA", "あ", 1), ("2EN", "b", 2), ("2JA", "い", 2),
    ]  # fmt: skip
    assert merged[1]["reasoning"] == LANGUAGE_SENTENCES["ja"]
    own = [{"instruction": "a", "reasoning": "Think."}]
    assert next(merge_rows([own], ["en"]))["reasoning"].endswith("English.\nThink.")
    assert next(merge_rows([own], ["en"], sentences={}))["reasoning"] == "Think."


def test_merge_takes_a_range_and_handles_files_of_other_lengths():
    files = [rows("a", "b", "c", "d"), rows("あ", "い")]
    seqs = lambda **options: [r["seq"] for r in merge_rows(files, ["en", "ja"], **options)]  # noqa: E731
    assert seqs(rows=(2, 3)) == ["2EN", "2JA"]
    assert seqs(rows=(2, 3), keep_rest=True) == ["2EN", "2JA", "3EN"]
    assert seqs() == ["1EN", "1JA", "2EN", "2JA"]
    plan = MergePlan(("en", "ja"), (4, 2))
    assert (plan.common, plan.total) == (2, 4)
    assert "en: 4, ja: 2" in plan.problems()[0]
    assert "same language" in MergePlan(("en", "en"), (1, 1)).problems()[0]
    torn = [[rows("a")[0], {}, rows("c")[0]], rows("あ", "い", "う")]
    assert [r["seq"] for r in merge_rows(torn, ["en", "ja"])] == ["1EN", "1JA", "3EN", "3JA"]


RECORD = Record("Why?", reasoning="Look closely. Be brief.\nThen answer.", category="creative")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"do": "append", "sentence": "New."}, "Look closely. Be brief.\nThen answer.\nNew."),
        ({"do": "prepend", "sentence": "New."}, "New.\nLook closely. Be brief.\nThen answer."),
        ({"do": "append", "sentence": "Be brief."}, RECORD.reasoning),
        ({"do": "remove", "sentence": "Be brief."}, "Look closely.\nThen answer."),
        ({"do": "remove", "sentence": "Look closely."}, "Be brief.\nThen answer."),
        ({"do": "remove", "sentence": "Then answer."}, "Look closely. Be brief."),
        ({"do": "remove", "sentence": "Absent."}, RECORD.reasoning),
        ({"do": "replace", "sentence": "Be brief.", "by": "Be short."},
         "Look closely. Be short.\nThen answer."),
        ({"do": "replace", "sentence": "Be brief.", "by": "Be brief. Really."},
         "Look closely. Be brief. Really.\nThen answer."),
        ({"do": "append", "sentence": "New.", "when": {"category": ["math", "code"]}},
         RECORD.reasoning),
    ],
)  # fmt: skip
def test_a_rule_does_what_it_says_and_the_second_time_nothing(rule, expected):
    rules = read_rules([rule])
    once = apply_rules(RECORD, rules)
    assert once == expected
    again = Record("Why?", reasoning=once, category="creative")
    assert apply_rules(again, rules) == once
    assert read_rules([rules[0].to_json()]) == rules


def test_rules_at_fault_are_named():
    cases = {
        "There are no rules": [[], {}, None, "x", {"rules": {}}],
        "unknown part 'then'": [[{"do": "append", "sentence": "a", "then": 1}]],
        "does 'add'": [[{"do": "add", "sentence": "a"}]],
        "no sentence": [[{"do": "append"}], [{"do": "append", "sentence": " "}]],
        "by what": [[{"do": "replace", "sentence": "a"}]],
        "asks for 'seq'": [[{"do": "append", "sentence": "a", "when": {"seq": "1"}}]],
        "Rule 2": [[{"do": "append", "sentence": "a"}, "x"]],
    }
    for message, datas in cases.items():
        for data in datas:
            with pytest.raises(QeuError, match=message):
                read_rules(data)
    quarrel = [Rule({}, "append", "Be brief."), Rule({}, "remove", "Be brief.")]
    assert find_quarrels(quarrel) == ["Rule 2 takes away what rule 1 adds: 'Be brief.'."]
    assert find_quarrels(quarrel[:1]) == []


@pytest.mark.parametrize(
    ("instruction", "field", "value"),
    [
        ("Translate into French: good morning", "category", "translation"),
        ("次の文を英語に翻訳してください。", "category", "translation"),
        ("Write a short story about a dog.", "category", "creative"),
        ("俳句を一つ作ってください。", "category", "creative"),
        ("计算三角形的面积", "category", "math"),
        ("Summarize the article.", "category", "summarization"),
        ("Who wrote Hamlet?", "category", "open_qa"),
        ("Who wrote Hamlet?", "uniqueness", "simple"),
        ("Explain how rain forms.", "uniqueness", "complex"),
        ("Write a poem.", "uniqueness", "complex"),
        ("What is the capital of the country?", "field", "geography"),
        ("健康のために運動は必要ですか。", "field", "health"),
        ("人工知能とは何ですか。", "language", "ja"),
        ("为什么天空是蓝色的？", "language", "zh"),
        ("Why is the sky blue?", "language", "en"),
    ],
)
def test_heuristics_label_plain_cases_and_are_sure(instruction, field, value):
    label = label_record(Record(instruction, output="x" * 100))[field]
    assert label.value == value
    assert label.confidence >= SURE


def test_heuristics_say_when_they_are_not_sure():
    labels = label_record(Record("東京", output="x" * 300))
    assert labels["language"].confidence < SURE
    assert label_record(Record("Blue"))["category"].confidence < SURE
    content = Record("Translate into English.", input="猫が庭で寝ています。")
    assert label_record(content, ("language",))["language"].value == "ja"


@pytest.mark.parametrize(
    "text",
    ["2 + 3 = 6", "So 12 × 12 = 124.", "１２＋５＝１８", "7 / 2 = 3", "1,000 - 1 = 1,001",
     "10 / 3 = 3.4", "2 + 3 * 4 = 20", "1,150 × 4 = 4,700円です", "12×3＝35（本）"],
)  # fmt: skip
def test_wrong_sums_are_found(text):
    assert len(find_wrong_sums(text)) == 1


@pytest.mark.parametrize(
    "text",
    ["2 + 3 = 5", "10 / 3 = 3.33", "x + 2 + 3 = 9", "2x + 3 + 4 = 9", "1/2 = 0.5", "a1 + 2 = 9",
     "5 / 0 = 3", "2 + 3 = 5%", "2 + 3 = 4 + 1", "3 - -2 = 5", "2^3 + 1 = 9", "v1.2 - 3 = 4",
     "no sums", "2 * 3 = x", "1 + 2", "5 x 3 = 15",
     "1,150 × 4 = 4,600円", "5000 ÷ 300 = 16 余り 200", "17 / 5 = 3 R2", "2 + 3 = 4(1 + 1)",
     "−4 + 9 = 5"],
)  # fmt: skip
def test_right_sums_and_what_is_no_plain_sum_are_left_alone(text):
    assert find_wrong_sums(text) == []


def test_a_question_that_is_a_sum_has_its_answer_checked():
    assert check_answer_of_sum("What is 12 + 5?", "18").right == "17"
    assert check_answer_of_sum("12 × 5 は?", "答えは61です").right == "60"
    for answer in ("17", "17.", "It is 17", "seventeen", "17 or so, since 12 and 5 make 17"):
        assert check_answer_of_sum("What is 12 + 5?", answer) is None


def test_near_duplicates_are_found_in_three_languages():
    pairs = [
        ("Please explain to me how the heart pumps blood through the body.",
         "Please explain to me how the heart pumps blood in the body."),
        ("日本の首都である東京の人口について詳しく教えてください。",
         "日本の首都である東京の人口について詳しく教えて下さい。"),
        ("请详细介绍一下中国首都北京的历史文化和人口情况。",
         "请详细介绍一下中国首都北京的历史文化与人口情况。"),
    ]  # fmt: skip
    index = NearDuplicates()
    for one, other in pairs:
        assert similarity(shingles(one), shingles(other)) > 0.7
        assert index.similar(other) == []
        index.add(one)
        assert index.similar(other)[0][1] > 0.7
    texts = [text for pair in pairs for text in pair]
    assert group_similar([*texts, "Something else.", texts[0].upper(), "", ""]) == [
        0, 0, 2, 2, 4, 4, 6, 0, 8, 8,
    ]  # fmt: skip


def test_a_split_is_seeded_stratified_and_keeps_groups_whole():
    strata = [("math, en", "creative, ja")[n % 2] for n in range(400)]
    groups = [n - n % 4 if n < 100 else n for n in range(400)]
    shares = {"train": 0.8, "validation": 0.1, "test": 0.1}
    parts = assign_parts(groups, strata, shares, seed=3)
    assert parts == assign_parts(groups, strata, shares, seed=3)
    assert parts != assign_parts(groups, strata, shares, seed=4)
    for stratum in set(strata):
        mine = [p for p, s in zip(parts, strata, strict=True) if s == stratum]
        assert abs(mine.count("validation") - 20) <= 2
        assert abs(mine.count("test") - 20) <= 2
    assert all(parts[n] == parts[n - n % 4] for n in range(100))
    assert set(assign_parts([0] * 9, ["a"] * 9, {"train": 0.9, "validation": 0.1})) == {"train"}


def names(**fields):
    record = Record(**{"instruction": "What is it?", "language": "en"} | fields)
    return {finding.name for finding in check_record(record)}


PROSE = "This is a first sentence of some length. Here is a second one. And then it goes on and"


def test_a_records_own_faults_are_found():
    good = "It is a good answer, I think."
    assert names(output=good) == set()
    assert names(output=" ") == {"empty_output"}
    assert names(output="What is it?") == {"output_equals_input"}
    assert names(output=PROSE) == {"truncated"}
    assert names(output=PROSE + " on.") == set()
    assert names(output="これは日本語の答えです。とても長い文章です。") == {"wrong_language"}
    assert names(output="これは日本語の答えです。", category="translation") == set()
    asked = {"instruction": "Say in English what the sign asks for.", "language": "ja"}
    asked["input"] = "芝生に入らないでください。"
    assert names(output="It asks people to keep off the grass.", **asked) == set()
    assert names(output="芝生に入らないように求めています。", **asked) == {"wrong_language"}
    assert names(output="We add them: 2 + 2 = 5 is the sum of it.") == {"wrong_sum"}
    assert "leak_reference" in names(output="Mount Everest", reasoning="It is Mount Everest.")
    assert "length" in names(output=good, reasoning="Think about the question well. " * 40)
    spans = check_record(Record("q", output="Well, 2 + 2 = 5."))[0].spans
    assert "Well, 2 + 2 = 5."[slice(*spans[0])] == "2 + 2 = 5"


def test_a_histogram_counts_and_names_its_bars():
    found = make_histogram([0, 1, 19, 20, 7000])
    assert found.counts == (1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 1)
    assert found.to_json()["bars"][:3] == [("0", 1), ("1–19", 2), ("20–49", 1)]
    assert (found.median, found.longest) == (19, 7000)
    assert make_histogram([]).mean == 0


def test_lengths_beyond_a_limit_are_counted():
    assert count_longer([5, 512, 513, 9000], (1024, 512)) == {512: 2, 1024: 1}
    assert count_longer([], (512,)) == {512: 0}
