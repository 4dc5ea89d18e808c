"""`python -m qeu lens`: bars for a person, one object for a program, sentences for failures."""

import json

import pytest

from qeu.cli.main import main
from tests.backends.tiny_engine import build_adapter, tiny_local
from tests.services.lens_engines import TinyEngines

QUESTION = ("--instruction", "The capital of a country", "--layout", "bonsai-v2")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lens-cli")
    model = tiny_local(folder, adapters=folder / "adapters")
    build_adapter(folder / "llama", folder / "adapters" / "learned")
    model.name = "a"
    model._aliases = ("tiny-llama",)
    return TinyEngines({"a": model}, folder / "adapters")


@pytest.fixture
def call(shelf, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("QEU_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("QEU_ADAPTERS", str(shelf.adapters))
    monkeypatch.chdir(tmp_path)

    def run(*arguments, status=0, model="a"):
        assert main(["lens", "--model", model, *arguments], lambda settings: shelf) == status
        out, err = capsys.readouterr()
        return out if status == 0 else err

    return run


def test_bars_and_steps_at_the_end_of_the_prompt(call):
    told = call(*QUESTION, "--top", "4", "--temperature", "0.05", "--top-p", "0.5")
    lines = told.splitlines()
    assert lines[1] == "a, at the end of the prompt"
    assert lines[2].split() == ["token", "before", "penalty", "temp", "top-k", "top-p", "min-p"]
    assert "####" in lines[3]
    assert any(line.startswith("top-p") and "0.5" in line for line in lines)
    assert any(line.startswith("min-p") and "(off)" in line for line in lines)
    assert "the seed's number is 0.3238" in told


def test_a_program_gets_one_object_on_one_line(call):
    told = call(*QUESTION, "--position", "3", "--max-new-tokens", "6", "--json", "--seed", "1")
    assert told.isascii()
    assert told.count("\n") == 1
    data = json.loads(told)
    assert set(data) == {"look", "surprise"}
    picture = data["look"]["picture"]
    assert (data["look"]["position"], data["look"]["tokens"]) == (3, 6)
    assert picture["chosen"] == picture["written"]
    last = [one["after"][-1] for one in picture["candidates"]]
    assert sum(last) + picture["rest"][-1] == pytest.approx(1, abs=1e-5)
    assert len(data["surprise"]["tokens"]) == 6


def test_another_token_goes_on_from_there(call):
    told = call(
        *QUESTION, "--position", "2", "--max-new-tokens", "6", "--seed", "1", "--json",
        "--force", " 12 times",
    )  # fmt: skip
    data = json.loads(told)
    assert " 12 times" in data["continuation"]["text"]
    assert data["continuation"]["new_tokens"] == 6
    shown = call(*QUESTION, "--force", "#40", "--max-new-tokens", "3")
    assert "With another token at position 0:" in shown


def test_two_sides_part_where_their_texts_do(call):
    arguments = (*QUESTION, "--other", "a@learned", "--greedy", "--max-new-tokens", "8")
    data = json.loads(call(*arguments, "--json"))
    at = data["two_sides"]["first_divergence"]
    assert data["look"]["position"] == data["other_look"]["position"] == at
    assert data["look"]["picture"]["chosen"] != data["other_look"]["picture"]["chosen"]
    told = call(*arguments)
    assert f"The texts part at token {at}:" in told
    assert "Where the sides differ most in the text of a@learned (bits):" in told


def test_a_given_text_is_read_and_not_written(call):
    told = call(*QUESTION, "--completion", "First read the question.", "--at-end")
    assert "Surprise in bits" in told
    assert "The tokens of this text were not kept" in " ".join(told.split())
    assert "answer:" in told


def test_wrong_uses_are_told(call):
    assert "--top is 0" in call(*QUESTION, "--top", "0", status=2)
    assert "temperature is 9" in call(*QUESTION, "--temperature", "9", status=2)
    assert "Position 99" in call(*QUESTION, "--position", "99", "--max-new-tokens", "2", status=2)
    assert "not allowed" in call(*QUESTION, "--position", "1", "--at-end", status=2)
    assert "The question is empty" in call("--instruction", " ", status=1)
    hosted = call("--instruction", "Hi", model="groq/x", status=1)
    assert "tells no probabilities" in hosted
    assert "does not exist" in call(*QUESTION, "--force", "#999999", status=2)
