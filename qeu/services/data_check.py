"""Check a whole data set: counts per check and category, the offending records, near-duplicates."""

import threading
from collections import Counter
from dataclasses import dataclass

from qeu.core.near_duplicates import SIMILAR, NearDuplicates
from qeu.core.record_checks import CHECKS, Finding, check_record
from qeu.store.changes import Progress
from qeu.store.datasets import Dataset, Stopped, own_connection
from qeu.store.filters import ALL, Filter
from qeu.store.findings import replace_findings
from qeu.store.matching import matching_ids
from qeu.store.queries import iterate_records
from qeu.store.workspace import Workspace


@dataclass(frozen=True)
class CheckOptions:
    """`checks` to run; languages expected of reasoning ("" any) and output ("" the record's)."""

    checks: tuple[str, ...] = CHECKS
    reasoning_language: str = ""
    output_language: str = ""
    similar: float = SIMILAR


@dataclass(frozen=True)
class CheckReport:
    """`counts` {check: records}, `by_category` {check: {category: records}}, `seqs` {check: seqs}.

    A record with several findings of one check counts once.
    """

    checked: int
    without_reasoning: int
    counts: dict[str, int]
    by_category: dict[str, dict[str, int]]
    seqs: dict[str, list[str]]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return dict(vars(self))


def check_dataset(
    workspace: Workspace,
    dataset: Dataset,
    options: CheckOptions | None = None,
    where: Filter = ALL,
    progress: Progress = lambda done, total: None,
    stop: threading.Event | None = None,
) -> CheckReport:
    """Check the matching records; what was found is then the filter `check`."""
    options = options or CheckOptions()
    counts: Counter[str] = Counter()
    by_category: dict[str, Counter[str]] = {name: Counter() for name in options.checks}
    seqs: dict[str, list[str]] = {name: [] for name in options.checks}
    index, known, done, silent = NearDuplicates(options.similar), [], 0, 0
    with own_connection(workspace) as own:
        ids = matching_ids(own, dataset, where)
        for batch in iterate_records(own, ids, 500):
            if stop and stop.is_set():
                raise Stopped("The check")
            found = []
            for stored in batch:
                record = stored.record
                silent += not record.reasoning.strip()
                findings = check_record(record, options.reasoning_language, options.output_language)
                if "near_duplicate" in options.checks:
                    for place, score in index.similar(record.question)[:1]:
                        told = f"Its question is {score:.0%} like that of {known[place]}."
                        findings.append(Finding("near_duplicate", "instruction", (), told))
                    index.add(record.question)
                    known.append(record.seq)
                found += [(stored, f) for f in findings if f.name in options.checks]
                for name in {f.name for f in findings if f.name in options.checks}:
                    counts[name] += 1
                    by_category[name][record.category] += 1
                    seqs[name].append(record.seq)
            # batch by batch: what was found before a stop is kept
            with own.change() as db:
                replace_findings(db, dataset, [stored.id for stored in batch], found)
            done += len(batch)
            progress(done, len(ids))
    return CheckReport(
        len(ids),
        silent,
        {name: counts[name] for name in options.checks},
        {name: dict(found) for name, found in by_category.items() if found},
        {name: found for name, found in seqs.items() if found},
    )
