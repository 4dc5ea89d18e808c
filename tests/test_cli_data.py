"""`python -m qeu data …` as a person or a program calls it: what it prints, how it exits."""

import json

import pytest

from qeu.cli.main import main

ROWS = {
    "en": ["Who wrote Hamlet?", "Write a poem about rain.", "Why is the sky blue?"],
    "ja": ["ハムレットの作者は誰ですか。", "雨の詩を書いてください。", "なぜ空は青いのですか。"],
}


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("QEU_HOME", str(tmp_path / "home"))
    for language, questions in ROWS.items():
        rows = [{"instruction": q, "input": "", "output": "It is so."} for q in questions]
        (tmp_path / f"{language}.json").write_text(json.dumps(rows), encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def run(*arguments, status=0):
        assert main(["data", *arguments]) == status
        out, err = capsys.readouterr()
        if "--json" in arguments and out:
            assert out.count("\n") == 1
            assert out.isascii()
            return json.loads(out)
        return out if status == 0 else err

    return run


def test_the_whole_way_round(call, tmp_path):
    merged = call("merge", "en.json", "ja.json", "--dataset", "d", "--json")
    assert (merged["imported"], merged["languages"]) == (6, ["en", "ja"])
    assert call("label", "d", "--json")["changed"] > 0
    call("edit", "d", "1EN", "uniqueness", "simple")
    assert call("rules", "d", "--dry-run", "--json")["changed"] >= 1
    assert call("rules", "d", "--json")["changed"] >= 1
    checked = call("check", "d", "--json")
    assert checked["dataset"] == "d"
    assert set(checked["seqs"]) <= set(checked["counts"])
    assert call("split", "d", "--validation", "0.3", "--json")["counts"]["train"] > 0
    assert call("stats", "d", "--json")["records"] == 6
    found = call("search", "d", "作者", "--json")
    assert (found["total"], found["hits"][0]["seq"]) == (1, "1JA")
    for name in ("out.xlsx", "out.csv", "out.jsonl"):
        assert call("export", "d", name, "--json")["rows"] == 6
        back = call("import", name, "--dataset", "d", "--json")
        assert (back["imported"], back["unchanged"], back["rejected"]) == (0, 6, [])
    undone = call("undo", "d", "--json")
    assert undone["undone"].startswith("split")
    assert call("redo", "d", "--json")["redone"] == undone["undone"]
    assert call("list", "--json") == {"datasets": [{"name": "d", "records": 6}]}


def test_an_import_reports_rows_and_exits_by_what_it_kept(call, tmp_path):
    (tmp_path / "mixed.jsonl").write_text('{"instruction": "a"}\n{oops\n{"instruction": ""}\n')
    told = call("import", "mixed.jsonl", "none.json", "--dataset", "d", "--json",
                "--rejected", "bad.jsonl")  # fmt: skip
    assert (told["dataset"], told["imported"], told["unchanged"]) == ("d", 1, 0)
    assert [bad["row"] for bad in told["rejected"]] == [0, 2, 3]
    assert told["rejected"][2]["field"] == "instruction"
    assert len((tmp_path / "bad.jsonl").read_text().splitlines()) == 2
    (tmp_path / "bad.json").write_text('[{"instruction": ""}]')
    assert "No row could be imported" in call("import", "bad.json", "--dataset", "e", status=1)
    assert "cannot be read" in call("import", "none.json", "--dataset", "e", status=1)
    assert call("list", "--json")["datasets"] == [{"name": "d", "records": 1}]
    text = call("import", "mixed.jsonl", "--dataset", "d")
    assert "0 imported, 1 unchanged, 2 rejected" in text
    assert "row 3: instruction: It is empty" in text


def test_columns_and_filters_on_the_command_line(call, tmp_path):
    (tmp_path / "odd.csv").write_text("q,a\nWhy?,So.\n")
    call("import", "odd.csv", "--dataset", "d", "--column", "instruction=q")
    assert "FIELD=COLUMN" in call("import", "odd.csv", "--dataset", "d", "--column", "x", status=2)
    call("import", "en.json", "ja.json", "--dataset", "d")
    out = call("export", "d", "ja.jsonl", "--language", "ja", "--columns", "seq,instruction")
    assert out.startswith("3 records written")
    assert call("search", "d", "a", "--language", "zh") == "Nothing found.\n"


def test_failures_are_one_sentence_and_looking_makes_no_workspace(call, tmp_path):
    assert "There is no data set 'x'" in call("search", "x", "term", status=1)
    assert call("list").startswith("There are no data sets yet")
    assert not (tmp_path / "home").exists()
    call("merge", "en.json", "--dataset", "d", status=1)
    call("merge", "en.json", "ja.json", "--dataset", "d", "--rows", "x", status=2)
    call("import", "en.json", "--dataset", "d")
    assert "nothing to redo" in call("redo", "d", status=1)
    assert "0 records of 'd'" in call("edit", "d", "9ZH", "output", "x", status=1)
    assert "Unknown column" in call("export", "d", "o.csv", "--columns", "zz", status=1)
    call("split", "d", "--validation", "2", status=1)
    call("search", "d", " ", status=2)
    call("frobnicate", status=2)


def test_an_edited_file_imported_without_update_is_told(call, tmp_path):
    call("import", "en.json", "--dataset", "d")
    call("export", "d", "out.csv")
    text = (tmp_path / "out.csv").read_text("utf-8-sig").replace("It is so.", "It is not.", 1)
    (tmp_path / "out.csv").write_text(text, encoding="utf-8")
    told = call("import", "out.csv", "--dataset", "d")
    assert "1 imported, 2 unchanged" in told
    assert "1 of them stand beside a record of the same seq" in told
    call("undo", "d")
    told = call("import", "out.csv", "--dataset", "d", "--update", "--json")
    assert (told["imported"], told["updated"], told["same_seq"]) == (0, 1, 0)
    assert call("show", "d", "1EN", "--json")["output"] == "It is not."


def test_columns_are_shown_before_and_after(call, tmp_path):
    (tmp_path / "odd.csv").write_text("prompt,a,source\nWhy?,So.,x\n")
    text = call("import", "odd.csv", "--dataset", "d", "--preview")
    assert "  instruction=prompt: Why?\n  kept besides: a, source\n" in text
    told = call(
        "import", "odd.csv", "--dataset", "d", "--dry-run", "--column", "output=a", "--json"
    )
    assert told["files"][0]["columns"] == {"instruction": "prompt", "output": "a"}
    assert told["files"][0]["other_columns"] == ["source"]
    assert call("list") == call("list", "--removed").replace("No data set was removed.",
        "There are no data sets yet; `data import FILE --dataset NAME` makes one.")  # fmt: skip
    text = call("import", "odd.csv", "--dataset", "d", "--column", "output=a")
    assert "columns: instruction=prompt, output=a" in text
    call("import", "hub:owner/name", "--dataset", "d", "--dry-run", status=2)


def test_records_are_reviewed_and_their_history_is_told(call):
    call("import", "en.json", "--dataset", "d", "--licence", "mit")
    call("label", "d", "--sure", "0.8")
    queue = call("review", "d", "--json")
    assert queue["total"] == len(queue["records"]) > 0
    assert all(record["review"] for record in queue["records"])
    mixed = {r["seq"] for r in queue["records"] if "category" in r["review"].split(",")}
    assert any("," in record["review"] for record in queue["records"])
    found = call("review", "d", "--review", "category", "--json")["records"]
    assert {r["seq"] for r in found} == mixed
    assert call("review", "d", "1EN", "3EN", "--status", "accepted", "--json")["changed"] == 2
    assert call("show", "d", "3EN", "--json")["status"] == "accepted"
    left = call("review", "d", "--json")
    assert {r["seq"] for r in left["records"]} == {"2EN"} & {r["seq"] for r in queue["records"]}
    assert call("review", "d", "--search", "poem", "--status", "rejected", "--json")["changed"] == 1
    assert call("review", "d", "1EN", "--status", "none", "--json")["changed"] == 1
    call("review", "d", "--status", "accepted", status=2)
    call("review", "d", "1EN", "--search", "x", "--status", "accepted", status=2)
    assert "0 records of 'd'" in call("review", "d", "9EN", "--status", "accepted", status=1)
    call("edit", "d", "1EN", "output", "By Shakespeare.")
    call("undo", "d")
    told = call("history", "d", "1EN", "--json")
    assert told["history"][0]["kind"] == "import"
    assert told["history"][-1]["after"] == "By Shakespeare."
    assert told["history"][-1]["state"] == "undone"
    assert (told["origins"]["output"]["source"], told["origins"]["output"]["licence"]) == (
        "en.json", "mit",
    )  # fmt: skip
    text = call("history", "d", "1EN")
    assert "import  from en.json" in text
    assert "edit (undone)  output: It is so. → By Shakespeare." in text
    assert "output is from en.json, mit" in text
    assert call("edit", "d", "1EN", "output", "It is so.") == "1EN: output is that already.\n"


def test_an_empty_queue_is_not_the_whole_data_set(call):
    call("import", "en.json", "--dataset", "d")
    assert call("review", "d") == "There is nothing to review.\n"


def test_a_record_is_shown_with_what_the_check_found(call):
    call("import", "en.json", "--dataset", "d")
    call("edit", "d", "1EN", "output", "")
    call("check", "d")
    text = call("show", "d", "1EN")
    assert "instruction: Who wrote Hamlet?" in text
    assert "check empty output (output): There is no answer." in text


def test_whole_data_sets_are_renamed_removed_and_restored(call):
    call("import", "en.json", "--dataset", "d")
    assert call("rename", "d", "e", "--json") == {"dataset": "e", "was": "d"}
    assert call("remove", "e", "--json") == {"removed": "e", "records": 3}
    assert call("list", "--json") == {"datasets": []}
    assert call("list", "--removed", "--json")["datasets"][0]["name"] == "e"
    assert "restore it" in call("stats", "e", status=1)
    assert call("restore", "e") == "e is back (3 records).\n"
    assert "Removed are: none" in call("restore", "e", status=1)
    assert call("undo", "e", "--json")["undone"] == "import of en.json (3 records)"
