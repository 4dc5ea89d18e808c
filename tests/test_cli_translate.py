"""`translate` on the command line: what it prints, keeps, refuses, and how it exits."""

import io
import json
import os
import sys

import pytest

from qeu.cli.main import main
from tests.services.test_translate import CHINESE, ENGLISH, JAPANESE, TYPED, Scribe, Shelf, say

ASK = ["translate", "--to", "ja", "--model", TYPED]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A workspace of the test's own, and no keys of this machine."""
    for name in list(os.environ):
        if name.startswith("QEU_") or name.endswith("_API_KEY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("QEU_HOME", str(tmp_path / "home"))


@pytest.fixture
def scribe():
    return Scribe(say(JAPANESE))


def run(scribe, *more) -> int:
    return main([*ASK, *more], lambda settings: Shelf(scribe))  # type: ignore[arg-type, return-value]


def test_the_translation_alone_is_printed_and_a_second_time_is_free(scribe, capsys):
    for _ in range(2):
        assert run(scribe, ENGLISH) == 0
        out, err = capsys.readouterr()
        assert out == JAPANESE + "\n"
    assert "kept from before" in err
    assert len(scribe.batches) == 1


def test_json_is_one_ascii_line_with_who_made_it(scribe, capsys, monkeypatch):
    stdin = io.TextIOWrapper(io.BytesIO(ENGLISH.encode()), "utf-8")
    monkeypatch.setattr(sys, "stdin", stdin)
    assert run(scribe, "--json") == 0
    out = capsys.readouterr().out
    assert out.isascii()
    assert out.count("\n") == 1
    told = json.loads(out)
    assert (told["text"], told["source"], told["target"]) == (JAPANESE, "en", "ja")
    assert (told["model"], told["revision"], told["state"]) == (TYPED, "r1", "done")


def test_what_came_out_wrong_is_printed_and_fails(capsys):
    assert run(Scribe(say(CHINESE)), ENGLISH) == 1
    out, err = capsys.readouterr()
    assert CHINESE in out
    assert "another language" in err


def test_without_a_fit_model_at_hand_the_way_out_is_told(capsys):
    shelf = Shelf()
    assert main(["translate", "--to", "ja", ENGLISH], lambda settings: shelf) == 1  # type: ignore
    assert "GROQ_API_KEY" in capsys.readouterr().err
    assert main([*ASK[:3], "--model", "smollm2-135m", ENGLISH], lambda settings: shelf) == 1  # type: ignore
    assert "not fit to translate" in capsys.readouterr().err
    assert shelf.calls == []


def test_an_unfit_model_runs_anyway_when_told_to(capsys):
    scribe = Scribe(say(JAPANESE), "smollm2-135m")
    asked = ["translate", "--to", "ja", "--model", "smollm2-135m", "--run-anyway", ENGLISH]
    assert main(asked, lambda settings: Shelf(scribe)) == 0  # type: ignore[arg-type, return-value]
    assert capsys.readouterr().out == JAPANESE + "\n"


def test_what_is_in_the_target_already_is_printed_as_it_is(capsys):
    assert main(["translate", "--to", "ja", JAPANESE], lambda settings: Shelf()) == 0  # type: ignore
    assert capsys.readouterr().out == JAPANESE + "\n"


@pytest.mark.parametrize("args", [["--to", "fr", "x"], ["x"]])
def test_a_wrong_use_is_told(args):
    assert main(["translate", *args]) == 2


def test_an_empty_text_is_refused(scribe, capsys):
    assert run(scribe, "  ") == 1
    assert "no text to translate" in capsys.readouterr().err
