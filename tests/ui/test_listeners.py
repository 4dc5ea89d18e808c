"""No event of the page may start its own listeners again and again, or tell of hidden progress."""

from collections import Counter
from pathlib import Path

import gradio as gr

from qeu.core.settings import Settings
from qeu.ui.app import build_app
from qeu.ui.listeners import hush_progress, settle_listeners


def put_off(demo: gr.Blocks) -> Counter:
    """How many listeners of each event wait for their turn when it comes again."""
    waiting = [f for f in demo.fns.values() if f.trigger_mode == "always_last"]
    return Counter(target for function in waiting for target in function.targets)


def listening(together: int) -> gr.Blocks:
    """A page with a box that so many functions listen to."""
    with gr.Blocks() as demo:
        box = gr.Textbox()
        for _ in range(together):
            box.change(lambda _: None, box)
    return demo


def test_of_several_listeners_of_one_event_one_waits() -> None:
    demo = listening(2)
    assert put_off(demo).most_common(1)[0][1] == 2
    settle_listeners(demo)
    assert [f.trigger_mode for f in demo.fns.values()] == ["always_last", "multiple"]


def test_a_single_listener_still_sees_the_last_value_only() -> None:
    demo = listening(1)
    settle_listeners(demo)
    assert [f.trigger_mode for f in demo.fns.values()] == ["always_last"]


def test_no_event_of_the_page_has_two_that_wait(tmp_path: Path) -> None:
    demo, _ = build_app(Settings(home=tmp_path))
    counts = put_off(demo)
    assert counts
    assert max(counts.values()) == 1


def test_hidden_progress_is_told_to_nobody_and_shown_progress_as_before() -> None:
    with gr.Blocks() as demo:
        box = gr.Textbox()
        box.change(lambda value: value, box, box, show_progress="hidden")
        box.change(lambda value: value, box, box)
    hush_progress(demo)
    told = [made["show_progress_on"] for made in demo.get_config_file()["dependencies"]]
    assert told == [[], None]


def test_the_page_tells_no_hidden_progress(tmp_path: Path) -> None:
    demo, _ = build_app(Settings(home=tmp_path))
    hidden = [f for f in demo.fns.values() if f.show_progress == "hidden"]
    assert len(hidden) > 50
    assert all(f.show_progress_on == [] for f in hidden)


def test_opening_the_page_fills_no_tab_that_nobody_looks_at(tmp_path: Path) -> None:
    demo, _ = build_app(Settings(home=tmp_path))
    opening = [f for f in demo.fns.values() if any(event == "load" for _, event in f.targets)]
    assert len(opening) > 2
    followed = {
        target for f in demo.fns.values() for target, event in f.targets if event == "change"
    }
    # a browser tells of a change of every state among the outputs, changed or not
    states = {part._id for f in opening for part in f.outputs if isinstance(part, gr.State)}
    assert states
    assert not states & followed


def test_what_several_controls_say_together_has_one_listener(tmp_path: Path) -> None:
    demo, _ = build_app(Settings(home=tmp_path))
    for name, controls in {"on_mapping": 10, "on_warning": 3}.items():
        found = [f for f in demo.fns.values() if f.name == name]
        assert found
        # two would answer in any order, and the older answer could stay
        targets = [tuple(sorted(f.outputs, key=id)) for f in found]
        assert len(set(targets)) == len(targets)
        assert all(len(f.targets) >= controls for f in found)


def test_the_training_text_is_written_by_one_after_the_other(tmp_path: Path) -> None:
    demo, _ = build_app(Settings(home=tmp_path))
    writing = [
        f
        for f in demo.fns.values()
        if "ds-training" in {getattr(part, "elem_id", "") for part in f.outputs}
        and len(f.outputs) < 3
    ]
    assert len(writing) == 2
    assert {(f.concurrency_id, f.concurrency_limit) for f in writing} == {("ds-training", 1)}
