"""How the page's listeners behave: when an event comes again, and what they tell while they run."""

import gradio as gr


def settle_listeners(demo: gr.Blocks) -> None:
    """Leave at most one "always last" listener to each event; the others run for each event.

    Gradio 6.31 takes up a put-off event by starting every listener of it anew, not only the one
    that was put off. Two such listeners of one event put each other off again, without an end:
    the page asks and asks, and each answer undoes what a person has opened since. With one, the
    others run once more beside it, with the last values as well.
    """
    taken: set[tuple[int | None, str]] = set()
    for function in demo.fns.values():
        if function.trigger_mode == "always_last":
            if taken & set(function.targets):
                function.trigger_mode = "multiple"
            else:
                taken |= set(function.targets)


def hush_progress(demo: gr.Blocks) -> None:
    """Spare the browser the news of progress that no listener shows.

    For each change of a listener's state Gradio 6.31 tells every output of every listener that ran
    before, and looks each of them up in the whole tree of the page, also where the progress is
    hidden: two thirds of a browser's work while our page opens (`benchmarks/page_opening.py`).
    """
    for function in demo.fns.values():
        if function.show_progress == "hidden":
            function.show_progress_on = []
