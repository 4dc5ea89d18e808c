"""The functions for other programs: their schemas, what they give, and how they refuse."""

import inspect
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import get_type_hints

import gradio as gr
import pytest

from qeu.core.sampling import Sampling
from qeu.core.settings import Settings
from qeu.services.public_limits import MOST_CHARACTERS
from qeu.ui import api
from qeu.ui.api import ENDPOINTS, SamplingFields, add_api, require_mcp
from qeu.ui.app import build_app
from qeu.ui.context import Context
from tests.fake_shelf import FakeShelf, ScriptedBackend

MODEL = "smollm2-135m"
EN = [{"instruction": "What is rain?", "reasoning": "Say what falls.", "output": "Water."}]
JA = [{"instruction": "雨とは何ですか。", "reasoning": "", "output": "水です。", "note": "x"}]


class Caller:
    """The functions over a shelf of one scripted model, called as Gradio calls them."""

    def __init__(self, *words: str, public: bool = False, home: Path = Path("none")) -> None:
        self.model = ScriptedBackend(MODEL, words or ["Hi", " there."])
        settings = Settings(public=public, home=home, adapters=home / "adapters")
        self.context = Context(settings, FakeShelf(self.model))  # type: ignore[arg-type]
        with gr.Blocks() as self.demo:
            add_api(self.context)
        self.functions = {fn.api_name: fn.fn for fn in self.demo.fns.values()}
        self.request = SimpleNamespace(session_hash="a", headers={}, cookies={})

    def __call__(self, name: str, *args: object, **values: object) -> object:
        function: Callable = self.functions[name]
        return function(*args, request=self.request, **values)

    def refused(self, name: str, *args: object, **values: object) -> str:
        with pytest.raises(gr.Error) as caught:
            self(name, *args, **values)
        assert not caught.value.print_exception
        return str(caught.value.message)


def test_the_page_offers_exactly_the_four_functions(tmp_path: Path) -> None:
    demo, _ = build_app(Settings(home=tmp_path, adapters=tmp_path))
    info = demo.get_api_info(all_endpoints=True)
    assert set(info["named_endpoints"]) == {f"/{name}" for name in ENDPOINTS}
    assert info["unnamed_endpoints"] == {}


def test_every_parameter_is_described_and_typed() -> None:
    caller = Caller()
    assert set(caller.functions) == set(ENDPOINTS)
    for name, function in caller.functions.items():
        # what the MCP tools are named and described by
        assert function.__name__ == name
        about, described, _ = gr.utils.get_function_description(function)
        assert about.endswith(".")
        described.pop("request")  # gradio's own, in no schema
        names = [p for p in inspect.signature(function).parameters if p != "request"]
        assert set(described) == set(names), name
        assert all(text.endswith(".") for text in described.values()), name
        for parameter in caller.demo.get_api_info()["named_endpoints"][f"/{name}"]["parameters"]:
            assert parameter["type"], parameter["parameter_name"]
            assert parameter["parameter_name"] in names


def test_the_schema_knows_every_sampling_setting() -> None:
    settings = {f.name: type(getattr(Sampling(), f.name)) for f in fields(Sampling)}
    assert get_type_hints(SamplingFields) == settings


def test_generate_gives_one_text_with_its_checks() -> None:
    caller = Caller("Think", " of", " leaves.")
    done = caller(
        "generate", "Name a tree.", target="reasoning", category="creative",
        sampling={"max_new_tokens": 3, "seed": 5},
    )  # fmt: skip
    assert done["reasoning"] == "Think of leaves."
    assert done["seed"] == 5
    verdicts = {check["name"]: check["verdict"] for check in done["checks"]["reasoning"]}
    assert verdicts["form"] == "fail"  # the contract of its category
    assert [len(rows) for rows in caller.model.batches] == [1]


def test_compare_gives_both_texts_and_checks_the_reference() -> None:
    caller = Caller("It", " is", " 156.")
    done = caller("compare", "A number?", target="reasoning", reference="156")
    assert set(done) == {"left", "right"}
    for side in done.values():
        verdicts = {check["name"]: check["verdict"] for check in side["checks"]["reasoning"]}
        assert verdicts["leak_reference"] == "fail"


def test_check_looks_at_answers_and_languages_too() -> None:
    caller = Caller()
    found = {check["name"]: check["verdict"] for check in caller("check", "The answer is 42.")}
    assert found["leak_commit"] == "fail"
    found = {c["name"]: c for c in caller("check", "It rains.", part="answer", language="ja")}
    assert set(found) == {"language", "loop"}
    assert found["language"]["verdict"] == "fail"
    assert caller("check", "雨が降る仕組みを順に考える。", language="ja")[3]["verdict"] == "pass"


def test_merge_interleaves_and_stores_nothing(tmp_path: Path) -> None:
    caller = Caller(home=tmp_path / "home")
    done = caller("merge", [EN, JA])
    assert [record["seq"] for record in done["records"]] == ["1EN", "1JA"]
    assert done["languages"] == ["en", "ja"]
    assert done["records"][0]["reasoning"].splitlines()[1] == "Say what falls."
    assert done["records"][1]["extra"] == {"note": "x"}
    assert "日本語" in done["records"][1]["reasoning"]
    assert caller("merge", [EN, JA], sentences=False)["records"][1]["reasoning"] == ""
    assert caller("merge", [EN * 3, JA * 2], first=2)["lengths"] == [2, 1]
    assert json.dumps(done)
    assert not (tmp_path / "home").exists()


REFUSED = [
    ("generate", {"instruction": ""}, "question"),
    ("generate", {"instruction": "Hi", "model": ""}, "no model"),
    ("generate", {"instruction": "Hi", "model": "nobody"}, "Unknown model"),
    ("generate", {"instruction": "Hi", "role": "poet"}, "Choose one of: assistant"),
    ("generate", {"instruction": "Hi", "target": "song"}, "Choose one of: answer"),
    ("generate", {"instruction": 5}, "give words"),
    ("generate", {"instruction": "Hi", "exact": "yes"}, "true or false"),
    ("generate", {"instruction": "Hi", "sampling": {"heat": 1}}, "Unknown setting 'heat'"),
    ("generate", {"instruction": "Hi", "sampling": [1]}, "by name"),
    ("compare", {"instruction": "Hi", "sampling": {"top_p": 7}}, "choose 0 to 1"),
    ("compare", {"instruction": "Hi", "category": "x"}, "Choose one of: open_qa"),
    ("check", {"text": "Hi", "part": "x"}, "reasoning, answer"),
    ("check", {"text": "Hi", "language": "de"}, "(none), en, ja, zh"),
    ("check", {"text": None}, "give words"),
    ("merge", {"files": [EN]}, "two files or more"),
    ("merge", {"files": "x"}, "list of lists"),
    ("merge", {"files": [EN, EN]}, "same language"),
    ("merge", {"files": [EN, JA], "languages": ["en"]}, "1 languages"),
    ("merge", {"files": [EN, JA], "languages": ["en", "de"]}, "Unknown language 'de'"),
    ("merge", {"files": [EN, JA], "languages": "en"}, "codes such as en"),
    ("merge", {"files": [EN, JA], "first": "1"}, "whole number"),
    ("merge", {"files": [EN, JA], "first": 5, "last": 2}, "no range"),
    ("merge", {"files": [EN, [{"abc": "x"}]]}, "List 2: No column was recognised"),
]


@pytest.mark.parametrize(("name", "values", "sentence"), REFUSED)
def test_what_cannot_be_meant_is_refused_in_a_sentence(name, values, sentence) -> None:
    told = Caller().refused(name, **values)
    assert sentence in told
    assert told.endswith((".", "NAME."))


def test_a_row_that_cannot_be_read_is_told_and_its_neighbours_left_out() -> None:
    done = Caller()("merge", [[*EN, {"instruction": ""}], [*JA, *JA]])
    assert len(done["records"]) == 2
    [bad] = done["rejected"]
    assert bad["row"] == 2
    assert bad["reason"].startswith("List 1:")


def test_a_public_page_limits_texts_models_and_tokens(tmp_path: Path) -> None:
    caller = Caller(*["word "] * 600, public=True, home=tmp_path)
    long = "x" * (MOST_CHARACTERS + 1)
    assert "Shorten them" in caller.refused("check", long)
    assert "Shorten them" in caller.refused("merge", [EN, [{"instruction": long}]])
    for name in ("generate", "compare"):
        field = "model" if name == "generate" else "left"
        told = caller.refused(name, "Hi", **{field: str(tmp_path)})
        assert "not offered here" in told
    done = caller("generate", "Hi", sampling={"max_new_tokens": 4_000})
    assert done["new_tokens"] == 512
    with caller.context.limits.call_places.take("a"):
        assert "not over yet" in caller.refused("generate", "Hi")


def test_callers_by_way_of_mcp_do_not_wait_for_each_other_and_read_json(tmp_path: Path) -> None:
    caller = Caller(public=True, home=tmp_path)
    caller.request.headers = {"x-gradio-user": "mcp"}
    with caller.context.limits.call_places.take("a"):
        told = caller("generate", "Hi", sampling={"max_new_tokens": 4})
    assert isinstance(told, str)
    assert json.loads(told)["answer"] == "Hi there."
    places = caller.context.limits.call_places
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(places, "most", 0)  # all of them together find no more places than others
        assert "Others are ahead" in caller.refused("generate", "Hi")


def test_mcp_is_refused_where_it_cannot_work(monkeypatch: pytest.MonkeyPatch) -> None:
    require_mcp(Settings(mcp=True))
    with pytest.raises(api.QeuError, match="cannot ask for the page's password"):
        require_mcp(Settings(mcp=True, password="a long word"))
    monkeypatch.setattr(api.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(api.QeuError, match="the package mcp is missing"):
        require_mcp(Settings(mcp=True))


def test_mcp_is_off_unless_it_is_asked_for(tmp_path: Path) -> None:
    for on in (False, True):
        _, launch = build_app(Settings(home=tmp_path, adapters=tmp_path, mcp=on))
        assert launch["mcp_server"] is on
