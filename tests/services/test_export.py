"""A run taken away: JSON without secrets, Python and a command that run it again."""

import ast
import json
import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qeu
from qeu.cli.compare import read_comparison
from qeu.cli.main import build_parser
from qeu.core.sampling import Sampling
from qeu.core.text import clean_text
from qeu.services.compare import Comparison, SideSettings, start_comparison, store_comparison
from qeu.services.export import (
    LONGEST_ARGUMENT,
    export_command,
    export_json,
    export_snippet,
)
from qeu.store.history import StoredComparison
from qeu.store.workspace import Workspace
from tests.fake_shelf import FakeShelf, ScriptedBackend

MODEL = "smollm2-135m"
SIMPLE = Comparison(SideSettings(MODEL), SideSettings(MODEL), "Add 2 and 3.")
FULL = Comparison(
    SideSettings(
        f"{MODEL}@a", "creator", "bonsai-v1", "reasoning", False, Sampling(seed=1, greedy=True)
    ),
    SideSettings(MODEL, "logician", "", "both", True, Sampling(0.75, 0.5, 0, 0.05, 1.25, 99, 5)),
    'What\'s "this"? $HOME `ls` \\ !x\nline two',
    "-",
    "@home 推論",
    "--help",
    "creative",
    "ja",
    Sampling(0.75, 0.5, 0, 0.05, 1.25, 99, 2**63 - 1, False),
    True,
    {"creator": "@You sell; tea.", "logician": "考え=よう"},
)


def parse(command: str) -> Comparison:
    """What our own command line makes of a command."""
    words = shlex.split(command)
    assert words[:4] == ["python", "-m", "qeu", "compare"]
    return read_comparison(build_parser().parse_args(words[3:]))


@pytest.mark.parametrize(
    "comparison", [SIMPLE, FULL, FULL.swapped()], ids=["simple", "full", "swapped"]
)
def test_the_command_means_the_same_comparison(comparison):
    assert parse(export_command(comparison)) == comparison


def test_a_simple_command_is_simple():
    assert export_command(SIMPLE) == (
        f"python -m qeu compare --left {MODEL} --right {MODEL} --instruction 'Add 2 and 3.'"
    )


def test_a_side_that_has_the_common_settings_as_its_own_keeps_them():
    comparison = replace(SIMPLE, left=replace(SIMPLE.left, sampling=Sampling()))
    assert parse(export_command(comparison)) == comparison


def test_a_role_that_both_sides_share_is_said_once():
    both = SideSettings(MODEL, role="creator", target="both")
    command = export_command(replace(SIMPLE, left=both, right=both))
    assert "--role creator --target both" in command
    assert "--left-role" not in command


TEXTS = st.text(alphabet=st.characters(), max_size=30)
SAMPLINGS = st.builds(
    Sampling, temperature=st.floats(0, 5), seed=st.integers(0, 2**63 - 1), greedy=st.booleans()
)


@settings(deadline=None)
@given(
    TEXTS,
    TEXTS,
    TEXTS,
    SAMPLINGS,
    st.none() | SAMPLINGS,
    st.dictionaries(st.just("creator"), TEXTS),
)
def test_any_texts_and_settings_survive_the_command(one, two, role, common, own, roles):
    comparison = Comparison(
        SideSettings(MODEL, sampling=own), SideSettings(MODEL, role="creator"), "Q" + one, two,
        sampling=common, roles=roles,
    )  # fmt: skip
    again = parse(export_command(comparison))
    assert again.instruction == clean_text(comparison.instruction)
    assert again.input == clean_text(two)
    assert (again.sampling, again.left, again.right) == (common, comparison.left, comparison.right)
    assert again.roles == {name: clean_text(text) for name, text in roles.items() if text}


def test_texts_too_long_for_a_shell_are_named_as_files():
    comparison = replace(SIMPLE, input="x" * (LONGEST_ARGUMENT + 1))
    assert export_command(comparison).endswith("--input @input.txt")


# -- JSON ----------------------------------------------------------------------------------------

SECRETS = ["gsk_" + "a1B2" * 8, "hf_" + "Zz09" * 8, "sk-proj-" + "x" * 40]


def stored(comparison: Comparison = SIMPLE, **side) -> StoredComparison:
    results = {
        name: {"model": MODEL, "adapter": None, "text": "5", "error": "", "receipt": None, **side}
        for name in ("left", "right")
    }
    return StoredComparison(3, "2026-01-02", "Add 2 and 3.", comparison.to_json(), results)


def test_the_json_holds_settings_results_and_versions():
    shelf = FakeShelf(ScriptedBackend(MODEL, ["5"]))
    run = start_comparison(shelf, FULL)
    assert run.wait(20)
    workspace = Workspace(None)
    data = json.loads(export_json(store_comparison(workspace, FULL, run)))
    assert Comparison.from_json(data["settings"]) == FULL
    assert data["program"] == f"qeu {qeu.__version__}"
    assert data["qeu_run"] == 1
    right = data["results"]["right"]
    assert (right["finish_reason"], right["model"], right["text"]) == ("stop", MODEL, "5")
    assert {"receipt", "checks", "seed", "layout"} <= set(right)


def test_no_key_leaves_in_any_export():
    comparison = replace(SIMPLE, instruction=" and ".join(SECRETS))
    run = stored(comparison, text=SECRETS[0], error=f"401 for Bearer {'q' * 30}")
    exports = (export_json(run), export_snippet(comparison), export_command(comparison))
    for text in exports:
        assert not any(secret in text for secret in [*SECRETS, "q" * 30])
        assert "***" in text


def test_no_path_of_this_machine_leaves_in_the_json():
    home = str(Path.home() / "secret-place" / "model-x")
    windows = "C:\\Users\\me\\secret-place\\model-x"
    comparison = replace(
        SIMPLE, left=SideSettings(f"{home}@poems"), right=SideSettings(windows, role="creator")
    )
    receipt = {"notes": [f"taken from {home}"], "parameters": [{"why": f"see {windows}."}]}
    text = export_json(stored(comparison, model=home, error=f"No {home}/a.gguf.", receipt=receipt))
    assert "secret-place" not in text
    data = json.loads(text)
    assert data["settings"]["left"]["model"] == "model-x@poems"
    assert data["settings"]["right"]["model"] == "model-x"
    assert data["results"]["left"]["model"] == "model-x"
    assert data["results"]["left"]["error"].endswith("a.gguf.")


def test_hub_ids_dates_and_texts_stay_as_they_are():
    comparison = replace(SIMPLE, left=SideSettings("microsoft/phi-2@me/poems"))
    run = stored(comparison, text="see /usr/share/doc and 1/2/3")
    data = json.loads(export_json(run))
    assert data["settings"]["left"]["model"] == "microsoft/phi-2@me/poems"
    assert data["results"]["left"]["text"] == "see /usr/share/doc and 1/2/3"
    receipt = {"notes": ["1/2 of https://huggingface.co/a/b and/or 3/4"]}
    data = json.loads(export_json(stored(receipt=receipt)))
    assert data["results"]["left"]["receipt"] == receipt


def test_the_json_is_utf_8_whatever_the_texts_hold():
    text = export_json(stored(text="半分 \ud83d \x00"))
    assert "半分" in text.encode("utf-8").decode("utf-8")
    assert json.loads(text)["results"]["left"]["text"] == "半分 \ud83d \x00"


# -- Python --------------------------------------------------------------------------------------


@pytest.mark.parametrize("comparison", [SIMPLE, FULL], ids=["simple", "full"])
def test_the_python_holds_the_same_settings(comparison):
    tree = ast.parse(export_snippet(comparison))
    values = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
    }
    assert Comparison.from_json(values["SETTINGS"]) == comparison
    assert values["RECORDED"] == {}


def test_hostile_texts_stay_texts_in_the_python():
    hostile = "'''\"\"\" {0} {settings} \\ \n\ud800 #"
    snippet = export_snippet(replace(SIMPLE, instruction=hostile))
    snippet.encode("utf-8")
    constants = [n.value for n in ast.walk(ast.parse(snippet)) if isinstance(n, ast.Constant)]
    assert hostile in constants


def run_python(tmp_path: Path, snippet: str, prelude: str = "") -> str:
    path = tmp_path / "again.py"
    path.write_text(prelude + snippet, encoding="utf-8")
    root = Path(qeu.__file__).parent.parent
    paths = [str(root), os.environ.get("PYTHONPATH", "")]
    result = subprocess.run(
        [sys.executable, str(path)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONIOENCODING": "utf-8"},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


FAKE = """
import qeu.backends.shelf
from tests.fake_shelf import FakeShelf
qeu.backends.shelf.Shelf = lambda settings: FakeShelf()
"""


def test_the_python_runs_and_says_whether_the_texts_agree(tmp_path):
    results = {
        "left": {"text": "Hi there.", "finish_reason": "stop"},
        "right": {"text": "Hello.", "finish_reason": "stop"},
    }
    output = run_python(tmp_path, export_snippet(SIMPLE, results), FAKE)
    assert output.count("Hi there.") == 2
    assert "left: smollm2-135m (stop)" in output
    left, right = output.split("== right")
    assert "same text as recorded: yes" in left
    assert "same text as recorded: no" in right


def test_texts_that_were_broken_off_are_not_compared():
    results = {"left": {"text": "Hi", "finish_reason": "cancelled"}}
    assert "RECORDED = {}" in export_snippet(SIMPLE, results)


@pytest.mark.slow
def test_the_python_gives_the_same_text_again_on_the_real_model(tmp_path, embedded_path):
    from qeu.backends.shelf import Shelf
    from qeu.core.settings import Settings
    from qeu.services.compare import results_json

    comparison = replace(
        SIMPLE,
        right=SideSettings(MODEL, role="creator", target="both"),
        sampling=Sampling(temperature=0.8, max_new_tokens=24),
        exact=True,
    )
    run = start_comparison(Shelf(Settings.from_env(os.environ)), comparison)
    assert run.wait(600)
    results = results_json(run)
    assert all(result["text"] for result in results.values())
    output = run_python(tmp_path, export_snippet(comparison, results))
    assert output.count("same text as recorded: yes") == 2
