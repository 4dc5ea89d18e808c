"""The blind switch, the bar and the standings, as functions over a page of scripted models."""

import json
import re
import threading
from types import SimpleNamespace

import gradio as gr
import pytest
from fake_shelf import FakeShelf, ScriptedBackend

from qeu.core.errors import QeuError
from qeu.services.votes import read_standings
from qeu.store.datasets import find_dataset, list_datasets
from qeu.store.queries import find_by_seq
from qeu.store.undo import read_origins
from qeu.store.votes import list_votes
from qeu.ui.compare_actions import PLACE
from qeu.ui.context import DEFAULT_MODEL
from qeu.ui.strings import words
from qeu.ui.votes_actions import VotesActions
from qeu.ui.votes_round import Round, Rounds, booth_of
from tests.ui.test_compare_actions import Page as ComparePage
from tests.ui.test_compare_actions import visitor

OTHER = "phi-2"
SECRETS = ("tokens/s", "smollm2", "phi-2", "first token", "language", "q-chip", "temperature")


class Page(ComparePage):
    """The Compare tab with two models that write differently, and its votes."""

    def __init__(self, tmp_path, public: bool = False, before_word=None, words_of=None) -> None:
        texts = words_of or {DEFAULT_MODEL: ["Left", " text."], OTHER: ["Right", " text."]}
        models = [ScriptedBackend(n, w, before_word) for n, w in texts.items()]
        super().__init__(tmp_path, FakeShelf(*models), public)
        self.panel = self.view.votes
        self.send = self.tab.send
        self.acts = VotesActions(self.context, self.panel, self.do, lambda: EXAMPLES, self.send)
        right = self.form.sides["right"]
        self.data |= {right.model_dd: OTHER, self.panel.blind_cb: True}
        self.data |= {self.send.name_dd: "kept"}
        for side in self.form.sides.values():
            self.data[side.use_reasoning_cb] = True

    def run(self, name: str = "one") -> dict:
        """The last update of a blind run."""
        return list(self.do.on_run(self.data, visitor(name)))[-1]

    def round(self, name: str = "one") -> Round:
        one = booth_of(self.context.sessions.of(visitor(name))).round
        assert one is not None
        return one

    def act(self, do: str, name: str = "one", language: str = "en", **values: object) -> dict:
        """What one event of the bar brings, all its updates together."""
        stored = self.round(name).stored
        told = {"run": stored.id if stored else 0, "voter": f"browser-{name}", **values}
        event = SimpleNamespace(_data={"do": do, **told})
        found: dict = {}
        for update in self.acts.on_act(self.data, event, visitor(name, language)):
            found |= update
        return found

    def votes(self, name: str = "") -> list:
        return list_votes(self.context.workspace, name)


EXAMPLES = [
    {"comparison": {"instruction": "First?"}},
    {"comparison": {"instruction": "Second?", "category": "math"}},
]


@pytest.fixture
def page(tmp_path) -> Page:
    return Page(tmp_path)


def value(update: object) -> str:
    """An output's HTML, plain or within an update."""
    return str(update.get("value", "")) if isinstance(update, dict) else str(update)


def texts(page: Page, update: dict) -> dict[str, str]:
    return {at: value(update[page.view.sides[at].body]) for at in ("left", "right")}


def test_a_blind_run_shows_two_texts_and_nothing_that_tells_whose(page: Page) -> None:
    for update in page.do.on_run(page.data, visitor()):
        for side in page.view.sides.values():
            for part in (side.head, side.body, side.prompt, side.receipt):
                shown = value(update.get(part, ""))
                assert not [s for s in SECRETS if s in shown], shown
        assert "value" not in dict(update.get(page.view.json_btn) or {})
    assert ">A<" in value(update[page.view.sides["left"].head])
    shown = texts(page, update)
    assert {"Left text." in html for html in shown.values()} == {True, False}
    assert 'data-state="ready"' in value(update[page.panel.bar])
    assert "data-covered" in value(update[page.panel.bar])


def test_nothing_is_shown_of_either_until_both_are_done(page: Page) -> None:
    *writing, last = page.do.on_run(page.data, visitor())
    assert writing
    for update in writing:
        assert not any("text." in html for html in map(value, update.values()) if "q-part" in html)
    assert 'data-state="writing"' in value(writing[0][page.panel.bar])
    assert all("text." in html for html in texts(page, last).values())


@pytest.mark.parametrize("swapped", [False, True])
def test_a_vote_counts_for_the_side_and_the_texts_stay_where_they_stood(page, swapped) -> None:
    page.run()
    page.round().swapped = swapped
    before = page.do.show(page.context.sessions.of(visitor()), "en")
    shown = page.act("vote", better="a", a="yes", b="no", note="clear")
    [vote] = page.votes()
    assert vote.better == ("right" if swapped else "left")
    assert vote.acceptable == {vote.better: True, "left" if swapped else "right": False}
    assert (vote.swapped, vote.blind, vote.note) == (swapped, True, "clear")
    first = "Right text." if swapped else "Left text."
    assert first in texts(page, before)["left"]
    assert first in texts(page, shown)["left"]
    winner = OTHER if swapped else DEFAULT_MODEL
    assert shown[page.form.sides["left"].model_dd] == winner
    bar = value(shown[page.panel.bar])
    assert 'data-state="open"' in bar
    assert "data-covered" not in bar
    assert f"You chose A · {winner}." in bar
    assert shown[page.view.json_btn]["interactive"] is True


def test_sides_are_shuffled(page: Page) -> None:
    assert {Round(page.do.read(page.data)).swapped for _ in range(60)} == {True, False}


def test_equal_and_not_said(page: Page) -> None:
    page.run()
    assert "equal" in value(page.act("vote", better="equal")[page.panel.bar])
    [vote] = page.votes()
    assert (vote.better, vote.acceptable) == ("equal", {"left": None, "right": None})


def test_a_double_click_counts_once_and_keeps_the_reveal(page: Page) -> None:
    page.run()
    number = page.round().stored.id
    page.act("vote", better="a")
    again = page.act("vote", better="b", run=number)
    assert "You chose A" in value(again[page.panel.bar])
    assert len(page.votes()) == 1


def test_two_browsers_on_one_comparison_count_once_each(page: Page) -> None:
    page.run()
    number = page.round().stored.id
    session = page.context.sessions.of(visitor("two"))
    booth_of(session).on = True
    page.do.on_restore(number, visitor("two"))
    assert page.round("two").ready
    threads = [
        threading.Thread(target=page.act, args=("vote", name), kwargs={"better": "a"})
        for name in ("one", "two", "one", "two")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(vote.voter for vote in page.votes()) == ["browser-one", "browser-two"]


def test_a_vote_made_before_stands_and_is_said(page: Page) -> None:
    page.run()
    number = page.round().stored.id
    page.round().swapped = False
    page.act("vote", better="a")
    page.do.on_restore(number, visitor())
    page.round().swapped = False
    bar = value(page.act("vote", better="b")[page.panel.bar])
    assert "voted on this one before" in bar
    assert "You chose A" in bar
    assert len(page.votes()) == 1


def test_a_vote_that_comes_late_is_refused(page: Page) -> None:
    page.run()
    assert "not open" in page.act("vote", better="a", run=99)[page.view.notice]
    assert page.votes() == []


def test_a_vote_that_means_nothing_is_refused(page: Page) -> None:
    page.run()
    assert "better is" in page.act("vote", better="c")[page.view.notice]
    assert "voter" in page.act("vote", better="a", voter="<b>")[page.view.notice]
    assert page.round().ready


@pytest.mark.parametrize("swapped", [False, True])
def test_the_better_text_becomes_a_record_in_one_click_with_the_vote_as_its_origin(
    page: Page, swapped
) -> None:
    page.run()
    page.round().swapped = swapped
    shown = page.act("vote", better="b", b="yes", note="shorter")
    assert 'data-do="keep"' in value(shown[page.panel.bar])
    bar = value(page.act("keep")[page.panel.bar])
    assert "Added to kept as 1EN" in bar
    assert 'data-do="keep"' not in bar
    workspace = page.context.workspace
    dataset = find_dataset(workspace, "kept")
    stored = find_by_seq(workspace, dataset, "1EN")[0]
    winner, loser = (DEFAULT_MODEL, OTHER) if swapped else (OTHER, DEFAULT_MODEL)
    assert stored.record.output == ("Left text." if swapped else "Right text.")
    assert stored.record.instruction == page.round().comparison.instruction
    origin = read_origins(workspace, dataset, stored.id)["output"]
    assert (origin.source, origin.preferred_to) == (winner, loser)
    [(data,)] = workspace.read("SELECT data FROM events WHERE kind = 'generate'")
    event = json.loads(data)
    assert (event["source"], event["vote"]) == ("vote", page.round().stored.id)
    assert (event["against"], event["blind"], event["note"]) == (loser, True, "shorter")
    page.act("keep")  # a second click
    assert find_by_seq(workspace, dataset, "2EN") == []


def test_what_nobody_preferred_or_would_use_is_not_offered_as_a_record(page: Page) -> None:
    for answers in ({"better": "equal"}, {"better": "a", "a": "no"}):
        page.run()
        assert 'data-do="keep"' not in value(page.act("vote", **answers)[page.panel.bar])
        assert "Added" not in value(page.act("keep")[page.panel.bar])
    assert list_datasets(page.context.workspace) == []


def test_a_side_becomes_a_record_in_one_click_but_not_before_the_vote(page: Page) -> None:
    page.run()
    for side in ("left", "right"):
        with pytest.raises(QeuError, match="Vote first"):
            page.send.keep(page.data, side, visitor())
    page.act("vote", better="equal")
    told = page.send.keep(page.data, "right", visitor())
    assert told.startswith("Added to kept as 1EN")
    session = page.context.sessions.of(visitor())
    workspace = page.context.workspace
    stored = find_by_seq(workspace, find_dataset(workspace, "kept"), "1EN")[0]
    assert stored.record.output == session.shown[PLACE]["right"].text


def test_the_last_vote_is_taken_back(page: Page) -> None:
    page.run()
    page.act("vote", better="b")
    assert "taken back" in value(page.act("undo")[page.panel.bar])
    assert page.votes() == []
    assert "no vote of yours" in page.act("undo")[page.view.notice]


def test_switching_off_shows_the_names_without_a_vote(page: Page) -> None:
    page.run()
    shown = page.acts.on_switch(False, visitor())
    assert "Not voted" in value(shown[page.panel.bar])
    assert "tokens/s" in value(shown[page.view.sides["left"].head])
    assert page.votes() == []


def test_switching_off_while_texts_are_written_shows_them_where_they_belong(tmp_path) -> None:
    hold, written = threading.Event(), threading.Event()

    def before_word(row: int, count: int) -> None:
        if count == 2:
            written.set()
            hold.wait(10)

    page = Page(tmp_path, before_word=before_word)
    stream = page.do.on_run(page.data, visitor())
    next(stream)
    assert written.wait(10)
    page.round().swapped = True
    page.acts.on_switch(False, visitor())
    hold.set()
    *_, last = stream
    assert "Left text." in texts(page, last)["left"]
    assert "tokens/s" in value(last[page.view.sides["right"].head])


def test_a_failed_side_is_said_and_there_is_no_vote(tmp_path) -> None:
    def before_word(row: int, count: int) -> None:
        raise RuntimeError("no memory left")

    page = Page(tmp_path)
    page.context.shelf.models[OTHER].before_word = before_word
    last = page.run()
    bar = value(last[page.panel.bar])
    assert "One side failed, so there is no vote" in bar
    assert 'data-do="vote"' not in bar
    assert "no memory left" in value(last[page.view.sides["right"].body])
    assert "Left text." in value(last[page.view.sides["left"].body])
    assert "not open" in page.act("vote", better="a")[page.view.notice]


def test_after_a_stop_what_stands_there_can_be_voted_on(tmp_path) -> None:
    holder: dict[str, Page] = {}
    begun = threading.Event()

    def before_word(row: int, count: int) -> None:
        assert begun.wait(10)
        if count == 3:
            holder["page"].do.on_stop(visitor())

    four = {name: ["One", " two", " three", " four"] for name in (DEFAULT_MODEL,)}
    page = Page(tmp_path, before_word=before_word, words_of=four)
    holder["page"] = page
    page.data[page.form.sides["right"].model_dd] = DEFAULT_MODEL
    for last in page.do.on_run(page.data, visitor()):  # noqa: B007 - the last one counts
        begun.set()
    bar = value(last[page.panel.bar])
    assert 'data-state="ready"' in bar
    assert words("en")["vote.stopped"] in bar
    assert words("en")["vote.same"] in bar
    page.act("vote", better="equal")
    assert len(page.votes()) == 1


def test_sides_asked_for_different_things_show_what_both_wrote(tmp_path) -> None:
    both = ["Think", " hard.\n", "<|response|>", "Right", " text."]
    page = Page(tmp_path, words_of={DEFAULT_MODEL: ["Left", " text."], OTHER: both})
    page.data[page.form.sides["right"].target_dd] = "both"
    shown = "".join(texts(page, page.run()).values())
    assert "Right text." in shown
    assert "Think" not in shown
    assert shown.count("<h4>") == 2


def test_a_page_loaded_again_finds_its_two_texts_as_they_stood(page: Page) -> None:
    page.run()
    one = page.round()
    event = {"do": "resume", "run": one.stored.id, "round": one.token, "voter": "browser-one"}
    [shown] = page.acts.on_act(page.data, SimpleNamespace(_data=event), visitor("new"))
    assert shown[page.panel.blind_cb] is True
    assert page.round("new") is one
    assert 'data-state="ready"' in value(shown[page.panel.bar])
    page.act("vote", "new", better="a", voter="browser-one")
    [nothing] = page.acts.on_act(page.data, SimpleNamespace(_data=event), visitor("newer"))
    assert nothing[page.panel.blind_cb] is True
    assert booth_of(page.context.sessions.of(visitor("newer"))).round is None


def test_of_too_many_waiting_rounds_the_oldest_is_forgotten(page: Page) -> None:
    page.run()
    rounds, first = Rounds(), page.round()
    rounds.keep(first)
    assert rounds.find(first.token, first.stored.id) is first
    assert rounds.find(first.token, 99) is None
    for _ in range(600):
        rounds.keep(Round(first.comparison))
    assert rounds.find(first.token, first.stored.id) is None


def test_the_next_question_is_an_example_where_there_are_no_records(page: Page) -> None:
    page.run()
    page.act("vote", better="a")
    shown = page.act("next")
    assert shown[page.form.question.instruction_box] == "Second?"
    assert shown[page.form.question.category_dd] == "math"
    assert words("en")["vote.from_examples"] in shown[page.view.notice]
    assert page.round().stored.question == "Second?"
    assert page.round().ready


def test_swapping_waits_for_the_vote(page: Page) -> None:
    page.run()
    assert words("en")["vote.swap"] in page.do.on_swap(page.data, visitor())[page.view.notice]
    page.act("vote", better="a")
    shown = page.do.on_swap(page.data, visitor())
    assert "You chose" not in value(shown[page.panel.bar])


def test_with_the_switch_off_the_page_is_what_it_was(page: Page) -> None:
    page.data[page.panel.blind_cb] = False
    last = page.run()
    assert "tokens/s" in value(last[page.view.sides["left"].head])
    assert value(last[page.panel.bar]) == ""
    assert last[page.panel.bar]["visible"] == "hidden"


def test_a_translation_is_of_the_text_that_stands_there_once_both_do(page: Page) -> None:
    page.run()
    one = page.round()
    one.swapped = True
    read = page.panel.reader("left")
    assert read({}, visitor()).texts == {"answer": "Right text."}
    one.stored = None
    assert read({}, visitor()).texts == {}


def test_another_language_keeps_the_names_covered(page: Page) -> None:
    page.run()
    shown = page.do.on_language(visitor("one", "ja"))
    assert words("ja")["vote.better"] in value(shown[page.panel.bar])
    assert "tokens" not in value(shown[page.view.sides["left"].head])


def test_standings_are_counted_when_opened_and_follow_the_votes(page: Page) -> None:
    page.run()
    assert page.act("vote", better="a")[page.panel.table] == gr.skip()
    html = page.acts.on_open(visitor())
    assert "too few to tell" in html
    assert DEFAULT_MODEL in html
    assert OTHER in html
    page.act("next")
    page.act("vote", better="equal")
    assert read_standings(page.context.workspace).votes == 2
    page.act("next")
    assert " 1 / " in page.act("vote", better="equal")[page.panel.table]


def test_no_votes_yet_is_said(page: Page) -> None:
    assert words("ja")["vote.none"] in page.acts.on_open(visitor("one", "ja"))


def test_a_file_is_offered_with_what_was_left_out(page: Page) -> None:
    page.run()
    page.act("vote", better="b")
    event = SimpleNamespace(_data={"do": "export", "value": "dpo"})
    shown = page.acts.on_export(event, visitor())
    assert "1 lines" in shown[page.panel.line]
    assert "apache-2.0" in shown[page.panel.line]
    path = shown[page.panel.file_btn]["value"]
    assert re.search(r"qeu-votes-dpo\.jsonl$", path)
    with open(path, encoding="utf-8") as file:
        assert '"chosen"' in file.read()
    wrong = SimpleNamespace(_data={"do": "export", "value": "ppo"})
    assert "Unknown format" in page.acts.on_export(wrong, visitor())[page.panel.line]


def test_on_a_public_page_votes_are_a_visits_own_and_end_with_it(tmp_path) -> None:
    page = Page(tmp_path, public=True)
    page.data[page.form.sides["right"].model_dd] = DEFAULT_MODEL
    page.run()
    page.act("vote", better="a")
    assert words("en")["vote.visit"] in page.acts.on_open(visitor("one"))
    assert words("en")["vote.none"] in page.acts.on_open(visitor("two"))
    assert len(page.votes("one")) == 1
    page.context.end_visit(visitor("one"))
    assert page.votes("one") == []
    assert not (tmp_path / "qeu.db").exists()
    assert PLACE not in page.context.sessions.of(visitor("one")).runs


def test_what_models_and_voters_write_is_shown_as_text(tmp_path) -> None:
    hostile = "<img src=x onerror=alert(1)> ${1+1}"
    page = Page(tmp_path, words_of={DEFAULT_MODEL: [hostile], OTHER: ["fine"]})
    shown = "".join(texts(page, page.run()).values())
    assert "<img" not in shown
    assert "&lt;img" in shown


def test_clicks_at_once_uncover_once(page: Page) -> None:
    page.run()
    one, number = page.round(), page.round().stored.id
    one.swapped = True
    threads = [
        threading.Thread(target=page.act, args=("vote",), kwargs={"better": "a", "run": number})
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(page.votes()) == 1
    assert not one.before
    shown = page.context.sessions.of(visitor()).shown[PLACE]
    assert shown["left"].text == "Right text."
