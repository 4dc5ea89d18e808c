"""Usefulness against leak on the Evaluate tab: picture, words and rows, in every language."""

from dataclasses import replace
from pathlib import Path

import pytest

from qeu.services.evaluate_result import Evaluation
from qeu.services.evaluate_stored import KeptEvaluation
from qeu.store.workspace import Workspace
from qeu.ui.evaluate_use_view import use_html
from qeu.ui.evaluate_view import evaluation_html
from qeu.ui.strings import LANGUAGES, words
from tests.services.evaluate_home import (
    ADAPTER,
    AS_USED,
    AT_BEST,
    Way,
    adapters,
    add,
    rows,
    run,
    workspace,
)
from tests.services.test_evaluate_picture import Reader

__all__ = ["adapters", "workspace"]  # fixtures
EVIL = "<img src=x onerror=alert(1)> ${x}`"


@pytest.fixture
def found(workspace: Workspace, adapters: Path) -> Evaluation:
    add(workspace, rows(8))
    ways = [AT_BEST, AS_USED, Way(ADAPTER, "given", title="given")]
    return run(workspace, Reader(), adapters, ways)


@pytest.mark.parametrize("language", LANGUAGES)
def test_picture_words_and_a_row_for_each_way_behind_a_reasoning(found: Evaluation, language: str):
    html = use_html(found, language)
    known = words(language)
    for key in ("evaluate.use.title", "usefulness.plot.leak", "usefulness.plot.useful"):
        assert known[key] in html
    assert html.count("<title>") >= 2 * 8 + 2
    assert html.count('<th scope="row">') == 2
    assert "+1.000" in html
    assert html.count('class="q-seen"') == 2


def test_names_of_others_are_shown_as_text(found: Evaluation):
    ways = tuple(
        replace(way, facts=replace(way.facts, name=f"{EVIL} {at}"))
        for at, way in enumerate(found.ways)
    )
    html = use_html(replace(found, ways=ways), "en")
    assert "<img" not in html
    assert not set("`${}") & set(html)
    assert html.count("&lt;img") > 10


def test_without_a_way_behind_a_reasoning_there_is_nothing(workspace, adapters):
    add(workspace, rows(3))
    assert use_html(run(workspace, Reader(), adapters, [AT_BEST]), "en") == ""


def test_one_verdict_stands_on_top_and_the_others_fold_away(found: Evaluation):
    kept = KeptEvaluation(found, 8, ())
    head, _, rest = evaluation_html(kept, "", (), "en").partition("<details")
    assert head.count('class="q-verdict q-') == 1
    assert found.pairs[0].sentence.split("(")[0].strip() in head
    assert rest.count('class="q-verdict q-') == len(found.pairs) - 1
    alone = replace(found, pairs=found.pairs[:1])
    assert "q-more-verdicts" not in evaluation_html(replace(kept, evaluation=alone), "", (), "en")
