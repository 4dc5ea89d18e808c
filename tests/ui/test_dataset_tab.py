"""The Dataset tab by its handlers: pages, filters, decisions, edits, conflicts, undo, take-over."""

import json
import threading
from types import SimpleNamespace

import gradio as gr
import pytest
from fake_shelf import FakeShelf, ScriptedBackend
from store.dataset_rows import fill

from qeu.core.settings import Settings
from qeu.services.data_check import check_dataset
from qeu.services.data_edit import edit_fields
from qeu.services.shipped_data import SPLITS, import_shipped
from qeu.store.changes import change_records
from qeu.store.datasets import Stopped
from qeu.store.filters import Filter
from qeu.store.queries import count_matching, get_record, read_facets, read_page
from qeu.store.undo import next_undo, read_history, read_origins
from qeu.ui.compare_tab import CompareTab
from qeu.ui.context import DEFAULT_MODEL, Context, Words
from qeu.ui.dataset_tab import DatasetTab
from qeu.ui.sampling_form import SamplingForm
from qeu.ui.strings import LANGUAGES, words

HTML = '<img src=x onerror="window.hacked=1"> ${alert(2)} {{x}}'


class Shelf(FakeShelf):
    """The fake one, which also says what it holds."""

    def loaded(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(model_id=name) for name in self.in_memory]


class Page:
    """A built tab, the values its controls have, and what it shows."""

    def __init__(self, tmp_path, public: bool = False) -> None:
        self.shelf = Shelf(ScriptedBackend(DEFAULT_MODEL, ["A", " new", " answer."]))
        self.context = Context(Settings(home=tmp_path, public=public), self.shelf)
        say = Words(gr.I18n(**{code: dict(words(code)) for code in LANGUAGES}))
        with gr.Blocks():
            sampling = SamplingForm(say, "common")
            switches = {"live": gr.Checkbox(), "exact": gr.Checkbox()}
            with gr.Tabs() as self.tabs:
                with gr.Tab("a"):
                    models = [(DEFAULT_MODEL, DEFAULT_MODEL)]
                    self.compare = CompareTab(self.context, say, sampling, switches, models)
                with gr.Tab("b") as tab:
                    self.tab = DatasetTab(self.context, say)
            self.actions = self.compare.wire({})
            self.tab.wire(tab, self.tabs, self.actions.form, {})
        self.browser, self.detail = self.tab.browser, self.tab.browser.detail
        self.do = self.tab.do
        inputs = self.browser.inputs() | self.tab.place.components()
        inputs |= self.detail.training_inputs() | self.tab.review.form()
        self.data = {component: component.value for component in inputs}
        self.updates: dict = {}

    @property
    def workspace(self):
        return self.context.workspace

    def take(self, updates: dict) -> dict:
        """Bring updates into what the next handler reads, as the browser does."""
        self.updates = updates
        for component, value in updates.items():
            if isinstance(value, dict) and "__type__" in value:
                if "value" not in value:
                    continue
                value = value["value"]
            if component in self.data:
                self.data[component] = value
        return updates

    def open(self, name: str = "demo", language: str = "en") -> dict:
        self.data[self.tab.place.name_dd] = name
        return self.take(self.tab.on_refresh(self.data, visitor(language=language)))

    def act(self, do: str, value: object = "", name: str = "", language: str = "en") -> dict:
        event = SimpleNamespace(_data={"do": do, "value": str(value), "name": name})
        return self.take(self.do.on_act(self.data, event, visitor(language=language)))

    def edit(self, **values: str) -> dict:
        """Open the form and change these fields."""
        self.take(self.do.on_edit(self.data, visitor()))
        for field, value in values.items():
            self.data[self.detail.boxes[field]] = value
        return self.updates

    def save(self) -> dict:
        return self.take(self.do.on_save(self.data, visitor()))

    def step(self, name: str) -> None:
        for updates in self.tab.steps.on_step(name, self.data, visitor()):
            self.take(updates)

    @property
    def state(self) -> dict:
        return self.data[self.browser.state]

    @property
    def notice(self) -> str:
        return str(self.updates.get(self.tab.place.notice, ""))


def visitor(name: str = "one", language: str = "en") -> SimpleNamespace:
    """A request as far as handlers look at it."""
    headers = {"accept-language": language}
    return SimpleNamespace(session_hash=name, cookies={}, headers=headers, query_params={})


@pytest.fixture
def page(tmp_path) -> Page:
    """120 records, languages and categories by turns, opened."""
    found = Page(tmp_path)
    found.dataset = fill(found.workspace, 120)
    found.open()
    return found


def record(page: Page, number: int):
    """The record of that place in the data set."""
    ids = read_page(page.workspace, page.dataset, limit=200).rows
    return get_record(page.workspace, page.dataset, ids[number].id)


def test_the_first_page_shows_fifty_rows_and_the_first_record(page: Page) -> None:
    table = page.updates[page.browser.list]
    assert table.count("<tr data-do=") == 50
    assert "1–50 of 120" in table
    assert page.state["id"] == page.state["ids"][0]
    assert "1EN" in page.updates[page.detail.head]
    assert "Where does coffee grow? (0)" in page.updates[page.detail.record]


def test_pages_turn_and_a_page_beyond_the_end_is_the_last(page: Page) -> None:
    page.act("page", 100)
    assert "101–120 of 120" in page.updates[page.browser.list]
    page.act("page", 5_000)
    assert "101–120 of 120" in page.updates[page.browser.list]


def test_a_facet_takes_several_values_and_gives_them_back(page: Page) -> None:
    page.act("facet", "ja", "language")
    assert "of 40" in page.updates[page.browser.list]
    page.act("facet", "zh", "language")
    assert "of 80" in page.updates[page.browser.list]
    facets = page.updates[page.browser.facets]
    assert facets.count('aria-pressed="true"') == 2
    page.act("facet", "ja", "language")
    page.act("facet", "zh", "language")
    assert "of 120" in page.updates[page.browser.list]


def test_a_value_without_records_stays_in_sight(page: Page) -> None:
    page.act("facet", "ja", "language")
    page.act("facet", "creative", "category")
    assert "of 40" in page.updates[page.browser.list]
    assert 'data-value="math"' in page.updates[page.browser.facets]


def test_two_japanese_characters_are_found_anywhere(page: Page) -> None:
    page.act("search", "学校")
    assert "of 40" in page.updates[page.browser.list]
    page.act("clear")
    assert "of 120" in page.updates[page.browser.list]
    assert page.updates[page.browser.search_box] == ""


def test_a_click_on_a_column_sorts_and_a_second_turns_it(page: Page) -> None:
    page.act("sort", "output_length")
    assert 'aria-sort="ascending"' in page.updates[page.browser.list]
    page.act("sort", "output_length")
    assert 'aria-sort="descending"' in page.updates[page.browser.list]
    assert "120" in page.updates[page.detail.head] or page.state["descending"]
    page.act("sort", "order")
    assert page.state["sort"] == "order"


def test_keys_walk_over_the_edge_of_a_page_and_back(page: Page) -> None:
    for _ in range(50):
        page.act("move", 1)
    assert page.state["offset"] == 50
    first = page.state["id"]
    page.act("move", -1)
    assert page.state["offset"] == 0
    assert page.state["id"] == page.state["ids"][-1] != first


def test_a_decision_is_stored_and_goes_on_to_the_next(page: Page) -> None:
    first, second = page.state["ids"][:2]
    page.act("review", "accepted")
    assert get_record(page.workspace, page.dataset, first).status == "accepted"
    assert page.state["id"] == second
    assert "1EN" in page.notice
    assert "accepted (1)" in page.updates[page.browser.step_btns["undo"]]["value"]


def test_a_decided_row_that_leaves_the_filter_gives_its_place_to_the_next(page: Page) -> None:
    page.act("facet", "", "status")
    ids = page.state["ids"]
    page.act("review", "rejected")
    assert page.state["id"] == ids[1]
    assert page.state["ids"][0] == ids[1]
    # the last row of the page, too
    page.act("open", page.state["ids"][-1])
    page.act("review", "rejected")
    assert page.state["id"] in page.state["ids"]


def test_without_advance_the_record_stays(page: Page) -> None:
    page.data[page.detail.advance_cb] = False
    first = page.state["id"]
    page.act("review", "needs_work")
    assert page.state["id"] == first
    assert 'data-status="needs_work"' in page.updates[page.detail.head]


def test_several_fields_are_edited_as_one_step_and_undone_as_one(page: Page) -> None:
    number = page.state["id"]
    before = get_record(page.workspace, page.dataset, number).record
    page.edit(output="Better.", reasoning="Think of altitude.", language="und")
    page.save()
    after = get_record(page.workspace, page.dataset, number).record
    assert (after.output, after.reasoning, after.language) == (
        "Better.",
        "Think of altitude.",
        "und",
    )
    label = page.updates[page.browser.step_btns["undo"]]["value"]
    assert "edit of" in label
    assert "Answer" in label
    page.step("undo")
    assert get_record(page.workspace, page.dataset, number).record == before
    page.step("redo")
    assert get_record(page.workspace, page.dataset, number).record == after


def test_the_history_shows_the_words_that_changed(page: Page) -> None:
    page.edit(output="Answer number zero.")
    page.save()
    history = page.updates[page.detail.history]
    assert "<del>0</del><ins>zero</ins>" in history
    assert "imported" in history


def test_two_people_edit_one_record_and_the_second_keeps_their_text(page: Page) -> None:
    number = page.state["id"]
    page.edit(output="Mine.")
    stored = get_record(page.workspace, page.dataset, number)
    edit_fields(
        page.workspace, page.dataset, number, stored.version, {"output": "Theirs."}, "other"
    )
    page.save()
    assert get_record(page.workspace, page.dataset, number).record.output == "Theirs."
    conflict = page.updates[page.detail.conflict]
    assert "Somebody else" in conflict
    assert "<del>Theirs</del><ins>Mine</ins>" in conflict
    assert page.data[page.detail.boxes["output"]] == "Mine."
    page.take(page.do.on_save_over(page.data, visitor()))
    assert get_record(page.workspace, page.dataset, number).record.output == "Mine."


def test_storing_over_theirs_is_refused_where_they_changed_it_again(page: Page) -> None:
    number = page.state["id"]
    page.edit(output="Mine.")
    for text in ("Theirs.", "Theirs again."):
        seen = get_record(page.workspace, page.dataset, number)
        edit_fields(page.workspace, page.dataset, number, seen.version, {"output": text})
        page.save() if text == "Theirs." else page.take(page.do.on_save_over(page.data, visitor()))
    assert "again" in page.updates[page.detail.conflict]
    assert get_record(page.workspace, page.dataset, number).record.output == "Theirs again."


def test_a_decision_while_editing_is_no_conflict(page: Page) -> None:
    number = page.state["id"]
    page.edit(output="Mine.")
    page.act("review", "accepted")
    assert page.state["id"] == number  # the edit is not lost
    page.save()
    stored = get_record(page.workspace, page.dataset, number)
    assert (stored.record.output, stored.status) == ("Mine.", "accepted")


def test_an_edit_that_is_not_stored_is_not_lost_by_a_click(page: Page) -> None:
    first, second = page.state["ids"][:2]
    page.edit(output="Not stored yet.")
    page.act("open", second)
    assert "not saved" in page.notice
    assert page.state["id"] == first
    page.act("facet", "ja", "language")
    assert page.data[page.detail.edit_state]["id"] == first == page.state["id"]
    assert "1EN" in page.updates[page.detail.head]
    page.data[page.tab.place.name_dd] = "other"
    refused = page.take(page.tab.on_name(page.data, visitor()))
    assert refused[page.tab.place.name_dd] == "demo"
    page.take(page.do.on_discard(page.data, visitor()))
    page.act("open", page.state["ids"][1])
    assert page.state["id"] == page.state["ids"][1]


def test_a_value_that_cannot_be_is_said_and_the_form_stays(page: Page) -> None:
    page.edit(instruction="   ")
    page.save()
    assert "question" in page.notice
    assert page.data[page.detail.edit_state]


def test_undo_of_what_somebody_else_changed_since_is_refused(page: Page) -> None:
    page.act("review", "accepted")
    shown = page.state["undo"]
    other = record(page, 5)
    edit_fields(page.workspace, page.dataset, other.id, other.version, {"output": "New."})
    assert next_undo(page.workspace, page.dataset).event != shown
    notices = []
    for updates in page.tab.steps.on_step("undo", page.data, visitor()):
        page.take(updates)
        notices.append(page.notice)
    assert any("changed meanwhile" in notice for notice in notices)
    assert record(page, 5).record.output == "New."
    assert "edit of" in page.updates[page.browser.step_btns["undo"]]["value"]


def test_findings_are_a_filter_and_their_spans_are_marked(page: Page) -> None:
    stored = record(page, 1)
    edit_fields(
        page.workspace, page.dataset, stored.id, stored.version,
        {"output": "3 + 4 = 8.", "language": "en"},
    )  # fmt: skip
    check_dataset(page.workspace, page.dataset)
    page.open()
    assert 'data-value="wrong_sum"' in page.updates[page.browser.facets]
    page.act("check", "wrong_sum")
    assert "1–1 of 1" in page.updates[page.browser.list]
    shown = page.updates[page.detail.record]
    assert 'class="m-found finding-' in shown
    assert "data-jump=" in shown


def test_bulk_decision_counts_first_and_one_undo_takes_it_back(page: Page) -> None:
    page.act("facet", "ja", "language")
    review = page.tab.review
    page.data[review.status_radio] = "rejected"
    shown = list(review.on_preview(page.data, visitor()))[-1]
    assert "40" in shown[review.report]
    assert read_facets(page.workspace, page.dataset)["status"] == [("", 120)]
    list(review.on_apply(page.data, visitor()))
    assert dict(read_facets(page.workspace, page.dataset)["status"]) == {"": 80, "rejected": 40}
    page.open()
    page.step("undo")
    assert read_facets(page.workspace, page.dataset)["status"] == [("", 120)]


def test_the_training_text_is_counted_and_cut(page: Page) -> None:
    page.data[page.detail.tokens_slider] = 4_000
    shown = [u[page.detail.training] for u in page.do.on_training(page.data, visitor(), {})]
    assert len(shown) == 2  # before the tokenizer is there, and after
    assert "not counted" in shown[0]
    assert "q-cut" not in shown[1]
    assert 'class="f-output t-learned"' in shown[1]
    whole = len(shown[1])
    page.data[page.detail.tokens_slider] = 250  # one token a character here
    [cut] = [u[page.detail.training] for u in page.do.on_training(page.data, visitor(), {})]
    assert "t-cut" in cut
    assert len(cut) > whole - 400


def test_open_in_compare_fills_the_form_and_turns_to_it(page: Page) -> None:
    page.act("open", page.state["ids"][1])
    updates = page.tab.opener(page.tabs, page.actions.form)(page.data, visitor())
    question = page.actions.form.question
    assert updates[question.instruction_box] == "日本の学校について教えて。 (1)"
    assert updates[question.reasoning_box] == "Think about part 1 first."
    assert updates[question.reference_box] == "Answer number 1."
    assert updates[question.category_dd] == "creative"
    assert updates[page.tabs]["selected"] == "compare"


def test_texts_of_records_are_never_html(page: Page) -> None:
    page.edit(instruction=HTML, reasoning=HTML, output=HTML, category=HTML[:60], field=HTML[:60])
    page.save()
    for component in (page.browser.list, page.browser.facets, page.detail.record,
                      page.detail.head, page.detail.history):  # fmt: skip
        assert "<img" not in page.updates[component]
        assert "${alert" not in page.updates[component]
    [*_, last] = page.do.on_training(page.data, visitor(), {})
    assert "<img" not in last[page.detail.training]


@pytest.mark.parametrize(
    ("do", "value", "name"),
    [
        ("open", "x", ""),
        ("page", "-9", ""),
        ("page", "1e9", ""),
        ("sort", "id; DROP TABLE records", ""),
        ("facet", "x", "no_such"),
        ("review", "maybe", ""),
        ("nonsense", "", ""),
        ("open", str(2**70), ""),
    ],
)
def test_what_the_page_never_sends_is_answered_and_changes_nothing(page, do, value, name) -> None:
    updates = page.act(do, value, name)
    assert page.browser.list in updates
    assert count_matching(page.workspace, page.dataset) == 120
    assert read_facets(page.workspace, page.dataset)["status"] == [("", 120)]


def test_another_data_set_begins_at_its_start(page: Page) -> None:
    fill(page.workspace, 3, "other")
    page.act("facet", "ja", "language")
    page.data[page.tab.place.name_dd] = "other"
    page.take(page.tab.on_name(page.data, visitor()))
    assert "1–3 of 3" in page.updates[page.browser.list]
    assert page.data[page.tab.place.filter_state] == {}


def test_a_filter_that_a_panel_set_is_shown(page: Page) -> None:
    page.data[page.tab.place.filter_state] = Filter(category=("math",)).to_json()
    page.take(page.tab.on_refresh(page.data, visitor()))
    assert "of 40" in page.updates[page.browser.list]


def test_server_texts_follow_the_language(page: Page) -> None:
    new = visitor("new", language="ja")
    assert page.tab.spoken not in page.tab.on_language(new)
    # the panels hear of a language that they do not stand in yet
    spoken = page.tab.panels.scope.spoken
    assert page.tab.on_refresh(page.data, new)[spoken] == "ja"
    assert spoken not in page.tab.on_refresh(page.data, new)
    assert page.tab.on_refresh(page.data, visitor("new"))[spoken] == "en"
    page.open(language="ja")
    assert words("ja")["dataset.column.instruction"] in page.updates[page.browser.list]
    assert words("ja")["dataset.none.status"] in page.updates[page.detail.head]
    assert page.tab.on_language(visitor(language="zh-TW"))[page.tab.spoken] == "zh-TW"


def test_an_empty_workspace_teaches_and_nothing_fails(tmp_path) -> None:
    page = Page(tmp_path)
    updates = page.open("")
    assert updates[page.tab.empty]["visible"] is True
    assert updates[page.tab.full]["visible"] is False
    assert words("en")["dataset.empty.title"] in updates[page.tab.teach]
    page.act("move", 1)
    assert "No data set" in page.notice


def test_what_is_shown_is_not_shown_again(page: Page) -> None:
    """Gradio would show what is hidden within it, too: the stop of the translation, say."""
    assert page.tab.full not in page.tab.on_refresh(page.data, visitor())
    again = page.tab.on_name(page.data, visitor())
    assert not {page.tab.full, page.detail.fields} & set(again)


def test_public_visits_have_records_of_their_own(tmp_path) -> None:
    page = Page(tmp_path, public=True)
    own = page.context.records(visitor("one"))
    fill(own, 5)
    assert page.open()[page.tab.full]["visible"] is True
    other = page.tab.on_refresh(page.data, visitor("two"))
    assert other[page.tab.empty]["visible"] is True
    assert not (tmp_path / "qeu.db").exists()


def test_shipped_files_arrive_with_their_split_and_only_once(tmp_path) -> None:
    page, folder = Page(tmp_path), tmp_path / "data"
    folder.mkdir()
    for at, split in enumerate(SPLITS):
        rows = [
            {"no": n, "seq": f"{at}{n}EN", "category": "open_qa", "field": "other",
             "uniqueness": "simple", "language": "en", "instruction": f"Q {at} {n}?", "input": "",
             "reasoning": "Look closely.", "output": "A.",
             "accepted_answers": ["A"], "answer_type": "x"}
            for n in (1, 2)
        ]  # fmt: skip
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    for _ in range(2):
        dataset, _ = import_shipped(page.workspace, folder=folder)
    facets = read_facets(page.workspace, dataset)
    assert dict(facets["split"]) == {"train": 2, "validation": 2}
    first = read_page(page.workspace, dataset).rows[0].record
    assert first.extra == {"accepted_answers": ["A"], "answer_type": "x"}


@pytest.mark.parametrize("restored", [False, True])
def test_a_run_goes_into_a_data_set_with_the_model_as_origin(tmp_path, restored: bool) -> None:
    page = Page(tmp_path)
    do, send = page.actions, page.compare.send
    data = {c: getattr(c, "value", None) for c in do.form.components()}
    data[do.form.question.instruction_box] = "Why is snow white?"
    data[do.form.question.reasoning_box] = "Think of light."
    for side in do.form.sides.values():
        data[side.model_dd] = DEFAULT_MODEL
    list(do.on_run(data, visitor()))
    if restored:
        page.context.sessions.of(visitor()).shown.clear()
        do.on_restore(1, visitor())
    asked = {send.side_radio: "right", send.name_dd: "Mine"}
    assert "1EN" in send.on_send(asked, visitor())[send.line]
    page.open("Mine")
    dataset = page.browser.visit(page.data, visitor()).dataset
    [stored] = read_page(page.workspace, dataset).rows
    assert stored.record.instruction == "Why is snow white?"
    assert stored.record.output == "A new answer."
    assert stored.record.reasoning == "Think of light."
    origins = read_origins(page.workspace, dataset, stored.id)
    assert (origins["output"].source, origins["output"].licence) == (DEFAULT_MODEL, "apache-2.0")
    assert origins["output"].hinted is False
    assert origins["instruction"].kind == "import"
    assert [entry.kind for entry in read_history(page.workspace, dataset, stored.id)] == [
        "import",
        "generate",
    ]
    assert "2EN" in send.on_send(asked, visitor())[send.line]


def test_a_generated_reasoning_keeps_the_reference_as_its_answer(tmp_path) -> None:
    page = Page(tmp_path)
    do, send = page.actions, page.compare.send
    data = {c: getattr(c, "value", None) for c in do.form.components()}
    data[do.form.question.instruction_box] = "Why is snow white?"
    data[do.form.question.reference_box] = "It scatters all light."
    for side in do.form.sides.values():
        data |= {side.model_dd: DEFAULT_MODEL, side.target_dd: "reasoning"}
    list(do.on_run(data, visitor()))
    send.on_send({send.side_radio: "left", send.name_dd: "Mine"}, visitor())
    page.open("Mine")
    [stored] = read_page(page.workspace, page.browser.visit(page.data, visitor()).dataset).rows
    assert stored.record.reasoning == "A new answer."
    assert stored.record.output == "It scatters all light."


def test_discarding_shows_what_somebody_else_stored(page: Page) -> None:
    number = page.state["id"]
    page.edit(output="Mine.")
    stored = get_record(page.workspace, page.dataset, number)
    edit_fields(page.workspace, page.dataset, number, stored.version, {"output": "Theirs."})
    page.save()
    page.take(page.do.on_discard(page.data, visitor()))
    assert "Theirs." in page.updates[page.detail.record]
    assert page.updates[page.detail.save_btn]["visible"] is True


def test_sending_without_a_run_says_so(tmp_path) -> None:
    page = Page(tmp_path)
    send = page.compare.send
    asked = {send.side_radio: "left", send.name_dd: "Mine"}
    assert "nothing on this side" in send.on_send(asked, visitor())[send.line]


def test_the_review_facet_has_an_entry_for_each_queue(page: Page) -> None:
    queues = {1: "category,language", 2: "category", 3: "english"}
    ids = [row.id for row in read_page(page.workspace, page.dataset).rows]
    for place, queue in queues.items():
        change_records(
            page.workspace, page.dataset, lambda stored, queue=queue: {"review": queue},
            Filter(ids=(ids[place],)), what="The test", data={"rules": []},
        )  # fmt: skip
    page.open()
    facets = page.updates[page.browser.facets]
    assert 'data-name="review" data-value="category">Category <b>2</b>' in facets
    assert 'data-name="review" data-value="language">Language <b>1</b>' in facets
    assert 'data-value="category,language"' not in facets
    page.act("facet", "category", "review")
    assert "1–2 of 2" in page.updates[page.browser.list]
    facets = page.updates[page.browser.facets]
    assert 'data-value="english">' in facets
    page.act("facet", "language", "review")
    assert "1–2 of 2" in page.updates[page.browser.list]
    page.act("facet", "category", "review")
    assert "1–1 of 1" in page.updates[page.browser.list]
    page.act("facet", "language", "review")
    page.act("facet", "category", "review")
    page.act("search", "日本")
    assert "1–1 of 1" in page.updates[page.browser.list]


def test_a_bulk_decision_tells_how_far_it_is_and_can_be_stopped(page: Page) -> None:
    review, told = page.tab.review, []
    page.data[review.status_radio] = "rejected"
    stopping = threading.Event()
    work = SimpleNamespace(tell=lambda *step: told.append(step), stopping=stopping)
    stopping.set()
    with pytest.raises(Stopped):
        review.make_apply(page.data, visitor())(work)
    assert read_facets(page.workspace, page.dataset)["status"] == [("", 120)]
    stopping.clear()
    review.make_apply(page.data, visitor())(work)
    assert told[-1][0] == told[-1][1] > 0
    assert read_facets(page.workspace, page.dataset)["status"] == [("rejected", 120)]
