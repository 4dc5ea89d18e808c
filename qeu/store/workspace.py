"""The workspace database: one SQLite file, opened, migrated and written in whole transactions."""

import json
import re
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from qeu.core.errors import QeuError
from qeu.core.event import Event

# One entry a version; a database at version n has had the first n applied. Never edit an entry.
MIGRATIONS = (
    """
    CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, actor TEXT NOT NULL,
        kind TEXT NOT NULL,
        subject TEXT NOT NULL, data TEXT NOT NULL
    );
    CREATE INDEX events_subject ON events (subject, id);
    CREATE TRIGGER events_stay BEFORE UPDATE ON events
        BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
    CREATE TRIGGER events_remain BEFORE DELETE ON events WHEN OLD.actor NOT LIKE 'visitor/%'
        BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
    CREATE TABLE comparisons (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, visitor TEXT NOT NULL,
        question TEXT NOT NULL, folded TEXT NOT NULL, settings TEXT NOT NULL, results TEXT NOT NULL
    );
    """,
    """
    CREATE TABLE datasets (
        id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE COLLATE NOCASE,
        created TEXT NOT NULL, next_number INTEGER NOT NULL DEFAULT 0,
        revision INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE records (
        id INTEGER PRIMARY KEY, dataset INTEGER NOT NULL, version INTEGER NOT NULL DEFAULT 1,
        born INTEGER NOT NULL, source INTEGER NOT NULL,
        seq TEXT NOT NULL, seq_number INTEGER NOT NULL, no INTEGER,
        category TEXT NOT NULL, field TEXT NOT NULL, uniqueness TEXT NOT NULL,
        language TEXT NOT NULL, status TEXT NOT NULL DEFAULT '', split TEXT NOT NULL DEFAULT '',
        review TEXT NOT NULL DEFAULT '',
        question_length INTEGER NOT NULL, reasoning_length INTEGER NOT NULL,
        output_length INTEGER NOT NULL,
        instruction TEXT NOT NULL, input TEXT NOT NULL, reasoning TEXT NOT NULL,
        output TEXT NOT NULL, extra TEXT NOT NULL
    );
    CREATE INDEX records_order ON records (dataset);
    CREATE INDEX records_facets ON records (dataset, language, category, uniqueness, field, status,
        split, review, seq_number, question_length, reasoning_length, output_length);
    CREATE INDEX records_seq ON records (dataset, seq_number, seq);
    CREATE INDEX records_question_length ON records (dataset, question_length);
    CREATE INDEX records_reasoning_length ON records (dataset, reasoning_length);
    CREATE INDEX records_output_length ON records (dataset, output_length);
    CREATE INDEX records_source ON records (dataset, source);
    CREATE TABLE search_texts (
        id INTEGER PRIMARY KEY, folded TEXT NOT NULL, folded_reasoning TEXT NOT NULL
    );
    CREATE TABLE search_bits (
        dataset INTEGER NOT NULL, slice INTEGER NOT NULL, block INTEGER NOT NULL,
        bits BLOB NOT NULL, PRIMARY KEY (dataset, slice, block)
    ) WITHOUT ROWID;
    CREATE TABLE steps (
        event INTEGER PRIMARY KEY, dataset INTEGER NOT NULL, shape TEXT NOT NULL,
        first INTEGER NOT NULL DEFAULT 0, last INTEGER NOT NULL DEFAULT 0,
        fields TEXT NOT NULL DEFAULT '[]', changed INTEGER NOT NULL,
        state TEXT NOT NULL DEFAULT 'done'
    );
    CREATE INDEX steps_dataset ON steps (dataset, state, event);
    CREATE TABLE changes (
        event INTEGER NOT NULL, record INTEGER NOT NULL, field TEXT NOT NULL,
        before TEXT, after TEXT, PRIMARY KEY (event, record, field)
    ) WITHOUT ROWID;
    CREATE INDEX changes_record ON changes (record, event);
    CREATE TABLE findings (
        record INTEGER NOT NULL, name TEXT NOT NULL, dataset INTEGER NOT NULL,
        version INTEGER NOT NULL, place TEXT NOT NULL, spans TEXT NOT NULL, message TEXT NOT NULL,
        PRIMARY KEY (record, name, place)
    ) WITHOUT ROWID;
    CREATE INDEX findings_dataset ON findings (dataset, name, record);
    """,
    # a data set that was removed leaves its name to another
    """
    CREATE TABLE datasets_new (
        id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL COLLATE NOCASE,
        created TEXT NOT NULL, next_number INTEGER NOT NULL DEFAULT 0,
        revision INTEGER NOT NULL DEFAULT 0, removed TEXT NOT NULL DEFAULT ''
    );
    INSERT INTO datasets_new (id, name, created, next_number, revision)
        SELECT id, name, created, next_number, revision FROM datasets;
    DROP TABLE datasets;
    ALTER TABLE datasets_new RENAME TO datasets;
    CREATE UNIQUE INDEX datasets_name ON datasets (name) WHERE removed = '';
    """,
    """
    CREATE TABLE translations (
        key TEXT NOT NULL, revision TEXT NOT NULL, model TEXT NOT NULL, at TEXT NOT NULL,
        text TEXT NOT NULL, PRIMARY KEY (key, revision)
    );
    """,
    """
    CREATE TABLE generations (
        key TEXT NOT NULL PRIMARY KEY, at TEXT NOT NULL, model TEXT NOT NULL, data TEXT NOT NULL
    );
    CREATE TABLE jobs (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, dataset INTEGER NOT NULL,
        spec TEXT NOT NULL, state TEXT NOT NULL, note TEXT NOT NULL DEFAULT '',
        owner TEXT NOT NULL DEFAULT '', wakes TEXT NOT NULL DEFAULT '',
        seconds REAL NOT NULL DEFAULT 0
    );
    CREATE TABLE job_items (
        job INTEGER NOT NULL, number INTEGER NOT NULL, record INTEGER NOT NULL,
        version INTEGER NOT NULL, source INTEGER NOT NULL, sample INTEGER NOT NULL,
        state TEXT NOT NULL DEFAULT 'todo', attempts INTEGER NOT NULL DEFAULT 0,
        cached INTEGER NOT NULL DEFAULT 0, asked TEXT NOT NULL DEFAULT '',
        key TEXT NOT NULL DEFAULT '', broken TEXT NOT NULL DEFAULT '',
        reason TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (job, number)
    ) WITHOUT ROWID;
    CREATE INDEX job_items_state ON job_items (job, state, source, number);
    CREATE INDEX job_items_record ON job_items (job, record);
    CREATE INDEX job_items_asked ON job_items (asked) WHERE asked != '';
    CREATE TABLE losses (
        key TEXT NOT NULL PRIMARY KEY, at TEXT NOT NULL, model TEXT NOT NULL,
        loss REAL NOT NULL, tokens INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE job_reviews (
        job INTEGER NOT NULL, record INTEGER NOT NULL, at TEXT NOT NULL, decision TEXT NOT NULL,
        source TEXT NOT NULL, text TEXT NOT NULL, event INTEGER NOT NULL,
        distances TEXT NOT NULL, PRIMARY KEY (job, record)
    ) WITHOUT ROWID;
    CREATE TABLE job_ensembles (
        jobs TEXT NOT NULL, record INTEGER NOT NULL, method TEXT NOT NULL, made_of TEXT NOT NULL,
        text TEXT NOT NULL, parts TEXT NOT NULL, agreement REAL NOT NULL, dropped TEXT NOT NULL,
        broken TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (jobs, record, method)
    ) WITHOUT ROWID;
    """,
    # one vote a person (or browser) and run; `data` is what its event tells
    """
    CREATE TABLE votes (
        event INTEGER PRIMARY KEY, at TEXT NOT NULL, visitor TEXT NOT NULL, voter TEXT NOT NULL,
        run INTEGER NOT NULL, data TEXT NOT NULL, UNIQUE (run, voter)
    );
    """,
    # evaluations that were ordered on the page; of those that are open there is one at most
    """
    CREATE TABLE evaluations (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, base TEXT NOT NULL,
        asked TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'open',
        verdict TEXT NOT NULL DEFAULT '', seconds_a_text REAL NOT NULL DEFAULT 0,
        result TEXT NOT NULL DEFAULT ''
    );
    """,
    # grids over sampling settings; a cell is kept when all its texts are there
    """
    CREATE TABLE sweeps (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, title TEXT NOT NULL,
        asked TEXT NOT NULL, material TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'open',
        cells INTEGER NOT NULL DEFAULT 0, seconds_a_token REAL NOT NULL DEFAULT 0
    );
    CREATE TABLE sweep_cells (
        sweep INTEGER NOT NULL, number INTEGER NOT NULL, data TEXT NOT NULL,
        PRIMARY KEY (sweep, number)
    ) WITHOUT ROWID;
    """,
)

# How long one process waits for another's transaction before it gives up.
WAIT_S = 10.0

_WHOLE = ("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK")
_PART = ("SAVEPOINT part", "RELEASE part", "ROLLBACK TO part")


class Workspace:
    """One open workspace; safe to use from several threads and beside other processes.

    `path` None keeps everything in memory and loses it at the end (public pages).
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock = threading.RLock()
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                path or ":memory:", timeout=WAIT_S, isolation_level=None, check_same_thread=False
            )
            try:
                self._db.row_factory = sqlite3.Row
                self._refuse_newer()
                self._switch_to_wal()
                self._db.execute("PRAGMA synchronous=FULL")
                self._migrate()
            except BaseException:
                self._db.close()
                raise
        except (OSError, sqlite3.Error) as error:
            raise QeuError(
                f"The workspace {path} cannot be opened ({error}). Check that the folder is "
                "writable and not full, or set QEU_HOME to another folder."
            ) from error

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it is kept, or on an exception nothing.

        Within another one it is a part of that: undone alone on an exception, kept with the whole.
        """
        with self._lock:
            within = self._db.in_transaction
            begin, keep, undo = _PART if within else _WHOLE
            try:
                self._db.execute(begin)
            except sqlite3.Error as error:
                raise self._explain(error) from error
            try:
                yield self._db
                self._db.execute(keep)
            except BaseException as error:
                if self._db.in_transaction:
                    self._db.execute(undo)
                if isinstance(error, sqlite3.Error):
                    raise self._explain(error) from error
                raise

    def read(self, sql: str, values: tuple[object, ...] = ()) -> list[sqlite3.Row]:
        """All rows of a query."""
        with self._lock:
            try:
                return self._db.execute(sql, values).fetchall()
            except sqlite3.Error as error:
                raise QeuError(f"The workspace {self.path} cannot be read ({error}).") from error

    def append_event(
        self, actor: str, kind: str, subject: str, data: Mapping[str, object]
    ) -> Event:
        """Store one event; call it inside the transaction of the change that it tells of."""
        event = Event(0, now(), actor, kind, subject, data)
        if missing := event.problems():
            raise ValueError(missing[0])
        row = (event.at, actor, kind, subject, dump_json(data))
        sql = "INSERT INTO events (at, actor, kind, subject, data) VALUES (?, ?, ?, ?, ?)"
        number = self._db.execute(sql, row).lastrowid
        return Event(number or 0, event.at, actor, kind, subject, data)

    def events(self, subject: str) -> list[Event]:
        """All that happened to one subject, oldest first."""
        rows = self.read("SELECT * FROM events WHERE subject = ? ORDER BY id", (subject,))
        return [Event(**{**dict(row), "data": json.loads(row["data"])}) for row in rows]

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()

    def _switch_to_wal(self) -> None:
        """SQLite's own waiting does not cover this switch: two first starts at once collide."""
        end = time.monotonic() + WAIT_S
        while True:
            try:
                self._db.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > end:
                    raise
                time.sleep(0.01)

    def _migrate(self) -> None:
        """Bring an older file up to date; two processes starting at once do it once."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                version = self._refuse_newer()
                for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
                    for statement in _statements(script):
                        self._db.execute(statement)
                    self._db.execute(f"PRAGMA user_version = {number}")
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _refuse_newer(self) -> int:
        """The file's format; raises QeuError for one that this program does not know."""
        version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        if version > len(MIGRATIONS):
            raise QeuError(
                f"The workspace {self.path} was written by a newer version of QEU Playground "
                f"(format {version}, this one knows {len(MIGRATIONS)}). "
                "Update the program, or set QEU_HOME to another folder."
            )
        return version

    def _explain(self, error: sqlite3.Error) -> QeuError:
        if "full" in str(error):
            return QeuError(
                f"The disk of {self.path} is full: this change was not stored, "
                "everything before it was. Free some space and try again."
            )
        return QeuError(f"The workspace {self.path} could not store this change ({error}).")


def dump_json(data: Mapping[str, object], indent: int | None = None) -> str:
    """JSON that comes back exactly and that UTF-8 can hold: lone surrogates are escaped."""
    text = json.dumps(data, ensure_ascii=False, indent=indent)
    return re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)


def now() -> str:
    """The time in UTC, ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _statements(script: str) -> Iterator[str]:
    """The script's statements one by one (`executescript` would commit in between)."""
    pending = ""
    for part in script.split(";"):
        pending += part + ";"
        if sqlite3.complete_statement(pending):
            if pending.strip(" \n;"):
                yield pending
            pending = ""
