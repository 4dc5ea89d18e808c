"""Merge rows that a program hands over, without a file and without a workspace."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qeu.core.columns import FIELDS, Rejected, RowError, check_mapping, read_row
from qeu.core.errors import QeuError
from qeu.core.merge import LANGUAGE_SENTENCES, MergePlan, Row, merge_rows
from qeu.core.record import LANGUAGES
from qeu.services.data_import import ColumnMap, ImportOptions
from qeu.services.data_merge import MergeOptions, check_options

_JUDGED_ROWS = 200


@dataclass(frozen=True)
class Merged:
    """The records that came out, how the files went together, and the rows that did not."""

    plan: MergePlan
    records: tuple[Mapping[str, object], ...]
    rejected: tuple[Rejected, ...]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "records": [dict(record) for record in self.records],
            "languages": list(self.plan.languages),
            "lengths": list(self.plan.lengths),
            "notes": self.plan.problems(),
            "rejected": [bad.to_json() for bad in self.rejected],
        }


def merge_given(
    files: Sequence[Sequence[Mapping[str, object]]], options: MergeOptions | None = None
) -> Merged:
    """Interleave the rows of several lists, each of one language, as `merge_files` does files.

    `Rejected.row` counts from 1 in its own list, which its reason names. Raises QeuError where
    they cannot be merged.
    """
    options = options or MergeOptions()
    check_options(len(files), options)
    if unknown := [code for code in options.languages if code not in LANGUAGES]:
        raise QeuError(f"Unknown language {unknown[0]!r}. Choose among: {', '.join(LANGUAGES)}.")
    rejected: list[Rejected] = []
    sources, languages = [], []
    for place, rows in enumerate(files, start=1):
        chosen = options.languages[place - 1] if options.languages else ""
        read = _read(rows, place, chosen, rejected)
        language = chosen or _language_of(read)
        languages.append(language)
        sources.append(read)
    first, last = options.rows
    lengths = tuple(max(0, min(len(rows), last or len(rows)) - first + 1) for rows in sources)
    plan = MergePlan(tuple(languages), lengths, options.keep_rest)
    if len(set(languages)) < len(languages):
        raise QeuError(plan.problems()[-1])
    sentences = LANGUAGE_SENTENCES if options.sentences is None else options.sentences
    merged = merge_rows(sources, languages, options.rows, sentences, options.keep_rest)
    return Merged(plan, tuple(_record(row) for row in merged), tuple(rejected))


def _read(rows: Sequence[object], place: int, language: str, rejected: list[Rejected]) -> list[Row]:
    """The rows; an empty one stands where one cannot be read, so that all lists stay parallel."""
    names = {str(name): None for row in rows if isinstance(row, Mapping) for name in row}
    columns = ColumnMap(names, ImportOptions()).columns
    if names and (problems := check_mapping(columns, tuple(names))):
        raise QeuError(f"List {place}: {' '.join(problems)}")
    found: list[Row] = []
    for number, row in enumerate(rows, start=1):
        try:
            found.append(read_row(row, number, columns, language))
        except RowError as error:
            field, reason = map(str, error.args)
            rejected.append(Rejected(number, field, f"List {place}: {reason}"))
            found.append({})
    return found


def _language_of(rows: Sequence[Row]) -> str:
    votes = Counter(str(row["language"]) for row in rows[:_JUDGED_ROWS] if row)
    return votes.most_common(1)[0][0] if votes else "und"


def _record(row: Row) -> Mapping[str, object]:
    """The fields of a record; what other columns held stands under "extra" where there is any."""
    extra = {"extra": row["extra"]} if row["extra"] else {}
    return {field: row[field] for field in FIELDS} | extra
