"""Merge files of one task in different languages into a data set, row by row."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from qeu.core.columns import Rejected, RowError, read_row
from qeu.core.errors import QeuError
from qeu.core.merge import LANGUAGE_SENTENCES, MergePlan, Row, merge_rows
from qeu.services.data_import import ColumnMap, ImportOptions, preview_import
from qeu.store.files import hash_file, open_rows
from qeu.store.imports import Added, add_records
from qeu.store.workspace import Workspace

_JUDGED_ROWS = 200


@dataclass(frozen=True)
class MergeOptions:
    """`languages` of the files ("" finds each from its rows), `rows` from–to both included.

    `sentences` {language: text} go before each reasoning; empty adds none.
    """

    languages: tuple[str, ...] = ()
    rows: tuple[int, int | None] = (1, None)
    sentences: Mapping[str, str] | None = None
    keep_rest: bool = False
    licence: str = ""


@dataclass(frozen=True)
class MergeReport:
    """What was merged; `sample` are the first rows, for a preview."""

    dataset: str
    plan: MergePlan
    imported: int
    unchanged: int
    rejected: tuple[Rejected, ...]
    sample: tuple[Row, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "dataset": self.dataset,
            "languages": list(self.plan.languages),
            "lengths": list(self.plan.lengths),
            "notes": self.plan.problems(),
            "imported": self.imported,
            "unchanged": self.unchanged,
            "rejected": [bad.to_json() for bad in self.rejected],
        }


def preview_merge(
    paths: Sequence[Path], options: MergeOptions | None = None, sample: int = 6
) -> MergeReport:
    """How the files go together, and the first rows that would come out."""
    options = options or MergeOptions()
    plan = _plan(paths, options)
    rejected: list[Rejected] = []
    rows: list[Row] = []
    with ExitStack() as stack:
        for row in _merged(paths, plan, options, rejected, stack):
            rows.append(row)
            if len(rows) == sample:
                break
    return MergeReport("", plan, plan.total, 0, tuple(rejected), tuple(rows))


def merge_files(
    workspace: Workspace,
    paths: Sequence[Path],
    dataset: str,
    options: MergeOptions | None = None,
    progress: Callable[[int], None] = lambda done: None,
    stop: threading.Event | None = None,
) -> MergeReport:
    """Interleave the files' rows into the data set, as one change that undo takes back."""
    options = options or MergeOptions()
    plan = _plan(paths, options)
    if len(set(plan.languages)) < len(plan.languages):
        raise QeuError(plan.problems()[-1])
    rejected: list[Rejected] = []

    def tell(added: Added) -> dict[str, object]:
        return {
            "file": " + ".join(path.name for path in paths),
            "sha256": " ".join(hash_file(path) for path in paths),
            "licence": options.licence,
            "imported": added.imported,
            "unchanged": added.unchanged,
            "rejected": [bad.to_json() for bad in rejected[:200]],
            "rows": list(options.rows),
            "languages": list(plan.languages),
        }

    with ExitStack() as stack:
        rows = _merged(paths, plan, options, rejected, stack)
        added = add_records(workspace, dataset, rows, tell, progress=progress, stop=stop)
    return MergeReport(dataset, plan, added.imported, added.unchanged, tuple(rejected))


def check_options(count: int, options: MergeOptions) -> None:
    """Raise QeuError where `count` files cannot be merged in this way."""
    if count < 2:
        raise QeuError("A merge needs two files or more, one for each language.")
    if options.languages and len(options.languages) != count:
        raise QeuError(f"There are {count} files but {len(options.languages)} languages.")
    first, last = options.rows
    if first < 1 or (last is not None and last < first):
        raise QeuError(f"The rows {first}:{last} are no range; the first row is 1, for example "
                       "1:3801.")  # fmt: skip


def _plan(paths: Sequence[Path], options: MergeOptions) -> MergePlan:
    check_options(len(paths), options)
    first, last = options.rows
    languages, lengths = [], []
    for place, path in enumerate(paths):
        votes: Counter[str] = Counter()
        count = 0
        with ExitStack() as stack:
            for row in _rows(path, "", [], stack, judged=_JUDGED_ROWS):
                count += 1
                if row and count <= _JUDGED_ROWS:
                    votes[str(row["language"])] += 1
        chosen = options.languages[place] if options.languages else ""
        languages.append(chosen or (votes.most_common(1)[0][0] if votes else "und"))
        lengths.append(max(0, min(count, last or count) - first + 1))
    return MergePlan(tuple(languages), tuple(lengths), options.keep_rest)


def _merged(
    paths: Sequence[Path],
    plan: MergePlan,
    options: MergeOptions,
    rejected: list[Rejected],
    stack: ExitStack,
) -> Iterator[Row]:
    sources = [
        _rows(path, language, rejected, stack)
        for path, language in zip(paths, plan.languages, strict=True)
    ]
    sentences = LANGUAGE_SENTENCES if options.sentences is None else options.sentences
    return merge_rows(sources, plan.languages, options.rows, sentences, options.keep_rest)


def _rows(
    path: Path, language: str, rejected: list[Rejected], stack: ExitStack, judged: int = 0
) -> Iterator[Row]:
    """A file's rows; an empty one stands where a row cannot be read, so that all stay parallel."""
    preview = preview_import(path)
    known = ColumnMap(preview.source.columns, ImportOptions())
    if preview.source.sample and preview.problems:
        raise QeuError(f"{path.name}: {' '.join(preview.problems)}")
    for place, (number, raw) in enumerate(stack.enter_context(open_rows(preview.source))):
        try:
            if isinstance(raw, RowError):
                raise raw
            # only the first rows are judged by their script; the others are but counted
            quick = "und" if judged and place >= judged else language
            yield read_row(raw, number, known.of(raw), quick)
        except RowError as error:
            field, reason = map(str, error.args)
            rejected.append(Rejected(number, field, f"{path.name}: {reason}"))
            yield {}
