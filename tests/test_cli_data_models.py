"""`python -m qeu data label|english-out|stats` where a model helps, or its answers are brought."""

import json
import signal
import time

import pytest

from qeu.backends.scoring import TextScore
from qeu.backends.weights import FetchStopped
from qeu.cli.loading import run_stoppable
from qeu.cli.main import main
from qeu.core.errors import QeuError
from tests.fake_shelf import FakeShelf, ScriptedBackend, Step

QUESTIONS = ["Who wrote Hamlet?", "雨の詩を書いてください。", "なぜ空は青いのですか。"]


class Judge(ScriptedBackend):
    """Speaks for creative writing where it reads of a poem."""

    def score(self, rows, adapter=None, stop=None):
        found = []
        for row in rows:
            poem = "雨の詩" in row.prompt.messages[0].content
            found.append(tuple(TextScore(5.0 * (poem and "creative" in c), 1) for c in row.choices))
        return found


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("QEU_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    rows = [{"instruction": q, "input": "", "output": "そうです。"} for q in QUESTIONS]
    (tmp_path / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    shelf = FakeShelf(Judge("llama-3-8b", ["x"]), Judge("smollm2-135m", ["x"]))

    def run(*arguments, status=0):
        assert main(["data", *arguments], lambda settings: shelf) == status
        out, err = capsys.readouterr()
        if "--json" in arguments and out:
            assert out.isascii()
            return json.loads(out) | {"err": err}
        return out if status == 0 else err

    run.shelf = shelf
    run("import", "rows.json", "--dataset", "d")
    return run


@pytest.fixture
def ctrl_c():
    """SIGINT as a terminal sends it, also where the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_model_labels_and_unsure_ones_wait(call):
    call.shelf.steps = (Step("load", 1, 2),)
    told = call(
        "label", "d", "--fields", "category", "--model", "llama-3-8b", "--keep-unsure", "--json"
    )
    assert (told["scored"], told["total"], told["review"]) == (3, 3, 2)
    assert "llama-3-8b: load 50%" not in told["err"]  # --json is quiet
    assert call("show", "d", "2JA", "--json")["category"] == "creative"
    assert call("history", "d", "2JA", "--json")["origins"]["category"]["source"] == "llama-3-8b"
    preview = call(
        "label", "d", "--fields", "category", "--model", "llama-3-8b", "--preview", "--json"
    )
    assert preview["matched"] == 3
    text = call("label", "d", "--fields", "category", "--model", "llama-3-8b", "--keep-unsure")
    assert "2 wait for a person; `data review d` lists them" in text


def test_an_unfit_model_is_refused_or_runs_under_a_banner(call):
    sentence = call("label", "d", "--model", "smollm2-135m", status=1)
    assert "SmolLM2 135M Instruct (embedded) is not fit to label records" in sentence
    assert "--run-anyway" in sentence
    told = call("label", "d", "--model", "smollm2-135m", "--run-anyway", "--json")
    assert told["scored"] == 3
    assert told["err"].startswith("Run anyway: SmolLM2 135M")
    assert "runs on a server" in call("label", "d", "--model", "groq/x", status=1)
    call("label", "d", "--sure", "2", status=2)


def test_stats_count_tokens_of_a_model(call):
    limits = ("--longer-than", "5", "--longer-than", "4000")
    told = call("stats", "d", "--model", "llama-3-8b", *limits, "--json")
    assert told["tokens_of"] == {"model": "llama-3-8b", "layout": "chat"}
    assert told["longer"] == [
        {"tokens": 5, "records": 3, "share": 1.0},
        {"tokens": 4000, "records": 0, "share": 0.0},
    ]
    text = call("stats", "d", "--model", "llama-3-8b", "--layout", "bonsai-v2")
    assert "in tokens of llama-3-8b, whole records in layout bonsai-v2" in text
    assert "longer than 2,048 tokens: 0 records (0.0%)" in text
    call("stats", "d", "--longer-than", "5", status=2)
    call("stats", "d", "--model", "llama-3-8b", "--layout", "x", status=2)
    assert "limit of 0" in call(
        "stats", "d", "--model", "llama-3-8b", "--longer-than", "0", status=1
    )
    assert call("stats", "d", "--json")["tokens"] == {}


def test_english_out_is_previewed_checked_run_and_told(call, tmp_path):
    before = call("english-out", "d", "--check", "--json")
    assert (before["checked"], before["complete"]) == (2, 0)
    assert before["missing"] == {"instruction": 2, "input": 2, "output": 2}
    assert call("english-out", "d", "--preview", "--json")["changed"] == 2
    answers = [{"seq": "2JA", "output": "Soft rain on the leaves, the town is quiet now."}]
    (tmp_path / "answers.jsonl").write_text("\n".join(map(json.dumps, answers)))
    told = call("english-out", "d", "--outputs", "answers.jsonl", "--model", "groq/llama",
                "--licence", "llama3", "--json")  # fmt: skip
    assert (told["changed"], told["complete"], told["seqs"]) == (2, 1, {"output": ["3JA"]})
    assert call("show", "d", "2JA", "--json")["output"] == answers[0]["output"]
    assert call("review", "d", "--review", "english", "--json")["total"] == 1
    text = call("english-out", "d", "--check")
    assert "1 of 2 foreign records are in the form\n  output to be made: 1 (3JA)" in text
    (tmp_path / "bad.jsonl").write_text('{"seq": "9JA", "output": "x"}')
    assert "row 1: 0 records of 'd'" in call("english-out", "d", "--outputs", "bad.jsonl", status=1)
    (tmp_path / "bad.jsonl").write_text('{"seq": "2JA"}')
    assert "expected texts named seq and output" in call(
        "english-out", "d", "--outputs", "bad.jsonl", status=1
    )
    call("undo", "d")
    assert call("show", "d", "2JA", "--json")["instruction"] == QUESTIONS[1]


def test_ctrl_c_keeps_the_labels_that_were_made(call, ctrl_c):
    judge = call.shelf.models["llama-3-8b"]
    score = judge.score

    def wait_for_stop(rows, adapter=None, stop=None):
        if len(rows) > 1:
            signal.raise_signal(signal.SIGINT)
            assert stop.wait(20)
        return score(rows, adapter, stop)

    judge.score = wait_for_stop
    command = ("label", "d", "--fields", "category", "--model", "llama-3-8b", "--keep-unsure")
    assert "Stopped after 3 of 3; their labels are kept." in call(*command, status=130)
    assert call("show", "d", "2JA", "--json")["category"] == "creative"


def test_ctrl_c_while_counting_or_loading_ends_as_such(call, ctrl_c):
    def interrupt(name, stop):
        signal.raise_signal(signal.SIGINT)
        assert stop.wait(20)
        raise FetchStopped("Loading was stopped.")

    call.shelf.on_load = interrupt
    assert "Loading was stopped." in call("stats", "d", "--model", "llama-3-8b", status=130)


def test_work_that_is_stopped_hands_over_what_it_has(ctrl_c):
    def work(stop):
        signal.raise_signal(signal.SIGINT)
        if not stop.wait(20):
            return "lost"
        time.sleep(0.3)  # it takes a while to come to an end
        return "kept"

    assert run_stoppable(work) == ("kept", True)
    assert run_stoppable(lambda stop: 5) == (5, False)
    with pytest.raises(QeuError, match="no"):
        run_stoppable(lambda stop: (_ for _ in ()).throw(QeuError("no")))
