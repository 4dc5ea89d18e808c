"""Import and export as a person does them: reports, second imports, round trips, the Hub."""

import json
import random
import threading
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from benchmarks.soak_files import ENDINGS, damage, good_file
from qeu.core.errors import QeuError
from qeu.services.data_export import export_file, list_columns, make_card, push_to_hub
from qeu.services.data_import import (
    MOST_NAMES,
    ColumnMap,
    ImportOptions,
    import_file,
    import_hub,
    preview_import,
)
from qeu.store.changes import edit_record
from qeu.store.datasets import Stopped, find_dataset, list_datasets
from qeu.store.filters import Filter
from qeu.store.hub_datasets import push_files, read_hub
from qeu.store.queries import read_page
from qeu.store.undo import next_undo, undo
from qeu.store.workspace import Workspace
from qeu.store.writers import write_rows

ROWS = [
    {"instruction": "Where does coffee grow?", "input": "", "output": "=SUM(A1)", "source": "a"},
    {
        "instruction": "日本の首都はどこですか。",
        "input": "短く答えて",
        "output": "東京です。\n以上",
    },
    {"instruction": "", "output": "no question"},
    {"instruction": "中国的首都在哪里？", "output": "'北京", "source": "b"},
]


@pytest.fixture
def workspace(tmp_path):
    made = Workspace(tmp_path / "qeu.db")
    yield made
    made.close()


@pytest.fixture
def rows_json(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(ROWS, ensure_ascii=False), encoding="utf-8")
    return path


def test_the_report_names_every_bad_row_and_the_good_ones_are_in(workspace, rows_json):
    report = import_file(workspace, rows_json, "d", ImportOptions(licence="mit"))
    told = report.to_json()
    assert (told["dataset"], told["imported"], told["unchanged"]) == ("d", 3, 0)
    reason = "It is empty; a record needs a question."
    assert told["rejected"] == [{"row": 3, "field": "instruction", "reason": reason}]
    assert json.loads(report.bad_rows_jsonl())["content"] == ROWS[2]
    rows = read_page(workspace, find_dataset(workspace, "d")).rows
    assert [(r.record.seq, r.record.language, r.record.no) for r in rows] == [
        ("1EN", "en", 1), ("2JA", "ja", 2), ("4ZH", "zh", 4),
    ]  # fmt: skip
    assert rows[0].record.extra == {"source": "a"}
    event = workspace.events("dataset/d")[0]
    assert (event.data["licence"], event.data["rejected"]) == ("mit", told["rejected"])
    assert len(event.data["sha256"]) == 64


def test_nothing_good_makes_no_data_set(workspace, tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_text('{"instruction": ""}\n[1]\n')
    report = import_file(workspace, path, "d")
    assert (report.imported, report.rejected_count) == (0, 2)
    assert list_datasets(workspace) == []
    assert workspace.read("SELECT * FROM events") == []


def test_columns_can_be_corrected(workspace, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"q": "Why?", "answer": "So.", "why": "Think."}\n')
    preview = preview_import(path)
    assert (preview.columns, len(preview.problems)) == ({"output": "answer"}, 1)
    with pytest.raises(QeuError, match="instruction=prompt"):
        import_file(workspace, path, "d")
    options = ImportOptions(columns={"instruction": "q", "output": "", "reasoning": "why"})
    import_file(workspace, path, "d", options)
    record = read_page(workspace, find_dataset(workspace, "d")).rows[0].record
    assert (record.instruction, record.reasoning, record.output) == ("Why?", "Think.", "")
    assert record.extra == {"answer": "So."}


@pytest.mark.parametrize("kind", ["json", "jsonl"])
def test_a_column_that_is_empty_for_long_is_still_understood(workspace, tmp_path, kind):
    path = tmp_path / f"rows.{kind}"
    rows = [{"instruction": f"q{n}", "answer": "a"} for n in range(60)]
    rows += [{"instruction": "q60", "answer": "b", "input": "i", "output": "o", "tag": "t"}]
    write_rows(path, kind, ("instruction", "input", "answer", "output", "tag"), rows)
    report = import_file(workspace, path, "d")
    record = read_page(workspace, find_dataset(workspace, "d"), offset=60).rows[0].record
    assert (record.input, record.output) == ("i", "b")  # answer is the output from the start
    assert record.extra == {"output": "o", "tag": "t"}
    assert report.columns == {"instruction": "instruction", "input": "input", "output": "answer"}
    left = ImportOptions(columns={"input": ""})
    import_file(workspace, path, "e", left)
    record = read_page(workspace, find_dataset(workspace, "e"), offset=60).rows[0].record
    assert (record.input, record.extra["input"]) == ("", "i")


def test_rows_with_ever_other_columns_stop_being_looked_at():
    known = ColumnMap(("instruction",), ImportOptions())
    for number in range(MOST_NAMES + 5):
        assert known.of({f"column {number}": 1}) == {"instruction": "instruction"}
    assert "input" not in known.of({"input": "late"})


@pytest.mark.parametrize("kind", ["csv", "parquet", "xlsx"])
def test_a_column_without_a_value_is_known_by_its_name(workspace, tmp_path, kind):
    path = tmp_path / f"rows.{kind}"
    rows = [{"instruction": f"q{n}", "answer": "a"} for n in range(60)]
    write_rows(path, kind, ("instruction", "input", "output", "answer"), rows)
    report = import_file(workspace, path, "d")
    assert report.columns == {"instruction": "instruction", "input": "input", "output": "output"}
    assert preview_import(path).source.columns == ("instruction", "input", "output", "answer")
    record = read_page(workspace, find_dataset(workspace, "d")).rows[0].record
    assert (record.output, record.extra) == ("", {"answer": "a"})


@pytest.mark.parametrize("kind", ["json", "jsonl", "csv", "parquet", "xlsx"])
def test_export_and_back_changes_nothing(workspace, rows_json, tmp_path, kind):
    import_file(workspace, rows_json, "d")
    dataset = find_dataset(workspace, "d")
    row = read_page(workspace, dataset).rows[1]
    edit_record(workspace, dataset, row.id, row.version, "reasoning", "=1+1\n考える")
    last = next_undo(workspace, dataset)
    out = tmp_path / f"out.{kind}"
    report = export_file(workspace, dataset, out)
    assert (report.rows, report.columns[-1]) == (3, "source")
    back = import_file(workspace, out, "d")
    assert (back.imported, back.unchanged, back.updated) == (0, 3, 0)
    assert next_undo(workspace, dataset) == last
    again = import_file(workspace, out, "copy")
    assert again.imported == 3
    records = [
        [r.record for r in read_page(workspace, find_dataset(workspace, name)).rows]
        for name in ("d", "copy")
    ]
    assert records[0] == records[1]


@pytest.mark.parametrize("kind", ["json", "jsonl", "csv", "parquet", "xlsx"])
def test_other_columns_come_back_as_they_were(workspace, tmp_path, kind):
    extras = (
        {"accepted": ["14", "fourteen"], "score": 0.5, "n": 3, "note": "json:5", "sure": True},
        {"accepted": [], "score": 1.0, "n": 0, "note": "", "sure": False},
        {"score": None, "deep": {"a": [1, None]}, "status": "old", " odd ": 1, "extra": "x"},
        {"language": "Klingon", "n": 2**70, "note": "2024-05-01"},
        {},
    )
    path = tmp_path / "rows.jsonl"
    rows = [{"instruction": f"json:{n}", **extra} for n, extra in enumerate(extras)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    import_file(workspace, path, "d")
    dataset = find_dataset(workspace, "d")
    kept = [r.record.extra for r in read_page(workspace, dataset).rows]
    assert kept[0] == extras[0]
    assert kept[3]["language"] == "Klingon"
    out = tmp_path / f"out.{kind}"
    export_file(workspace, dataset, out)
    back = import_file(workspace, out, "d")
    assert (back.imported, back.unchanged, back.updated) == (0, 5, 0)
    assert import_file(workspace, out, "copy").imported == 5
    records = [
        [r.record for r in read_page(workspace, find_dataset(workspace, name)).rows]
        for name in ("d", "copy")
    ]
    assert records[0] == records[1]


def test_dates_of_other_files_become_texts_that_stay(workspace, tmp_path):
    import datetime

    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "rows.parquet"
    day = datetime.date(2024, 5, 1)
    pq.write_table(pa.table({"instruction": ["q"], "day": [day], "tags": [["a", "b"]]}), path)
    import_file(workspace, path, "d")
    dataset = find_dataset(workspace, "d")
    record = read_page(workspace, dataset).rows[0].record
    assert record.extra == {"day": "2024-05-01", "tags": ["a", "b"]}
    assert import_file(workspace, path, "d").unchanged == 1
    for kind in ("csv", "xlsx", "parquet"):
        out = tmp_path / f"out.{kind}"
        export_file(workspace, dataset, out)
        assert import_file(workspace, out, "d").unchanged == 1


def test_the_original_file_again_keeps_what_was_edited(workspace, rows_json):
    import_file(workspace, rows_json, "d")
    dataset = find_dataset(workspace, "d")
    row = read_page(workspace, dataset).rows[0]
    edit_record(workspace, dataset, row.id, row.version, "output", "On hills.")
    report = import_file(workspace, rows_json, "d")
    assert (report.imported, report.unchanged) == (0, 3)
    assert read_page(workspace, dataset).rows[0].record.output == "On hills."


def test_rows_edited_in_a_spreadsheet_come_back_as_updates(workspace, rows_json, tmp_path):
    import_file(workspace, rows_json, "d")
    dataset = find_dataset(workspace, "d")
    out = tmp_path / "out.jsonl"
    export_file(workspace, dataset, out, columns=("seq", "instruction", "input", "output"))
    text = out.read_text(encoding="utf-8").replace("東京です", "京都です")
    out.write_text(text, encoding="utf-8")
    report = import_file(workspace, out, "d", ImportOptions(update=True))
    assert (report.imported, report.updated) == (0, 3)
    assert "京都" in read_page(workspace, dataset, Filter(search="京都")).rows[0].record.output
    undo(workspace, dataset)
    assert read_page(workspace, dataset, Filter(search="京都")).total == 0


def test_an_edited_cell_of_another_column_comes_back_as_an_update(workspace, tmp_path):
    path, out = tmp_path / "rows.jsonl", tmp_path / "out.csv"
    path.write_text('{"instruction": "q", "accepted": ["14"], "source": "a"}\n')
    import_file(workspace, path, "d")
    dataset = find_dataset(workspace, "d")
    export_file(workspace, dataset, out, columns=("seq", "instruction", "accepted"))
    text = out.read_text(encoding="utf-8-sig").replace('""14""', '""14"", ""fourteen""')
    out.write_text(text, encoding="utf-8")
    assert import_file(workspace, out, "d", ImportOptions(update=True)).updated == 1
    record = read_page(workspace, dataset).rows[0].record
    assert record.extra == {"accepted": ["14", "fourteen"], "source": "a"}
    undo(workspace, dataset)
    assert read_page(workspace, dataset).rows[0].record.extra["accepted"] == ["14"]


def test_export_takes_filter_and_columns_and_refuses_unknown_ones(workspace, rows_json, tmp_path):
    import_file(workspace, rows_json, "d")
    dataset = find_dataset(workspace, "d")
    out = tmp_path / "out.json"
    where = Filter(language=("ja",))
    export_file(workspace, dataset, out, where=where, columns=("question", "status"))
    expected = {"question": "日本の首都はどこですか。\n\n短く答えて", "status": ""}
    assert json.loads(out.read_text(encoding="utf-8")) == [expected]
    with pytest.raises(QeuError, match="'answer'"):
        export_file(workspace, dataset, out, columns=("answer",))
    with pytest.raises(QeuError, match=r"End it with one of: \.json"):
        export_file(workspace, dataset, tmp_path / "out.txt")
    assert "source" in list_columns(workspace, dataset)


def test_stopping_an_import_keeps_nothing_of_it(workspace, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f'{{"instruction": "q{n}"}}\n' for n in range(9000)))
    stop = threading.Event()
    seen = []

    def progress(done):
        seen.append(done)
        stop.set()

    with pytest.raises(Stopped):
        import_file(workspace, path, "d", progress=progress, stop=stop)
    assert seen == [4096]
    assert list_datasets(workspace) == []


def test_a_hub_data_set_comes_in_as_a_stream_and_failures_are_told(workspace):
    asked = []

    def load(name, split, streaming):
        asked.append((name, split, streaming))
        return iter([{"prompt": f"q{n}", "completion": "a"} for n in range(5)])

    def read(name, split):
        return read_hub(name, split, load)

    report = import_hub(workspace, "owner/data", "d", "train[:5]", read=read)
    assert (report.imported, report.file) == (5, "hub:owner/data/train[:5]")
    assert asked == [("owner/data", "train[:5]", True)]

    def fail(name, split, streaming):
        raise ConnectionError("no route")

    with pytest.raises(QeuError, match=r"'owner/none' \(train\) could not be read .*no route"):
        list(islice(read_hub("owner/none", "train", fail), 1))


class FakeHub:
    """Stands in for huggingface_hub.HfApi."""

    def __init__(self):
        self.made, self.files = [], {}

    def create_repo(self, name, repo_type, private, exist_ok):
        self.made.append((name, repo_type, private, exist_ok))

    def upload_file(self, path_or_fileobj, path_in_repo, repo_id, repo_type):
        content = path_or_fileobj
        self.files[path_in_repo] = (
            content if isinstance(content, bytes) else Path(content).read_bytes()
        )


def test_pushing_sends_the_rows_and_a_card_that_names_the_licences(workspace, rows_json):
    import_file(workspace, rows_json, "d", ImportOptions(licence="cc-by-nc-4.0"))
    dataset, hub = find_dataset(workspace, "d"), FakeHub()
    address = push_to_hub(workspace, dataset, "me/d", push=lambda *a: push_files(*a, api=hub))
    assert address.endswith("/datasets/me/d")
    assert hub.made == [("me/d", "dataset", True, True)]
    assert hub.files["data/train.parquet"][:4] == b"PAR1"
    card = hub.files["README.md"].decode()
    assert card == make_card(workspace, dataset)
    assert "license: cc-by-nc-4.0" in card
    assert "- cc-by-nc-4.0: 3 records" in card
    with pytest.raises(QeuError, match="no records"):
        push_to_hub(workspace, dataset, "me/d", Filter(search="nowhere"))


def test_damaged_files_give_a_report_or_one_sentence(tmp_path):
    outcomes = Counter()
    for number in range(60):
        draw = random.Random(number)
        path = tmp_path / f"rows.{draw.choice(ENDINGS[:5])}"
        path.write_bytes(damage(draw, good_file(draw, tmp_path)))
        workspace = Workspace(None)
        try:
            report = import_file(workspace, path, "d")
            outcomes["report"] += 1
            assert all(bad.reason and bad.row >= 0 for bad in report.rejected)
            stored = workspace.read("SELECT count(*) FROM records")[0][0]
            assert stored == report.imported
        except QeuError:
            outcomes["sentence"] += 1
        finally:
            workspace.close()
    assert min(outcomes.values()) > 5
