"""`python -m qeu evaluate`: verdicts, table, JSON, report, card; one run on the embedded model."""

import json
from pathlib import Path

import pytest

from qeu.cli.main import main
from tests.services.evaluate_home import Engines, Model, rows, thinking
from tests.services.test_usefulness import STUDENT


@pytest.fixture
def call(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setenv("QEU_HOME", str(tmp_path / "home"))
    adapters = tmp_path / "adapters"
    monkeypatch.setenv("QEU_ADAPTERS", str(adapters))
    monkeypatch.chdir(tmp_path)
    folder = adapters / "poems"
    folder.mkdir(parents=True)
    run_json = (Path(__file__).parent / "contract" / "run.json").read_text("utf-8")
    run = json.loads(run_json) | {"name": "poems", "target": "both", "role": "assistant"}
    (folder / "run.json").write_text(json.dumps(run), "utf-8")
    config = {"base_model_name_or_path": STUDENT, "r": 4, "peft_type": "LORA"}
    (folder / "adapter_config.json").write_text(json.dumps(config), "utf-8")
    (folder / "adapter_model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    lines = [row | row.pop("extra") for row in rows(9)]
    text = "".join(json.dumps(row | {"no": at}) + "\n" for at, row in enumerate(lines))
    (tmp_path / "rows.jsonl").write_text(text, "utf-8")
    model = Model(thinking)

    class Shelf(Engines):
        """The model of this test, with the adapters of this test."""

    def make(settings):
        shelf = Shelf(model)
        shelf.adapters = settings.adapters
        return shelf

    def run_main(*arguments: str, status: int = 0) -> str:
        assert main(arguments, make) == status
        out, err = capsys.readouterr()
        return out if status == 0 else err

    run_main.model = model
    run_main("data", "import", "rows.jsonl", "--dataset", "d")
    return run_main


ASKED = ("evaluate", "--dataset", "d", "--any-split", "--base", STUDENT, "--adapter", "poems")


def test_verdicts_and_the_table_are_shown(call):
    told = call(*ASKED, "--seeds", "1", "--examples", "0")
    lines = told.splitlines()
    assert lines[0].startswith(f"{STUDENT}@poems (its own reasoning) helps against {STUDENT}, as")
    assert "in bonsai-v2" in lines[1]
    assert "[1] smollm2-135m, as it is" in lines
    table = [line for line in lines if line.startswith("answers that are right")]
    assert "0% (0–30)" in table[0]
    assert "100% (70–100)" in table[0]


def test_json_is_one_object_and_nothing_is_asked_twice(call):
    told = call(*ASKED, "--seeds", "1", "--json")
    assert told.isascii()
    found = json.loads(told)
    assert found["pairs"][0]["verdict"] == "helps"
    assert found["spec"]["where"] == {}
    count = len(call.model.asked)
    assert call(*ASKED, "--seeds", "1", "--json") == told
    assert len(call.model.asked) == count


def test_left_and_right_are_a_pair_of_their_own(call):
    left, right = f"{STUDENT}@poems,reasoning=none,title=bare", f"{STUDENT}@poems"
    told = call(
        "evaluate", "--dataset", "d", "--any-split", "--left", left, "--right", right,
        "--seeds", "1", "--no-losses", "--json",
    )  # fmt: skip
    found = json.loads(told)
    assert [way["name"] for way in found["ways"]] == ["bare", f"{right} (its own reasoning)"]
    assert found["verdicts"][0].startswith(f"{right} (its own reasoning) helps against bare")
    assert "answer_loss" not in found["ways"][0]["averages"]


def test_usefulness_can_be_left_out(call):
    found = json.loads(call(*ASKED, "--seeds", "1", "--no-usefulness", "--json"))
    assert found["spec"]["usefulness"] is False
    whole = json.loads(call(*ASKED, "--seeds", "1", "--json"))
    assert whole["spec"]["usefulness"] is True


def test_report_texts_and_card_are_written(call, tmp_path):
    call(
        *ASKED, "--seeds", "1", "--limit", "7", "--report", "r.html", "--texts", "t.jsonl",
        "--card",
    )  # fmt: skip
    assert "<svg" in (tmp_path / "r.html").read_text("utf-8")
    texts = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text("utf-8").splitlines()]
    assert len(texts) == 7 * 4
    assert {"seq", "answer", "values"} <= texts[0].keys()
    card = (tmp_path / "adapters" / "poems" / "README.md").read_text("utf-8")
    assert "## What it does" in card
    assert "helps against" in card


def test_wrong_uses_are_told(call):
    none = ("evaluate", "--dataset", "d")
    assert "Name what to evaluate" in call(*none, status=2)
    assert "--adapter needs --base" in call(*none, "--adapter", "poems", status=2)
    assert "go together" in call(*none, "--left", STUDENT, status=2)
    assert "NAME=VALUE" in call(*none, "--way", f"{STUDENT},speed=9", status=2)
    assert "whole number" in call(*none, "--way", f"{STUDENT},examples=x", status=2)
    assert ".html or .md" in call(*ASKED, "--report", "r.pdf", status=2)
    assert "no folder" in call(*ASKED, "--report", "gone/r.md", status=2)
    assert "seeds is 0" in call(*ASKED, "--seeds", "0", status=2)
    assert "reasoning is 'mine'" in call(*ASKED, "--reasonings", "mine", status=2)
    unsplit = call(*none, "--base", STUDENT, "--split", "validation", status=1)
    assert "No record of 'd' matches the filter" in unsplit


@pytest.mark.slow
def test_the_embedded_model_and_the_shipped_adapter_are_really_asked(
    tmp_path, monkeypatch, capsys, embedded_path
):
    monkeypatch.setenv("QEU_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("QEU_CACHE", str(embedded_path.parent))
    asked = (
        "evaluate", "--dataset", "shipped", "--language", "en", "--category", "math",
        "--base", STUDENT, "--adapter", "thinks-first", "--examples", "1",
        "--limit", "1", "--greedy", "--max-new-tokens", "12", "--json",
    )  # fmt: skip
    assert main(asked) == 0
    found = json.loads(capsys.readouterr().out)
    ways = {way["name"]: way["averages"] for way in found["ways"]}
    assert len(ways) == 4
    own = ways[f"{STUDENT}@thinks-first (its own reasoning)"]
    bare = ways[f"{STUDENT}, in bonsai-v2"]
    # what it was trained for shows even on one record
    assert own["reasoning_loss"]["value"] < bare["reasoning_loss"]["value"]
    assert all(0 < way["answer_loss"]["value"] < 20 for way in ways.values())
    assert found["matching"] > 20
    assert len(found["verdicts"]) == 3
    assert main(asked) == 0
    assert json.loads(capsys.readouterr().out) == found
