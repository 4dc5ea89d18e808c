"""Language trial: what is asked in each cell, how texts are judged, what the totals say."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from qeu.backends.catalog import find_model
from qeu.core.errors import UsageError
from qeu.core.language import identify
from qeu.core.sampling import Sampling
from qeu.services.runs import Live, broken_generation
from qeu.services.trial import (
    ANSWER_IN,
    LANGUAGES,
    Cell,
    Trial,
    cell_record,
    find_item,
    list_items,
    short_sampling,
    start_trial,
    unfit_languages,
)
from qeu.services.trial_verdicts import (
    Reading,
    Share,
    Verdict,
    export_csv,
    export_json,
    judge,
    judge_all,
    judge_live,
    read_grid,
    tally,
)

MODEL = "smollm2-135m"
SAYS = {
    "en": "It means that careful and patient work leads to a better result than haste.",
    "ja": "急いでいるときほど、遠回りでも安全な道を選ぶほうがよいという意味です。",
    "zh": "这句话的意思是，做事太着急反而达不到目的。",
}
GRID = Trial(MODEL).cells()


def ended(cell: Cell, text: str, reason: str = "stop") -> Live:
    """A cell's ask after its end."""
    ask = next(ask for ask in Trial(MODEL).asks() if ask.key == cell.key)
    live = Live(ask, text=text)
    error = "The model broke." if reason == "error" else ""
    live.end(broken_generation(live, reason, error))
    return live


def grid_of(language_of: Callable[[Cell], str]) -> dict[Cell, Verdict]:
    """Verdicts of a model that writes by a rule."""
    return {cell: judge(SAYS[language_of(cell)], "stop", cell.answer) for cell in GRID}


# -- what is asked -------------------------------------------------------------------------------


def test_the_whole_grid_has_27_different_questions() -> None:
    asks = Trial(MODEL).asks()
    assert len(asks) == 27
    assert len({(ask.record.instruction, ask.record.input) for ask in asks}) == 27
    assert {ask.target for ask in asks} == {"answer"}


def test_a_cell_asks_in_its_own_three_languages() -> None:
    record = cell_record(find_item("saying"), Cell("ja", "zh", "en"))
    assert record.instruction == (
        "次のことわざの意味を、二文で説明してください。英語で書いてください。"
    )
    assert record.input == "欲速则不达。"
    english = cell_record(find_item("saying"), Cell("en", "en", "ja"))
    assert english.instruction.endswith("saying means. Write in Japanese.")


def test_cells_stand_in_the_languages_own_order_however_they_were_ticked() -> None:
    cells = Trial(MODEL, instructions=("ja",), contents=("zh", "en"), answers=("ja", "en")).cells()
    assert [cell.key for cell in cells] == ["ja-en-en", "ja-en-ja", "ja-zh-en", "ja-zh-ja"]
    assert [Cell.from_key(cell.key) for cell in cells] == cells


def test_every_question_is_written_in_the_languages_it_claims() -> None:
    assert len(list_items()) >= 3
    for item in list_items():
        for code in LANGUAGES:
            assert identify(item.instruction[code])[0] == code, item.id
            assert identify(item.content[code])[0] == code, item.id
            assert set(ANSWER_IN[code]) == set(LANGUAGES)


def test_no_question_gives_its_answer_language_away_in_another_language() -> None:
    for item in list_items():
        for cell in GRID:
            instruction = cell_record(item, cell).instruction
            assert identify(instruction)[0] == cell.instruction, (item.id, cell)


@pytest.mark.parametrize("axis", ["instructions", "contents", "answers"])
def test_an_axis_with_nothing_ticked_is_refused(axis: str) -> None:
    with pytest.raises(UsageError, match="Tick at least one"):
        Trial(MODEL, **{axis: ()}).asks()


def test_what_cannot_be_meant_is_said() -> None:
    with pytest.raises(UsageError, match="'fr' is not in the trial"):
        Trial(MODEL, answers=("fr",)).asks()
    with pytest.raises(UsageError, match="Choose one of: saying"):
        Trial(MODEL, item="poem").asks()
    with pytest.raises(UsageError, match="No model"):
        Trial("").asks()
    with pytest.raises(UsageError, match="layout"):
        Trial(MODEL, layout="alpaca").asks()
    with pytest.raises(UsageError, match="max_new_tokens"):
        short_sampling(Sampling(), 0)


def test_an_english_model_is_unfit_for_what_is_ticked_and_for_nothing_else() -> None:
    card = find_model(MODEL)
    assert unfit_languages(card, Trial(MODEL)) == (("ja", "zh"), ("ja", "zh"))
    english = Trial(MODEL, instructions=("en",), contents=("en",), answers=("en", "zh"))
    assert unfit_languages(card, english) == ((), ("zh",))
    assert unfit_languages(find_model("someone/new-model"), Trial(MODEL)) == ((), ())


# -- judging -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason", "asked", "kind", "language"),
    [
        (SAYS["ja"], "stop", "ja", "as_asked", "ja"),
        (SAYS["ja"], "length", "zh", "other", "ja"),
        (SAYS["en"], "cancelled", "en", "as_asked", "en"),
        ("Esto significa que es mejor ir despacio, pero no siempre.", "stop", "en", "other", "und"),
        ("OK", "stop", "en", "uncertain", "en"),
        ("12345 !!!", "stop", "en", "uncertain", "und"),
        ("the the the the", "loop", "en", "loop", "en"),
        (" \n", "stop", "en", "empty", "und"),
        ("", "error", "en", "failed", "und"),
    ],
)
def test_verdicts(text: str, reason: str, asked: str, kind: str, language: str) -> None:
    verdict = judge(text, reason, asked)
    assert (verdict.kind, verdict.language) == (kind, language)


def test_a_cell_stopped_before_its_first_word_has_no_verdict() -> None:
    cell = Cell("en", "en", "en")
    assert judge_live(ended(cell, "", "cancelled")) is None
    assert judge_live(Live(ended(cell, "").ask)) is None
    assert judge_live(ended(cell, SAYS["en"], "cancelled")) == Verdict("as_asked", "en", True)
    assert judge_live(ended(cell, "", "error")) == Verdict("failed")


def test_totals_count_by_every_axis() -> None:
    found = tally(grid_of(lambda cell: cell.instruction))
    assert found.overall == Share(9, 27)
    each = dict.fromkeys(LANGUAGES, Share(3, 9))
    assert (found.by_instruction, found.by_content, found.by_answer) == (each, each, each)
    assert found.kinds == {"as_asked": 9, "other": 18}


def test_a_loop_in_the_language_asked_is_not_counted_for_it() -> None:
    cell = Cell("en", "en", "en")
    found = tally({cell: judge("and so on and so on", "loop", "en")})
    assert found.overall == Share(0, 1)


@pytest.mark.parametrize(
    ("rule", "reading"),
    [
        (lambda cell: cell.answer, Reading("knows", 27, 27)),
        (lambda cell: "en", Reading("fixed", 27, 27, "en")),
        (lambda cell: cell.instruction, Reading("instruction", 27, 27)),
        (lambda cell: cell.content, Reading("content", 27, 27)),
        (lambda cell: cell.answer if cell.content != "zh" else "en", Reading("partly", 21, 27)),
        (
            lambda cell: {"en": cell.instruction, "ja": "ja", "zh": "en"}[cell.content],
            Reading("mixed", 9, 27),
        ),
    ],
)
def test_the_reading_names_the_rule_a_model_follows(
    rule: Callable[[Cell], str], reading: Reading
) -> None:
    assert read_grid(grid_of(rule)) == reading


def test_the_reading_claims_nothing_that_the_grid_cannot_show() -> None:
    one_column = {c: v for c, v in grid_of(lambda cell: "en").items() if c.answer == "en"}
    assert read_grid(one_column).code == "narrow"
    vague = {cell: judge("OK", "stop", cell.answer) for cell in GRID}
    assert read_grid(vague) == Reading("unclear", 0, 27)
    assert read_grid({}).code == "unclear"


# -- taking it away ------------------------------------------------------------------------------


def test_the_csv_has_every_cell_and_nothing_a_spreadsheet_would_compute() -> None:
    cell = Cell("en", "ja", "zh")
    lives = {cell.key: ended(cell, '=HYPERLINK("http://example.com")\n"quoted", 改行')}
    written = export_csv(lives)
    assert written.startswith("\ufeff")
    rows = list(csv.DictReader(io.StringIO(written.removeprefix("\ufeff"))))
    assert len(rows) == 1
    assert rows[0]["text"] == '\'=HYPERLINK("http://example.com")\n"quoted", 改行'
    assert (rows[0]["instruction"], rows[0]["content"], rows[0]["answer"]) == ("en", "ja", "zh")


def test_the_json_tells_settings_totals_reading_and_texts_as_they_are() -> None:
    lives = {cell.key: ended(cell, SAYS["en"]) for cell in GRID}
    data = json.loads(export_json(Trial(MODEL), lives))
    assert data["settings"]["item"] == "saying"
    assert data["tally"]["overall"] == {"hits": 9, "total": 27}
    assert data["reading"]["code"] == "fixed"
    assert [row["text"] for row in data["cells"]] == [SAYS["en"]] * 27


@pytest.mark.slow
def test_the_embedded_model_runs_the_grid_and_does_not_know_its_language(
    embedded_path: Path, tmp_path: Path
) -> None:
    from qeu.backends.shelf import Shelf
    from qeu.core.settings import Settings

    assert embedded_path.is_dir()
    shelf = Shelf(Settings(home=tmp_path, device="cpu"))
    sampling = Sampling(greedy=True, max_new_tokens=24)
    trial = Trial(MODEL, item="leaves", contents=("en",), sampling=sampling)
    run = start_trial(shelf, trial)
    assert run.wait(300)
    assert [live.error for live in run.live.values()] == [""] * 9
    assert {live.generation.receipt.batch for live in run.live.values()} == {9}  # type: ignore
    verdicts = judge_all(run.live)
    assert len(verdicts) == 9
    assert verdicts[Cell("en", "en", "en")].kind == "as_asked"
    assert tally(verdicts).overall.hits < 9
