"""Language identification by script and small words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qeu.core.language import identify, identify_lines

ANY_TEXT = st.text(st.characters(), max_size=200)  # lone surrogates and controls included


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Creator should describe the sea before the storm.", "en"),
        ("Is it bad for you to smoke cigarettes?", "en"),
        ("The café is naïve, and that is fine.", "en"),
        ("Use pandas の DataFrame to read the file and print it.", "en"),
        ("Translate the phrase 「私は猫が好きです」 into natural English.", "en"),
        ("タバコを吸うのは悪いことですか？", "ja"),
        ("看板メニュー", "ja"),
        ("国際連合安全保障理事会決議", "ja"),
        ("気象庁発表", "ja"),
        ("日本銀行、金融政策決定会合で追加利上げ決定", "ja"),
        ("ﾊﾝｶｸ ｶﾅ", "ja"),
        ("这道题的关键是统一单位。", "zh"),
        ("人工智能的发展非常迅速", "zh"),
        ("臺灣的天氣很好，我們去走走吧。", "zh"),
        ("请把“ありがとう”翻译成中文，注意语气。", "zh"),
        ("Die Katze ist auf dem Tisch und schläft.", "und"),
        ("Bonjour, je suis content de vous voir.", "und"),
        ("La vida es un viaje, no un destino.", "und"),
        ("Привет, как дела?", "und"),
        ("안녕하세요, 반갑습니다.", "und"),
        ("مرحبا بالعالم", "und"),
    ],
)
def test_plain_sentences_are_known_for_certain(text: str, language: str) -> None:
    assert identify(text) == (language, True)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Paris", "en"),
        ("x = 5", "en"),
        ("東京", "zh"),
        ("我喜欢の", "zh"),
        ("科学的方法", "zh"),
        ("日本銀行", "zh"),
        ("Pythonでpandas.DataFrameをread_csvで読み込む", "ja"),
    ],
)
def test_short_or_mixed_text_is_a_guess(text: str, language: str) -> None:
    assert identify(text) == (language, False)


@pytest.mark.parametrize("text", ["", "   ", "12.49", "!!!", "\x00", "\ud800", "😀"])
def test_text_without_letters_has_no_language(text: str) -> None:
    assert identify(text) == ("und", False)


def test_names_with_foreign_articles_stay_english() -> None:
    assert identify("| Los Angeles | El Paso | La Jolla | Las Vegas |") == ("en", False)


def test_each_line_is_judged_with_its_place() -> None:
    text = "  Think about the sea first.\n\n  次に波を考えます。\r\n然后再说说人物的感受。\n"
    lines = identify_lines(text)
    assert [(line.language, line.certain) for line in lines] == [
        ("en", True),
        ("ja", True),
        ("zh", True),
    ]
    assert [text[line.start : line.end] for line in lines] == [
        "Think about the sea first.",
        "次に波を考えます。",
        "然后再说说人物的感受。",
    ]


@given(ANY_TEXT)
def test_any_text_gets_an_answer_and_ordered_places(text: str) -> None:
    assert identify(text)[0] in ("en", "ja", "zh", "und")
    end = 0
    for line in identify_lines(text):
        assert end <= line.start < line.end <= len(text)
        assert text[line.start : line.end].strip() == text[line.start : line.end]
        end = line.end


@pytest.mark.parametrize("unit", ["「", "“", '"', "a", "の", "`x", "http://", "\n", "漢"])
def test_a_million_characters_of_one_kind_finish(unit: str) -> None:
    assert len(identify(unit * (1_000_000 // len(unit)))) == 2
