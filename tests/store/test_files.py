"""Files of every format and encoding, good and hostile: rows or a report, never a traceback."""

import csv
import io
import json
import zipfile

import pytest

from qeu.core.columns import RowError, check_mapping, guess_columns, read_row
from qeu.core.errors import QeuError
from qeu.store import text_readers
from qeu.store.cells import protect_cell, restore_cell
from qeu.store.encodings import detect_encoding
from qeu.store.files import inspect_file, open_rows
from qeu.store.writers import write_rows

ROWS = [
    {"instruction": "Where does coffee grow?", "input": "", "output": "=SUM(A1)"},
    {
        "instruction": "日本の首都はどこですか。",
        "input": "短く答えて",
        "output": "東京です。\n以上",
    },
    {"instruction": "中国的首都在哪里？", "input": "", "output": "北京，首都。"},
]


def rows_of(path):
    source = inspect_file(path)
    with open_rows(source) as rows:
        return list(rows)


def good(path):
    return [raw for _, raw in rows_of(path) if not isinstance(raw, RowError)]


def bad(path):
    return [(n, *raw.args) for n, raw in rows_of(path) if isinstance(raw, RowError)]


@pytest.mark.parametrize("kind", ["json", "jsonl", "csv", "parquet", "xlsx"])
def test_every_format_comes_back_as_it_was_written(tmp_path, kind):
    path = tmp_path / f"rows.{kind}"
    texts = ["=1+1", "+x", "-1", "@a", "'=x", "''", "'", "- item", "a,b;c\t\"d\"", "五\n行", "1.50",
             "#N/A", "TRUE", "_x0041_", " x "]  # fmt: skip
    rows = [{"instruction": t, "input": f"{n}", "output": t} for n, t in enumerate(texts)]
    assert write_rows(path, kind, ("instruction", "input", "output"), rows) == len(texts)
    renamed = tmp_path / "wrong.txt"
    path.rename(renamed)
    assert inspect_file(renamed).format == kind
    assert good(renamed) == rows
    assert [p.name for p in tmp_path.iterdir()] == ["wrong.txt"]


@pytest.mark.parametrize("name", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_unicode_encodings_are_found(tmp_path, name):
    for text in (json.dumps(ROWS, ensure_ascii=False), "\n".join(map(json.dumps, ROWS))):
        path = tmp_path / "rows.json"
        path.write_bytes(text.encode(name))
        assert good(path) == ROWS


def test_older_encodings_are_told_apart(tmp_path):
    path = tmp_path / "rows.csv"
    for name, text in (("cp932", ROWS[1]["instruction"]), ("gb18030", ROWS[2]["instruction"])):
        for repeat in (1, 40):
            table = "instruction,output\n" + f"{text},{text}\n" * repeat
            path.write_bytes(table.encode(name))
            assert detect_encoding(path) == name
            assert good(path)[0] == {"instruction": text, "output": text}
    # far behind a start that is plain ASCII
    path.write_bytes(
        b"instruction,output\n" + b"a,b\n" * 600_000 + ("日本語の行,です\n").encode("cp932")
    )
    assert detect_encoding(path) == "cp932"


def test_a_few_bad_bytes_cost_their_rows_only(tmp_path):
    path = tmp_path / "rows.jsonl"
    lines = [json.dumps(row, ensure_ascii=False).encode() for row in ROWS * 5]
    path.write_bytes(b"\n".join([*lines, b'{"instruction": "bad \xff\xfe"}', lines[0]]))
    assert len(good(path)) == 16
    assert bad(path) == [(16, "", "It has bytes that are not utf-8; expected text.")]


def test_formula_cells_are_safe_in_the_file(tmp_path):
    path = tmp_path / "rows.csv"
    cells = ["=cmd()", "+1", "-1", "@x", "\tx", "'=x", "＝x"]
    write_rows(path, "csv", ("output",), [{"output": text} for text in cells])
    written = [row[0] for row in csv.reader(io.StringIO(path.read_text("utf-8-sig")))][1:]
    assert [text[0] for text in written] == ["'"] * len(cells)
    for text in [*cells, "", "'", "''", "it's", "'quoted'", "plain"]:
        assert restore_cell(protect_cell(text)) == text


def test_columns_are_guessed_in_three_languages():
    assert guess_columns(["Prompt", "Response", "NO", "extra"]) == {
        "instruction": "Prompt", "output": "Response", "no": "NO",
    }  # fmt: skip
    assert guess_columns(["指示", "入力", "出力"]) == {
        "instruction": "指示", "input": "入力", "output": "出力",
    }  # fmt: skip
    assert guess_columns(["question", "instruction", "answer"])["instruction"] == "instruction"
    assert check_mapping({"instruction": "a"}, ["a"]) == []
    assert "instruction=prompt" in check_mapping({}, ["a", "b"])[0]
    assert len(check_mapping({"instruction": "x", "answer": "a"}, ["a"])) == 2


def test_a_row_becomes_a_record_with_nothing_dropped():
    mapping = guess_columns(["instruction", "output", "NO", "language", "category", "seq"])
    raw = {"instruction": "What is it?\r\n", "output": 5.0, "language": "Japanese", "NO": "7",
           "category": "Open QA", "source": "ours", "n": float("nan"),
           "deep": {"a": [1, "b\x00"]}}  # fmt: skip
    values = read_row(raw | {"NO": "7"}, 3, {**mapping, "no": "NO"})
    assert values["instruction"] == "What is it?\n"
    assert (values["output"], values["language"], values["category"]) == ("5", "ja", "open_qa")
    assert (values["seq"], values["no"], values["given"]) == ("3JA", 7, False)
    assert values["extra"] == {"source": "ours", "n": None, "deep": {"a": [1, "b"]}}
    other = read_row({"instruction": "Où est-il ?", "language": "French"}, 1, mapping)
    assert (other["language"], other["extra"]) == ("und", {"language": "French"})
    found = read_row({"instruction": "猫はどこですか。", "seq": "6JA"}, 1, mapping)
    assert (found["language"], found["seq"], found["given"]) == ("ja", "6JA", True)


@pytest.mark.parametrize(
    ("raw", "field", "reason"),
    [
        ({"instruction": " "}, "instruction", "It is empty; a record needs a question."),
        ({"output": "x"}, "instruction", "It is empty; a record needs a question."),
        ({"instruction": ["a"]}, "instruction", "It is a list; expected a text."),
        ({"instruction": "a", "output": float("nan")}, "output", "It is nan"),
        ({"instruction": "a", "output": True}, "output", "It is true or false; expected a text."),
        ({"instruction": "a", "output": "x" * 1_000_001}, "output", "It has 1,000,001 characters"),
        ({"instruction": "a", "uniqueness": "maybe"}, "uniqueness", "expected simple or complex"),
        ({"instruction": "a", "seq": "x" * 65}, "seq", "at most 64"),
        ([1], "", "It is a list; expected an object with named columns."),
        (None, "", "It is empty; expected an object"),
    ],
)
def test_a_bad_row_says_field_fault_and_what_was_expected(raw, field, reason):
    mapping = guess_columns(["instruction", "output", "uniqueness", "seq"])
    with pytest.raises(RowError) as raised:
        read_row(raw, 1, mapping)
    assert raised.value.args[0] == field
    assert reason in raised.value.args[1]


GOOD = '{"instruction": "a"}'
HOSTILE_JSON = {
    "truncated list": (f"[{GOOD}, {GOOD}, " + '{"instruction": "b', 2, "ends in the middle"),
    "not closed": (f"[{GOOD}", 1, "ends in the middle"),
    "broken inside": (f"[{GOOD}, {{oops}}, {GOOD}]", 2, "not JSON"),
    "a bracket in a text": (f'[{{"a": "]}}"}}, {{"a": "\\\\"}}, {{"x" 1}}, {GOOD}]', 3, "not JSON"),
    "plain values": (f"[1, 2, {GOOD}, x, {GOOD}", 4, "not JSON"),
    "deep": (f"[{GOOD}, " + "[" * 10_000 + "]" * 10_000 + f", {GOOD}]", 2, "nested too deeply"),
    "deep and open": (f"[{GOOD}, " + '{"a":' * 10_000, 1, ""),
    "duplicate": (f'[{GOOD}, {{"a": 1, "a": 2}}, {GOOD}]', 2, "twice"),
    "long number": (f'[{GOOD}, {{"a": {"9" * 5000}}}, {GOOD}]', 2, "too long"),
    "lines": (f"{GOOD}\n{{oops\n\n{GOOD}\n", 2, "not JSON"),
    "deep line": (f"{GOOD}\n" + '{"a":' * 10_000 + f"\n{GOOD}", 2, "nested too deeply"),
    "two on a line": (f"{GOOD}\n{GOOD} {GOOD}\n", 1, "stands more"),
}


@pytest.mark.parametrize("case", HOSTILE_JSON)
def test_hostile_json_keeps_the_good_rows_and_says_the_rest(tmp_path, case):
    text, kept, reason = HOSTILE_JSON[case]
    path = tmp_path / "rows.json"
    path.write_text(text, encoding="utf-8")
    assert len(good(path)) == kept
    assert len(bad(path)) >= 1
    assert reason in bad(path)[0][2]


def test_objects_around_a_list_and_alone(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps({"version": 1, "data": ROWS}, indent=1))
    assert good(path) == ROWS
    path.write_text(json.dumps(ROWS[0], indent=2))
    assert good(path) == [ROWS[0]]
    path.write_text("[]")
    assert rows_of(path) == []


def test_long_lists_are_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(text_readers, "_PIECE", 50)
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(ROWS * 20, ensure_ascii=False, indent=1), encoding="utf-8")
    assert good(path) == ROWS * 20


def test_one_endless_line_does_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(text_readers, "MOST_ROW_CHARACTERS", 1000)
    long = '{"instruction": "' + "x" * 5000 + '"}'
    for name, text in (
        ("a.jsonl", f"{GOOD}\n{long}\n{GOOD}"),
        ("a.csv", f"instruction,b\na,b\n{'x' * 5000}\nc,d\n"),
    ):
        path = tmp_path / name
        path.write_text(text)
        assert len(good(path)) == 2
        assert "longer than" in bad(path)[0][2]
    path = tmp_path / "a.json"
    path.write_text(f"[{GOOD}, {long}, {GOOD}]")
    monkeypatch.setattr(text_readers, "_PIECE", 100)
    assert len(good(path)) == 2
    assert "longer than" in bad(path)[0][2]


def test_csv_faults_are_told_row_by_row(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("instruction;output;output\nq;a;b\nq;a;b;c\n\n;;\nq\n", encoding="utf-8")
    assert good(path) == [
        {"instruction": "q", "output": "a", "output (2)": "b"}, {"instruction": "q"},
    ]  # fmt: skip
    assert bad(path) == [(2, "", "It has 4 cells; expected 3, as the first line names.")]
    path.write_text('a,b\n"never closed,x\n' + "y,z\n" * 50)
    assert len(rows_of(path)) == 1


def bomb(path, size):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
        with archive.open("xl/sharedStrings.xml", "w", force_zip64=True) as member:
            for _ in range(size // (8 * 1024 * 1024)):
                member.write(b"0" * (8 * 1024 * 1024))


def test_files_that_are_not_what_they_say_are_refused_in_one_sentence(tmp_path):
    path = tmp_path / "a.xlsx"
    cases = {
        b"": "is empty", b"  \n": "is empty", b"PK\x03\x04 nonsense": "damaged workbook",
        b"PAR1 nonsense PAR1": "no Parquet file", b"\xd0\xcf\x11\xe0....": "old Excel",
        b"\x1f\x8b\x08....": "compressed", b"\x00\x01\x02\x03\x04\x05": "not text",
    }  # fmt: skip
    for content, reason in cases.items():
        path.write_bytes(content)
        with pytest.raises(QeuError, match=reason):
            rows_of(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "a")
    with pytest.raises(QeuError, match="no workbook"):
        rows_of(path)
    bomb(path, 300 * 1024 * 1024)
    assert path.stat().st_size < 2_000_000
    with pytest.raises(QeuError, match="would unpack to 296 MB"):
        rows_of(path)
    wrong = tmp_path / "a.json"
    wrong.write_text("instruction,output\na,b\n")
    with pytest.raises(QeuError, match=r"name it \.csv"):
        rows_of(wrong)
    with pytest.raises(QeuError, match="cannot be read"):
        rows_of(tmp_path / "missing.json")


def test_a_sheet_that_lies_about_its_size_is_read_as_it_is(tmp_path):
    path = tmp_path / "a.xlsx"
    write_rows(path, "xlsx", ("instruction",), [{"instruction": "a"}])
    lying = tmp_path / "b.xlsx"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(lying, "w") as new:
        for member in old.infolist():
            data = old.read(member)
            if member.filename.startswith("xl/worksheets/"):
                data = data.replace(b"<sheetData>", b'<dimension ref="A1:XFD1048576"/><sheetData>')
            new.writestr(member.filename, data)
    assert good(lying) == [{"instruction": "a"}]


def test_writing_fails_whole_and_in_words(tmp_path):
    path = tmp_path / "rows.xlsx"
    path.write_text("older")
    with pytest.raises(QeuError, match=r"Record 6EN has 40,000 characters in output"):
        write_rows(path, "xlsx", ("output",), [{"seq": "6EN", "output": "x" * 40_000}])
    assert path.read_text() == "older"
    with pytest.raises(QeuError, match="could not be written"):
        write_rows(tmp_path / "none" / "rows.csv", "csv", ("a",), [])
    assert [p.name for p in tmp_path.iterdir()] == ["rows.xlsx"]


def test_depth_that_quotes_out_of_step_had_hidden_costs_the_row_only(tmp_path):
    path = tmp_path / "rows.json"
    hidden = 'x" ' + '{"a":' * 10_000 + '"'  # to who counts quotes, no bracket stands outside
    path.write_text(f"[{json.dumps(ROWS[0])}, {hidden}]", encoding="utf-8")
    assert len(good(path)) == 1
    assert "nested too deeply" in bad(path)[-1][2]
