"""Bring a run onto the page as it goes: the loop that every streaming tab shares."""

import time
from collections.abc import Callable, Iterator

from qeu.services.runs import Run
from qeu.ui.sessions import Session

Updates = dict[object, object]

# The page is told of new text at most this often: smooth to the eye, cheap to send.
PAGE_TICK_S = 0.07
# A generator that yields this often is closed by gradio soon after its tab is closed.
HEARTBEAT_S = 0.4


def stream_run(
    session: Session,
    place: str,
    run: Run,
    first: Updates,
    show: Callable[[set[str]], Updates],
    beat: Updates,
    tick_s: float = PAGE_TICK_S,
) -> Iterator[Updates]:
    """Make `run` the one of its place and yield updates until it ends or a newer one takes over.

    `show` turns the keys that changed into updates; `beat` is yielded when there is no news. The
    last news is for the caller to show, if `session.is_current(place, run)` still holds.
    """
    session.begin(place, run)
    try:
        yield first
        changed: set[str] = set()
        sent = 0.0
        while not run.finished and session.is_current(place, run):
            changed |= run.poll(tick_s)
            now = time.monotonic()
            if changed and now - sent >= tick_s:
                yield show(changed)
                changed, sent = set(), time.monotonic()
            elif now - sent >= HEARTBEAT_S:
                yield beat
                sent = now
    finally:
        # Reached by a closed tab too: nobody reads on, so nothing is computed on.
        run.stop()
