"""Values in cells of a table and back; columns that files bring besides a record's own."""

import json

import pytest

from qeu.store.cells import decode_cell, encode_cell
from qeu.store.extras import arrow_types, flatten_extra, is_plain_name, list_extra_names
from qeu.store.files import inspect_file, open_rows
from qeu.store.json_depth import is_too_deep
from qeu.store.workspace import Workspace
from qeu.store.writers import Columns, write_rows
from tests.store.dataset_rows import fill

VALUES = (
    *("plain", "", "json:", 'json:"x"', "json:[1", "=1", "007", "null", "5", "true"),
    *(5, 0, -3, 2**60, 2**70, 1.5, 1.0, -0.0, 1e-7, 1e300, 0.1 + 0.2, True, False, None),
    *([], ["14", "fourteen"], [1, 2.5, None, "x"], {"a": {"b": ["é", "日本"]}}, {}),
)


def same(a: object, b: object) -> bool:
    return json.dumps(a) == json.dumps(b)  # 1 is not 1.0, nor True


def test_every_value_comes_back_from_its_cell():
    for value in VALUES:
        assert same(decode_cell(encode_cell(value)), value)
        marked = encode_cell(value, mark_empty=True)
        assert marked
        assert same(decode_cell(marked), value)
    assert encode_cell(["14", "fourteen"]) == 'json:["14", "fourteen"]'
    assert encode_cell("plain") == "plain"


def test_a_cell_that_is_no_json_stays_a_text():
    for text in ("json:", "json:{", "json: what is it?", "JSON:5", "json:" + "[" * 500 + "]" * 500,
                 "json:" + "9" * 5000):  # fmt: skip
        assert decode_cell(text) == text


def test_depth_counts_brackets_outside_strings():
    assert is_too_deep("[" * 101)
    assert not is_too_deep("[]" * 500)
    assert not is_too_deep('"' + "[" * 500 + '"')
    assert is_too_deep('{"\\"": "\\\\", "b": ' + "[" * 101)
    assert not is_too_deep("[1] " + "[" * 500)  # the value has ended
    assert is_too_deep("[1] " + "[" * 500, 4)


@pytest.mark.parametrize("kind", ["json", "jsonl", "csv", "parquet", "xlsx"])
def test_kept_columns_come_back_with_their_kinds_from_every_format(tmp_path, kind):
    path = tmp_path / f"rows.{kind}"
    rows = [{"instruction": f"q{n}", "value": value} for n, value in enumerate(VALUES)]
    rows.append({"instruction": "json:5"})
    write_rows(path, kind, Columns(("instruction", "value"), frozenset({"value"})), rows)
    with open_rows(inspect_file(path)) as read:
        back = [row for _, row in read]
    assert [row["instruction"] for row in back] == [row["instruction"] for row in rows]
    assert "value" not in back.pop()
    for row, value in zip(back, VALUES, strict=True):
        assert same(row["value"], value), value


def test_uniform_columns_are_parquet_columns_of_their_kind(tmp_path):
    import pyarrow.parquet as pq

    extras = {
        "accepted": [["14", "fourteen"], [], ["x"]],
        "none": [[], [], []],
        "counts": [[1, 2], [3], []],
        "mixed": [["a", 1], [], []],
        "score": [0.5, 1.0, 2.0],
        "number": [1, 2, 3],
        "huge": [1, 2**70, 3],
        "sure": [True, False, True],
        "either": [1, 1.0, 2],
        "unsaid": [1, None, 2],
        "named": [{"a": 1}, {"a": 2}, {"a": 3}],
        "source": ["a", "b", "c"],
    }
    workspace = Workspace(None)
    dataset = fill(workspace, 1, extra={name: values[0] for name, values in extras.items()})
    fill(workspace, 1, extra={name: values[1] for name, values in extras.items()}, seq="2EN")
    fill(workspace, 1, extra={name: values[2] for name, values in extras.items()}, seq="3EN")
    types = arrow_types(workspace, dataset)
    assert types == {
        "accepted": "list<string>", "none": "list<string>", "counts": "list<int64>",
        "score": "double", "number": "int64", "sure": "bool",
    }  # fmt: skip
    path = tmp_path / "rows.parquet"
    names = tuple(extras)
    rows = [{name: values[n] for name, values in extras.items()} for n in range(3)]
    write_rows(path, "parquet", Columns(names, frozenset(names), types), rows)
    schema = pq.read_schema(path)
    assert [str(schema.field(name).type) for name in ("accepted", "score", "mixed")] == [
        "list<element: string>", "double", "string",
    ]  # fmt: skip
    with open_rows(inspect_file(path)) as read:
        assert [same(row, wanted) for (_, row), wanted in zip(read, rows, strict=True)] == [
            True
        ] * 3


def test_what_cannot_head_a_column_of_its_own_stands_in_one_called_extra():
    extra = {"language": "Klingon", " x": 1, "": 2, "status": "s", "question": "q", "source": "a",
             "extra": {"b": 1}, "\ufeffy": 3}  # fmt: skip
    flat = flatten_extra(extra)
    assert set(flat) == {"source", "extra"}
    assert {"source": flat["source"], **flat["extra"]} == extra
    assert flatten_extra({"source": "a"}) == {"source": "a"}
    assert not is_plain_name("instruction")
    workspace = Workspace(None)
    dataset = fill(workspace, 2, extra={"source": "a"})
    assert list_extra_names(workspace, dataset) == ("source",)
    fill(workspace, 2, extra=extra, output="other")
    assert list_extra_names(workspace, dataset) == ("source", "extra")
