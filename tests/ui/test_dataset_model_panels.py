"""Panels that a model helps with, by their handlers: labels by a model, English answers, tokens."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from qeu.backends.base import EchoBackend
from qeu.store.datasets import find_dataset
from qeu.store.queries import read_facets
from qeu.ui.sentences import tell
from qeu.ui.strings import LANGUAGES, text
from qeu.ui.visibility import OFF
from tests.fake_shelf import FakeShelf, Step
from tests.services.test_data_model_labels import Judge
from tests.ui.test_dataset_panels import ROWS, Page, write

MODEL, EMBEDDED = "llama-3-8b", "smollm2-135m"
MATH = [{"seq": f"{n}EN", "instruction": f"How much is {n} + 1?"} for n in range(1, 21)]


@pytest.fixture
def page(tmp_path: Path) -> Page:
    return Page(tmp_path / "home")


def ask(page: Page, judge: Judge, rows: list[dict[str, object]] = MATH) -> None:
    """The label panel set to the category, by this judge."""
    page.has_data(rows)
    panel = page["label"]
    page.context.shelf = FakeShelf(judge)  # type: ignore[assignment]
    page.set((panel.model_dd, judge.name), (panel.fields_cbs, ["category"]))


def categories(page: Page) -> dict[str, int]:
    dataset = find_dataset(page.workspace, "demo")
    return dict(read_facets(page.workspace, dataset)["category"])


class TestLabelsByAModel:
    def test_it_is_asked_once_shown_and_applied(self, page: Page) -> None:
        judge = Judge([("much", "mathematics", 5.0), ("2 +", "programming", 5.2)])
        ask(page, judge)
        panel = page["label"]
        page.do(panel.on_preview(page.data, page.request))
        shown = page.data[panel.report]
        assert f"{MODEL} was asked about 20 of 20 records; less than 60% sure, and so" in shown
        assert "for the review queue: 2." in shown
        assert "20 of 20 records would change" in shown
        assert "<b>18</b>" in shown  # how many got the label
        assert "math" not in categories(page)
        asked = len(judge.asked)
        page.set((panel.sure_slider, 0.4))
        page.do(panel.on_preview(page.data, page.request))
        assert "for the review queue: 0." in page.data[panel.report]
        page.set((panel.sure_slider, 0.6))
        page.do(panel.on_apply(page.data, page.request))
        assert len(judge.asked) == asked
        assert "20 records changed" in page.data[panel.report]
        assert "2 records wait" in page.data[panel.report]
        assert page.data[page.place.changed] == 1
        assert categories(page) == {"math": 18, "code": 2}
        assert page.workspace.events("dataset/demo")[-1].data["model"] == MODEL
        page.do(panel.on_queue(page.data, page.request))
        assert page.data[page.place.filter_state] == {"review": ["category"]}

    def test_a_model_that_is_not_fit_says_why_and_runs_anyway(self, page: Page) -> None:
        judge = Judge([], EMBEDDED)
        ask(page, judge)
        panel = page["label"]
        seen = page.do(panel.on_warning(page.data, page.request))
        assert "is not fit to label records: choose Llama-3 8B" in page.data[panel.banner]
        assert "tick “Run anyway”" in page.data[panel.banner]
        assert seen[panel.anyway_cb]["visible"] is True
        for handler in (panel.on_preview, panel.on_apply):
            page.do(handler(page.data, page.request))
            assert "Choose another model first" in page.data[panel.line]
        assert judge.asked == []
        page.set((panel.anyway_cb, True))
        page.do(panel.on_warning(page.data, page.request))
        assert "Running anyway: SmolLM2 135M" in page.data[panel.banner]
        page.do(panel.on_preview(page.data, page.request))
        assert "20 of 20" in page.data[panel.report]
        assert page.data[panel.anyway_cb] is True
        page.do(panel.on_warning(page.data, page.visitor(language="ja")))
        assert "ラベル付けに向いていません" in page.data[panel.banner]
        page.set((panel.model_dd, MODEL))
        seen = page.do(panel.on_warning(page.data, page.request))
        assert page.data[panel.banner] == ""
        assert seen[panel.anyway_cb]["visible"] == OFF
        assert page.data[panel.anyway_cb] is False

    def test_the_language_of_the_records_counts(self, page: Page) -> None:
        page.has_data()
        panel = page["label"]
        page.set((panel.model_dd, MODEL))
        page.do(panel.on_warning(page.data, page.request))
        assert page.data[panel.banner] == ""
        marked = {ref: label for label, ref in panel.model_dd.choices}
        assert marked[EMBEDDED].endswith("⚠")
        assert not marked[MODEL].endswith("⚠")

    def test_a_stop_keeps_what_was_asked_and_preview_goes_on(self, page: Page) -> None:
        judge = Judge([("much", "mathematics", 5.0)])
        judge.stop_after = 2
        ask(page, judge)
        panel = page["label"]
        page.do(panel.on_preview(page.data, page.request))
        assert "8 of 20 records" in page.data[panel.report]
        assert "It was stopped" in page.data[panel.report]
        page.do(panel.on_apply(page.data, page.request))
        assert categories(page)["math"] == 8
        assert len(judge.asked) == 3
        judge.asked, judge.stop_after = [], 100
        page.do(panel.on_preview(page.data, page.request))
        assert "20 of 20 records; " in page.data[panel.report]

    def test_the_second_preview_asks_about_the_others_only(self, page: Page) -> None:
        judge = Judge([])
        judge.stop_after = 2
        ask(page, judge)
        panel = page["label"]
        page.do(panel.on_preview(page.data, page.request))
        judge.asked, judge.stop_after = [], 100
        page.do(panel.on_preview(page.data, page.request))
        assert judge.asked == [1, 8, 4]
        assert "20 of 20" in page.data[panel.report]

    def test_a_stop_while_applying_changes_nothing_yet(self, page: Page) -> None:
        judge = Judge([("much", "mathematics", 5.0)])
        judge.stop_after = 2
        ask(page, judge)
        panel = page["label"]
        page.do(panel.on_apply(page.data, page.request))
        assert "nothing has changed" in page.data[panel.line]
        assert "8 of 20 records would change" in page.data[panel.report]
        assert "math" not in categories(page)
        assert page.data[page.place.changed] == 0
        judge.stop_after = 0
        page.set((panel.fields_cbs, ["field"]))
        page.do(panel.on_preview(page.data, page.request))
        assert "Stopped." in page.data[panel.line]

    def test_loading_is_seen_as_such(self, page: Page) -> None:
        judge = Judge([])
        ask(page, judge)
        panel, seen = page["label"], []
        page.context.shelf.steps = (Step("download", 1, 4),)  # type: ignore[attr-defined]
        work = SimpleNamespace(
            note=lambda *told: seen.append(told),
            tell=lambda *told: None,
            stopping=SimpleNamespace(is_set=lambda: False, set=lambda: None),
        )
        panel.make_preview(page.data, page.request)(work)
        assert (1, 4, "load.download") in seen
        assert (20, 20, "data.label.asking") in seen

    @pytest.mark.parametrize(
        ("model", "told"),
        [("owner/other", "is not offered here"), ("groq/llama-3.1-8b-instant", "not offered")],
    )
    def test_on_a_public_page_only_models_of_the_table(
        self, tmp_path: Path, model: str, told: str
    ) -> None:
        page = Page(tmp_path / "home", public=True)
        judge = Judge([], model)
        ask(page, judge)
        panel = page["label"]
        page.do(panel.on_warning(page.data, page.request))
        assert told in page.data[panel.banner]
        page.do(panel.on_apply(page.data, page.request))
        assert told in page.data[panel.line]
        assert judge.asked == []

    def test_a_model_on_a_server_tells_no_probabilities(self, page: Page) -> None:
        ask(page, Judge([], "groq/some"))
        panel = page["label"]
        page.do(panel.on_warning(page.data, page.request))
        assert "runs on a server" in page.data[panel.banner]


class TestEnglishAnswersFromAFile:
    def test_they_are_previewed_applied_and_kept_with_their_writer(
        self, page: Page, tmp_path: Path
    ) -> None:
        page.has_data()
        panel = page["english"]
        rows = [
            {"seq": "3JA", "output": "It is frozen water."},
            {"seq": "1EN", "output": "Not for an English record."},
        ]
        page.set(
            (panel.file, write(tmp_path / "answers.json", rows)),
            (panel.model_box, "a person"),
            (panel.licence_box, "cc0-1.0"),
        )
        page.do(panel.on_preview(page.data, page.request))
        shown = page.data[panel.report]
        assert "Answers in answers.json: 2; for records meant here that are not English: 1" in shown
        assert "It is frozen water." in shown
        assert "nothing is missing" in shown
        assert page.record("3JA").record.output == "凍った水です。"
        page.do(panel.on_apply(page.data, page.request))
        stored = page.record("3JA")
        assert (stored.record.output, stored.review) == ("It is frozen water.", "")
        assert page.record("1EN").record.output == "Frozen water."
        assert "Answers in answers.json: 2" in page.data[panel.report]
        data = page.workspace.events("dataset/demo")[-1].data
        assert (data["model"], data["licence"]) == ("a person", "cc0-1.0")

    @pytest.mark.parametrize(
        ("rows", "told"),
        [
            ([{"seq": "9JA", "output": "x"}], "0 records of &#x27;demo&#x27; have the seq"),
            ([{"seq": "3JA"}], "expected texts named seq and output"),
            ("", "is empty"),
        ],
    )
    def test_a_file_that_does_not_fit_is_told_and_changes_nothing(
        self, page: Page, tmp_path: Path, rows: object, told: str
    ) -> None:
        page.has_data()
        panel = page["english"]
        page.set((panel.file, write(tmp_path / "answers.json", rows)))
        page.do(panel.on_apply(page.data, page.request))
        assert told in page.data[panel.line].replace("&#39;", "&#x27;")
        assert page.record("3JA").record.input == ""

    def test_a_large_file_is_refused_on_a_public_page(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("qeu.ui.dataset_english_panel.MOST_PUBLIC_BYTES", 10)
        page = Page(tmp_path / "home", public=True)
        page.has_data()
        panel = page["english"]
        page.set((panel.file, write(tmp_path / "answers.json", ROWS)))
        page.do(panel.on_preview(page.data, page.request))
        assert "larger than" in page.data[panel.line]


def test_the_share_longer_than_a_limit_is_told(page: Page) -> None:
    page.has_data([{"instruction": "Why? " * 200}, *ROWS[:3]])
    panel, engine = page["stats"], EchoBackend()
    page.context.shelf = SimpleNamespace(load=lambda name, stop: engine)  # type: ignore
    page.set((panel.model_dd, EMBEDDED))
    page.do(panel.on_count(page.data, page.request))
    shown = page.data[panel.report]
    assert "Whole record, as trained" in shown
    assert f"Longer than so many tokens of {engine.name} · chat" in shown
    assert re.findall(r"&gt; [\d,]+ · [\d.]+%(?=</span>)", shown)[:2] == [
        "&gt; 256 · 100.0%",
        "&gt; 512 · 25.0%",
    ]


def test_a_picture_says_what_to_do_in_every_language(page: Page, tmp_path: Path) -> None:
    path, panel = tmp_path / "rows.png", page["import"]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 50)
    page.set((panel.files, [str(path)]))
    page.do(panel.on_files(page.data, page.request))
    told = "The file rows.png is a picture: copy its rows into a table, then import that."
    assert told in str(page.data[panel.sample])
    for code in LANGUAGES:
        assert (tell(told, code) == told) is (code == "en")
    assert tell(told, "ja") == (
        "ファイル rows.png は画像です。中の行を表に書き写し、それを取り込んでください。"
    )


def test_the_shown_model_names_are_told_in_every_language() -> None:
    for code in LANGUAGES:
        assert "{" not in text("data.label.unfit.cannot_read", code, model="m", spoken="s")
