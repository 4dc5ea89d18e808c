"""Runs with hosted models: they go on beside the local ones, without a turn and without memory."""

import threading

import pytest

from qeu.backends.base import Piece
from qeu.core.errors import QeuError
from qeu.services.plan import make_plan
from qeu.services.runs import Run
from tests.fake_shelf import FakeShelf, ScriptedBackend
from tests.services.test_runs import PATIENCE_S, A, ask, finish

GROQ, LAB = "groq/some-70b", "server:lab/other"


def test_a_hosted_side_writes_while_the_local_one_still_computes():
    hosted_done, local_began = threading.Event(), threading.Event()

    def in_step(row: int, count: int) -> None:
        local_began.set()
        assert hosted_done.wait(PATIENCE_S)

    def after_local(row: int, count: int) -> None:
        assert local_began.wait(PATIENCE_S)

    shelf = FakeShelf(
        ScriptedBackend(A, ["slow"], in_step), ScriptedBackend(GROQ, ["fast"], after_local)
    )
    run = Run(shelf, [ask("left"), ask("right", GROQ)])
    while not run.live["right"].finished:
        run.poll(0.01)
    hosted_done.set()
    finish(run)
    assert (run.live["left"].text, run.live["right"].text) == ("slow", "fast")
    assert shelf.queue.turns == 1
    assert run.plan.hosted == (GROQ,)


def test_two_hosted_models_answer_at_the_same_time():
    both = threading.Barrier(2, timeout=PATIENCE_S)
    models = [ScriptedBackend(name, ["x"], lambda row, count: both.wait()) for name in (GROQ, LAB)]
    shelf = FakeShelf(*models, free=0)
    run = finish(Run(shelf, [ask("left", GROQ), ask("right", LAB)]))
    assert {live.text for live in run.live.values()} == {"x"}
    assert shelf.queue.turns == 0
    assert run.plan.kind == "hosted"


def test_a_hosted_model_that_fails_leaves_the_local_one_alone():
    class Keyless(FakeShelf):
        def load(self, model_id, **how):
            if model_id == GROQ:
                raise QeuError("No key.")
            return super().load(model_id, **how)

    run = finish(Run(Keyless(ScriptedBackend(A, ["a"])), [ask("left"), ask("right", GROQ)]))
    assert run.live["left"].text == "a"
    assert (run.live["right"].phase, run.live["right"].error) == ("failed", "No key.")


def test_stopping_one_side_ends_the_hosted_model_and_keeps_its_text():
    box: list[Run] = []

    def before(row: int, count: int) -> None:
        if count == 3:
            box[0].stop("right")

    shelf = FakeShelf(ScriptedBackend(A, ["a"]), ScriptedBackend(GROQ, list("wxyz"), before))
    ready = threading.Event()
    shelf.on_load = lambda name, stop: ready.wait(PATIENCE_S) and None
    box.append(Run(shelf, [ask("left"), ask("right", GROQ)]))
    ready.set()
    run = finish(box[0])
    assert run.live["right"].generation.finish_reason == "cancelled"
    assert run.live["right"].text == "wx"
    assert run.live["left"].text == "a"


def test_a_wait_for_the_provider_is_told_and_over_with_the_first_token():
    class Limited(ScriptedBackend):
        def generate(self, rows, emit=None, *, exact=False):
            emit(Piece(0, "", 0, 0.0, waits_s=12.0))
            waited.wait(PATIENCE_S)
            return super().generate(rows, emit, exact=exact)

    waited = threading.Event()
    run = Run(FakeShelf(Limited(GROQ, ["a"])), [ask("left", GROQ)])
    live = run.live["left"]
    while not live.waits_s:
        run.poll(0.01)
    assert live.phase == "waiting"
    waited.set()
    finish(run)
    assert (live.waits_s, live.text) == (0.0, "a")


@pytest.mark.parametrize(
    ("names", "kind", "sentence"),
    [
        ([GROQ, LAB], "hosted", f"{GROQ}, {LAB}: on a server, all at the same time"),
        ([A, GROQ], "one_batch", f"{A}: all in one batch; {GROQ} at the same time"),
        (
            [A, "phi-2", GROQ],
            "in_turn",
            f"{A} then phi-2: 0.0 + 0.0 GB ≤ 1.0 GB free; {GROQ} at the same time",
        ),
    ],
)
def test_the_plan_says_what_runs_elsewhere(names, kind, sentence):
    plan = make_plan(names, FakeShelf())
    assert (plan.kind, plan.sentence) == (kind, sentence)
