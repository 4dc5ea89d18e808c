"""Tokens that visitors of a public page have spent of the owner's today: reserved, then settled.

Kept on disk, not in memory: a page that ends and starts again must not hand out the day twice. Only
days and sums are stored, nothing of a visit. Where a restart brings a fresh disk the count starts
anew, so the provider's own limit is the last one.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from qeu.core.errors import QeuError

WAIT_S = 10.0
# Days are told apart as in the provider's own bill.
_TABLE = "CREATE TABLE IF NOT EXISTS spent (day TEXT PRIMARY KEY, tokens INTEGER NOT NULL)"


class DailyBudget:
    """`tokens_per_day` for all visitors together, from midnight to midnight UTC.

    Safe from any thread and beside other processes on the same file. `today` is for tests.
    """

    def __init__(
        self,
        path: Path,
        tokens_per_day: int,
        today: Callable[[], str] = lambda: datetime.now(UTC).date().isoformat(),
    ) -> None:
        self.path, self.tokens_per_day, self._today = path, tokens_per_day, today

    def left(self) -> int:
        """Tokens that can still be reserved today."""
        if not self.tokens_per_day:
            return 0
        with self._change() as db:
            return max(0, self.tokens_per_day - _spent(db, self._today()))

    def reserve(self, tokens: int) -> str | None:
        """Take tokens before they are spent; the day to settle with, None where too few are left.

        What is reserved and never settled (the program was killed) stays spent: the safe side.
        """
        day = self._today()
        if not self.tokens_per_day:
            return None
        with self._change() as db:
            if _spent(db, day) + tokens > self.tokens_per_day:
                return None
            _add(db, day, tokens)
        return day

    def settle(self, day: str, reserved: int, spent: int) -> None:
        """Put right what `reserve` took, once it is known what was spent; more than that counts."""
        if spent != reserved:
            with self._change() as db:
                _add(db, day, spent - reserved)

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # a connection each: a handful a minute, and none is shared between threads
            with closing(sqlite3.connect(self.path, timeout=WAIT_S, isolation_level=None)) as db:
                db.execute("BEGIN IMMEDIATE")
                db.execute(_TABLE)
                yield db
                db.execute("COMMIT")
        except (OSError, sqlite3.Error) as error:
            raise QeuError(
                f"The count of tokens spent today cannot be kept ({error}), so no hosted model is "
                "asked. Set QEU_HOME to a folder that can be written."
            ) from error


def _spent(db: sqlite3.Connection, day: str) -> int:
    row = db.execute("SELECT tokens FROM spent WHERE day = ?", (day,)).fetchone()
    return int(row[0]) if row else 0


def _add(db: sqlite3.Connection, day: str, tokens: int) -> None:
    sql = "INSERT INTO spent VALUES (?, ?) ON CONFLICT (day) DO UPDATE SET tokens = tokens + ?"
    db.execute(sql, (day, tokens, tokens))
