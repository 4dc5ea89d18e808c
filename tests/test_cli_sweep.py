"""`python -m qeu sweep`: the plan, the table, JSON, CSV, and sweeps that are there."""

import csv
import json
from pathlib import Path

import pytest

from qeu.cli.main import main
from tests.services.evaluate_home import rows
from tests.services.test_sweep import Model, by_temperature
from tests.services.test_usefulness import STUDENT, Engines

ASKED = (
    "sweep", "--model", STUDENT, "--prompt", "What is 6 times 7?", "--reference", "42",
    "--grid", "temperature=0,0.7,1", "--grid", "top-p=0.9,1", "--seeds", "2",
)  # fmt: skip


@pytest.fixture
def call(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setenv("QEU_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    model = Model(by_temperature)

    def run_main(*arguments: str, status: int = 0) -> str:
        assert main(arguments, lambda settings: Engines(model)) == status
        out, err = capsys.readouterr()
        return out if status == 0 else err

    run_main.model = model
    return run_main


def test_the_cells_a_heat_map_and_what_can_be_told_are_shown(call):
    told = call(*ASKED)
    lines = told.splitlines()
    assert lines[0].split()[:5] == ["cell", "temperature", "top_p", "texts", "right"]
    assert lines[1].split()[:5] == ["1", "0", "0.9/1", "1", "100%*"]
    assert "temperature \\ top_p  0.9       1" in lines
    assert any(line.startswith("right: Too few samples to tell: n = 2") for line in lines)
    assert any("shown once (1)" in line for line in lines)


def test_json_is_one_object_and_nothing_is_asked_twice(call):
    told = call(*ASKED, "--json")
    assert told.isascii()
    found = json.loads(told)
    assert (found["cells"], found["combinations"], found["state"]) == (5, 6, "finished")
    assert found["results"][0]["measures"]["right"]["value"] == 1
    assert {one["measure"]: one["verdict"] for one in found["best"]}["right"] == "too_few"
    assert len(call.model.asked) == 9
    assert json.loads(call(*ASKED, "--json"))["results"] == found["results"]
    assert len(call.model.asked) == 9


def test_a_plan_asks_nothing_and_makes_no_workspace(call, tmp_path):
    told = call(*ASKED, "--plan")
    assert told.splitlines()[0] == (
        "5 cells (of 6 combinations; the others ask the very same), 1 prompts, 9 texts, "
        "0 of them there already"
    )
    assert "time: unknown before a first run" in told
    plan = json.loads(call(*ASKED, "--plan", "--json"))
    assert (plan["cells"], plan["todo"], plan["is_large"]) == (5, 9, False)
    assert call.model.asked == []
    assert not (tmp_path / "home").exists()


def test_a_large_sweep_waits_for_a_yes(call):
    grid = ",".join(str((at + 1) / 1000) for at in range(1000))
    large = ("sweep", "--model", STUDENT, "--prompt", "Hi", "--grid", f"top_p={grid}",
             "--seeds", "1")  # fmt: skip
    told = call(*large, status=1)
    assert "large sweep: 1,000 cells, 1,000 texts" in told
    assert "--yes" in told
    assert call.model.asked == []
    call(*large, "--yes")
    assert len(call.model.asked) == 1_000


def test_records_are_chosen_by_a_filter_and_axes_can_be_fixed(call, tmp_path):
    lines = [row | row.pop("extra") for row in rows(9)]
    text = "".join(json.dumps(row | {"no": at}) + "\n" for at, row in enumerate(lines))
    Path("rows.jsonl").write_text(text, "utf-8")
    call("data", "import", "rows.jsonl", "--dataset", "d")
    asked = ("sweep", "--model", STUDENT, "--dataset", "d", "--category", "math", "--limit", "7",
             "--seeds", "1", "--role", "assistant", "--role", "creator",
             "--grid", "temperature=0,1", "--grid", "top_k=5,9")  # fmt: skip
    told = call(
        *asked, "--rows", "temperature", "--columns", "role", "--fix", "top-k=5",
        "--measure", "length", "--csv", "cells.csv",
    )  # fmt: skip
    assert "temperature \\ role  assistant" in told
    assert "length of the text\n" in told
    assert "7 of 9 matching records were drawn." in told
    with Path("cells.csv").open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert len(found) == 8
    assert {one["same_as"] for one in found} == {"", "1", "4"}
    assert [one["length_n"] for one in found] == ["7"] * 8
    assert "No record of 'd'" in call(*asked, "--split", "test", status=1)


def test_sweeps_that_are_there_are_listed_shown_resumed_and_deleted(call):
    assert call("sweep", "list") == ""
    call(*ASKED)
    assert call("sweep", "list").splitlines()[1].split()[:3] == ["1", "finished", "5/5"]
    assert json.loads(call("sweep", "list", "--json"))["sweeps"][0]["done"] == 5
    assert "temperature \\ top_p" in call("sweep", "show", "1")
    shown = call("sweep", "show", "1", "--cell", "4")
    assert "temperature=1 top_p=0.9" in shown
    assert "[answer] Perhaps 2?" in shown
    cell = json.loads(call("sweep", "show", "1", "--cell", "4", "--json"))
    assert [one["answer"] for one in cell["samples"]] == ["Perhaps 1?", "Perhaps 2?"]
    assert json.loads(call("sweep", "resume", "1", "--json"))["cells"] == 5
    assert len(call.model.asked) == 9
    assert json.loads(call("sweep", "delete", "1", "--json")) == {"sweep": 1, "deleted": True}
    for gone in (("show", "1"), ("resume", "1"), ("delete", "1"), ("show", "1", "--cell", "1")):
        assert "no sweep 1" in call("sweep", *gone, status=1)


def test_wrong_uses_are_told(call):
    assert "Say what is asked" in call("sweep", "--model", STUDENT, status=2)
    assert "needs a model" in call("sweep", "--prompt", "Hi", status=2)
    assert "not both" in call(*ASKED, "--dataset", "d", status=2)
    assert "Filters choose records" in call(*ASKED, "--language", "en", status=2)
    assert "no axis of a grid" in call(*ASKED, "--grid", "speed=1", status=2)
    assert "is not a list of numbers" in call(*ASKED, "--grid", "top_k=few", status=2)
    assert "seeds is 0" in call(*ASKED, "--seeds", "0", status=2)
    assert "how many" in call(*ASKED, "--seed", "3", status=2)
    assert "no axis 'speed'" in call(*ASKED, "--rows", "speed", status=2)
    assert "not AXIS=VALUE" in call(*ASKED, "--fix", "top_p", status=2)
    assert "no value '2'" in call(*ASKED, "--fix", "top_p=2", status=2)
    assert "no folder" in call(*ASKED, "--csv", "gone/x.csv", status=2)
    assert call.model.asked == []


@pytest.mark.slow
def test_the_embedded_model_is_really_swept(tmp_path, monkeypatch, capsys, embedded_path):
    monkeypatch.setenv("QEU_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("QEU_CACHE", str(embedded_path.parent))
    asked = (
        "sweep", "--model", STUDENT, "--model", f"{STUDENT}@thinks-first", "--prompt",
        "What is 6 times 7?", "--reference", "42", "--grid", "temperature=0,1.5",
        "--seeds", "3", "--max-new-tokens", "8", "--json",
    )  # fmt: skip
    assert main(asked) == 0
    found = json.loads(capsys.readouterr().out)
    assert [cell["texts"] for cell in found["results"]] == [1, 3, 1, 3]
    targets = [cell["asked_target"] for cell in found["results"]]
    assert targets == ["answer", "answer", "both", "both"]
    # what is drawn hot differs from seed to seed
    assert found["results"][1]["measures"]["own_agreement"]["value"] < 0.9
    assert main(asked) == 0
    assert json.loads(capsys.readouterr().out)["results"] == found["results"]
