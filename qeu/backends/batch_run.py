"""Step batches of rows until all have ended; one that fills the memory goes on in halves."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qeu.backends.failures import is_out_of_memory
from qeu.backends.live_row import LiveRow

if TYPE_CHECKING:
    from qeu.backends.decode import DecodeBatch

log = logging.getLogger(__name__)


class ConsumerError(Exception):
    """Carries what `emit` raised: the caller's affair, not a fault of the model."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass
class _Turn:
    """Rows and the batch that computes them, None before its first step."""

    rows: list[LiveRow]
    batch: "DecodeBatch | None" = None


def group_rows(
    rows: Sequence[LiveRow],
    *,
    most: int,
    bytes_per_token: int,
    budget: float,
    can_mix: Callable[[Sequence[str | None]], bool],
) -> Iterator[list[LiveRow]]:
    """Rows in their order, in groups whose caches take at most `budget` bytes, or one row's."""
    group: list[LiveRow] = []
    columns = 0
    for row in rows:
        needed = max(columns, len(row.prompt_ids) + row.sampling.max_new_tokens)
        if group and (
            len(group) >= most
            or needed * bytes_per_token * (len(group) + 1) > budget
            or not can_mix([one.adapter for one in (*group, row)])
        ):
            yield group
            group, needed = [], len(row.prompt_ids) + row.sampling.max_new_tokens
        group.append(row)
        columns = needed
    if group:
        yield group


def run_batches(
    name: str,
    batches: Sequence[list[LiveRow]],
    open_batch: "Callable[[list[LiveRow]], DecodeBatch]",
    after_step: Callable[[list[LiveRow]], None],
    explain: Callable[[Exception, list[LiveRow]], str],
    *,
    may_resume: bool = True,
) -> None:
    """Run all rows to their end; a failure ends the rows of its batch with a sentence.

    A batch that runs out of memory is freed, and its rows wait in halves until the others are
    done, then go on where they were; a row fails for memory only when it was computed alone.
    Without `may_resume` a row that has written already fails: to go on would round otherwise.
    """
    turns = [_Turn(rows) for rows in batches]
    waiting: deque[list[LiveRow]] = deque()
    while turns or waiting:
        if not turns:
            turns = [_Turn(waiting.popleft())]
        alone = len(turns) == 1
        for turn in turns:
            failure = _step(turn, open_batch)
            if failure is not None:
                turn.batch = None
                waiting.extend(_handle(name, failure, turn.rows, alone, explain, may_resume))
                _free(failure)
            after_step(turn.rows)
        turns = [turn for turn in turns if turn.batch is not None and not turn.batch.finished]


def _step(turn: _Turn, open_batch: "Callable[[list[LiveRow]], DecodeBatch]") -> Exception | None:
    try:
        turn.batch = turn.batch or open_batch(turn.rows)
        turn.batch.step()
    except ConsumerError:
        raise
    except Exception as e:
        return e
    return None


def _handle(
    name: str,
    failure: Exception,
    rows: list[LiveRow],
    alone: bool,
    explain: Callable[[Exception, list[LiveRow]], str],
    may_resume: bool,
) -> list[list[LiveRow]]:
    """End the rows, or give back the parts to try again in."""
    going = [row for row in rows if row.running]
    full = is_out_of_memory(failure)
    if full and not may_resume:
        for row in going:
            if row.token_ids:
                row.end("error", explain(failure, [row]))
        going = [row for row in going if row.running]
    if full and (len(going) > 1 or (going and not alone)):
        log.warning("%s: the memory is full at %d rows; they wait in parts", name, len(going))
        middle = (len(going) + 1) // 2
        parts = [part for part in (going[:middle], going[middle:]) if part]
        for part in parts:
            for row in part:
                row.batch_size = len(part)
        return parts
    log.warning("a batch of %s failed", name, exc_info=failure)
    sentence = explain(failure, going or rows)
    for row in going:
        row.end("error", sentence)
    return []


def _free(failure: Exception) -> None:
    """Let go of what the failed step computed: its frames hold on to it."""
    from qeu.backends.torch_loading import free_memory

    failure.__traceback__ = None
    free_memory()
