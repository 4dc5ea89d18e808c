"""Ask something that may block for ever, and wait for its answer only so long."""

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, ask: Callable[[], T], name: str = "qeu-ask") -> T:
    """What `ask` returns, or raises; TimeoutError where no answer came in time.

    It runs on a thread of its own, which goes on for nobody after a time-out: a dead name
    resolver blocks beyond any timeout that a client library takes.
    """
    answers: list[T] = []
    errors: list[Exception] = []

    def work() -> None:
        try:
            answers.append(ask())
        except Exception as error:  # handed over to the caller's thread
            errors.append(error)

    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not answers:
        raise TimeoutError(f"no answer within {seconds:.0f} s")
    return answers[0]
