"""Load a model on a thread of its own and tell the caller how far it is."""

import queue
import threading
from collections.abc import Iterator

from qeu.backends.catalog import split_ref
from qeu.backends.engines import Engines


def load_with_progress(
    engines: Engines, model: str, precision: str | None = None
) -> Iterator[tuple[str, float]]:
    """Yield (step, share) until the model is loaded; raises what the load raised.

    The load goes on if the caller stops reading: a fetch half done would be done again.
    """
    news: queue.SimpleQueue[tuple[str, float] | BaseException | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            engines.load(
                split_ref(model)[0],
                precision=precision,
                progress=lambda p: news.put((p.step, p.done / p.total if p.total else 0.0)),
            )
            news.put(None)
        except BaseException as error:
            news.put(error)

    threading.Thread(target=work, name="qeu-load", daemon=True).start()
    yield "start", 0.0
    while (item := news.get()) is not None:
        if isinstance(item, BaseException):
            raise item
        yield item
