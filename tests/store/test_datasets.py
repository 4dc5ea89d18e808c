"""Data sets: filled, looked at, changed by two people, undone; exact after every step."""

import json
import sqlite3

import pytest

from qeu.core.errors import QeuError
from qeu.core.record import Record
from qeu.store.changes import change_records, edit_record, remove_records
from qeu.store.datasets import Stopped, create_dataset, find_dataset, list_datasets
from qeu.store.filters import Filter
from qeu.store.imports import add_records, rows_of
from qeu.store.matching import matching_ids
from qeu.store.queries import (
    SORTS,
    count_matching,
    count_queues,
    find_by_seq,
    read_facets,
    read_page,
)
from qeu.store.records import FACETS, identity_bytes
from qeu.store.search_index import candidate_blocks
from qeu.store.undo import next_redo, next_undo, read_history, read_origins, redo, undo
from qeu.store.workspace import Workspace
from tests.store.dataset_rows import fill, make_row, tell

RULE = {"rules": [{"do": "append"}]}


@pytest.fixture
def workspace(tmp_path):
    made = Workspace(tmp_path / "qeu.db")
    yield made
    made.close()


def state(workspace, dataset) -> list[tuple]:
    """Everything visible of every record but the version."""
    rows = workspace.read("SELECT * FROM records WHERE dataset = ? ORDER BY id", (dataset.id,))
    found = workspace.read("SELECT * FROM search_texts")
    texts = {row[0]: tuple(row)[1:] for row in found}
    hidden = {"version"}
    names = [name for name in rows[0].keys() if name not in hidden] if rows else []  # noqa: SIM118
    return [(*(row[name] for name in names), texts[row["id"]]) for row in rows]


def append(sentence):
    return lambda stored: {"reasoning": f"{stored.record.reasoning} {sentence}".strip()}


def test_the_identity_in_the_database_is_the_records_own():
    for values in (make_row(1), make_row(2, extra={"a": ["é", None, 1.5]}, seq="\ud800")):
        assert identity_bytes(values).hex() == Record(**values).identity[:32]


def test_a_data_set_is_made_found_and_refused_by_name(workspace):
    create_dataset(workspace, " one ")
    assert find_dataset(workspace, "ONE").name == "one"
    with pytest.raises(QeuError, match="already"):
        create_dataset(workspace, "One")
    with pytest.raises(QeuError, match="There are: one"):
        find_dataset(workspace, "two")
    for bad in ("", " ", "x" * 101, "a\nb"):
        with pytest.raises(QeuError, match="1 to 100"):
            create_dataset(workspace, bad)
    assert [d.name for d in list_datasets(workspace)] == ["one"]


def test_pages_are_the_rows_in_any_order_and_filter(workspace):
    dataset = fill(workspace, 60)
    everything = read_page(workspace, dataset, limit=1000).rows
    filters = [Filter(), Filter(language=("ja", "zh")), Filter(category=("math",))]
    tried = 0
    for where in filters:
        expected = [
            row
            for row in everything
            if all(row.value(k) in v for k, v in where.facet_values().items())
        ]
        for sort in SORTS:
            for descending in (False, True):
                rows = []
                for offset in range(0, 60, 7):
                    page = read_page(workspace, dataset, where, sort, descending, offset, 7)
                    assert page.total == len(expected)
                    rows += page.rows
                    tried += 1
                assert {r.id for r in rows} == {r.id for r in expected}, (where, sort)
                assert len(rows) == len(expected)
                keys = [sort_key(row, sort) for row in rows]
                assert keys == sorted(keys, reverse=descending), (where, sort, descending)
    assert tried > 200


def sort_key(row, sort):
    if sort == "order":
        return row.id
    if sort == "seq":
        return int(row.record.seq[:-2]), row.record.seq
    if sort == "question_length":
        return len(row.record.instruction) + len(row.record.input)
    if sort.endswith("_length"):
        return len(getattr(row.record, sort.removesuffix("_length")))
    return row.value(sort)


def test_facets_count_what_their_own_restriction_would_hide(workspace):
    dataset = fill(workspace, 60)
    facets = read_facets(workspace, dataset, Filter(language=("ja",)))
    assert dict(facets["language"]) == {"en": 20, "ja": 20, "zh": 20}
    assert facets["category"] == [("creative", 20)]
    assert dict(facets["uniqueness"]) == {"simple": 10, "complex": 10}
    assert set(facets) == set(FACETS)
    searched = read_facets(workspace, dataset, Filter(search="学校"))
    assert searched["language"] == [("ja", 20)]
    row = read_page(workspace, dataset, Filter(language=("zh",))).rows[0]
    edit_record(workspace, dataset, row.id, row.version, "language", "en")
    assert dict(read_facets(workspace, dataset)["language"]) == {"en": 21, "ja": 20, "zh": 19}


def test_a_search_finds_every_substring(workspace):
    rows = [
        make_row(0, instruction="The Coffee house", output="CAFÉ ＡＢＣ １２"),
        make_row(1, instruction="東京の学校", reasoning="がっこう", extra={"note": "secret 42"}),
        make_row(2, instruction="猫と犬", input="AI技術とGPU"),
        make_row(3, instruction="ab", input="", output=""),
    ]
    add_records(workspace, "s", rows_of(rows), tell)
    dataset = find_dataset(workspace, "s")
    cases = {
        "coffee": [0], "OFFE": [0], "e h": [0], "café": [0], "abc": [0], "ABC 12": [0],
        "学校": [1], "校": [1], "京の学": [1], "がっ": [1], "猫": [2], "犬": [2], "i技": [2],
        "技術とg": [2], "ab": [0, 3], "secret 42": [1], "4ja": [], "2JA": [1], "%": [], "校学": [],
        "zzz": [], "th": [0, 3], "\x00": [0, 1, 2, 3],
    }  # fmt: skip
    for term, expected in cases.items():
        found = read_page(workspace, dataset, Filter(search=term))
        got = [row.record.no - 1 for row in found.rows]
        assert (got, found.total) == (expected, len(expected)), term
        assert count_matching(workspace, dataset, Filter(search=term)) == len(expected)


def test_search_spans_blocks_and_knows_edits_and_their_undo(workspace):
    dataset = fill(workspace, 5000)
    assert count_matching(workspace, dataset, Filter(search="(4999)")) == 1
    assert count_matching(workspace, dataset, Filter(search="学校")) == 1667
    row = find_by_seq(workspace, dataset, "5000ZH")
    row = row or find_by_seq(workspace, dataset, "5000JA")
    edit_record(workspace, dataset, row[0].id, 1, "output", "全く新しい答え Xylophone")
    for term in ("新し", "xylo"):
        assert matching_ids(workspace, dataset, Filter(search=term)).tolist() == [row[0].id]
    assert count_matching(workspace, dataset, Filter(search="Answer number 4999.")) == 0
    undo(workspace, dataset)
    assert count_matching(workspace, dataset, Filter(search="xylo")) == 0
    assert count_matching(workspace, dataset, Filter(search="Answer number 4999.")) == 1
    redo(workspace, dataset)
    assert count_matching(workspace, dataset, Filter(search="xylo")) == 1


def test_an_edit_leaves_its_neighbours_findable(workspace):
    dataset = fill(workspace, 100)
    row = read_page(workspace, dataset).rows[5]
    edit_record(workspace, dataset, row.id, row.version, "output", "Answer and coffee 日本の学校")
    assert count_matching(workspace, dataset, Filter(search="answer")) == 100
    assert count_matching(workspace, dataset, Filter(search="日本の学校")) == 34
    remove_records(workspace, dataset, Filter(language=("ja",)))
    assert count_matching(workspace, dataset, Filter(search="日本の学校")) == 1


def test_candidates_are_few_before_the_text_is_compared(workspace):
    dataset = fill(workspace, 300)

    def candidates(term):
        return sum(map(len, candidate_blocks(workspace.read, dataset.id, term)))

    assert candidates("xylophone") == 0
    assert candidates("学日") < 50  # both characters are in a third of the records, apart
    assert candidates("学校") >= 100
    assert candidate_blocks(workspace.read, dataset.id, "ab") is None


def test_search_joins_filter_sort_and_far_pages(workspace):
    dataset = fill(workspace, 100)
    where = Filter(search="answer", language=("en",), uniqueness=("simple",))
    page = read_page(workspace, dataset, where, "seq", True, 5, 5)
    assert page.total == 17
    assert [r.record.seq for r in page.rows] == ["70EN", "64EN", "58EN", "52EN", "46EN"]


def test_every_change_is_undone_and_redone_to_the_letter(workspace):
    dataset = fill(workspace, 40)
    states = [state(workspace, dataset)]
    change_records(workspace, dataset, append("Be brief."), Filter(category=("creative",)),
                   what="The rule", data=RULE)  # fmt: skip
    states.append(state(workspace, dataset))
    row = read_page(workspace, dataset).rows[3]
    edit_record(workspace, dataset, row.id, row.version, "output", "六")
    states.append(state(workspace, dataset))
    remove_records(workspace, dataset, Filter(language=("zh",)))
    states.append(state(workspace, dataset))
    add_records(workspace, "demo", rows_of([make_row(n) for n in range(100, 105)]), tell)
    states.append(state(workspace, dataset))
    change_records(workspace, dataset, lambda r: {"split": "train", "language": "en"},
                   what="The split", data=RULE)  # fmt: skip
    states.append(state(workspace, dataset))
    assert [len(s) for s in states] == [40, 40, 40, 27, 32, 32]
    assert len({json.dumps(s, default=str) for s in states}) == 6
    for _ in range(2):
        for before in reversed(states[:-1]):
            undo(workspace, dataset)
            assert state(workspace, dataset) == before
        undo(workspace, dataset)
        assert state(workspace, dataset) == []
        for after in states:
            redo(workspace, dataset)
            assert state(workspace, dataset) == after
    with pytest.raises(QeuError, match="nothing to redo"):
        redo(workspace, dataset)


def test_a_new_change_ends_what_could_be_redone(workspace):
    dataset = fill(workspace, 3)
    row = read_page(workspace, dataset).rows[0]
    seen = edit_record(workspace, dataset, row.id, row.version, "output", "a")
    step = undo(workspace, dataset)
    assert (step.kind, step.what) == ("edit", "edit of output")
    assert next_redo(workspace, dataset).event == step.event
    now = read_page(workspace, dataset).rows[0]
    assert now.version > seen.version
    edit_record(workspace, dataset, row.id, now.version, "output", "b")
    assert next_redo(workspace, dataset) is None
    assert next_undo(workspace, dataset).what == "edit of output"
    with pytest.raises(QeuError, match="changed meanwhile"):
        undo(workspace, dataset, expected=step.event)
    kinds = [e["kind"] for e in workspace.read("SELECT kind FROM events ORDER BY id")]
    assert kinds == ["import", "edit", "undo", "edit"]
    undo(workspace, dataset)
    undo(workspace, dataset)
    with pytest.raises(QeuError, match="nothing to undo"):
        undo(workspace, dataset)


def test_the_second_editor_is_told_and_nothing_of_hers_is_stored(workspace, tmp_path):
    dataset = fill(workspace, 3)
    other = Workspace(tmp_path / "qeu.db")
    seen = read_page(workspace, dataset).rows[1]
    edit_record(other, dataset, seen.id, seen.version, "output", "first", actor="anna")
    with pytest.raises(QeuError, match=r"Record 2JA was changed by anna at .* your reasoning"):
        edit_record(workspace, dataset, seen.id, seen.version, "reasoning", "second")
    other.close()
    now = read_page(workspace, dataset).rows[1]
    assert (now.record.output, now.record.reasoning) == ("first", seen.record.reasoning)


def test_an_edit_during_a_long_change_elsewhere_is_told_so(workspace, tmp_path):
    dataset = fill(workspace, 1)
    row = read_page(workspace, dataset).rows[0]
    workspace.read("PRAGMA busy_timeout = 50")
    other = Workspace(tmp_path / "qeu.db")
    with other.change(), pytest.raises(QeuError, match="Try again when it has finished"):
        edit_record(workspace, dataset, row.id, row.version, "output", "x")
    other.close()
    edit_record(workspace, dataset, row.id, row.version, "output", "x")


def test_bad_values_are_refused_with_the_way_out(workspace):
    dataset = fill(workspace, 1)
    row = read_page(workspace, dataset).rows[0]
    bad = {"language": "fr", "uniqueness": "x", "status": "done", "split": "dev", "extra": "[1]",
           "instruction": " ", "category": "", "no": "1"}  # fmt: skip
    for field, value in bad.items():
        with pytest.raises(QeuError):
            edit_record(workspace, dataset, row.id, row.version, field, value)
    for text in ('{"a": NaN}', '{"a": -Infinity}', '{"a": ' + "[" * 200 + "]" * 200 + "}", "{"):
        with pytest.raises(QeuError, match="JSON object"):
            edit_record(workspace, dataset, row.id, row.version, "extra", text)
    assert read_page(workspace, dataset).rows[0] == row
    same = edit_record(workspace, dataset, row.id, row.version, "output", row.record.output)
    assert same.version == row.version
    good = edit_record(workspace, dataset, row.id, row.version, "extra", '{"b": 1}')
    assert good.record.extra == {"b": 1}


def test_history_and_origin_of_each_field(workspace):
    dataset = fill(workspace, 2)
    row = read_page(workspace, dataset).rows[0]
    about = {"model": "groq/llama", "licence": "llama3", "hinted": True}
    edit_record(workspace, dataset, row.id, 1, "reasoning", "How?", actor="job/1", about=about)
    now = edit_record(workspace, dataset, row.id, 2, "output", "Typed.", actor="anna")
    origins = read_origins(workspace, dataset, row.id)
    assert (origins["instruction"].source, origins["instruction"].licence) == ("rows.jsonl", "mit")
    assert origins["reasoning"].source == "groq/llama"
    assert (origins["reasoning"].licence, origins["reasoning"].hinted) == ("llama3", True)
    assert (origins["output"].actor, origins["output"].hinted) == ("anna", None)
    undo(workspace, dataset)
    assert read_origins(workspace, dataset, row.id)["output"].source == "rows.jsonl"
    history = read_history(workspace, dataset, row.id)
    assert [(e.kind, e.field, e.state) for e in history] == [
        ("import", "", "done"), ("edit", "reasoning", "done"), ("edit", "output", "undone"),
    ]  # fmt: skip
    assert (history[2].before, history[2].after) == ("Answer number 0.", "Typed.")
    assert now.record.output == "Typed."


def test_a_second_import_leaves_known_rows_alone(workspace):
    rows = [make_row(n) for n in (1, 2, 2, 3)]
    first = add_records(workspace, "d", rows_of(rows), tell)
    assert (first.imported, first.unchanged) == (4, 0)
    again = add_records(workspace, "d", rows_of([*rows, make_row(2), make_row(9)]), tell)
    assert (again.imported, again.unchanged) == (2, 4)
    dataset = find_dataset(workspace, "d")
    row = read_page(workspace, dataset).rows[0]
    edit_record(workspace, dataset, row.id, row.version, "output", "Edited.")
    edited = make_row(1, output="Edited.")
    for same in (make_row(1), edited):
        third = add_records(workspace, "d", rows_of([same]), tell)
        assert (third.imported, third.unchanged) == (0, 1)
    other = make_row(1, output="By the other program.")
    fourth = add_records(workspace, "d", rows_of([other]), tell, update=True)
    assert (fourth.updated, fourth.imported) == (1, 0)
    assert find_by_seq(workspace, dataset, row.record.seq)[0].record.output == other["output"]
    undo(workspace, dataset)
    assert find_by_seq(workspace, dataset, row.record.seq)[0].record.output == "Edited."


def test_a_stopped_change_leaves_nothing(workspace):
    import threading

    dataset = fill(workspace, 50)
    before = state(workspace, dataset)
    stop = threading.Event()

    def make(stored):
        if stored.record.no == 30:
            stop.set()
        return {"reasoning": "changed"}

    with pytest.raises(Stopped, match="nothing has changed"):
        change_records(workspace, dataset, make, what="The rule", data=RULE, stop=stop)
    assert state(workspace, dataset) == before
    with pytest.raises(ZeroDivisionError):
        change_records(workspace, dataset, lambda r: 1 / 0, what="x", data=RULE)
    assert state(workspace, dataset) == before
    assert len(workspace.read("SELECT id FROM events")) == 1


def test_a_full_disk_is_said_and_nothing_is_lost(workspace):
    dataset = fill(workspace, 200)
    before = state(workspace, dataset)
    pages = workspace.read("PRAGMA page_count")[0][0]
    workspace.read(f"PRAGMA max_page_count = {pages + 2}")
    row = read_page(workspace, dataset).rows[0]
    with pytest.raises(QeuError, match="is full"):
        edit_record(workspace, dataset, row.id, row.version, "output", "x" * 100_000)
    assert state(workspace, dataset) == before
    workspace.read("PRAGMA max_page_count = 1000000")
    edit_record(workspace, dataset, row.id, row.version, "output", "x")


def test_the_log_cannot_be_rewritten(workspace):
    fill(workspace, 1)
    with pytest.raises(QeuError, match="append-only"), workspace.change() as db:
        db.execute("UPDATE events SET actor = 'nobody'")
    assert isinstance(workspace.read("SELECT 1")[0], sqlite3.Row)


def test_a_workspace_in_memory_does_all_of_it():
    workspace = Workspace(None)
    dataset = fill(workspace, 10)
    change_records(workspace, dataset, append("Yes."), what="x", data=RULE)
    assert count_matching(workspace, dataset, Filter(search="yes.")) == 10
    undo(workspace, dataset)
    assert count_matching(workspace, dataset, Filter(search="yes.")) == 0


def test_a_queue_is_found_within_every_mixture(workspace):
    dataset = fill(workspace, 9)
    ids = [row.id for row in read_page(workspace, dataset).rows]
    queues = {ids[0]: "category", ids[1]: "category,language", ids[4]: "subcategory", ids[5]: ""}
    change_records(
        workspace, dataset, lambda stored: {"review": queues.get(stored.id, "english")},
        what="The test", data=RULE,
    )  # fmt: skip
    for search, found in (("", ids[:2]), ("coffee", ids[:1]), ("日本", ids[1:2])):
        where = Filter(search=search, review=("category",))
        assert list(matching_ids(workspace, dataset, where)) == found
        assert count_matching(workspace, dataset, where) == len(found)
        for sort in ("order", "review", "category"):
            page = read_page(workspace, dataset, where, sort)
            assert (page.total, {row.id for row in page.rows}) == (len(found), set(found))
    both = Filter(review=("", "language"))
    assert list(matching_ids(workspace, dataset, both)) == [ids[1], ids[5]]
    assert dict(read_facets(workspace, dataset, Filter(review=("category",)))["language"]) == {
        "en": 1,
        "ja": 1,
    }
    mixed = read_facets(workspace, dataset)["review"]
    assert dict(count_queues(mixed)) == {
        "english": 5, "category": 2, "language": 1, "subcategory": 1, "": 1,
    }  # fmt: skip
    changed = remove_records(workspace, dataset, Filter(review=("language",))).changed
    assert changed == 1
