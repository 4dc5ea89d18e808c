"""Usefulness against leak in an evaluation: what is measured, drawn, and said in words."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from qeu.core.eval_spec import EvalSpec, Way
from qeu.core.generation import Generation
from qeu.services.evaluate import evaluate
from qeu.services.evaluate_picture import plot_use, tell_use, use_rows
from qeu.services.evaluate_pool import pool_groups
from qeu.services.evaluate_report import html_report, markdown_report
from qeu.services.evaluate_result import Evaluation
from qeu.services.evaluate_stored import evaluation_from_json, evaluation_to_json
from qeu.services.usefulness_plot import thinned
from qeu.store.workspace import Workspace
from tests.services.evaluate_home import (
    ADAPTER,
    AS_USED,
    AT_BEST,
    Model,
    adapters,
    add,
    product,
    rows,
    run,
    twin,
    workspace,
)
from tests.services.test_usefulness import STUDENT, Engines

__all__ = ["adapters", "workspace"]  # fixtures
RECORDS = 8


class Reader(Model):
    """It thinks of its question's number; its loss is 1 behind that thought, `other` behind another
    one, `none` behind none. Where `leaks` its thought says the answer, too."""

    def __init__(self, other: float = 2.0, none: float = 3.0, leaks: bool = False) -> None:
        super().__init__(self._write)
        self.loss, self.other, self.none, self.leaks = self._lose, other, none, leaks

    def _write(self, prompt: str) -> str | Generation:
        number = prompt.rpartition("What is ")[2].partition(" ")[0]
        if not prompt.endswith("<|reasoning|>"):
            return "no"
        leak = f" So the answer is {product(prompt)}." if self.leaks and int(number) % 2 else ""
        return f"Take number{number} by its tens.{leak}\n<|response|>{product(prompt)}"

    def _lose(self, prompt: str, completion: str) -> float:
        number = prompt.rpartition("What is ")[2].partition(" ")[0]
        thought = prompt.partition("<|reasoning|>")[2].partition("<|response|>")[0]
        if not thought.strip():
            return self.none
        if "the answer is" in thought:
            return 0.1
        # what differs from record to record, so that there is a spread
        return (1.0 if f"number{number}" in thought else self.other) + int(number) / 1_000


def measured(found: Evaluation) -> list[tuple[float | None, float | None, float | None]]:
    return [
        (text.values.get("useful"), text.values.get("gain"), text.leak)
        for text in found.texts
        if text.way == 1
    ]


def test_a_reasoning_is_held_against_anothers_and_against_none(
    workspace: Workspace, adapters: Path
):
    add(workspace, rows(RECORDS))
    found = run(workspace, Reader(), adapters, [AT_BEST, AS_USED])
    assert [(round(a, 6), round(b, 2), leak) for a, b, leak in measured(found)] == [
        (1.0, pytest.approx(1.98, abs=0.02), 0.0)
    ] * RECORDS
    assert all(text.leak is None and "useful" not in text.values for text in found.texts[::2])
    average = found.ways[1].averages["useful"]
    assert (average.value, average.records) == (pytest.approx(1.0), RECORDS)
    assert "useful" not in found.ways[0].averages
    (told,) = tell_use(found)
    assert told.startswith(
        "adapter: the reasonings are useful (+1.000, 95% [+1.000, +1.000], n = 8)"
    )
    assert "They gain against none at all, too (+1.9" in told
    ((name, useful, gain, states, commits, count),) = use_rows(found)
    assert (name, useful[:5], gain[:4], count) == ("adapter", "1.000", "1.97", "8")
    assert states.startswith(("0%", "–"))
    assert commits.startswith("0%")


@pytest.mark.parametrize(
    ("other", "none", "told"),
    [
        (0.5, 0.2, ["the reasonings mislead (-0.500", "With none at all the answer is likelier"]),
        (1.0, 3.0, ["cannot tell whether", "which any text in that place may bring"]),
    ],
)
def test_harm_and_what_any_text_would_bring_are_told_apart(workspace, adapters, other, none, told):
    add(workspace, rows(RECORDS))
    found = run(workspace, Reader(other, none), adapters, [AT_BEST, AS_USED])
    (seen,) = tell_use(found)
    for part in told:
        assert part in seen


def test_leaks_are_cut_before_and_those_that_leak_are_told_apart(workspace, adapters):
    add(workspace, rows(RECORDS))
    model = Reader(leaks=True)
    found = run(workspace, model, adapters, [AT_BEST, AS_USED])
    leaks = [leak for _, _, leak in measured(found)]
    assert [leak >= 0.5 for leak in leaks] == [False, True] * (RECORDS // 2)
    assert [round(useful, 6) for useful, _, _ in measured(found)] == [1.0] * RECORDS
    (told,) = tell_use(found)
    assert "those that leak (4) come to +1.000, those that do not (4) to +1.000." in told


def test_one_record_has_nothing_to_be_held_against(workspace, adapters):
    add(workspace, rows(1))
    found = run(workspace, Reader(), adapters, [AT_BEST, AS_USED])
    assert measured(found) == [(None, pytest.approx(1.98), 0.0)]
    assert plot_use(found) == ""
    (told,) = tell_use(found)
    assert told.startswith("adapter: no other record of its category and language")
    assert "no difference can be told (+1.980, n = 1)" in told
    assert "has a reasoning to hold these against" in html_report(found)


def test_texts_without_a_reasoning_or_a_reference_are_left_out(workspace, adapters):
    some = rows(RECORDS)
    some[0]["output"], some[0]["extra"] = "", {}
    add(workspace, some)
    model = Reader()
    model.write = lambda prompt: "" if " 21 times" in prompt else Reader._write(model, prompt)  # type: ignore[assignment]
    found = run(workspace, model, adapters, [AT_BEST, AS_USED])
    assert [leak is None for *_, leak in measured(found)] == [True, True] + [False] * 6
    assert found.ways[1].averages["useful"].records == 6


def test_whose_losses_are_not_known_is_said(workspace, adapters):
    add(workspace, rows(RECORDS))
    alone = run(workspace, Reader(), adapters, [AT_BEST, AS_USED], losses=False)
    assert tell_use(alone) == ["adapter is not in the picture: no losses were measured."]
    quick = run(workspace, Reader(), adapters, [AT_BEST, AS_USED], usefulness=False)
    assert tell_use(quick) == ["adapter is not in the picture: its usefulness was not measured."]
    assert "answer_loss" in quick.ways[1].averages
    assert not {"useful", "gain"} & set(quick.ways[1].averages)
    hosted = Model(lambda prompt: f"Think of it.\n<|response|>{product(prompt)}")
    hosted.name = "groq/big"
    engines = Engines(hosted, Reader())
    engines.adapters = adapters
    ways = (AS_USED, Way("groq/big", "own", title="big"))
    found = evaluate(engines, workspace, EvalSpec("demo", ways, seeds=1))
    first, second = tell_use(found)
    assert first.startswith("adapter: the reasonings are useful")
    assert second.startswith("big is not in the picture: it runs on a server")
    assert use_rows(found)[1][1] == "–"
    none = run(workspace, Reader(), adapters, [AT_BEST, Way(ADAPTER, "none")])
    assert tell_use(none) == []
    assert "against what they leak" not in html_report(none)


def test_the_picture_has_a_sign_for_each_text_and_a_large_one_for_each_mean(workspace, adapters):
    add(workspace, rows(RECORDS))
    ways = [AT_BEST, AS_USED, Way(ADAPTER, "given", title="given <b>&")]
    found = run(workspace, Reader(), adapters, ways)
    drawn = plot_use(found)
    signs = re.findall(r"<title>(\d+EN) · (.*?) · usefulness", drawn)
    assert len(signs) == 2 * RECORDS
    assert {name for _, name in signs} == {"adapter", "given &lt;b&gt;&amp;"}
    assert drawn.count('class="q-center"') == 2
    page = html_report(found)
    assert drawn in page
    assert "Usefulness of the reasonings against what they leak" in page
    assert "given &lt;b&gt;&amp;" in page
    assert "https://" not in page
    written = markdown_report(found)
    assert "![usefulness](data:image/svg+xml;base64," in written
    assert "what they say makes the reference" in written


def test_leaks_of_given_reasonings_are_measured_too(workspace, adapters):
    some = rows(RECORDS)
    for row in some[:2]:
        row["reasoning"] = f"So the answer is {row['output']}."
    add(workspace, some)
    found = run(workspace, Reader(), adapters, [AT_BEST, Way(ADAPTER, "given")])
    average = found.ways[1].averages["leak_reference"]
    assert (average.value, average.records) == (0.25, RECORDS)
    assert "contract" not in found.ways[1].averages
    # nothing is left of these two: they have a leak, and no usefulness
    assert [useful is None for useful, _, _ in measured(found)] == [True, True] + [False] * 6


def test_trainings_that_are_put_together_keep_their_picture(workspace, adapters):
    for name in ("x-s0", "x-s1"):
        twin(adapters, name)
    add(workspace, rows(RECORDS))
    ways = [AT_BEST, *(Way(f"{STUDENT}@x-s{at}", group="x") for at in (0, 1))]
    found = run(workspace, Reader(), adapters, ways)
    pooled = pool_groups(found)
    assert pooled is not None
    assert pooled.ways[1].averages["useful"].texts == 2 * RECORDS
    assert plot_use(pooled).count('class="q-center"') == 1
    assert len(re.findall(r" · usefulness", plot_use(pooled))) == 2 * RECORDS


def test_what_was_kept_before_there_was_a_picture_is_still_shown(workspace, adapters):
    add(workspace, rows(RECORDS))
    found = run(workspace, Reader(), adapters, [AT_BEST, AS_USED])
    again = evaluation_from_json(evaluation_to_json(found))
    assert plot_use(again) == plot_use(found)
    data = evaluation_to_json(found)
    for text in data["texts"]:
        del text["leak"]
        for name in ("useful", "gain"):
            text["values"].pop(name, None)
    for way in data["ways"]:
        for name in ("useful", "gain"):
            way["averages"].pop(name, None)
    old = evaluation_from_json(data)
    assert plot_use(old) == ""
    assert tell_use(old) == ["adapter is not in the picture: none of its reasonings was measured."]
    figures_only = replace(found, texts=(), records=())
    assert plot_use(figures_only) == ""
    assert tell_use(figures_only)[0].startswith("adapter: the reasonings are useful")


def test_no_more_points_are_drawn_than_can_be_told_apart():
    assert len(thinned(range(5_000))) == 3_000  # type: ignore[arg-type]
    assert list(thinned(range(5))) == [0, 1, 2, 3, 4]  # type: ignore[arg-type]
