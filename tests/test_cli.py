"""The command line: what it prints where, how it exits, how it stops."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import qeu
from qeu.cli.main import main
from qeu.cli.screen import display_width, side_by_side, wrap_line, wrap_text
from qeu.core.sampling import Sampling
from qeu.services.compare import Comparison
from qeu.store.history import search_comparisons
from qeu.store.workspace import Workspace
from tests.fake_shelf import FakeShelf, ScriptedBackend, Step

ROOT = Path(qeu.__file__).parent.parent
MODEL = "smollm2-135m"
SIDES = ["--left", MODEL, "--right", f"{MODEL}@poems"]
ASK = ["compare", *SIDES, "--instruction", "Add 2 and 3."]
SIDE_FIELDS = {
    "text",
    "reasoning",
    "answer",
    "finish_reason",
    "prompt_tokens",
    "new_tokens",
    "ttft_s",
    "tokens_per_s",
    "model",
    "adapter",
    "layout",
    "seed",
    "receipt",
    "checks",
}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A workspace of the test's own, and nothing of this machine's settings."""
    for name in [name for name in os.environ if name.startswith("QEU_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("QEU_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("COLUMNS", raising=False)
    return tmp_path / "home"


@pytest.fixture
def feed(monkeypatch):
    """What is on standard input."""

    def give(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), "utf-8"))

    return give


def machine(*words: str, **changes) -> FakeShelf:
    return FakeShelf(ScriptedBackend(MODEL, words or ["Five", " it is."], **changes))


def run(argv: list[str], shelf: FakeShelf | None = None) -> int:
    return main(argv, lambda settings: shelf or machine())


def stored(home: Path) -> list:
    workspace = Workspace(home / "qeu.db")
    try:
        return search_comparisons(workspace)
    finally:
        workspace.close()


# -- compare -------------------------------------------------------------------------------------


def test_json_is_one_ascii_line_with_both_sides(capfd):
    assert run([*ASK, "--json"], machine("五", "です 👍")) == 0
    out, err = capfd.readouterr()
    assert out.isascii()
    assert out.count("\n") == 1
    data = json.loads(out)
    assert list(data) == ["left", "right"]
    for side in data.values():
        assert set(side) >= SIDE_FIELDS
        assert (side["text"], side["answer"], side["finish_reason"]) == ("五です 👍",) * 2 + (
            "stop",
        )
        assert side["receipt"]["parameters"][0]["name"] == "temperature"
        assert side["checks"]["answer"]
    assert [side["adapter"] for side in data.values()] == [None, "poems"]
    assert "left" in err


class Watched(io.StringIO):
    """A stream that says when something was written to it."""

    def __init__(self, awaited: str) -> None:
        super().__init__()
        self.awaited, self.seen = awaited, threading.Event()

    def write(self, text: str) -> int:
        if self.awaited in text:
            self.seen.set()
        return super().write(text)


def test_the_progress_of_a_load_is_told_while_it_goes_on(monkeypatch):
    stream = Watched("download 50%")
    monkeypatch.setattr(sys, "stderr", stream)
    shelf = machine()
    shelf.steps = (Step("download", 1, 2),)
    shelf.on_load = lambda name, stop: stream.seen.wait(20)
    assert run(ASK, shelf) == 0
    assert stream.getvalue().count("smollm2-135m: download 50%\n") == 1


def test_progress_goes_to_standard_error_and_quiet_means_quiet(capfd):
    assert run(ASK) == 0
    out, err = capfd.readouterr()
    assert "left: stop after 2 tokens" in err
    assert "after 2 tokens\n" not in out
    assert "\x1b" not in err
    assert run([*ASK, "--quiet"]) == 0
    assert capfd.readouterr().err == ""


def test_a_reader_sees_both_answers_their_state_and_their_checks(capfd):
    assert run(ASK) == 0
    out = capfd.readouterr().out
    assert out.count("Five it is.") == 2
    assert "left · smollm2-135m · chat" in out
    assert "right · smollm2-135m@poems · chat" in out
    assert "stop · 2 tokens" in out
    assert "✓" in out
    assert "─ reasoning ─" not in out


def test_wide_terminals_show_the_sides_beside_each_other(capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert run([*ASK, "--target", "both"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].startswith("left")
    assert "│ right" in lines[0]
    assert any(line.count("Five it is.") == 2 for line in lines)
    assert len({line.index("│") for line in lines}) == 1


def test_every_option_reaches_the_comparison(home, capfd, tmp_path):
    (tmp_path / "context.txt").write_text("\ufeffzwei und drei", encoding="utf-8")
    argv = [
        *ASK, "--input", f"@{tmp_path / 'context.txt'}", "--reasoning", "Count on.",
        "--reference", "5", "--category", "math", "--language", "en",
        "--role", "creator", "--right-role", "logician", "--layout", "bonsai-v2",
        "--left-layout", "chat", "--target", "both", "--right-target", "reasoning_task",
        "--left-no-reasoning", "--role-text", "creator=Sell=tea.", "--exact",
        "--temperature", "0.5", "--top-p", "0.8", "--top-k", "7", "--min-p", "0.1",
        "--repetition-penalty", "1.2", "--max-new-tokens", "9", "--seed", "11", "--greedy",
        "--right-temperature", "1", "--no-right-greedy",
    ]  # fmt: skip
    assert run(argv) == 0
    (kept,) = stored(home)
    comparison = Comparison.from_json(kept.settings)
    common = Sampling(0.5, 0.8, 7, 0.1, 1.2, 9, 11, True)
    assert comparison.sampling == common
    assert comparison.left.sampling is None
    assert comparison.right.sampling == Sampling(1, 0.8, 7, 0.1, 1.2, 9, 11, False)
    assert (comparison.input, comparison.reasoning) == ("zwei und drei", "Count on.")
    assert (comparison.reference, comparison.category) == ("5", "math")
    assert (comparison.expected_language, comparison.exact) == ("en", True)
    left, right = comparison.left, comparison.right
    assert (left.role, left.layout, left.target) == ("creator", "chat", "both")
    assert (right.role, right.layout, right.target) == ("logician", "bonsai-v2", "reasoning_task")
    assert (left.use_reasoning, right.use_reasoning) == (False, True)
    assert comparison.roles == {"creator": "Sell=tea."}


def test_a_run_is_kept_unless_that_is_not_wanted(home):
    assert run([*ASK, "--no-store", "-q"]) == 0
    assert not home.exists()
    assert run([*ASK, "-q"]) == 0
    assert [kept.question for kept in stored(home)] == ["Add 2 and 3."]


def test_a_text_may_come_from_standard_input(home, feed):
    feed("長い文脈\n".encode())
    assert run([*ASK, "--input", "-", "-q"]) == 0
    assert stored(home)[0].settings["input"] == "長い文脈\n"


def test_texts_that_begin_with_the_signs_are_written_with_a_backslash(home):
    assert run([*ASK, "--input", "\\@home", "--reference", "\\-", "-q"]) == 0
    settings = stored(home)[0].settings
    assert (settings["input"], settings["reference"]) == ("@home", "-")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "COMMAND"),
        (["sing"], "sing"),
        (["compare", "--left", MODEL], "--right"),
        ([*ASK, "--top-k", "many"], "many"),
        ([*ASK, "--top-k", "-3"], "top_k is -3"),
        ([*ASK, "--temperature", "nan"], "temperature"),
        ([*ASK, "--seed", "1.5"], "seed"),
        ([*ASK, "--right-max-new-tokens", "0"], "max_new_tokens"),
        ([*ASK, "--role", "poet"], "poet"),
        ([*ASK, "--layout", "alpaca"], "alpaca"),
        ([*ASK, "--beams", "3"], "--beams"),
        ([*ASK, "--temp", "3"], "--temp"),
        ([*ASK, "--role-text", "poet"], "ROLE=TEXT"),
        ([*ASK, "--role-text", "poet=x"], "poet"),
        ([*ASK, "--input", "@/no/such/file"], "/no/such/file"),
        ([*ASK, "--input", "-", "--reasoning", "-"], "one text only"),
        (["check", " "], "empty"),
        (["history", "--limit", "0"], "--limit"),
        (["history", "--as", "python"], "--id"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what_is_wrong(argv, said, capfd, home):
    assert run(argv) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert said in err
    assert not home.exists()


def test_a_file_that_is_not_utf_8_is_said(tmp_path, capfd):
    (tmp_path / "sjis.txt").write_bytes("日本語".encode("shift-jis"))
    assert run([*ASK, "--input", f"@{tmp_path / 'sjis.txt'}"]) == 2
    assert "not UTF-8" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["compare", *SIDES, "--instruction", " "], "question is empty"),
        (["compare", "--left", "no such", "--right", MODEL, "--instruction", "x"], "'no such'"),
        (["history", "--id", "7"], "number 7"),
    ],
)
def test_what_cannot_be_done_exits_with_1_and_one_sentence(argv, said, capfd):
    assert run(argv) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert said in err
    assert len(err.splitlines()) == 1


def test_a_side_that_fails_is_printed_stored_and_exits_with_1(capfd, home):
    def before(row, count):
        if count == 2:
            raise RuntimeError("device lost")

    assert run([*ASK, "--json"], machine("a", "b", before_word=before)) == 1
    out, err = capfd.readouterr()
    left = json.loads(out)["left"]
    assert (left["finish_reason"], left["text"]) == ("error", "a")
    assert set(left) >= SIDE_FIELDS
    assert "left:" in err.splitlines()[-1]
    assert "device lost" in err.splitlines()[-1]
    assert stored(home)[0].results["left"]["text"] == "a"


def test_a_workspace_that_cannot_be_written_is_refused_before_anything_runs(home, capfd):
    home.write_text("in the way")
    shelf = machine()
    assert run(ASK, shelf) == 1
    assert "QEU_HOME" in capfd.readouterr().err
    assert shelf.calls == []


def test_a_wrong_setting_in_the_environment_is_wrong_usage(monkeypatch, capfd):
    monkeypatch.setenv("QEU_DEVICE", "tpu")
    assert run(ASK) == 2
    assert "QEU_DEVICE" in capfd.readouterr().err


def test_escape_codes_of_a_model_do_not_reach_the_terminal(capfd):
    assert run(ASK, machine("\x1b[2J\x07red\x9b31m")) == 0
    out, err = capfd.readouterr()
    assert not set("\x1b\x07\x9b") & set(out + err)
    assert "red" in out


def test_a_plan_of_several_models_is_told(capfd):
    shelf = FakeShelf(ScriptedBackend(MODEL, ["a"]), ScriptedBackend("phi-2", ["b"]), free=1)
    argv = ["compare", "--left", MODEL, "--right", "phi-2", "--instruction", "x"]
    assert run(argv, shelf) == 0
    assert "smollm2-135m then phi-2" in capfd.readouterr().err


# -- models, check, history ------------------------------------------------------------------------


def test_models_are_listed_for_readers_and_programs(capfd):
    assert run(["models"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[1].split()[:3] == [MODEL, "135", "million"]
    assert run(["models", "--json"]) == 0
    models = json.loads(capfd.readouterr().out)["models"]
    assert models[0]["id"] == MODEL
    assert {"label", "hub_repo", "licence", "context", "reads", "writes"} <= set(models[0])


def test_a_text_is_checked_from_the_argument_a_file_or_a_pipe(capfd, feed, tmp_path):
    leak = "The answer is 12.49."
    (tmp_path / "text").write_text(leak, encoding="utf-8")
    feed(leak.encode())
    outputs = []
    for source in ([leak], [f"@{tmp_path / 'text'}"], []):
        assert run(["check", *source, "--question", "Root of 156?", "--reference", "12.49"]) == 0
        outputs.append(capfd.readouterr().out)
    assert len(set(outputs)) == 1
    assert "✗" in outputs[0]
    assert "✓" in outputs[0]


def test_checks_as_json_name_what_failed(capfd):
    assert run(["check", "The answer is 12.49.", "--json", "--reference", "12.49"]) == 0
    out = capfd.readouterr().out
    assert out.count("\n") == 1
    data = json.loads(out)
    assert data["failed"]
    assert set(data["failed"]) <= {check["name"] for check in data["checks"]}
    assert run(["check", "Fine.", "--as", "answer", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["checks"]


def test_earlier_runs_are_listed_searched_and_shown(capfd):
    assert run(["history"]) == 0
    assert "no comparisons yet" in capfd.readouterr().out
    run([*ASK, "-q"], machine("Fünf"))
    run(["compare", *SIDES, "--instruction", "茶の標語を書いて", "-q"], machine("一服どうぞ"))
    capfd.readouterr()
    assert run(["history"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["#2", "#1"]
    assert run(["history", "標語"]) == 0
    assert capfd.readouterr().out.startswith("#2")
    assert run(["history", "FÜNF", "--json"]) == 0
    data = json.loads(capfd.readouterr().out)
    assert [item["question"] for item in data["runs"]] == ["Add 2 and 3."]
    assert run(["history", "nowhere"]) == 0
    assert "Nothing found" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("shape", "begins"),
    [
        ("text", "#1 · "),
        ("json", "{\n"),
        ("python", '"""Runs a comparison'),
        ("command", "python -m qeu compare --left"),
    ],
)
def test_an_earlier_run_is_taken_away_in_any_shape(shape, begins, capfd):
    run([*ASK, "-q"])
    capfd.readouterr()
    assert run(["history", "--id", "1", "--as", shape]) == 0
    assert capfd.readouterr().out.startswith(begins)


def test_looking_into_an_empty_history_makes_no_workspace(home):
    assert run(["history"]) == 0
    assert not home.exists()


# -- a real process --------------------------------------------------------------------------------


def start(code: str, *argv: str, **environment: str) -> subprocess.Popen:
    """The command line as its own process, on a shelf that the code sets up."""
    prelude = (
        "import sys\nfrom tests.fake_shelf import FakeShelf, ScriptedBackend\n"
        "from qeu.cli.main import main\n"
    )
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, "-c", prelude + code, *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment},
    )


ENDLESS = """
model = ScriptedBackend("smollm2-135m", ["on "] * 100_000)
model.before_word = lambda row, count: count > 3 and model.batches[0][row].stop.wait(60)
sys.exit(main(sys.argv[1:], lambda settings: FakeShelf(model)))
"""


def test_ctrl_c_stops_the_computation_and_keeps_what_was_written(home):
    process = start(ENDLESS, *ASK, "--json", "--max-new-tokens", "4096")
    for line in process.stderr:
        if b"right: writing" in line:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    data = json.loads(out)
    for side in data.values():
        assert side["finish_reason"] == "cancelled"
        assert side["text"].startswith("on ")
        assert side["receipt"], "the engine itself ended it and handed over what it had"
    assert b"Stopping" in err
    assert b"Traceback" not in err
    assert stored(home)[0].results["left"]["text"] == data["left"]["text"]


STUCK = """
import threading
shelf = FakeShelf()
shelf.on_load = lambda name, stop: threading.Event().wait(60)
import qeu.cli.compare
qeu.cli.compare.STOP_WAIT_S = 0.1
sys.exit(main(sys.argv[1:], lambda settings: shelf))
"""


def test_ctrl_c_ends_the_program_even_where_a_load_does_not_listen(home):
    process = start(STUCK, *ASK, "--json")
    assert process.stderr.readline() == b"smollm2-135m: start\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert json.loads(out)["left"]["finish_reason"] == "cancelled"
    assert b"Traceback" not in err
    assert stored(home) == []


SHORT = """
shelf = FakeShelf(ScriptedBackend("smollm2-135m", ["五 ✓ \\ud800 é", "x" * 100_000]))
sys.exit(main(sys.argv[1:], lambda settings: shelf))
"""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "shift-jis", "cp1252"])
@pytest.mark.parametrize("shape", [[], ["--json"]])
def test_no_terminal_encoding_crashes_the_output(encoding, shape):
    process = start(SHORT, *ASK, *shape, PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    text = out.decode(encoding)
    if shape:
        assert json.loads(text)["left"]["text"].startswith("五 ✓")
    else:
        assert "left" in text


def test_a_reader_that_left_before_the_first_line_ends_it_quietly():
    process = start("sys.stdin.read()\nsys.exit(main(sys.argv[1:]))", "models")
    process.stdout.close()
    process.stdin.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(30) == 141
    assert err == b""


def test_a_reader_that_has_enough_ends_it_quietly():
    process = start(SHORT, *ASK, "-q")
    process.stdout.read(100)
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(30) == 141
    assert err == b""


@pytest.mark.parametrize("command", [[], ["models"], ["compare"], ["check"], ["history"]])
def test_help_reads_well_and_costs_nothing_heavy(command):
    code = (
        "import sys\nfrom qeu.cli.main import main\nstatus = main(sys.argv[1:])\n"
        "heavy = {'torch', 'transformers', 'gradio', 'numpy', 'peft'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else status)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *command, "--help"], capture_output=True, text=True,
        check=False, cwd=ROOT,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("usage: python -m qeu")
    assert max(map(len, result.stdout.splitlines())) <= 100


def test_the_package_runs_as_a_module():
    result = subprocess.run(
        [sys.executable, "-m", "qeu", "--version"], capture_output=True, text=True, check=True,
        cwd=ROOT,
    )  # fmt: skip
    assert result.stdout == f"qeu {qeu.__version__}\n"


@pytest.mark.slow
def test_the_real_model_answers_on_the_command_line(embedded_path, cache_dir, home):
    result = subprocess.run(
        [sys.executable, "-m", "qeu", *ASK[:3], "--right", MODEL, "--instruction", "Name a colour.",
         "--json",
         "--max-new-tokens", "12"],
        capture_output=True, text=True, check=True, cwd=ROOT,
        env={**os.environ, "QEU_CACHE": str(cache_dir)},
    )  # fmt: skip
    data = json.loads(result.stdout)
    assert data["left"]["text"]
    assert data["left"]["new_tokens"] <= 12


# -- columns ---------------------------------------------------------------------------------------


def test_east_asian_characters_count_as_two_cells_and_accents_as_none():
    assert display_width("abc") == 3
    assert display_width("日本") == 4
    assert display_width("e\u0301") == 1


@pytest.mark.parametrize(
    ("line", "columns", "parts"),
    [
        ("one two three", 8, ["one two", "three"]),
        ("onetwothree", 4, ["onet", "woth", "ree"]),
        ("日本語日本語", 5, ["日本", "語日", "本語"]),
        ("a 日本語", 5, ["a 日", "本語"]),
        ("", 5, [""]),
        ("one  two", 4, ["one", "two"]),
    ],
)
def test_lines_are_broken_at_blanks_or_between_cells(line, columns, parts):
    assert wrap_line(line, columns) == parts


def test_every_line_fits_and_no_word_is_lost():
    text = "The quick brown fox\n\njumps over 素早い茶色の狐 and  away " * 5
    for columns in (2, 7, 20, 60):
        lines = wrap_text(text, columns)
        assert max(map(display_width, lines)) <= columns
        assert "".join("".join(lines).split()) == "".join(text.split())


def test_columns_stay_aligned_whatever_the_script():
    lines = side_by_side("日本語 text " * 9, "short", 41).splitlines()
    assert len({display_width(line[: line.index("│")]) for line in lines}) == 1
    assert all(line == line.rstrip() for line in lines)
