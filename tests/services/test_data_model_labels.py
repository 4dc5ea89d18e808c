"""A model labels records by probability: asked in batches, corrected, refused where it is unfit."""

import math
import threading

import pytest

from qeu.backends.scoring import TextScore
from qeu.backends.shelf import Shelf
from qeu.core.errors import QeuError
from qeu.core.label_prompts import ask_label
from qeu.core.labels import ALLOWED, LABELS
from qeu.core.record import Record
from qeu.core.settings import Settings
from qeu.services.data_labels import LabelOptions, run_labels
from qeu.services.data_model_labels import (
    choose_label,
    explain_unfit,
    label_warning,
    score_dataset,
)
from qeu.store.changes import edit_record
from qeu.store.filters import Filter
from qeu.store.queries import read_facets, read_page
from qeu.store.workspace import Workspace
from tests.fake_shelf import FakeShelf, ScriptedBackend
from tests.store.dataset_rows import fill

MODEL = "llama-3-8b"


class Judge(ScriptedBackend):
    """Finds every label as probable as its length allows; `hears` raises one by a word."""

    def __init__(self, hears, name=MODEL):
        super().__init__(name, ["x"])
        self.hears, self.asked, self.adapters = hears, [], set()
        self.stop_after = math.inf

    def score(self, rows, adapter=None, stop=None):
        self.asked.append(len(rows))
        self.adapters.add(adapter)
        if len(self.asked) > self.stop_after:
            stop.set()
            return []
        return [
            tuple(TextScore(self._score(row.prompt, choice), 1) for choice in row.choices)
            for row in rows
        ]

    def _score(self, prompt, choice):
        text = prompt.messages[0].content.partition("Choose")[0]
        more = sum(gain for word, label, gain in self.hears if word in text and label in choice)
        return more - len(choice)


@pytest.fixture
def workspace(tmp_path):
    made = Workspace(tmp_path / "qeu.db")
    yield made
    made.close()


def test_a_label_is_what_the_content_speaks_for_not_what_is_likely_anyway():
    label = choose_label({"a": -1.0, "b": -9.0}, {"a": -1.0, "b": -12.0})
    assert (label.value, label.why) == ("b", "log-probability")
    assert label.confidence == pytest.approx(math.exp(3) / (math.exp(3) + 1))


def test_every_allowed_label_has_a_text_of_its_own_in_both_kinds_of_prompt():
    record = Record("質問" * 1000, output="答え" * 1000)
    asked = 0
    for name in LABELS:
        question = ask_label(record, name, "chat")
        assert list(question.choices) == list(ALLOWED[name])
        assert len(set(question.choices.values())) == len(ALLOWED[name])
        assert all(text.startswith(" ") and text.strip() for text in question.choices.values())
        plain = ask_label(record, name, "bonsai-v2")
        assert plain.prompt.text == (
            f"{question.prompt.messages[0].content}\n{question.prompt.prefill}"
        )
        assert len(plain.prompt.text) < 1000
        asked += 1
    assert asked == 4


def test_labels_are_scored_in_turns_then_set_as_one_change(workspace):
    dataset = fill(workspace, 20, output="")
    judge = Judge([("coffee", "mathematics", 5.0), ("学校", "programming", 0.5)])
    shelf = FakeShelf(judge)
    told = []
    labels = score_dataset(
        shelf, workspace, dataset, f"{MODEL}@poems", ("category", "language"),
        progress=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    assert (labels.scored, labels.total, told) == (20, 20, [(8, 20), (16, 20), (20, 20)])
    assert judge.asked == [2, 16, 16, 8]  # without content first, then two fields each
    assert judge.adapters == {"poems"}
    assert shelf.queue.turns == 4
    options = LabelOptions(("category",), given=labels.given, model=labels.model)
    assert run_labels(workspace, dataset, options).changed == 20
    counts = dict(read_facets(workspace, dataset)["category"])
    assert (counts["math"], counts["code"]) == (7, 7)  # rows by turns: English, Japanese, Chinese
    assert dict(read_facets(workspace, dataset)["review"]) == {"": 7, "category": 13}
    chosen = labels.given[read_page(workspace, dataset).rows[0].id].labels["category"]
    assert chosen.confidence == pytest.approx(math.exp(5) / (math.exp(5) + 9))


def test_a_stop_keeps_what_was_asked(workspace):
    dataset = fill(workspace, 20)
    judge = Judge([])
    judge.stop_after = 2
    stop = threading.Event()
    labels = score_dataset(FakeShelf(judge), workspace, dataset, MODEL, ("field",), stop=stop)
    assert (labels.scored, labels.total) == (8, 20)
    judge = Judge([])
    labels = score_dataset(FakeShelf(judge), workspace, dataset, MODEL, ("field",), stop=stop)
    assert (labels.scored, judge.asked) == (0, [1])
    assert len(workspace.read("SELECT * FROM events")) == 1


def test_what_was_asked_before_is_not_asked_again_unless_it_changed(workspace):
    dataset = fill(workspace, 20)
    judge = Judge([])
    shelf = FakeShelf(judge)
    known = score_dataset(shelf, workspace, dataset, MODEL, ("field", "category"))
    first = read_page(workspace, dataset).rows[0]
    edit_record(workspace, dataset, first.id, first.version, "output", "Other.")
    judge.asked = []
    labels = score_dataset(shelf, workspace, dataset, MODEL, ("field",), known=known)
    assert (labels.scored, labels.fields, judge.asked) == (20, ("field",), [1, 1])
    assert labels.given[first.id].version == first.version + 1
    judge.asked = []
    again = score_dataset(shelf, workspace, dataset, MODEL, ("field",), known=labels)
    assert (again.given, judge.asked) == (labels.given, [])
    score_dataset(shelf, workspace, dataset, MODEL, ("category",), known=labels)
    assert sum(judge.asked) == 21


def test_nobody_waits_for_the_workspace_while_a_model_is_asked(workspace):
    dataset = fill(workspace, 3)
    other = Workspace(workspace.path)
    changed = []

    class Slow(Judge):
        def score(self, rows, adapter=None, stop=None):
            with other.change():
                changed.append(1)
            return super().score(rows, adapter, stop)

    score_dataset(FakeShelf(Slow([])), workspace, dataset, MODEL, ("field",))
    other.close()
    assert changed == [1, 1]


def test_a_model_that_is_not_fit_is_refused_unless_it_is_run_anyway(workspace):
    dataset = fill(workspace, 3)
    judge = Judge([], "smollm2-135m")
    shelf = FakeShelf(judge)
    with pytest.raises(QeuError, match=r"not fit to label records\. Choose one that is: llama"):
        score_dataset(shelf, workspace, dataset, "smollm2-135m")
    assert shelf.calls == []
    labels = score_dataset(shelf, workspace, dataset, "smollm2-135m", run_anyway=True)
    assert labels.scored == 3
    assert label_warning(workspace, dataset, MODEL) is None
    unfit = label_warning(workspace, dataset, "smollm2-135m", Filter(language=("en",)))
    assert explain_unfit(unfit).startswith("SmolLM2 135M Instruct (embedded) is not fit to label")
    with pytest.raises(QeuError, match="runs on a server"):
        score_dataset(shelf, workspace, dataset, "groq/llama-3.1-8b-instant")
    with pytest.raises(QeuError, match="Unknown model"):
        score_dataset(shelf, workspace, dataset, str(workspace.path.parent), local_paths=False)
    with pytest.raises(QeuError, match="'colour'"):
        score_dataset(shelf, workspace, dataset, MODEL, ("colour",))


def test_an_empty_choice_of_records_asks_nothing(workspace):
    dataset = fill(workspace, 3)
    judge = Judge([])
    where = Filter(search="nowhere")
    assert score_dataset(FakeShelf(judge), workspace, dataset, MODEL, where=where).total == 0
    assert judge.asked == []


@pytest.mark.slow
def test_the_embedded_model_labels_for_real_when_it_is_run_anyway(
    workspace, embedded_path, tmp_path
):
    dataset = fill(workspace, 4)
    shelf = Shelf(Settings(cache=embedded_path.parent, adapters=tmp_path))
    labels = score_dataset(shelf, workspace, dataset, "smollm2-135m", run_anyway=True)
    assert labels.scored == 4
    for given in labels.given.values():
        assert set(given.labels) == set(LABELS)
        assert all(0 < label.confidence <= 1 for label in given.labels.values())
