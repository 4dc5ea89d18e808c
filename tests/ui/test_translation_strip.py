"""The line that translates a text, by its handlers: what it shows, refuses, chooses and forgets."""

import re
import threading
from types import SimpleNamespace

import gradio as gr
import pytest

from qeu.core.settings import Settings
from qeu.core.translate_prompts import TARGETS
from qeu.services.runs import Live
from qeu.ui.context import Context, Words
from qeu.ui.strings import LANGUAGES, text, words
from qeu.ui.translation_source import WARNING, Shown, live_texts
from qeu.ui.translation_strip import TARGET_KEYS, TranslationStrip
from qeu.ui.translation_view import FAULT_KEYS, LANGUAGE_KEYS, UNFIT_KEYS
from tests.services.test_translate import (
    CHINESE,
    ENGLISH,
    JAPANESE,
    TYPED,
    Scribe,
    Shelf,
    say,
)

HTML = '<img src=x onerror="alert(1)"> ${alert(2)} {{x}} です。これは猫の話です。'
GROQ = "groq/llama-3.3-70b-versatile"


class Pool:
    """Hosted models that the test wrote down."""

    def __init__(self, *models: Scribe) -> None:
        self.models = {model.name: model for model in models}

    def list_models(self, provider, keyring, *, refresh=False):
        refs = [name for name in self.models if name.startswith(provider)]
        return [SimpleNamespace(ref=ref, chat=True) for ref in refs]

    def open(self, card, keyring):
        return self.models[card.id]


class Page:
    """One strip on a page, and the text above it."""

    def __init__(self, tmp_path, *models: Scribe, public: bool = False, hosted=()) -> None:
        self.context = Context(Settings(home=tmp_path, public=public), Shelf(*models))  # type: ignore[arg-type]
        self.context.pool = Pool(*hosted)  # type: ignore[assignment]
        say_words = Words(gr.I18n(**{code: dict(words(code)) for code in LANGUAGES}))
        self.shown = Shown({"answer": ENGLISH})
        with gr.Blocks():
            self.strip = TranslationStrip(self.context, say_words, "left")
            self.strip.wire(lambda data, request: self.shown, lambda key, language: key)
        strip = self.strip
        self.data = {c: c.value for c in (strip.target_dd, strip.model_dd, strip.anyway_cb)}

    def choose(self, model: str | None = None, target: str | None = None, name: str = "a") -> None:
        """As a visitor does, who is then asked no more."""
        if model:
            self.data[self.strip.model_dd] = model
            self.strip.on_model(visitor(name))
        if target:
            self.data[self.strip.target_dd] = target
            self.strip.on_target(visitor(name))

    def translate(self, name: str = "a", language: str = "en") -> dict:
        """What the page shows in the end."""
        shown: dict = {}
        for updates in self.strip.on_translate(self.data, visitor(name, language)):
            assert set(updates) <= self.strip.outputs()
            shown |= {key: value for key, value in updates.items() if not is_skip(value)}
        return shown


def visitor(name: str = "a", language: str = "en") -> gr.Request:
    headers = {"accept-language": language}
    return SimpleNamespace(session_hash=name, cookies={}, headers=headers)  # type: ignore


def is_skip(value: object) -> bool:
    return isinstance(value, dict) and set(value) == {"__type__"}


@pytest.fixture
def page(tmp_path):
    made = Page(tmp_path, Scribe(say(JAPANESE)))
    made.choose(TYPED)
    return made


def test_a_translation_is_shown_as_machine_made_with_who_made_it(page):
    shown = page.translate()
    html = shown[page.strip.result]
    assert JAPANESE in html
    assert text("translate.machine", "en") in html
    assert TYPED in html
    assert "English → Japanese" in html
    assert re.search(r"20\d\d-\d\d-\d\d \d\d:\d\d UTC", html)
    assert 'lang="ja"' in html
    assert shown[page.strip.translate_btn]["visible"] is True
    assert shown[page.strip.stop_btn]["visible"] == "hidden"


def test_it_streams_and_can_be_stopped_meanwhile(page):
    go = threading.Event()
    scribe = page.context.shelf.models[TYPED]
    scribe.before_word = lambda row, count: go.wait(20) if count == 4 else None
    stream = page.strip.on_translate(page.data, visitor())
    first = next(stream)
    assert first[page.strip.stop_btn]["visible"] is True
    while JAPANESE[:3] not in next(stream).get(page.strip.result, ""):
        pass
    page.strip.on_stop(visitor("another"))  # stops nobody else's
    page.strip.on_stop(visitor())
    go.set()
    last = list(stream)[-1]
    assert JAPANESE[:3] in last[page.strip.result]
    assert JAPANESE not in last[page.strip.result]
    assert text("translate.stopped", "en") in last[page.strip.result]
    # what was stopped is not kept: it is asked for again
    assert JAPANESE in page.translate()[page.strip.result]
    assert len(scribe.batches) == 2


def test_a_closed_tab_stops_the_translation(page):
    ready = threading.Event()
    scribe = page.context.shelf.models[TYPED]
    scribe.before_word = lambda row, count: ready.wait(20)
    stream = page.strip.on_translate(page.data, visitor())
    next(stream)
    run = page.context.sessions.of(visitor()).runs[page.strip.place]
    stream.close()
    ready.set()
    assert run.wait(20)
    assert run.live["answer"].state == "stopped"


def test_the_second_look_is_free_also_for_a_later_visit(page):
    page.translate()
    page.choose(TYPED, name="later")
    html = page.translate("later")[page.strip.result]
    assert text("translate.kept", "en") in html
    assert len(page.context.shelf.models[TYPED].batches) == 1


def test_on_a_public_page_nobody_finds_what_another_had_translated(tmp_path):
    page = Page(tmp_path, Scribe(say(JAPANESE), "smollm2-135m"), public=True)
    page.data[page.strip.anyway_cb] = True
    for name in ("one", "two"):
        html = page.translate(name)[page.strip.result]
        assert JAPANESE in html
        assert text("translate.kept", "en") not in html
    assert text("translate.kept", "en") in page.translate("two")[page.strip.result]


def test_an_unfit_model_is_told_with_the_way_out_and_run_anyway_runs_it(tmp_path):
    page = Page(tmp_path, Scribe(say(JAPANESE), "smollm2-135m"))
    shown = page.translate()
    assert "is not fit to translate" in shown[page.strip.banner]
    assert "a key for Groq" in shown[page.strip.banner]
    assert shown[page.strip.anyway_cb]["visible"] is True
    assert page.strip.result not in shown
    page.data[page.strip.anyway_cb] = True
    shown = page.translate()
    assert JAPANESE in shown[page.strip.result]
    assert "Run anyway: " in shown[page.strip.banner]


def test_another_model_takes_the_leave_back(tmp_path):
    page = Page(tmp_path)
    page.data[page.strip.anyway_cb] = True
    warned = page.strip.on_warning(page.data, visitor())
    assert "Run anyway: " in warned[page.strip.banner]
    # the browser clears the box, see TranslationStrip.wire
    page.data[page.strip.anyway_cb] = False
    warned = page.strip.on_warning(page.data, visitor())
    assert "Run anyway: " not in warned[page.strip.banner]
    page.data[page.strip.model_dd] = TYPED
    warned = page.strip.on_warning(page.data, visitor())
    assert warned[page.strip.banner] == ""
    assert warned[page.strip.anyway_cb]["visible"] == "hidden"


def test_a_fit_model_at_hand_is_taken_unless_the_visitor_chose_one(tmp_path):
    page = Page(tmp_path, hosted=[Scribe(say(JAPANESE), GROQ)])
    session = page.context.sessions.of(visitor())
    session.keyring = page.context.keyring.with_key("groq", "gsk-test")
    shown = page.translate()
    assert shown[page.strip.model_dd]["value"] == GROQ
    assert GROQ in [ref for _, ref in shown[page.strip.model_dd]["choices"]]
    assert JAPANESE in shown[page.strip.result]
    page.choose("smollm2-135m")
    shown = page.translate()
    assert page.strip.model_dd not in shown
    assert "choose ☁ llama-3.3-70b-versatile · Groq" in shown[page.strip.banner]


def test_a_text_in_the_target_already_is_offered_in_english(tmp_path):
    page = Page(tmp_path, Scribe(say(ENGLISH), "llama-3-8b"))
    page.choose("llama-3-8b")
    page.shown = Shown({"answer": JAPANESE})
    shown = page.translate()
    assert shown[page.strip.target_dd] == "en"
    assert ENGLISH in shown[page.strip.result]
    # who chose Japanese is told instead
    page.choose(target="ja")
    assert "Already in Japanese" in page.translate()[page.strip.result]


@pytest.mark.parametrize(
    ("language", "target"), [("en", "ja"), ("ja", "ja"), ("zh-CN", "zh-CN"), ("zh-TW", "zh-TW")]
)
def test_the_pages_language_is_offered_until_the_visitor_chooses(page, language, target):
    assert page.strip.on_language(visitor(language=language))[page.strip.target_dd] == target
    page.choose(target="en")
    assert page.strip.target_dd not in page.strip.on_language(visitor(language=language))


def test_what_is_shown_follows_the_pages_language(page):
    page.translate()
    updates = page.strip.on_language(visitor(language="ja"))
    assert "機械翻訳" in updates[page.strip.result]
    assert "英語→日本語" in updates[page.strip.result]
    assert set(updates) <= page.strip.outputs()


def test_a_fault_is_said_in_the_pages_language(page):
    page.context.shelf.models[TYPED].says = say(CHINESE)
    html = page.translate(language="zh-TW")[page.strip.result]
    assert text("translate.fault.language", "zh-TW", spoken="日語") in html
    assert CHINESE in html


def test_nothing_to_translate_and_a_text_still_being_written_are_said(page):
    page.shown = Shown({"answer": "  "})
    assert "no text" in page.translate()[page.strip.banner]
    page.shown = Shown({"answer": ENGLISH}, complete=False)
    assert "still being written" in page.translate()[page.strip.banner]
    assert page.context.shelf.calls == []


def begin(page):
    """A translation on its way that writes nothing before `go` is set."""
    go = threading.Event()
    page.context.shelf.models[TYPED].before_word = lambda row, count: go.wait(20)
    stream = page.strip.on_translate(page.data, visitor())
    next(stream)
    return stream, go


def test_when_another_text_stands_above_nothing_more_is_shown(page):
    there = [True]
    page.shown = Shown({"answer": ENGLISH}, still=lambda: there[0])
    stream, go = begin(page)
    there[0] = False
    go.set()
    assert all(is_skip(v) for update in stream for v in update.values())
    assert page.strip.result not in page.strip.on_language(visitor())


def test_a_page_that_says_its_text_is_gone_stops_the_translation(page):
    stream, go = begin(page)
    run = page.context.sessions.of(visitor()).runs[page.strip.place]
    assert page.strip.on_gone(visitor())[page.strip.result] == ""
    go.set()
    assert all(is_skip(v) for update in stream for v in update.values())
    assert run.wait(20)
    assert run.live["answer"].state == "stopped"


def test_html_that_a_model_writes_is_shown_as_text(page):
    page.context.shelf.models[TYPED].says = say(HTML)
    page.shown = Shown({HTML: ENGLISH, "b": ENGLISH + " Yes."})
    html = page.translate()[page.strip.result]
    assert "&lt;img src=x" in html
    assert not [code for code in ("<img", "${", "{{", 'onerror="') if code in html]


def test_a_public_page_asks_only_models_that_it_offers(tmp_path):
    page = Page(tmp_path, public=True)
    page.choose("/etc/passwd")
    assert "q-error" in page.translate()[page.strip.banner]
    assert page.context.shelf.calls == []
    page.data[page.strip.model_dd] = "smollm2-135m"
    banner = page.translate()[page.strip.banner]
    assert "run QEU Playground on your own machine" in banner


def test_models_that_do_not_write_the_target_are_marked(page):
    choices = page.strip.on_focus(page.data, visitor())[page.strip.model_dd]["choices"]
    assert len({label for label, _ in choices}) == len(choices)
    marked = {ref: label.endswith(WARNING) for label, ref in choices}
    assert marked["smollm2-135m"]
    assert marked["llama-3-8b"]
    page.data[page.strip.target_dd] = "en"
    choices = page.strip.on_focus(page.data, visitor())[page.strip.model_dd]["choices"]
    assert not {ref: label.endswith(WARNING) for label, ref in choices}["llama-3-8b"]


def test_a_side_gives_its_reasoning_and_its_answer_apart():
    ask = SimpleNamespace(chosen_layout=lambda: "bonsai-v2", target="both")
    live = Live(ask, text="First think.\n<|response|>Then say.")  # type: ignore[arg-type]
    assert live_texts(live) == {"reasoning": "First think.", "answer": "Then say."}
    assert live_texts(None) == {}


def test_every_code_has_words():
    english = words("en")
    assert set(TARGET_KEYS) == set(TARGETS)
    assert set(LANGUAGE_KEYS) >= {*TARGETS, "zh", "und"}
    for keys in (TARGET_KEYS, LANGUAGE_KEYS, FAULT_KEYS, UNFIT_KEYS):
        assert set(keys.values()) <= set(english)
