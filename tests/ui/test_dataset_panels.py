"""The panels of the Dataset tab by their handlers: a real store, no browser."""

import json
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from qeu.backends.base import EchoBackend
from qeu.core.settings import Settings
from qeu.services.data_import import ImportOptions, import_file
from qeu.services.data_rules import load_rules
from qeu.store.datasets import count_records, find_dataset, list_datasets, list_removed
from qeu.store.filters import Filter
from qeu.store.queries import find_by_seq, read_facets, read_page
from qeu.store.undo import undo
from qeu.ui.context import Context, Words
from qeu.ui.dataset_panels import DatasetPanels, build_panels
from qeu.ui.dataset_place import DatasetPlace
from qeu.ui.dataset_rules_panel import read_table, rows_of
from qeu.ui.dataset_work_panel import Work
from qeu.ui.sessions import Sessions
from qeu.ui.strings import words

HTML = '<img src=x onerror="alert(1)">${2}{{x}}'
ROWS = [
    {"seq": "1EN", "instruction": "What is ice?", "output": "Frozen water.", "reasoning": "Think."},
    {"seq": "2EN", "instruction": "Write a poem.", "output": "", "category": "creative"},
    {"seq": "3JA", "instruction": "氷とは何ですか？", "output": "凍った水です。", "language": "ja"},
    {"seq": "4EN", "instruction": HTML, "output": HTML, "uniqueness": "simple"},
]


@cache
def build(public: bool) -> tuple[Context, DatasetPlace, DatasetPanels, dict[object, object]]:
    """The panels in a page of their own, once, with the values that controls have at first."""
    context = Context(Settings(public=public), None)  # type: ignore[arg-type]
    with gr.Blocks() as demo:
        place = DatasetPlace(gr.Dropdown([]), gr.State({}), gr.Number(0), gr.HTML())
        panels = build_panels(context, Words(gr.I18n(en=dict(words("en")))), place)
        panels.wire()
    data = {block: block.value for block in demo.blocks.values() if hasattr(block, "value")}
    data[panels.panels["rules"].rules_table] = rows_of(load_rules())  # type: ignore[attr-defined]
    return context, place, panels, data


class Page:
    """One visitor's view of the panels: what the controls hold, what handlers made of it."""

    def __init__(self, home: Path, public: bool = False) -> None:
        self.context, self.place, self.all, data = build(public)
        self.context.settings = Settings(home=home, public=public)
        self.context.sessions = Sessions()
        self.context.__dict__.pop("workspace", None)
        self.data = dict(data)
        self.request = self.visitor()

    def visitor(self, name: str = "a", language: str = "en") -> gr.Request:
        headers = {"accept-language": language}
        return SimpleNamespace(session_hash=name, cookies={}, headers=headers)  # type: ignore

    def __getitem__(self, name: str):
        return self.all.panels[name]

    @property
    def workspace(self):
        return self.context.records(self.request)

    def set(self, *pairs: tuple[object, object]) -> None:
        self.data.update(dict(pairs))

    def do(self, updates) -> dict[object, object]:
        """Run a handler to its end; the last update of every component, kept as its value."""
        seen: dict[object, object] = {}
        for one in updates if isinstance(updates, Iterator) else [updates]:
            for block, update in one.items():
                is_update = isinstance(update, dict) and "__type__" in update
                if not is_update or "value" in update:
                    self.data[block] = update["value"] if is_update else update
                seen[block] = update
        return seen

    def has_data(self, rows: list[dict[str, object]] = ROWS, name: str = "demo") -> None:
        """A data set of these rows, chosen."""
        path = self.context.settings.home / "rows.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rows), encoding="utf-8")
        import_file(self.workspace, path, name, ImportOptions())
        self.set((self.place.name_dd, name))

    def record(self, seq: str):
        dataset = find_dataset(self.workspace, str(self.data[self.place.name_dd]))
        return find_by_seq(self.workspace, dataset, seq)[0]


@pytest.fixture
def page(tmp_path: Path) -> Page:
    return Page(tmp_path / "home")


def write(path: Path, rows: object) -> str:
    path.write_text(rows if isinstance(rows, str) else json.dumps(rows), encoding="utf-8")
    return str(path)


class TestImport:
    def test_files_are_guessed_shown_and_imported(self, page: Page, tmp_path: Path) -> None:
        panel = page["import"]
        rows = [{"prompt": "Why?", "answer": "So."}, {"prompt": HTML, "answer": "x"}]
        page.set((panel.files, [write(tmp_path / "mine.json", rows)]))
        page.do(panel.on_files(page.data, page.request))
        assert page.data[panel.dataset_dd] == "mine"
        assert page.data[panel.mapping.boxes["instruction"]] == "prompt"
        assert page.data[panel.mapping.boxes["output"]] == "answer"
        shown = str(page.data[panel.sample])
        assert "Why?" in shown
        assert "<img" not in shown
        seen = page.do(panel.on_import(page.data, page.request))
        assert page.data[page.place.name_dd] == "mine"
        assert page.data[page.place.changed] == 1
        assert "2 imported" in str(page.data[panel.report])
        assert seen[panel.stop_btn] == gr.update(interactive=False)

    def test_a_corrected_column_is_taken(self, page: Page, tmp_path: Path) -> None:
        panel = page["import"]
        rows = [{"frage": "Warum?", "output": "Darum."}]
        page.set((panel.files, [write(tmp_path / "de.json", rows)]))
        page.do(panel.on_files(page.data, page.request))
        assert "q-error" in str(page.data[panel.sample])
        page.set((panel.mapping.boxes["instruction"], "frage"))
        page.do(panel.on_mapping(page.data, page.request))
        assert "Warum?" in str(page.data[panel.sample])
        page.do(panel.on_import(page.data, page.request))
        dataset = find_dataset(page.workspace, "de")
        stored = read_page(page.workspace, dataset).rows
        assert [row.record.instruction for row in stored] == ["Warum?"]

    def test_bad_rows_are_told_and_can_be_taken_home(self, page: Page, tmp_path: Path) -> None:
        panel = page["import"]
        rows = [{"instruction": "Why?"}, {"instruction": ""}, 7, {"instruction": {"a": HTML}}]
        page.set((panel.files, [write(tmp_path / "bad.json", rows)]), (panel.dataset_dd, "x"))
        kept = ""
        for update in panel.on_import(page.data, page.request):
            page.do(update)
            file = update.get(panel.rejected_file)
            if file and file.get("value"):
                kept = Path(file["value"]).read_text(encoding="utf-8")
        assert "1 imported" in page.data[panel.report]
        assert "3 rejected" in page.data[panel.report]
        assert [json.loads(line)["row"] for line in kept.splitlines()] == [2, 3, 4]
        assert "<img" not in page.data[panel.report]

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("empty.json", b""),
            ("blank.csv", b"  \n "),
            ("picture.json", b"\x89PNG\r\n\x1a\n" + b"\0" * 50),
            ("broken.json", b'[{"instruction": "x"'),
            ("deep.json", b"[" * 20_000),
            ("fake.xlsx", b"PK\x03\x04 no zip at all"),
            ("fake.parquet", b"PAR1 no parquet"),
            ("binary.txt", bytes(range(256)) * 10),
            ("prose.txt", "これは文章です。\n表ではない。".encode()),
            ("<b>.json", b"{"),
        ],
    )
    def test_any_file_gives_a_report(
        self, page: Page, tmp_path: Path, name: str, content: bytes
    ) -> None:
        panel, path = page["import"], tmp_path / name
        path.write_bytes(content)
        good = write(tmp_path / "good.jsonl", '{"instruction": "Why?"}\n')
        page.set((panel.files, [str(path), good]), (panel.dataset_dd, "mixed"))
        page.do(panel.on_files(page.data, page.request))
        page.do(panel.on_import(page.data, page.request))
        assert "q-told" in page.data[panel.report], page.data[panel.line]
        assert "should not have happened" not in page.data[panel.report]
        assert count_records(page.workspace, find_dataset(page.workspace, "mixed")) >= 1
        assert "<b>.json" not in page.data[panel.report]

    def test_what_is_missing_is_said(self, page: Page, tmp_path: Path) -> None:
        panel = page["import"]
        page.do(panel.on_import(page.data, page.request))
        assert "no file" in page.data[panel.line]
        page.set((panel.files, [write(tmp_path / "a.json", ROWS)]), (panel.dataset_dd, ""))
        page.do(panel.on_import(page.data, page.request))
        assert "q-error" in page.data[panel.line]
        assert list_datasets(page.workspace) == []

    def test_the_same_file_again_changes_nothing(self, page: Page, tmp_path: Path) -> None:
        panel = page["import"]
        page.set((panel.files, [write(tmp_path / "a.json", ROWS)]), (panel.dataset_dd, "a"))
        page.do(panel.on_import(page.data, page.request))
        page.do(panel.on_import(page.data, page.request))
        assert "0 imported, 4 known already" in page.data[panel.report]


class TestPublicPage:
    @pytest.fixture
    def page(self, tmp_path: Path) -> Page:
        return Page(tmp_path / "home", public=True)

    def test_visitors_do_not_see_each_others_data(self, page: Page) -> None:
        page.has_data()
        other = page.visitor("b")
        stats = page["stats"]
        seen = page.do(stats.on_count(page.data, other))
        assert "q-error" in str(seen[stats.line])

    def test_large_files_hub_ids_and_pushes_are_refused(
        self, page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("qeu.ui.dataset_import_form_panel.MOST_PUBLIC_BYTES", 100)
        panel = page["import"]
        page.set((panel.files, [write(tmp_path / "a.json", ROWS)]), (panel.dataset_dd, "a"))
        page.do(panel.on_import(page.data, page.request))
        assert "larger than" in page.data[panel.line]
        page.set((panel.files, None), (panel.hub_box, "some/data"))
        page.do(panel.on_import(page.data, page.request))
        assert "only files" in page.data[panel.line]
        page.do(panel.on_look(page.data, page.request))
        assert "only files" in page.data[panel.line]
        page.has_data()
        export = page["export"]
        page.set((export.repo_box, "me/data"), (export.token_box, "hf_secret"))
        page.do(export.on_push(page.data, page.request))
        assert "Nothing can be pushed" in page.data[export.line]
        assert "hf_secret" not in page.data[export.line]

    def test_a_visit_holds_only_so_many_records(
        self, page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("qeu.ui.dataset_import_panel.MOST_PUBLIC_RECORDS", 3)
        panel = page["import"]
        page.set((panel.files, [write(tmp_path / "a.json", ROWS)]), (panel.dataset_dd, "a"))
        page.do(panel.on_import(page.data, page.request))
        assert "at most 3 records" in page.data[panel.report]
        assert list_datasets(page.workspace) == []


class TestRules:
    def test_preview_apply_and_undo(self, page: Page) -> None:
        page.has_data()
        panel = page["rules"]
        rows = [["creative", "", "", "", "append", "Be bold.", ""], ["", "", "", "", "", "", ""]]
        page.set((panel.rules_table, rows))
        page.do(panel.on_preview(page.data, page.request))
        assert "1 of 4 records would change" in page.data[panel.report]
        assert "<ins>Be bold.</ins>" in page.data[panel.report]
        assert page.record("2EN").record.reasoning == ""
        page.do(panel.on_apply(page.data, page.request))
        assert page.record("2EN").record.reasoning == "Be bold."
        assert page.data[page.place.changed] == 1
        page.do(panel.on_apply(page.data, page.request))
        assert "Nothing to change" in page.data[panel.report]
        assert page.data[page.place.changed] == 1
        undo(page.workspace, find_dataset(page.workspace, "demo"))
        assert page.record("2EN").record.reasoning == ""

    def test_the_scope_decides_whom_a_rule_reaches(self, page: Page) -> None:
        page.has_data()
        panel = page["rules"]
        page.set(
            (panel.rules_table, [["", "", "", "", "prepend", "Look.", ""]]),
            (page.place.filter_state, Filter(language=("ja",)).to_json()),
        )
        page.do(panel.on_preview(page.data, page.request))
        assert "1 of 1 records" in page.data[panel.report]
        page.set((page.all.scope.scope_radio, "all"))
        page.do(panel.on_apply(page.data, page.request))
        assert page.record("1EN").record.reasoning == "Look.\nThink."

    def test_the_table_goes_to_yaml_and_back(self, page: Page, tmp_path: Path) -> None:
        panel = page["rules"]
        page.set((panel.rules_table, [["code, math", "", "simple", "", "replace", "a: b", "c"]]))
        content = ""
        for update in panel.on_save(page.data, page.request):
            content = Path(update[panel.file]["value"]).read_text(encoding="utf-8")
        page.set((panel.load_btn, write(tmp_path / "r.yaml", content)))
        before = page.data[panel.rules_table]
        page.do(panel.on_load(page.data, page.request))
        assert page.data[panel.rules_table] == before
        page.do(panel.on_april(page.request))
        assert len(page.data[panel.rules_table]) == 2

    @pytest.mark.parametrize(
        ("rows", "told"),
        [
            ([], "no rule"),
            (None, "no rule"),
            ([["", "", "", "", "explode", "x", ""]], "Rule 1 does"),
            ([["", "", "", "", "append", "", ""]], "no sentence"),
            ([["", "", "", "", "replace", "x", ""]], "by what"),
        ],
    )
    def test_a_table_that_is_no_rules_is_refused(self, page: Page, rows: object, told: str) -> None:
        page.has_data()
        panel = page["rules"]
        page.set((panel.rules_table, rows))
        page.do(panel.on_apply(page.data, page.request))
        assert told in page.data[panel.line]
        assert page.data[page.place.changed] == 0

    def test_the_head_of_the_table_speaks_the_language_of_the_page(self, page: Page) -> None:
        panel = page["rules"]
        update = panel.on_spoken(page.data, page.visitor(language="ja"))[panel.rules_table]
        assert update["data"] == page.data[panel.rules_table]
        assert "文" in update["headers"]

    def test_rows_become_rules_and_rows_again(self) -> None:
        rows = [["open_qa, math", "", "", "en", "remove", "x", ""]]
        assert rows_of(read_table(rows, "en")) == rows


class TestCheck:
    def test_counts_are_buttons_that_show_the_offenders(self, page: Page) -> None:
        page.has_data()
        panel = page["check"]
        page.do(panel.on_check(page.data, page.request))
        assert 'data-check="empty_output"' in page.data[panel.report]
        assert 'data-category="creative"' in page.data[panel.report]
        assert page.data[page.place.changed] == 1
        clicked = gr.EventData(None, {"check": "empty_output", "category": "creative"})
        page.set((page.all.scope.scope_radio, "all"))
        page.do(panel.on_jump(page.data, clicked, page.request))
        where = Filter.from_json(page.data[page.place.filter_state])
        assert where == Filter(check="empty_output", category=("creative",))
        assert page.data[page.all.scope.scope_radio] == "filter"
        assert page.data[page.place.changed] == 2
        dataset = find_dataset(page.workspace, "demo")
        found = read_page(page.workspace, dataset, where).rows
        assert [row.record.seq for row in found] == ["2EN"]

    def test_a_jump_stays_within_what_was_checked(self, page: Page) -> None:
        page.has_data()
        panel = page["check"]
        page.set((page.place.filter_state, Filter(language=("en",)).to_json()))
        page.do(panel.on_check(page.data, page.request))
        page.do(
            panel.on_jump(page.data, gr.EventData(None, {"check": "empty_output"}), page.request)
        )
        assert page.data[page.place.filter_state] == {"language": ["en"], "check": "empty_output"}

    def test_a_check_that_does_not_exist_is_nothing(self, page: Page) -> None:
        page.has_data()
        for sent in ({"check": "x' OR 1"}, {}, None):
            event = gr.EventData(None, sent)
            assert page["check"].on_jump(page.data, event, page.request) == gr.skip()

    def test_the_report_is_shown_again_in_another_language(self, page: Page) -> None:
        page.has_data()
        page.do(page["check"].on_check(page.data, page.request))
        japanese = page.visitor(language="ja")
        assert "チェックしました" in page.all.on_language(japanese)[page["check"].report]


class TestOtherPanels:
    def test_labels_are_set_and_unsure_ones_queued(self, page: Page) -> None:
        page.has_data([{"seq": "1EN", "instruction": "Compute 2 + 2.", "output": "4"}, *ROWS[1:3]])
        panel = page["label"]
        page.do(panel.on_preview(page.data, page.request))
        assert "records would change" in page.data[panel.report]
        page.do(panel.on_apply(page.data, page.request))
        assert page.record("1EN").record.category == "math"
        queue = read_facets(page.workspace, find_dataset(page.workspace, "demo"))["review"]
        waiting = sum(count for name, count in queue if name)
        assert f"{waiting} records wait" in page.data[panel.report]
        page.do(panel.on_queue(page.data, page.request))
        if waiting:
            assert set(page.data[page.place.filter_state]) == {"review"}
        page.set((panel.fields_cbs, []))
        page.do(panel.on_apply(page.data, page.request))
        assert "q-error" in page.data[panel.line]

    def test_merge_previews_names_lengths_and_merges(self, page: Page, tmp_path: Path) -> None:
        panel = page["merge"]
        english = [{"instruction": f"What is the number {n}?", "output": "x"} for n in range(3)]
        japanese = [{"instruction": f"{n}番は何ですか？", "output": "x"} for n in range(2)]
        files = [write(tmp_path / "en.json", english), write(tmp_path / "ja.json", japanese)]
        page.set((panel.files, files))
        page.do(panel.on_files(page.data))
        page.do(panel.on_preview(page.data, page.request))
        assert "4 records would come out" in page.data[panel.report]
        assert "differ in length" in page.data[panel.report]
        assert list_datasets(page.workspace) == []
        page.do(panel.on_merge(page.data, page.request))
        assert page.data[page.place.name_dd] == "merged"
        assert page.record("2JA").record.instruction == "1番は何ですか？"
        page.set((panel.files, files[:1]))
        page.do(panel.on_merge(page.data, page.request))
        assert "two files" in page.data[panel.line]

    def test_split_previews_without_writing(self, page: Page) -> None:
        page.has_data([{"instruction": f"Question number {n * 7919}?"} for n in range(20)])
        panel, dataset = page["split"], find_dataset(page.workspace, "demo")
        page.set((panel.validation_slider, 0.5))
        page.do(panel.on_preview(page.data, page.request))
        assert "validation" in page.data[panel.report]
        assert page.data[page.place.changed] == 0
        page.do(panel.on_apply(page.data, page.request))
        assert dict(read_facets(page.workspace, dataset)["split"])["validation"] > 0
        assert page.data[page.place.changed] == 1
        page.set((panel.test_slider, 0.5))
        page.do(panel.on_apply(page.data, page.request))
        assert "nothing to train on" in page.data[panel.line]

    def test_statistics_are_bars_and_a_table(self, page: Page) -> None:
        page.has_data()
        panel = page["stats"]
        page.do(panel.on_count(page.data, page.request))
        shown = page.data[panel.report]
        for part in ("4 records", "Japanese", "q-heat"):
            assert part in shown

    def test_statistics_count_tokens_of_a_model_that_is_chosen(self, page: Page) -> None:
        page.has_data()
        panel, engine = page["stats"], EchoBackend()
        page.context.shelf = SimpleNamespace(load=lambda name, stop: engine)  # type: ignore
        page.set((panel.model_dd, "smollm2-135m"))
        page.do(panel.on_count(page.data, page.request))
        shown = page.data[panel.report]
        for part in (engine.name, "Whole record, as trained", "&gt; 512"):
            assert part in shown

    def test_english_answers_say_what_is_missing(self, page: Page) -> None:
        page.has_data()
        panel = page["english"]
        page.do(panel.on_preview(page.data, page.request))
        assert "Answer 1" in page.data[panel.report]
        page.do(panel.on_apply(page.data, page.request))
        record = page.record("3JA")
        assert record.record.input == "氷とは何ですか？"
        assert record.review == "english"

    @pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "xlsx", "parquet"])
    def test_an_exported_file_comes_back_unchanged(
        self, page: Page, tmp_path: Path, kind: str
    ) -> None:
        page.has_data()
        panel, copy = page["export"], tmp_path / "copy"
        page.set((panel.format_radio, kind))
        page.do(panel.on_place(page.data, page.request))
        for update in panel.on_export(page.data, page.request):
            page.do(update)
            if (update.get(panel.download_btn) or {}).get("value"):
                copy.write_bytes(Path(update[panel.download_btn]["value"]).read_bytes())
        assert "4 records" in page.data[panel.report]
        assert not Path(str(page.data[panel.download_btn])).exists()
        into = page["import"]
        page.set((into.files, [str(copy)]), (into.dataset_dd, "demo"))
        page.do(into.on_import(page.data, page.request))
        assert "0 imported, 4 known already, 0 rejected" in page.data[into.report]

    def test_alpaca_and_chosen_columns_and_the_filter(self, page: Page, tmp_path: Path) -> None:
        page.has_data()
        panel = page["export"]
        page.set(
            (panel.format_radio, "alpaca"),
            (page.place.filter_state, Filter(language=("ja",)).to_json()),
        )
        rows = []
        for update in panel.on_export(page.data, page.request):
            if (update.get(panel.download_btn) or {}).get("value"):
                rows = json.loads(Path(update[panel.download_btn]["value"]).read_text("utf-8"))
        assert [list(row) for row in rows] == [["instruction", "input", "output"]]

    def test_a_data_set_is_renamed_removed_after_a_question_and_restored(self, page: Page) -> None:
        page.has_data()
        panel = page["manage"]
        page.set((panel.name_box, "other"))
        page.do(panel.on_rename(page.data, page.request))
        assert page.data[page.place.name_dd] == "other"
        page.do(panel.on_remove(page.data, page.request))
        assert [d.name for d in list_datasets(page.workspace)] == ["other"]
        page.do(panel.on_ask(page.data, page.request))
        assert "4 records" in page.data[panel.line]
        page.do(panel.on_remove(page.data, page.request))
        assert list_datasets(page.workspace) == []
        assert [d.name for d in list_removed(page.workspace)] == ["other"]
        page.set((panel.removed_dd, "other"))
        page.do(panel.on_restore(page.data, page.request))
        assert page.data[page.place.name_dd] == "other"
        assert count_records(page.workspace, find_dataset(page.workspace, "other")) == 4


@pytest.mark.parametrize(
    ("name", "handler"),
    [
        ("rules", "on_preview"), ("rules", "on_apply"), ("label", "on_apply"),
        ("label", "on_queue"), ("check", "on_check"), ("split", "on_apply"),
        ("stats", "on_count"), ("english", "on_apply"), ("export", "on_export"),
        ("manage", "on_ask"),
    ],
)  # fmt: skip
def test_without_a_data_set_the_way_out_is_said(page: Page, name: str, handler: str) -> None:
    panel = page[name]
    page.do(getattr(panel, handler)(page.data, page.request))
    assert "No data set is chosen" in page.data[panel.line]


class TestWork:
    def test_a_stop_is_heard_and_nothing_is_said_to_have_changed(self, page: Page) -> None:
        panel, begun = page["rules"], threading.Event()

        def do(work: Work) -> None:
            while True:
                begun.set()
                work.tell(1, 2)

        stream = panel.run(page.request, do, lambda result, language: {}, writes=True)
        first = next(stream)
        assert first[panel.stop_btn] == gr.update(interactive=True)
        panel.on_stop(page.request)
        last = list(stream)[-1]
        assert "nothing has changed" in last[panel.line]

    def test_two_at_once_are_refused(self, page: Page) -> None:
        page.has_data()
        go, label, rules = threading.Event(), page["label"], page["rules"]
        stream = label.run(page.request, lambda work: go.wait(10), lambda r, s: {}, writes=True)
        next(stream)
        told = page.do(rules.on_apply(page.data, page.request))
        assert "Another panel" in told[rules.line]
        told = page.do(label.on_preview(page.data, page.request))
        assert "still running" in told[label.line]
        page.do(rules.on_preview(page.data, page.request))
        assert "would change" in page.data[rules.report]
        go.set()
        list(stream)

    def test_a_closed_page_stops_what_it_began(self, page: Page) -> None:
        seen = threading.Event()

        def do(work: Work) -> None:
            work.stopping.wait(10)
            seen.set()

        stream = page["rules"].run(page.request, do, lambda result, language: {})
        next(stream)
        page.context.sessions.end(page.request)
        assert seen.wait(5)
        stream.close()

    def test_a_defect_of_ours_is_one_sentence(self, page: Page) -> None:
        def do(work: Work) -> None:
            raise RuntimeError("secret detail")

        last = list(page["rules"].run(page.request, do, lambda result, language: {}))[-1]
        assert "RuntimeError" in last[page["rules"].line]
        assert "secret" not in last[page["rules"].line]

    def test_the_news_comes_after_the_name(self, page: Page, tmp_path: Path) -> None:
        panel = page["import"]
        page.set((panel.files, [write(tmp_path / "a.json", ROWS)]), (panel.dataset_dd, "a"))
        updates = list(panel.on_import(page.data, page.request))
        assert page.place.name_dd in updates[-2]
        assert list(updates[-1]) == [page.place.changed]


def test_the_scope_counts_both_answers(page: Page) -> None:
    page.has_data()
    page.set((page.place.filter_state, Filter(language=("ja",)).to_json()))
    scope = page.all.scope
    labels = [
        label for label, _ in scope.on_place(page.data, page.request)[scope.scope_radio]["choices"]
    ]
    assert labels == ["what the filter shows (1)", "the whole data set (4)"]
