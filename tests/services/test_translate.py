"""Translating with scripted models: pieces, cache, faults, stop, fitness."""

import threading
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest

from qeu.backends.engines import Engines
from qeu.backends.keyring import Keyring
from qeu.core.errors import QeuError, UsageError
from qeu.services.translate import GREEDY, TranslationRun
from qeu.services.translated_text import explain_unfit, translation_warning
from qeu.store.workspace import Workspace
from tests.fake_shelf import FakeShelf, ScriptedBackend

MODEL = "llama-3-8b"  # reads all, writes English
TYPED = "somebody/translator"  # a name that nobody knows counts as fit
ENGLISH = "The cat sat on the mat, and it was happy with that."
JAPANESE = "猫はマットの上に座って、とても満足していました。"
CHINESE = "這隻貓坐在墊子上，牠對此非常滿意，覺得很舒服。"


@dataclass(frozen=True)
class Held:
    """A model in memory."""

    model_id: str


class Shelf(FakeShelf):
    """A fake shelf that tells what is in memory."""

    def load(self, model_id, *, progress=None, stop=None, **more):
        return super().load(model_id, progress=progress, stop=stop)

    def loaded(self) -> list[Held]:
        return [Held(name) for name in sorted(self.in_memory)]


class Scribe(ScriptedBackend):
    """Answers each text with what `says` makes of the data it was given."""

    def __init__(self, says, name: str = TYPED, context: int = 100_000, **more) -> None:
        super().__init__(name, [], context=context, **more)
        self.says, self.revision, self.ends = says, "r1", ""

    @property
    def given(self) -> list[str]:
        """The data of every row so far."""
        return [text_of(row.prompt) for batch in self.batches for row in batch]

    def generate(self, rows, emit=None, **more):
        [row] = rows
        self.words = list(self.says(text_of(row.prompt)))
        [generation] = super().generate(rows, emit)
        reason = self.ends or generation.finish_reason
        return [replace(generation, revision=self.revision, finish_reason=reason)]


def text_of(prompt) -> str:
    segments = prompt.segments or prompt.messages[-1].segments
    return "".join(s.text for s in segments if s.field == "input")


def say(answer):
    return lambda text: answer


@pytest.fixture
def workspace():
    opened = Workspace(None)
    yield opened
    opened.close()


def engines(*models) -> Engines:
    return Engines(Shelf(*models), None, Keyring())  # type: ignore[arg-type]


def translate(model, workspace, text=ENGLISH, target="ja", **more):
    """The translation of one text after its run has ended."""
    texts = text if isinstance(text, dict) else {"a": text}
    run = TranslationRun(engines(model), workspace, texts, target, model.name, **more)
    assert run.wait(20)
    return run.live if isinstance(text, dict) else run.live["a"]


def test_a_text_is_translated_checked_and_told(workspace):
    scribe = Scribe(say(JAPANESE))
    one = translate(scribe, workspace)
    assert (one.text, one.state, one.fault, one.cached) == (JAPANESE, "done", "", False)
    assert (one.source, one.target, one.model, one.revision) == ("en", "ja", TYPED, "r1")
    assert one.at
    assert one.new_tokens == len(JAPANESE)
    [[row]] = scribe.batches
    assert row.sampling == replace(GREEDY, max_new_tokens=row.sampling.max_new_tokens)
    assert row.sampling.is_greedy
    assert row.sampling.repetition_penalty == 1.0


def test_the_second_look_is_free_and_loads_nothing(workspace):
    translate(Scribe(say(JAPANESE)), workspace)
    scribe = Scribe(say("never asked"))
    shelf = engines(scribe)
    run = TranslationRun(shelf, workspace, {"a": ENGLISH}, "ja", TYPED)
    assert run.wait(20)
    assert (run.live["a"].text, run.live["a"].cached) == (JAPANESE, True)
    assert scribe.batches == []
    assert shelf.shelf.calls == []


def test_another_text_target_model_or_revision_is_asked_anew(workspace):
    translate(Scribe(say(JAPANESE)), workspace)
    for other in (
        translate(Scribe(say(JAPANESE)), workspace, ENGLISH + " Yes."),
        translate(Scribe(say(CHINESE)), workspace, target="zh-TW"),
        translate(Scribe(say(JAPANESE), "somebody/other"), workspace),
    ):
        assert (other.state, other.cached) == ("done", False)
    scribe = Scribe(say(JAPANESE))
    scribe.revision = "r2"
    shelf = engines(scribe)
    shelf.load(TYPED)
    run = TranslationRun(shelf, workspace, {"a": ENGLISH}, "ja", TYPED)
    assert run.wait(20)
    assert (run.live["a"].revision, run.live["a"].cached) == ("r2", False)


def test_a_long_text_goes_in_pieces_in_order_and_keeps_its_paragraphs(workspace):
    text = "\n\n".join(f"Paragraph {n} is about the cat and its mat. {n}." * 3 for n in range(6))
    scribe = Scribe(lambda given: f"『{given[:11]}』は猫とマットの話です。", context=1_800)
    one = translate(scribe, workspace, text)
    assert one.fault == ""
    assert len(scribe.batches) == one.pieces > 1
    assert "\n".join(scribe.given).split() == text.split()
    assert [line[11] for line in one.text.split("\n\n")] == [given[10] for given in scribe.given]
    assert all(
        scribe.prepare(row.prompt).tokens + row.sampling.max_new_tokens <= scribe.context
        for [row] in scribe.batches
    )


def test_the_text_streams_behind_what_is_done(workspace):
    seen, go = [], threading.Event()

    def before_word(row, count):
        if count == 5:
            assert go.wait(20)

    scribe = Scribe(say(JAPANESE), before_word=before_word)
    run = TranslationRun(engines(scribe), workspace, {"a": ENGLISH}, "ja", TYPED)
    while not run.live["a"].text:
        run.poll(0.05)
    seen.append(run.live["a"].text)
    go.set()
    assert run.wait(20)
    assert JAPANESE.startswith(seen[0])
    assert seen[0] != JAPANESE


@pytest.mark.parametrize(
    ("answer", "target", "fault"),
    [
        ("I am sorry, but I can not translate this text for you.", "ja", "language"),
        (f"{JAPANESE}\nAnd this line was left as it is in the text.", "ja", "mixed"),
        ("这只猫坐在垫子上，它对此非常满意，觉得很舒服。", "zh-TW", "script"),
        (CHINESE, "ja", "language"),
        ("猫はマットの上に座っていました。" * 12, "ja", "loop"),
        ("", "ja", "empty"),
    ],
)
def test_what_is_wrong_is_said_and_never_kept(workspace, answer, target, fault):
    scribe = Scribe(say(answer))
    one = translate(scribe, workspace, target=target)
    assert (one.state, one.fault, one.good) == ("done", fault, False)
    assert workspace.read("SELECT * FROM translations") == []
    assert not translate(scribe, workspace, target=target).cached


@pytest.mark.parametrize("reason", ["loop", "length"])
def test_a_loop_or_a_cut_told_by_the_engine_is_told_on(workspace, reason):
    scribe = Scribe(say(JAPANESE))
    scribe.ends = reason
    one = translate(scribe, workspace)
    assert (one.text, one.fault) == (JAPANESE, reason)
    assert workspace.read("SELECT * FROM translations") == []


def test_a_stop_keeps_what_was_written_on_the_page_and_nothing_in_the_workspace(workspace):
    holder = {}

    def before_word(row, count):
        if count == 4:
            holder["run"].stop()

    scribe = Scribe(say(JAPANESE), before_word=before_word)
    started = threading.Event()
    scribe.says = lambda text: (started.wait(20), JAPANESE)[1]
    holder["run"] = TranslationRun(
        engines(scribe), workspace, {"a": ENGLISH, "b": ENGLISH + " Yes."}, "ja", TYPED
    )
    started.set()
    assert holder["run"].wait(20)
    one, other = holder["run"].live.values()
    assert (one.state, one.text, one.error) == ("stopped", JAPANESE[:3], "")
    assert (other.state, other.text) == ("stopped", "")
    assert workspace.read("SELECT * FROM translations") == []


def test_a_stop_while_another_run_computes_ends_at_once(workspace):
    shelf = engines(Scribe(say(JAPANESE)))
    with shelf.queue.turn(threading.Event(), lambda ahead: None):
        run = TranslationRun(shelf, workspace, {"a": ENGLISH}, "ja", TYPED)
        while run.phase != "waiting":
            run.poll(0.02)
        assert run.ahead == 1
        run.stop()
        assert run.wait(20)
    assert run.live["a"].state == "stopped"


def test_a_failure_is_a_sentence_and_not_kept(workspace):
    shelf = engines(Scribe(say(JAPANESE)))

    def fail(name, stop):
        raise QeuError("The Hub cannot be reached. Try again.")

    shelf.shelf.on_load = fail
    run = TranslationRun(shelf, workspace, {"a": ENGLISH}, "ja", TYPED)
    assert run.wait(20)
    assert (run.live["a"].state, run.live["a"].error) == (
        "failed", "The Hub cannot be reached. Try again.",
    )  # fmt: skip


def test_a_defect_of_an_engine_ends_the_run_with_a_sentence(workspace):
    def say_nothing(text):
        raise ZeroDivisionError("boom")

    one = translate(Scribe(say_nothing), workspace)
    assert one.state == "failed"
    assert "ZeroDivisionError: boom" in one.error


def test_only_what_is_in_another_language_is_translated(workspace):
    scribe = Scribe(say(JAPANESE))
    found = translate(scribe, workspace, {"q": JAPANESE, "n": "12.5 + 3", "a": ENGLISH})
    assert {key: one.state for key, one in found.items()} == {"q": "same", "n": "same", "a": "done"}
    assert found["q"].text == JAPANESE
    assert scribe.given == [ENGLISH]


def test_markers_are_not_sent_and_a_lead_is_not_shown(workspace):
    scribe = Scribe(say(f"Here is the Japanese translation:\n{JAPANESE}"))
    one = translate(scribe, workspace, f"<|response|>{ENGLISH}")
    assert scribe.given == [ENGLISH]
    assert one.text == JAPANESE


def test_a_budget_of_tokens_holds_for_all_texts_together(workspace):
    scribe = Scribe(say(JAPANESE * 3))
    found = translate(scribe, workspace, {"a": ENGLISH, "b": ENGLISH + " Yes."}, most_new_tokens=30)
    assert [one.fault for one in found.values()] == ["length", "length"]
    assert sum(one.new_tokens for one in found.values()) <= 31


def test_an_unfit_model_is_refused_with_the_way_out_and_run_anyway(workspace):
    scribe = Scribe(say(JAPANESE), MODEL)
    with pytest.raises(QeuError, match=r"does not write ja.*Groq.*run it anyway"):
        translate(scribe, workspace)
    assert translate(scribe, workspace, run_anyway=True).text == JAPANESE
    # into English it is fit, and where nothing need be translated nobody is
    assert translate(Scribe(say(ENGLISH), MODEL), workspace, JAPANESE, "en").text == ENGLISH
    assert translate(scribe, workspace, JAPANESE, "ja").state == "same"


def test_an_unknown_target_is_refused(workspace):
    with pytest.raises(UsageError, match=r"'fr'.*ja"):
        translate(Scribe(say("x")), workspace, target="fr")


class Uncounted(Scribe):
    """A model on a server: its tokens are known when it has answered."""

    def prepare(self, prompt):
        return replace(super().prepare(prompt), token_ids=())


def test_a_long_text_goes_to_a_server_in_pieces_without_a_turn_of_this_machine(workspace):
    name = "server/qwen2.5-7b-instruct"
    scribe = Uncounted(lambda given: f"『{given[:9]}』の話です。", name, context=0)
    pool = SimpleNamespace(open=lambda card, keyring: scribe)
    asked = Engines(Shelf(), pool, Keyring().with_server("http://localhost:1/v1"))  # type: ignore
    text = "\n".join(f"Line {n:03d} is about the cat on its mat." for n in range(200))
    run = TranslationRun(asked, workspace, {"a": text}, "ja", name)
    assert run.wait(20)
    assert run.live["a"].good
    assert "\n".join(scribe.given) == text
    assert 2 <= len(scribe.batches) <= 6
    assert asked.queue.turns == 0
    [row] = scribe.batches[0]
    assert row.sampling.max_new_tokens == 4_096


@pytest.mark.parametrize(
    ("model", "pair", "code"),
    [
        ("smollm2-135m", ("en", "ja"), "cannot_do"),
        ("llama-3-8b", ("ja", "en"), ""),
        ("llama-3-8b", ("en", "zh-TW"), "cannot_write"),
        ("groq/llama-3.3-70b-versatile", ("en", "zh-TW"), ""),
        ("server/SmolLM2-135M", ("en", "ja"), "cannot_do"),
        ("server:lab/never-heard-of", ("ja", "zh-CN"), ""),
    ],
)
def test_who_is_fit_for_a_pair(model, pair, code):
    unfit = translation_warning(model, *pair)
    assert (unfit.code if unfit else "") == code
    if unfit:
        assert explain_unfit(unfit).startswith(unfit.facts["label"])


@pytest.mark.parametrize("target", ["en", "ja", "zh-TW"])
def test_the_way_out_names_only_models_that_are_fit(target):
    unfit = translation_warning("smollm2-135m@style", "zh-CN", target)
    assert target != "en" or unfit.instead
    for name in unfit.instead:
        assert translation_warning(name, "zh-CN", target) is None
