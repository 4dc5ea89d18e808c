"""Sentences from below the page: each that can reach it is known in every language."""

import json
import re
import time

import pytest

from qeu.core.contract import VERDICTS, check_answer, check_reasoning
from qeu.core.errors import QeuError
from qeu.core.sampling import Sampling
from qeu.ui.sentences import SENTENCES_DIR, tell
from qeu.ui.strings import LANGUAGES
from tests.sentence_scan import all_templates, page_templates, shown_templates

TRANSLATIONS = [code for code in LANGUAGES if code != "en"]
SCRIPTS = {"ja": "shift_jis", "zh-CN": "gb2312", "zh-TW": "big5"}


def stored(language: str) -> dict[str, str]:
    return json.loads((SENTENCES_DIR / f"{language}.json").read_text(encoding="utf-8"))


def values_of(template: str) -> list[str]:
    return sorted(re.findall(r"\{(\d+)(?:!t)?\}", template))


@pytest.mark.parametrize("language", TRANSLATIONS)
class TestTranslation:
    def test_every_sentence_that_the_page_can_show_is_there(self, language: str) -> None:
        missing = {t: file for t, file in page_templates().items() if t not in stored(language)}
        assert not missing, json.dumps(missing, indent=1)

    def test_every_stored_template_is_still_in_the_code(self, language: str) -> None:
        assert not set(stored(language)) - all_templates()

    def test_all_languages_hold_the_same_templates(self, language: str) -> None:
        assert list(stored(language)) == list(stored("ja"))

    def test_every_value_is_kept(self, language: str) -> None:
        wrong = {k: told for k, told in stored(language).items() if values_of(k) != values_of(told)}
        assert not wrong

    def test_texts_are_translated_and_in_their_own_script(self, language: str) -> None:
        for template, told in stored(language).items():
            assert told.strip() == told != template
            for character in re.findall("[\u4e00-\u9fff]", told):
                try:
                    character.encode(SCRIPTS[language])
                except UnicodeEncodeError:
                    pytest.fail(f"{character} is not written in {language}: {told}")

    def test_every_template_tells_itself(self, language: str) -> None:
        for template in stored(language):
            made = re.sub(r"\{\d+\}", "x", template).replace("{{", "{").replace("}}", "}")
            if re.search("[a-z]{2}", made):
                assert tell(made, language) != made

    def test_checks_say_what_they_found_without_english(self, language: str) -> None:
        long = "First weigh the points. " * 40
        made = [
            *check_reasoning(""),
            *check_reasoning("", final=False),
            *check_reasoning(long, reference="12.49", category="creative"),
            *check_reasoning("You should listen.\n" * 7, category="creative"),
            *check_reasoning(
                "The answer is 12.49.", question="The root of 156?", reference="12.49"
            ),
            *check_reasoning("まず何が問われているかを考えます。", expected_language="en"),
            *check_reasoning("Look for the city.", reference="首都は東京です。"),
            *check_reasoning("Look. Think. Compare them well.", expected_language=None),
            *check_answer("OK", expected_language="ja"),
            *check_answer("This is the first line.\nこれは二行目の文章です。\n"),
        ]
        assert {check.verdict for check in made} == set(VERDICTS)
        for check in made:
            for said in (check.message, *(span.note for span in check.spans)):
                assert not re.search("[A-Za-z]{2}", tell(said, language)), (said, check.name)


SENTENCES = [
    (
        "The question is empty. Write an instruction first.",
        "質問が空です。先に質問を入力してください。",
    ),
    (
        "temperature is 7; choose 0 to 5. top_k is 'x'; choose a whole number.",
        "temperature が 7 になっています。0から5までにしてください。"
        "top_k が 'x' になっています。整数を入力してください。",
    ),
    (
        "Line 2 is Japanese; line 3 is English.",
        "2行目は日本語、3行目は英語です。",
    ),
    (
        "Adapter 'x. y' cannot be loaded: its folder lacks config.json.",
        "アダプター 'x. y' は読み込めません。フォルダーに config.json がありません。",
    ),
    (
        "m failed (ValueError: its own words. Kept).",
        "m の実行に失敗しました（ValueError: its own words. Kept）。",
    ),
    (
        "Nobody knows this. Temperature 0 means greedy. Nor this.",
        "Nobody knows this. 温度0は貪欲法を意味します。Nor this.",
    ),
]


@pytest.mark.parametrize(("sentence", "told"), SENTENCES)
def test_tell_in_japanese(sentence: str, told: str) -> None:
    assert tell(sentence, "ja") == told


def test_tell_joins_in_the_language() -> None:
    said = "Commits to an answer: a concluding phrase; the number 12 is not in the question."
    assert tell(said, "zh-TW") == "下了結論：下結論的說法；問題中沒有的數字 12。"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{0} {",
        "foo",
        "a: b; c.",
        "x (y: z).",
        "foo.",
        "日本語。 です",
        "\x00\n;. ;",
        "…; …",
    ],
)
@pytest.mark.parametrize("language", [*LANGUAGES, "xx"])
def test_unknown_text_stays_as_it_is(text: str, language: str) -> None:
    assert tell(text, language) == text


def test_english_is_left_alone() -> None:
    with pytest.raises(QeuError) as error:
        Sampling(temperature=9).checked()
    assert tell(str(error.value), "en") == str(error.value) != tell(str(error.value), "ja")


@pytest.mark.parametrize(
    "text",
    [
        "x" * 1_000_000,
        "a. " * 2_600,
        "; " * 39 + "{0} is {1}; choose " * 300,
        "The file " * 880,
        "Unknown model . Choose one of: ; or type , " * 180,
        " is ; choose  to " * 450 + ".",
        "Rule " + " takes away what rule  adds: " * 260 + "!",
    ],
)
def test_long_and_hostile_texts_are_quick(text: str) -> None:
    started = time.perf_counter()
    tell(text, "ja")
    assert time.perf_counter() - started < 1


def test_the_scan_sees_sentences_however_they_are_written() -> None:
    source = '''
"""Not this sentence of the module."""
NOTE = "A constant, with {dtype} in it."
raise QeuError(f"The file {path!r} is " f"{what} now") from error
raise UsageError("One " + two + " three")
raise ValueError("Not this one either.")
def f(x):
    """Nor this."""
    note = f"line {x}"
    hint = "a way out" if x else f"{x} ways out"
    other = f"{x} ways more"
    db.execute("SELECT this FROM that WHERE a = ?")
    return f"It is {f'{x} and more.'}"
change(what="The edit")
'''
    assert list(shown_templates(source)) == [
        "A constant, with {0} in it.",
        "The file {0} is {1} now",
        "One {0} three",
        "a way out",
        "{0} ways out",
        "{0} and more.",
        "The edit",
    ]
