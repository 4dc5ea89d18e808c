"""Runs: order of news, stopping, failures; every ask ends, whatever happens."""

import threading
from dataclasses import replace

import pytest

from qeu.core.errors import QeuError
from qeu.core.generation import Generation
from qeu.core.record import Record
from qeu.core.roles import find_role
from qeu.core.sampling import Sampling
from qeu.services.runs import Ask, Run, check_parts, restore_live, side_json
from tests.fake_shelf import FakeShelf, ScriptedBackend, Step

# Far more than any of these needs; a run that hangs fails instead of blocking the suite.
PATIENCE_S = 20
A, B = "smollm2-135m", "phi-2"


def ask(key: str, model: str = A, **changes) -> Ask:
    made = Ask(
        key=key,
        model=model,
        record=Record(instruction="Add.", input="2 and 3"),
        role=find_role("assistant"),
        target="answer",
        sampling=Sampling(),
        layout="bonsai-v2",
    )
    return replace(made, **changes)


def finish(run: Run) -> Run:
    assert run.wait(PATIENCE_S), {key: live.phase for key, live in run.live.items()}
    assert run.join(PATIENCE_S)
    return run


def history_of(run: Run) -> dict[str, list[str]]:
    """Every phase that each ask was seen in, one news at a time."""
    seen: dict[str, list[str]] = {key: [] for key in run.live}
    take = run._take

    def watched(key, kind, value):
        take(key, kind, value)
        if seen[key][-1:] != [run.live[key].phase]:
            seen[key].append(run.live[key].phase)

    run._take = watched
    finish(run)
    return seen


def test_both_sides_go_through_their_phases_in_order_and_in_one_batch():
    model = ScriptedBackend(A, ["Five", " it", " is."])
    shelf = FakeShelf(model)
    run = Run(shelf, [ask("left"), ask("right", target="reasoning")])
    phases = history_of(run)
    assert (
        phases["left"]
        == phases["right"]
        == [
            "loading",
            "waiting",
            "reading",
            "writing",
            "done",
        ]
    )
    assert [len(batch) for batch in model.batches] == [2]
    assert shelf.calls == [("load", A)]
    left, right = run.live["left"], run.live["right"]
    assert left.text == right.text == "Five it is."
    assert left.parts() == ("", "Five it is.")
    assert right.parts() == ("Five it is.", "")
    assert (left.new_tokens, left.ttft_s) == (3, 0.0)
    assert left.generation.finish_reason == "stop"
    assert left.prepared.tokens == len(left.prepared.text)
    assert left.context == model.context


def test_text_grows_by_the_pieces_in_their_order():
    gate, seen = threading.Semaphore(0), []
    model = ScriptedBackend(A, list("abcd"), lambda row, count: gate.acquire(timeout=PATIENCE_S))
    run = Run(FakeShelf(model), [ask("left")])
    live = run.live["left"]
    while not run.finished:
        gate.release()
        run.poll(PATIENCE_S)
        if live.text[-1:] and live.text not in seen:
            seen.append(live.text)
    assert seen[-1] == "abcd"
    assert all("abcd".startswith(text) for text in seen)
    assert seen == sorted(seen, key=len)


def test_stopping_one_side_leaves_the_other():
    model = ScriptedBackend(A, ["a", "b", "c"])
    run_box = []

    def stop_left(row, count):
        if (row, count) == (0, 2):
            run_box[0].stop("left")

    started = threading.Event()
    model.before_word = lambda row, count: (started.wait(PATIENCE_S), stop_left(row, count))
    run_box.append(Run(FakeShelf(model), [ask("left"), ask("right")]))
    started.set()
    run = finish(run_box[0])
    assert (run.live["left"].text, run.live["right"].text) == ("a", "abc")
    assert run.live["left"].generation.finish_reason == "cancelled"
    assert run.live["right"].generation.finish_reason == "stop"
    assert run.live["left"].phase == "done"


def test_stopping_all_while_computing_keeps_what_was_written():
    model = ScriptedBackend(A, ["a", "b", "c"])
    run_box, started = [], threading.Event()

    def before(row, count):
        started.wait(PATIENCE_S)
        if count == 3:
            run_box[0].stop()

    model.before_word = before
    run_box.append(Run(FakeShelf(model), [ask("left"), ask("right")]))
    started.set()
    run = finish(run_box[0])
    for live in run.live.values():
        assert (live.text, live.generation.finish_reason) == ("ab", "cancelled")


def test_a_run_that_is_stopped_before_its_load_loads_nothing():
    shelf = FakeShelf(ScriptedBackend(A, ["a"]), ScriptedBackend(B, ["b"]))
    gate, loading = threading.Event(), threading.Event()

    def on_load(name, stop):
        loading.set()
        gate.wait(PATIENCE_S)

    shelf.on_load = on_load
    run = Run(shelf, [ask("left"), ask("right", B)])
    assert loading.wait(PATIENCE_S)
    run.stop()
    gate.set()
    finish(run)
    assert shelf.calls == [("load", A)]
    assert shelf.models[A].batches == []
    for live in run.live.values():
        assert (live.phase, live.generation.finish_reason, live.text) == ("done", "cancelled", "")


def test_a_load_that_breaks_off_because_of_the_stop_is_no_failure():
    shelf = FakeShelf(ScriptedBackend(A, ["a"]))
    loading, stopped = threading.Event(), threading.Event()

    def on_load(name, stop):
        loading.set()
        assert stopped.wait(PATIENCE_S)
        assert stop.is_set()
        raise QeuError("Stopped.")

    shelf.on_load = on_load
    run = Run(shelf, [ask("left"), ask("right")])
    assert loading.wait(PATIENCE_S)
    run.stop("left")
    assert not run.live["left"].finished
    run.stop("right")
    stopped.set()
    finish(run)
    assert {live.generation.finish_reason for live in run.live.values()} == {"cancelled"}
    assert {live.error for live in run.live.values()} == {""}


def test_a_stop_before_the_reader_has_seen_the_first_word_ends_once_and_keeps_the_words():
    gate, computing = threading.Event(), threading.Event()

    def before(row, count):
        if count == 3:
            computing.set()
            gate.wait(PATIENCE_S)

    run = Run(FakeShelf(ScriptedBackend(A, list("abc"), before)), [ask("left")])
    assert computing.wait(PATIENCE_S)
    run.stop()
    gate.set()
    assert run.join(PATIENCE_S)
    finish(run)
    live = run.live["left"]
    assert (live.phase, live.text, live.generation.finish_reason) == ("done", "ab", "cancelled")
    run.poll(0)
    assert run.finished


def test_a_model_that_left_while_its_run_waited_is_loaded_again():
    gate, computing = threading.Event(), threading.Event()

    def before(row, count):
        computing.set()
        gate.wait(PATIENCE_S)

    shelf = FakeShelf(ScriptedBackend(A, ["a"], before), ScriptedBackend(B, ["b"]))
    first = Run(shelf, [ask("left")])
    assert computing.wait(PATIENCE_S)
    second = Run(shelf, [ask("left", B)])
    while second.live["left"].phase != "waiting":
        second.poll(PATIENCE_S)
    shelf.unload(B)
    gate.set()
    assert finish(second).live["left"].text == "b"
    finish(first)
    assert shelf.calls == [("load", A), ("load", B), ("unload", B), ("load", B)]


def test_a_model_is_only_unloaded_while_nobody_computes():
    shelf = FakeShelf(ScriptedBackend(A, ["a"]), ScriptedBackend(B, ["b"]), free=1)
    held = []
    unload = shelf.unload
    shelf.unload = lambda name: (held.append(shelf.queue.lock.locked()), unload(name))
    finish(Run(shelf, [ask("left"), ask("right", B)]))
    assert held == [True]


def test_a_stop_of_one_side_does_not_end_a_load_that_the_other_needs():
    shelf = FakeShelf(ScriptedBackend(A, ["a"]))
    stops = []
    shelf.on_load = lambda name, stop: (run_box[0].stop("left"), stops.append(stop.is_set()))
    started = threading.Event()
    run_box = []
    on_load = shelf.on_load
    shelf.on_load = lambda name, stop: (started.wait(PATIENCE_S), on_load(name, stop))
    run_box.append(Run(shelf, [ask("left"), ask("right")]))
    started.set()
    run = finish(run_box[0])
    assert stops == [False]
    assert run.live["left"].generation.finish_reason == "cancelled"
    assert run.live["right"].text == "a"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (QeuError("No room for it."), "No room for it."),
        (RuntimeError("CUDA out of memory"), "CUDA out of memory"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_a_failed_load_fails_its_sides_with_the_sentence_and_the_next_model_goes_on(
    error, sentence
):
    shelf = FakeShelf(ScriptedBackend(A, ["a"]), ScriptedBackend(B, ["b"]))

    def on_load(name, stop):
        if name == A:
            raise error

    shelf.on_load = on_load
    run = finish(Run(shelf, [ask("left"), ask("right", B)]))
    left, right = run.live["left"], run.live["right"]
    assert left.phase == "failed"
    assert sentence in left.error
    assert left.generation.finish_reason == "error"
    assert (right.phase, right.text) == ("done", "b")


def test_a_prompt_that_cannot_be_prepared_fails_alone():
    model = ScriptedBackend(A, ["a"])
    model.refuses = lambda prompt: "Too odd." if prompt.target == "both" else None
    run = finish(Run(FakeShelf(model), [ask("left", target="both"), ask("right")]))
    assert (run.live["left"].phase, run.live["left"].error) == ("failed", "Too odd.")
    assert (run.live["right"].phase, run.live["right"].text) == ("done", "a")
    assert [len(batch) for batch in model.batches] == [1]


def test_where_every_prompt_is_refused_nothing_is_computed():
    model = ScriptedBackend(A, ["a"])
    model.refuses = lambda prompt: "No."
    shelf = FakeShelf(model)
    run = finish(Run(shelf, [ask("left"), ask("right")]))
    assert {live.error for live in run.live.values()} == {"No."}
    assert (model.batches, shelf.queue.turns) == ([], 0)


def test_an_engine_that_breaks_down_midway_keeps_the_text_so_far():
    def before(row, count):
        if count == 3:
            raise RuntimeError("device lost")

    run = finish(Run(FakeShelf(ScriptedBackend(A, list("abc"), before)), [ask("left")]))
    live = run.live["left"]
    assert (live.phase, live.text) == ("failed", "ab")
    assert "device lost" in live.error
    assert A in live.error
    assert live.generation.answer == "ab"


def test_a_row_that_fails_in_the_engine_fails_alone():
    class Moody(ScriptedBackend):
        def generate(self, rows, emit=None, *, exact=False):
            first, second = super().generate(rows, emit, exact=exact)
            return [replace(first, finish_reason="error", error="It is too long."), second]

    run = finish(Run(FakeShelf(Moody(A, ["a"])), [ask("left"), ask("right")]))
    assert (run.live["left"].phase, run.live["left"].error) == ("failed", "It is too long.")
    assert run.live["right"].phase == "done"


def test_an_engine_that_forgets_a_row_hangs_nobody():
    class Forgetful(ScriptedBackend):
        def generate(self, rows, emit=None, *, exact=False):
            return super().generate(rows, emit, exact=exact)[:1]

    run = finish(Run(FakeShelf(Forgetful(A, ["a"])), [ask("left"), ask("right")]))
    assert (run.live["left"].phase, run.live["left"].text) == ("done", "a")
    assert run.live["right"].phase == "failed"
    assert run.live["right"].error


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_even_an_exit_on_the_computing_thread_ends_every_ask():
    def before(row, count):
        raise SystemExit

    shelf = FakeShelf(ScriptedBackend(A, ["a"], before), ScriptedBackend(B, ["b"]))
    run = finish(Run(shelf, [ask("left"), ask("right", B)]))
    assert {live.phase for live in run.live.values()} == {"failed"}


def test_progress_of_a_load_is_told_in_shares():
    shelf = FakeShelf(ScriptedBackend(A, ["a"]))
    shelf.steps = (Step("download", 1, 4), Step("convert", 0, 0))
    seen = []
    run = Run(shelf, [ask("left")])
    take = run._take
    run._take = lambda key, kind, value: (
        take(key, kind, value),
        seen.append((run.live[key].loading, run.live[key].loaded_share)),
    )
    finish(run)
    assert list(dict.fromkeys(seen)) == [
        ("start", 0.0),
        ("download", 0.25),
        ("convert", 0.0),
    ]


def test_a_second_run_waits_its_turn_and_is_told_its_place():
    gate, computing = threading.Event(), threading.Event()

    def before(row, count):
        computing.set()
        gate.wait(PATIENCE_S)

    model = ScriptedBackend(A, ["a"], before)
    shelf = FakeShelf(model)
    first = Run(shelf, [ask("left")])
    assert computing.wait(PATIENCE_S)
    second, third = Run(shelf, [ask("left")]), None
    try:
        while second.live["left"].phase != "waiting":
            second.poll(PATIENCE_S)
        third = Run(shelf, [ask("left")])
        while not third.live["left"].ahead:
            third.poll(PATIENCE_S)
        assert third.live["left"].phase == "waiting"
        third.stop()
        finish(third)
        assert third.live["left"].generation.finish_reason == "cancelled"
        assert not second.live["left"].finished
    finally:
        gate.set()
    assert finish(first).live["left"].text == "a"
    assert finish(second).live["left"].text == "a"
    assert shelf.queue.turns == 2


def test_two_runs_at_once_keep_their_texts_apart():
    model = ScriptedBackend(A, ["a", "b"])
    shelf = FakeShelf(model)
    runs = [Run(shelf, [ask("left"), ask("right")]) for _ in range(2)]
    runs[0].stop("left")
    for run in runs:
        finish(run)
        assert run.live["right"].text == "ab"
    assert runs[1].live["left"].text == "ab"


def test_a_run_that_nobody_polls_stops_by_itself():
    model = ScriptedBackend(A, ["a"] * 100)
    run = Run(FakeShelf(model), [ask("left")], patience_s=-1)
    assert run.join(PATIENCE_S)
    finish(run)
    assert run.live["left"].generation.finish_reason == "cancelled"
    assert len(run.live["left"].text) < 100


def test_leaving_a_with_block_stops_the_run():
    gate = threading.Event()
    model = ScriptedBackend(A, ["a", "b"], lambda row, count: gate.wait(PATIENCE_S))
    with Run(FakeShelf(model), [ask("left")]) as run:
        pass
    gate.set()
    finish(run)
    assert run.live["left"].generation.finish_reason == "cancelled"


def test_polling_takes_all_news_at_once_and_says_whose():
    run = Run(FakeShelf(ScriptedBackend(A, ["a", "b"])), [ask("left"), ask("right")])
    assert run.join(PATIENCE_S)
    assert not run.finished, "news is only taken in by polling"
    assert run.poll(PATIENCE_S) == {"left", "right"}
    assert run.finished
    assert run.poll(0) == set()


def test_waiting_gives_up_in_time_and_can_go_on():
    gate = threading.Event()
    model = ScriptedBackend(A, ["a"], lambda row, count: gate.wait(PATIENCE_S))
    run = Run(FakeShelf(model), [ask("left")])
    assert not run.wait(0)
    gate.set()
    finish(run)


def test_two_adapters_of_one_base_are_one_batch():
    model = ScriptedBackend(A, ["a"])
    shelf = FakeShelf(model)
    run = finish(Run(shelf, [ask("left", f"{A}@poems"), ask("right", A), ask("x", f"{A}@prose")]))
    assert run.plan.kind == "one_batch"
    assert [[row.adapter for row in batch] for batch in model.batches] == [["poems", None, "prose"]]
    assert shelf.calls == [("load", A)]


def test_models_that_do_not_fit_together_are_swapped():
    shelf = FakeShelf(ScriptedBackend(A, ["a"]), ScriptedBackend(B, ["b"]), free=1)
    run = finish(Run(shelf, [ask("left"), ask("right", B)]))
    assert run.plan.kind == "swap"
    assert shelf.calls == [("load", A), ("unload", A), ("load", B)]
    assert [live.text for live in run.live.values()] == ["a", "b"]


def test_each_row_gets_its_own_sampling_and_stop():
    model = ScriptedBackend(A, list("abc"))
    asks = [
        ask("left", sampling=Sampling(max_new_tokens=1)),
        ask("right", sampling=Sampling(max_new_tokens=2, top_k=3.0)),
    ]
    run = finish(Run(FakeShelf(model), asks))
    assert [live.text for live in run.live.values()] == ["a", "ab"]
    left, right = model.batches[0]
    assert left.stop is not right.stop
    assert right.sampling.top_k == 3
    assert isinstance(right.sampling.top_k, int)


def test_given_reasoning_can_be_withheld_from_a_side():
    model = ScriptedBackend(A, ["a"])
    record = Record(instruction="Add.", reasoning="Count on.")
    finish(
        Run(
            FakeShelf(model),
            [ask("left", record=record), ask("right", record=record, use_reasoning=False)],
        )
    )
    texts = [row.prompt.text for row in model.batches[0]]
    assert ["Count on." in text for text in texts] == [True, False]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"record": Record(instruction=" ")}, "question is empty"),
        ({"sampling": Sampling(top_k=-1)}, "top_k"),
        ({"layout": "alpaca"}, "alpaca"),
        ({"target": "essay"}, "essay"),
        ({"model": "no such model"}, "no such model"),
        ({"model": "phi-2@"}, "MODEL@ADAPTER"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_starts(wrong, error):
    shelf = FakeShelf()
    before = threading.active_count()
    with pytest.raises(QeuError, match=error):
        Run(shelf, [ask("left"), ask("right", **wrong)])
    assert shelf.calls == []
    assert threading.active_count() == before


def test_two_asks_of_one_name_are_a_mistake_of_ours():
    with pytest.raises(ValueError, match="same key"):
        Run(FakeShelf(), [ask("left"), ask("left")])


def test_an_empty_layout_takes_the_models_own():
    model = ScriptedBackend(B, ["b"])
    finish(Run(FakeShelf(model), [ask("left", B, layout="")]))
    assert model.batches[0][0].prompt.layout == "bonsai-v2"


SIDE_FIELDS = {
    "text",
    "reasoning",
    "answer",
    "finish_reason",
    "prompt_tokens",
    "new_tokens",
    "ttft_s",
    "tokens_per_s",
    "model",
    "adapter",
    "layout",
    "seed",
    "receipt",
    "checks",
}


def test_every_end_has_the_same_shape_and_can_be_restored():
    def before(row, count):
        if count == 2:
            raise RuntimeError("device lost")

    runs = [
        finish(Run(FakeShelf(ScriptedBackend(A, ["a"])), [ask("left", f"{A}@poems")])),
        finish(Run(FakeShelf(ScriptedBackend(A, ["a", "b"], before)), [ask("left", f"{A}@poems")])),
    ]
    shapes = [side_json(run.live["left"]) for run in runs]
    assert [shape["finish_reason"] for shape in shapes] == ["stop", "error"]
    for run, shape in zip(runs, shapes, strict=True):
        assert set(shape) >= SIDE_FIELDS
        assert (shape["model"], shape["adapter"], shape["text"]) == (A, "poems", "a")
        assert (shape["layout"], shape["target"], shape["seed"]) == ("bonsai-v2", "answer", 7)
        again = restore_live(run.live["left"].ask, shape)
        assert (again.phase, again.text, again.error) == (
            run.live["left"].phase,
            "a",
            run.live["left"].error,
        )
        assert side_json(again) == shape


def test_a_side_that_is_still_on_its_way_reads_as_cancelled():
    gate, computing = threading.Event(), threading.Event()

    def before(row, count):
        if count == 2:
            computing.set()
            gate.wait(PATIENCE_S)

    run = Run(FakeShelf(ScriptedBackend(A, ["a", "b"], before)), [ask("left")])
    assert computing.wait(PATIENCE_S)
    run.poll(PATIENCE_S)
    shape = side_json(run.live["left"])
    gate.set()
    assert set(shape) >= SIDE_FIELDS
    assert (shape["finish_reason"], shape["text"]) == ("cancelled", "a")
    assert isinstance(restore_live(run.live["left"].ask, shape).generation, Generation)
    finish(run)


@pytest.mark.parametrize(
    ("target", "text", "parts"),
    [
        ("answer", "A", {"answer"}),
        ("reasoning", "R", {"reasoning"}),
        ("reasoning_task", "<|response|>R", {"reasoning"}),
        ("both", "R\n<|response|>A", {"reasoning", "answer"}),
    ],
)
def test_the_parts_that_a_model_wrote_are_checked(target, text, parts):
    assert set(check_parts(ask("left", target=target), text)) == parts


def test_an_answer_that_has_not_begun_is_not_checked_while_text_arrives():
    both = ask("left", target="both")
    assert set(check_parts(both, "R", final=False)) == {"reasoning"}
    assert set(check_parts(both, "", final=False)) == set()
    assert set(check_parts(both, "R", final=True)) == {"reasoning", "answer"}
