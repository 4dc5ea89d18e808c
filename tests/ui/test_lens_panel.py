"""The next-token drawer, as functions over a page whose models are tiny but real."""

import re
from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import pytest
from fake_shelf import FakeShelf

from qeu.core.errors import QeuError
from qeu.core.lens import ShownToken, Surprise, average_parts
from qeu.services.compare import Comparison
from qeu.ui.compare_actions import PLACE as COMPARE
from qeu.ui.context import DEFAULT_MODEL
from qeu.ui.lens_actions import LensActions
from qeu.ui.lens_panel import PLACE, drawer_of
from qeu.ui.lens_view import text_map_html
from qeu.ui.markup import escape
from qeu.ui.strings import words
from qeu.ui.votes_round import Round, booth_of
from tests.backends.tiny_engine import build_adapter, tiny_local
from tests.services.lens_engines import TinyEngines
from tests.ui.test_compare_actions import Page as ComparePage
from tests.ui.test_compare_actions import visitor

OTHER = "phi-2"
LEARNED = f"{DEFAULT_MODEL}@learned"
TOKENS = 12


@pytest.fixture(scope="module")
def engines(tmp_path_factory) -> TinyEngines:
    folder = tmp_path_factory.mktemp("drawer")
    models = {
        DEFAULT_MODEL: tiny_local(folder, adapters=folder / "adapters"),
        OTHER: tiny_local(folder, "phi"),
    }
    build_adapter(folder / "llama", folder / "adapters" / "learned")
    for name, model in models.items():
        model.name = name
        model._aliases = ("tiny-llama", "tiny-phi")
    return TinyEngines(models, folder / "adapters")


class Page(ComparePage):
    """The Compare tab with a finished run, and its drawer."""

    def __init__(self, tmp_path, engines: TinyEngines, right: str = LEARNED, **sampling) -> None:
        super().__init__(tmp_path, FakeShelf())
        self.engines = engines
        self.context.engines = lambda request: engines
        self.lens = self.view.lens
        self.acts = LensActions(self.lens, self.do)
        self.data |= {c: getattr(c, "value", None) for c in self.acts.settings()}
        self.data |= {self.view.votes.blind_cb: False}
        for side in self.form.sides.values():
            self.data |= {side.layout_dd: "bonsai-v2", side.target_dd: "answer"}
            self.data |= {side.use_reasoning_cb: True}
        self.data[self.form.sides["right"].model_dd] = right
        self.set(max_new_tokens=TOKENS, temperature=1.0, top_k=20, **sampling)

    def set(self, form=None, **values: object) -> None:
        """Move sliders; the common ones unless another form is named."""
        controls = (form or self.form.sampling).controls
        self.data |= {controls[name]: value for name, value in values.items()}

    def run(self, name: str = "one") -> dict:
        return list(self.do.on_run(self.data, visitor(name)))[-1]

    @property
    def session(self):
        return self.context.sessions.of(visitor())

    @property
    def lives(self):
        return self.session.shown[COMPARE]

    @property
    def drawer(self):
        return drawer_of(self.session)

    @property
    def look(self):
        return self.drawer.opened.look

    def act(self, do: str, value: object = "", language: str = "en") -> dict[str, str]:
        """What an event of the drawer brings: text and choice, as they are in the end."""
        event = SimpleNamespace(_data={"do": do, "value": value})
        return self.parts(self.acts.panel.on_act(event, visitor(language=language)))

    def redraw(self) -> dict[str, str]:
        return self.parts([self.acts.on_redraw(self.data, visitor())])

    def put(self, token: object) -> tuple[dict[str, str], dict]:
        """(text and choice, all that was updated) of going on with another token."""
        event = SimpleNamespace(_data={"do": "put", "token": token})
        updates = list(self.acts.on_go_on(event, visitor()))
        merged: dict = {}
        for update in updates:
            merged |= {key: value for key, value in update.items() if value != gr.skip()}
        return self.parts(updates), merged

    def parts(self, updates) -> dict[str, str]:
        found = {}
        for update in updates:
            for name, part in (("text", self.lens.text), ("choice", self.lens.choice)):
                given = update.get(part, gr.skip())
                if isinstance(given, dict):
                    given = given.get("value")
                if given is not None:
                    found[name] = given
        return found


@pytest.fixture
def page(tmp_path, engines) -> Page:
    page = Page(tmp_path, engines)
    page.run()
    return page


def rows(choice: str) -> dict[int, str]:
    """The candidates' rows by their token."""
    found = re.findall(r'<tr class="[^"]*" data-token="(\d+)">(.*?)</tr>', choice)
    return {int(token): row for token, row in found}


def shares(row: str) -> list[float]:
    return [float(value) for value in re.findall(r"--p:([\d.]+)", row)]


def test_only_a_finished_text_can_be_opened(tmp_path, engines) -> None:
    page = Page(tmp_path, engines)
    body = page.view.sides["left"].body
    assert page.act("open", "left")["text"] == ""
    *writing, last = page.do.on_run(page.data, visitor())
    assert "data-lens-open" not in writing[0][body]
    assert "data-lens-open" in last[body]


def test_a_text_opens_token_by_token_at_the_end_of_its_prompt(page: Page) -> None:
    shown = page.act("open", "left")
    ids = page.lives["left"].generation.token_ids
    assert len(re.findall(r'role="option"', shown["text"])) == len(ids) + 1
    assert f'data-last="{len(ids)}"' in shown["text"]
    assert 'id="lens-0" data-at="0"' in shown["text"]
    assert shown["text"].count('aria-selected="true"') == 1
    assert words("en")["lens.first"] in shown["choice"]
    assert words("en")["lens.settings.text"] in shown["choice"]
    assert page.look.picture.written == ids[0]


def test_bars_show_every_candidate_before_and_after_each_step(page: Page) -> None:
    found = rows(page.act("open", "left")["choice"])
    picture = page.look.picture
    assert len(found) == len(picture.candidates)
    names = {step.name: words("en")[f"sampling.{step.name}"] for step in picture.steps}
    removed = 0
    for one in picture.candidates:
        row = found[one.token]
        assert shares(row)[0] == pytest.approx(one.before * 100, abs=0.006)
        if one.removed_by:
            removed += 1
            assert words("en")["lens.removed"].format(step=names[one.removed_by]) in row
        else:
            assert shares(row)[1:] == pytest.approx([100 * v for v in one.after], abs=0.006)
    assert removed
    assert "▶" in found[picture.chosen]
    assert "●" in found[picture.written]


def test_another_token_is_looked_at_and_the_text_stays_as_it_is(page: Page) -> None:
    page.act("open", "left")
    before = page.engines.passes
    shown = page.act("pick", 5)
    assert set(shown) == {"choice"}
    assert 'data-at="5"' in shown["choice"]
    assert page.look.picture.written == page.lives["left"].generation.token_ids[5]
    last = page.act("pick", len(page.look.tokens))
    assert escape(words("en")["lens.behind"]) in last["choice"]
    assert page.engines.passes == before


def test_a_place_that_is_none_is_refused_with_a_sentence(page: Page) -> None:
    page.act("open", "left")
    for nonsense in (999, "x", None):
        assert "is not in the text" in page.act("pick", nonsense)["choice"]
    assert page.look.position == 0


def test_a_slider_changes_the_bars_and_computes_no_model(page: Page) -> None:
    first = page.act("open", "left")["choice"]
    before = page.engines.passes
    page.set(temperature=0.2)
    second = page.redraw()
    assert set(second) == {"choice"}
    assert words("en")["lens.settings.now"] in second["choice"]
    likeliest = page.look.picture.candidates[0].token
    cold, warm = (shares(rows(choice)[likeliest]) for choice in (second["choice"], first))
    assert cold[0] == warm[0]
    assert cold[2] > warm[2]
    page.act("pick", 3)
    assert page.look.sampling.temperature == 0.2
    back = page.act("own")["choice"]
    assert words("en")["lens.settings.text"] in back
    assert page.look.sampling.temperature == 1.0
    assert page.engines.passes == before


def test_a_side_with_sliders_of_its_own_follows_those(page: Page) -> None:
    page.act("open", "left")
    side = page.form.sides["left"]
    page.data[side.own_cb] = True
    page.set(side.sampling, temperature=0.1)
    page.redraw()
    assert page.look.sampling.temperature == 0.1
    page.act("open", "right")
    page.redraw()
    assert page.look.sampling.temperature == 1.0


def test_a_setting_that_cannot_be_meant_is_a_sentence_over_the_last_picture(page: Page) -> None:
    page.act("open", "left")
    picture = page.look.picture
    page.set(top_p=7)
    assert "top_p is 7" in page.redraw()["choice"]
    assert page.look.picture == picture
    page.set(top_p=0.5)
    assert "top_p is 7" not in page.redraw()["choice"]


def test_two_sides_with_one_tokenizer_are_held_against_each_other(page: Page) -> None:
    plain = page.act("open", "left")["text"]
    assert "q-lens-strip" not in plain
    apart = page.act("colour", "kl")["text"]
    two = page.drawer.opened.two
    assert "q-lens-strip" in apart
    assert two.first_divergence is not None
    assert f'id="lens-{two.first_divergence}"' in apart
    marked = re.search(r'id="lens-(\d+)"[^>]*q-parted', apart.replace("\n", " "))
    assert marked
    assert int(marked[1]) == two.first_divergence
    title = re.search(r'id="lens-2" [^>]*title="2 · ([\d.]+)"', apart)
    assert float(title[1]) == pytest.approx(two.left[2].divergence, abs=0.006)
    assert sum(token.divergence for token in two.left) > 0
    before = page.engines.passes
    other = page.act("colour", "other")["text"]
    title = re.search(r'id="lens-2" [^>]*title="2 · ([\d.]+)"', other)
    assert float(title[1]) == pytest.approx(two.left[2].other_bits, abs=0.006)
    assert page.engines.passes == before


def test_two_tokenizers_cannot_be_compared_and_the_drawer_says_so(tmp_path, engines) -> None:
    page = Page(tmp_path, engines, right=OTHER)
    page.run()
    page.act("open", "left")
    shown = page.act("colour", "kl")["text"]
    assert "cut texts into different tokens" in shown
    assert "q-lens-strip" not in shown
    assert page.drawer.opened.colour == "own"


def test_reasoning_and_answer_stand_apart_each_with_its_mean(page: Page) -> None:
    page.act("open", "left")
    opened = page.drawer.opened
    parts = ["reasoning"] * 4 + ["marker"] + ["answer"] * (len(opened.tokens) - 5)
    tokens = tuple(
        replace(token, part=part) for token, part in zip(opened.tokens, parts, strict=True)
    )
    means = average_parts(tokens)
    html = text_map_html(replace(opened, surprise=Surprise(tokens, means)), 1, "en")
    heads = re.findall(r"<h4>(\w+) <span>([\d.]+) bits", html)
    assert heads == [("Reasoning", f"{means[0].bits:.2f}"), ("Answer", f"{means[1].bits:.2f}")]
    assert html.index("Reasoning") < html.index('id="lens-0"') < html.index('id="lens-4"')
    assert html.index('id="lens-4"') < html.index("<h4>Answer") < html.index('id="lens-5"')


def test_putting_a_token_goes_on_from_it_into_the_side(page: Page) -> None:
    page.act("open", "left")
    page.act("pick", 4)
    old, right = page.lives["left"], page.lives["right"]
    token = next(
        c.token for c in page.look.picture.candidates if c.token != page.look.picture.written
    )
    stored = len(page.do.list_history("", visitor())[page.view.history_list]["choices"])
    shown, updates = page.put(token)
    new = page.lives["left"].generation
    assert new.token_ids[:5] == (*old.generation.token_ids[:4], token)
    assert len(new.token_ids) > 5
    assert page.lives["right"] is right
    assert escape(new.text.strip()[:5]) in updates[page.view.sides["left"].body]
    assert "history" in updates[page.view.notice]
    assert page.look.position == 4
    assert page.look.picture.written == token
    assert "data-busy" not in shown["text"]
    assert len(page.do.list_history("", visitor())[page.view.history_list]["choices"]) == stored


def test_going_on_uses_the_sliders_that_are_looked_at(page: Page) -> None:
    page.act("open", "left")
    page.set(temperature=0.4)
    page.redraw()
    page.put(page.look.picture.candidates[1].token)
    assert page.lives["left"].ask.sampling.temperature == 0.4


@pytest.mark.parametrize("token", [10**9, -1, "x", None])
def test_a_token_that_does_not_exist_is_refused(page: Page, token) -> None:
    page.act("open", "left")
    live = page.lives["left"]
    assert "does not exist" in page.put(token)[0]["choice"]
    assert page.lives["left"] is live


def test_a_continuation_that_fails_says_why_on_its_side_and_closes_the_drawer(page: Page) -> None:
    class Broken(TinyEngines):
        def load(self, model_id: str, **how: object):
            raise QeuError("The disk is gone.")

    page.act("open", "left")
    page.context.engines = lambda request: Broken({}, page.engines.adapters)
    shown, updates = page.put(page.look.picture.candidates[1].token)
    assert "The disk is gone." in updates[page.view.sides["left"].body]
    assert shown == {"text": "", "choice": ""}


def test_nothing_goes_on_while_a_run_is_being_written(page: Page) -> None:
    page.act("open", "left")
    page.session.runs[COMPARE] = SimpleNamespace(finished=False, stop=lambda key=None: None)
    assert words("en")["lens.wait"] in page.put(page.look.picture.chosen)[0]["choice"]


def test_a_new_run_and_a_swap_close_the_drawer(page: Page) -> None:
    for change in (page.run, lambda: page.do.on_swap(page.data, visitor())):
        page.act("open", "left")
        updates = change()
        assert page.drawer.opened is None
        if page.lens.text in updates:
            assert updates[page.lens.text]["value"] == ""


def test_another_language_shows_the_same_drawer(page: Page) -> None:
    page.act("open", "left")
    page.act("pick", 3)
    updates = page.do.on_language(visitor(language="ja"))
    assert words("ja")["lens.keys"] in updates[page.lens.text]["value"]
    assert 'data-at="3"' in updates[page.lens.choice]["value"]


def test_nothing_can_be_looked_at_while_sides_are_covered(page: Page) -> None:
    page.act("open", "left")
    comparison: Comparison = page.do.read(page.data)
    booth_of(page.session).round = Round(comparison)
    updates = page.do.show(page.session, "en")
    assert updates[page.lens.text]["value"] == ""
    for side in page.view.sides.values():
        assert "data-lens-open" not in updates[side.body]
    for do, value in (("open", "left"), ("pick", 2), ("colour", "kl"), ("own", "")):
        assert page.act(do, value) == {"text": "", "choice": ""}
    assert page.redraw()["choice"] == ""
    live = page.lives["left"]
    assert page.put(1)[0]["choice"] == ""
    assert page.lives["left"] is live


def test_the_other_sides_model_reads_a_hosted_text_and_that_is_said(page: Page) -> None:
    live = page.lives["left"]
    live.ask = replace(live.ask, model="groq/some-model")
    # what a server writes comes without token ids
    live.generation = replace(live.generation, token_ids=(), text="so careful", answer="so careful")
    shown = page.act("open", "left")
    assert f"{LEARNED} reads its text here" in shown["text"]
    assert 'data-value="kl"' not in shown["text"]  # there is nothing of the server to compare with
    opened = page.drawer.opened
    assert opened.lens_side.ask.model == LEARNED
    assert "".join(one.token.shown for one in opened.tokens) == "so␣careful"
    assert {one.part for one in opened.tokens} == {"answer"}
    assert 'data-at="0"' in shown["choice"]


def test_the_embedded_model_reads_where_both_texts_are_hosted(page: Page) -> None:
    for live in page.lives.values():
        live.ask = replace(live.ask, model="groq/some-model")
    assert f"{DEFAULT_MODEL} reads its text here" in page.act("open", "left")["text"]
    assert page.drawer.opened.lens_side.ask.model == DEFAULT_MODEL


def test_an_empty_text_shows_the_end_of_its_prompt(page: Page) -> None:
    live = page.lives["left"]
    live.generation = replace(live.generation, token_ids=(), text="", answer="", reasoning="")
    shown = page.act("open", "left")
    assert 'data-last="0"' in shown["text"]
    assert words("en")["lens.first"] in shown["choice"]
    assert page.look.picture.written is None


def test_what_models_wrote_is_shown_as_text(page: Page) -> None:
    page.act("open", "left")
    opened = page.drawer.opened
    first, *rest = opened.surprise.tokens
    evil = replace(first, token=ShownToken(1, "<script>${x}"))
    opened = replace(opened, surprise=replace(opened.surprise, tokens=(evil, *rest)))
    html = text_map_html(opened, 1, "en")
    assert "<script>" not in html
    assert "${" not in html


def test_closing_stops_what_is_being_read(page: Page) -> None:
    event = SimpleNamespace(_data={"do": "open", "value": "left"})
    answers = page.lens.on_act(event, visitor())
    assert "data-busy" in next(answers)[page.lens.text]["value"]
    page.act("open", "right")
    reading = page.session.runs[PLACE]
    assert page.act("close") == {"text": "", "choice": ""}
    assert reading.is_set()
    assert page.session.runs.get(PLACE) is None


def test_a_look_that_was_overtaken_says_nothing(page: Page) -> None:
    page.act("open", "left")
    lens = page.context.lens
    read = lens.look

    def overtaken(*given, **how):
        found = read(*given, **how)
        how["stop"].stop()
        return found

    lens.look = overtaken
    try:
        assert page.act("pick", 2) == {}
    finally:
        del lens.look
    assert page.look.position == 0


def test_every_answer_has_a_number_of_its_own(page: Page) -> None:
    page.act("open", "left")
    turns = [
        re.search(r'data-turn="(\d+)"', shown["choice"])[1]
        for shown in (page.act("pick", 1), page.act("pick", 2), page.redraw())
    ]
    assert len(set(turns)) == 3
