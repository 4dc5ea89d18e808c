"""What the Compare tab's handlers do, called as functions over a page with scripted models."""

import threading
from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import pytest
from fake_shelf import FakeShelf, ScriptedBackend

from qeu.backends.chat_text import FOLDED
from qeu.backends.local_receipt import ROUNDING, list_parameters, make_receipt
from qeu.core.contract import check_reasoning
from qeu.core.roles import ROLES
from qeu.core.sampling import Sampling
from qeu.core.settings import Settings
from qeu.services.runs import Live, broken_generation
from qeu.ui.compare_actions import PLACE, CompareActions
from qeu.ui.compare_tab import CompareTab, example_comparison, load_examples
from qeu.ui.context import DEFAULT_MODEL, Context, Words
from qeu.ui.markup import escape
from qeu.ui.panels import check_marks, check_title, receipt_html, text_html
from qeu.ui.sampling_form import SamplingForm
from qeu.ui.sentences import tell
from qeu.ui.strings import LANGUAGES, words
from qeu.ui.visibility import OFF

WORDS = ["The", " dough", " grows", "."]


class Page:
    """A built Compare tab, its handlers, and a visitor."""

    def __init__(self, tmp_path, shelf: FakeShelf, public: bool = False) -> None:
        self.context = Context(Settings(home=tmp_path, public=public), shelf)
        say = Words(gr.I18n(**{code: dict(words(code)) for code in LANGUAGES}))
        with gr.Blocks():
            sampling = SamplingForm(say, "common")
            switches = {"live": gr.Checkbox(), "exact": gr.Checkbox()}
            models = [(DEFAULT_MODEL, DEFAULT_MODEL)]
            self.tab = CompareTab(self.context, say, sampling, switches, models)
            boxes = {name: gr.Textbox(role.text) for name, role in ROLES.items()}
            self.do: CompareActions = self.tab.wire(boxes)
        self.form, self.view = self.do.form, self.do.view
        self.form.preset(example_comparison(load_examples()[0], DEFAULT_MODEL))
        self.data = {c: getattr(c, "value", None) for c in self.form.components()}

    def fill(self, **values: object) -> dict:
        """The form's values with some question fields changed."""
        return self.data | {getattr(self.form.question, k): v for k, v in values.items()}


def visitor(name: str = "one", language: str = "en") -> SimpleNamespace:
    """A request as far as handlers look at it."""
    headers = {"accept-language": language}
    return SimpleNamespace(session_hash=name, cookies={}, headers=headers, query_params={})


@pytest.fixture
def page(tmp_path) -> Page:
    return Page(tmp_path, FakeShelf(ScriptedBackend(DEFAULT_MODEL, WORDS)))


def test_a_run_streams_both_sides_and_ends_in_the_history(page: Page) -> None:
    updates = list(page.do.on_run(page.data, visitor()))
    assert "The dough grows." in updates[-1][page.view.sides["left"].body]
    assert "The dough grows." in updates[-1][page.view.sides["right"].body]
    [(line, number)] = updates[-1][page.view.history_list]["choices"]
    assert number == 1
    assert "good teacher" in line
    assert "python -m qeu compare" in updates[-1][page.view.command_box]


def test_only_the_side_told_to_uses_the_given_reasoning(page: Page) -> None:
    list(page.do.on_run(page.data, visitor()))
    [left, right] = page.context.shelf.models[DEFAULT_MODEL].batches[0]
    texts = ["".join(m.content for m in row.prompt.messages) for row in (left, right)]
    assert "afraid to ask" not in texts[0]
    assert "afraid to ask" in texts[1]


def test_an_empty_question_is_said_and_nothing_runs(page: Page) -> None:
    [update] = page.do.on_run(page.fill(instruction_box="  \n "), visitor())
    assert "empty" in update[page.view.notice]
    assert page.context.shelf.calls == []


def test_settings_out_of_range_are_named_with_their_values(page: Page) -> None:
    data = page.data | {page.form.sampling.controls["temperature"]: -3}
    [update] = page.do.on_run(data, visitor())
    assert "temperature is -3" in update[page.view.notice]


def test_an_unknown_model_is_said_in_one_sentence(page: Page) -> None:
    data = page.data | {page.form.sides["left"].model_dd: "no such model"}
    [update] = page.do.on_run(data, visitor())
    assert "no such model" in update[page.view.notice]
    assert "Traceback" not in update[page.view.notice]


def test_stopping_one_side_keeps_its_text_and_leaves_the_other(tmp_path) -> None:
    started, stop_left = threading.Event(), threading.Event()
    holder: dict[str, Page] = {}

    def before_word(row: int, count: int) -> None:
        assert started.wait(10)
        if row == 0 and count == 3:
            holder["page"].do.on_stop(visitor(), "left")
            stop_left.set()

    page = Page(tmp_path, FakeShelf(ScriptedBackend(DEFAULT_MODEL, WORDS, before_word)))
    holder["page"] = page
    updates = []
    for update in page.do.on_run(page.data, visitor()):
        updates.append(update)
        started.set()
    last = updates[-1]
    assert stop_left.is_set()
    assert "stopped by you" in last[page.view.sides["left"].head]
    assert "The dough<" in last[page.view.sides["left"].body]
    assert "complete" in last[page.view.sides["right"].head]


def test_closing_the_tab_stops_the_computation(tmp_path) -> None:
    hold, reached = threading.Event(), threading.Event()

    def before_word(row: int, count: int) -> None:
        reached.set()
        hold.wait(10)

    page = Page(tmp_path, FakeShelf(ScriptedBackend(DEFAULT_MODEL, WORDS, before_word)))
    stream = page.do.on_run(page.data, visitor())
    next(stream)
    run = page.context.sessions.of(visitor()).runs[PLACE]
    assert reached.wait(10)
    stream.close()
    hold.set()
    assert run.join(10)
    assert run.wait(5)
    assert {live.generation.finish_reason for live in run.live.values()} == {"cancelled"}


def test_a_second_press_takes_over_and_the_first_says_no_more(tmp_path) -> None:
    page = Page(tmp_path, FakeShelf(ScriptedBackend(DEFAULT_MODEL, WORDS)))
    first = page.do.on_run(page.data, visitor())
    next(first)
    second = list(page.do.on_run(page.fill(instruction_box="Another question?"), visitor()))
    assert list(first) == []
    assert "The dough grows." in second[-1][page.view.sides["left"].body]


def test_two_visitors_neither_see_nor_stop_each_other(page: Page) -> None:
    one = page.do.on_run(page.data, visitor("one"))
    next(one)
    page.do.on_stop(visitor("two"))
    other = list(page.do.on_run(page.fill(instruction_box="Mine?"), visitor("two")))
    last = list(one)[-1]
    assert "complete" in last[page.view.sides["left"].head]
    assert "complete" in other[-1][page.view.sides["left"].head]


def test_regenerate_takes_the_next_seed_and_shows_it(page: Page) -> None:
    updates = list(page.do.on_regenerate(page.data, visitor()))
    seed_box = page.form.sampling.controls["seed"]
    assert updates[0][seed_box] == page.data[seed_box] + 1
    [row, _] = page.context.shelf.models[DEFAULT_MODEL].batches[0]
    assert row.sampling.seed == page.data[seed_box] + 1


def test_live_tuning_runs_only_when_it_is_on(page: Page) -> None:
    # an answer all the same: a handler that gives none empties everything it might have filled
    assert list(page.do.on_live(page.data, False, visitor())) == [{page.view.notice: gr.skip()}]
    assert len(list(page.do.on_live(page.data, True, visitor()))) >= 2


def test_swap_exchanges_settings_and_texts(page: Page) -> None:
    list(page.do.on_run(page.data, visitor()))
    updates = page.do.on_swap(page.data, visitor())
    assert updates[page.form.sides["left"].use_reasoning_cb] is True
    assert updates[page.form.sides["right"].use_reasoning_cb] is False
    assert "The dough grows." in updates[page.view.sides["left"].body]


def test_history_restores_settings_seed_and_texts(page: Page) -> None:
    data = page.fill(instruction_box="Why is snow white?")
    data[page.form.sampling.controls["seed"]] = 99
    list(page.do.on_run(data, visitor()))
    found = page.do.list_history("SNOW", visitor())[page.view.history_list]["choices"]
    assert len(found) == 1
    assert page.do.list_history("sand", visitor())[page.view.history_list]["choices"] == []
    updates = page.do.on_restore(found[0][1], visitor())
    assert updates[page.form.question.instruction_box] == "Why is snow white?"
    assert updates[page.form.sampling.controls["seed"]] == 99
    assert "The dough grows." in updates[page.view.sides["right"].body]
    assert "snow" in updates[page.view.sides["right"].prompt]


def test_on_a_public_page_visitors_do_not_see_each_others_history(tmp_path) -> None:
    page = Page(tmp_path, FakeShelf(ScriptedBackend(DEFAULT_MODEL, WORDS)), public=True)
    list(page.do.on_run(page.data, visitor("one")))
    assert page.do.list_history("", visitor("two"))[page.view.history_list]["choices"] == []
    assert len(page.do.list_history("", visitor("one"))[page.view.history_list]["choices"]) == 1
    assert not (tmp_path / "qeu.db").exists()


def test_a_public_page_refuses_models_outside_its_table(tmp_path) -> None:
    page = Page(tmp_path, FakeShelf(), public=True)
    for name in ("someone/else", "/etc/passwd", "../secret"):
        data = page.data | {page.form.sides["right"].model_dd: name}
        [update] = page.do.on_run(data, visitor())
        assert "not offered here" in update[page.view.notice]
    assert page.context.shelf.calls == []


def test_a_link_carries_the_settings_and_a_long_text_is_refused_with_a_way_out(page: Page) -> None:
    link = page.do.on_link(page.data, "http://here:1/?old=1", visitor())[page.view.link_box]
    assert link.startswith("http://here:1/?q=What+makes")
    long = page.fill(instruction_box="x" * 20_000)
    assert "JSON" in page.do.on_link(long, "http://here:1/", visitor())[page.view.notice]


def test_a_prompt_that_is_too_long_offers_the_cut_and_the_cut_fits(tmp_path) -> None:
    backend = ScriptedBackend(DEFAULT_MODEL, WORDS, context=1_200)
    page = Page(tmp_path, FakeShelf(backend))
    data = page.fill(instruction_box="Sum up.", input_box="A sentence about bread. " * 100)
    last = list(page.do.on_run(data, visitor()))[-1]
    assert last[page.view.cut_btn]["visible"] is True
    updates = page.do.on_cut(data, visitor())
    shorter = updates[page.form.question.input_box]
    assert 0 < len(shorter) < 2_400
    last = list(page.do.on_run(data | {page.form.question.input_box: shorter}, visitor()))[-1]
    assert last[page.view.cut_btn]["visible"] == OFF


def test_server_texts_follow_the_visitors_language(page: Page) -> None:
    last = list(page.do.on_run(page.data, visitor("j", "ja,en;q=0.8")))[-1]
    assert words("ja")["finish.stop"] in last[page.view.sides["left"].head]
    updates = page.do.on_language(visitor("j", "zh-TW"))
    assert words("zh-TW")["finish.stop"] in updates[page.view.sides["left"].head]


def test_errors_follow_the_visitors_language(page: Page) -> None:
    page.data[page.form.question.instruction_box] = " "
    for code in ("ja", "zh-CN", "zh-TW"):
        notice = list(page.do.on_run(page.data, visitor("e", code)))[-1][page.view.notice]
        assert tell("The question is empty. Write an instruction first.", code) in notice
        assert "question" not in notice


def test_checks_and_receipt_follow_the_visitors_language(page: Page) -> None:
    ask, _ = page.do.read(page.data).asks()
    live = Live(ask, phase="done", text="The answer is 4.")
    receipt = make_receipt(
        list_parameters(Sampling(min_p=0), Sampling(min_p=0), 9),
        dtype="bfloat16", device="cpu", batch=2, exact=False, adapter=False, notes=(FOLDED,),
    )  # fmt: skip
    live.generation = replace(broken_generation(live, "stop", ""), receipt=receipt)
    html = receipt_html(live.generation, "ja")
    for said in (FOLDED, "0 is off.", ROUNDING.format(dtype="bfloat16")):
        assert escape(said) not in html
        assert escape(tell(said, "ja")) in html
    [check] = [c for c in check_reasoning("The answer is 4.") if c.name == "leak_commit"]
    assert check_marks([check], "ja")[0].title == "結論を述べる言い回し"
    assert check_title(check, "ja").startswith("答えを断定しています：")


def test_a_failed_side_says_why_in_the_visitors_language(page: Page) -> None:
    ask, _ = page.do.read(page.data).asks()
    live = Live(ask, phase="failed", error="phi-2 was unloaded meanwhile. Run again to load it.")
    assert "phi-2 はその間に解放されました。" in text_html(live, "ja")
    assert live.error in text_html(live, "en")


def test_every_example_can_be_run(page: Page) -> None:
    examples = load_examples()
    assert len(examples) >= 6
    for example in examples:
        comparison = example_comparison(example, DEFAULT_MODEL)
        assert [ask.prompt() for ask in comparison.asks()]
