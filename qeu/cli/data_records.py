"""`data search|show|edit|review|history`: single records, found, looked at and decided on."""

import argparse
from typing import TYPE_CHECKING

from qeu.cli.data_arguments import Parts, add_filter, add_part, read_filter, shorten_pair
from qeu.cli.screen import ProgressLine, say, show, show_json, table
from qeu.core.errors import QeuError, UsageError
from qeu.core.text import clean_value, fold, one_line
from qeu.store.filters import ALL, Filter
from qeu.store.records import EDITABLE, STATUSES, TEXTS, StoredRecord

if TYPE_CHECKING:
    from qeu.store.datasets import Dataset
    from qeu.store.workspace import Workspace

# What one types for the status of a record that nobody has decided on.
UNDECIDED = "none"


def add_commands(parts: "Parts[argparse.ArgumentParser]") -> None:
    """Add the commands."""
    parser = add_part(
        parts, "search", "find records that hold a text", _run_search,
        "Every record that holds it is listed, anywhere inside a word, in any language; case and "
        "width are ignored.",
    )  # fmt: skip
    parser.add_argument("term", metavar="TERM", help="text to find")
    add_filter(parser, search=False)
    parser = add_part(parts, "show", "show a record, and what the last check found", _run_show)
    _add_seq(parser)
    parser = add_part(parts, "edit", "set one field of one record", _run_edit)
    _add_seq(parser)
    parser.add_argument("field", metavar="FIELD", choices=EDITABLE, help=", ".join(EDITABLE))
    parser.add_argument("text", metavar="TEXT", help="its new value")
    parser = add_part(
        parts, "review", "list what a person should look at; accept or reject records", _run_review,
        "Without --status the records of the review queue are listed. With it, the named records "
        "get that status, or all that the filter keeps.",
    )  # fmt: skip
    parser.add_argument("seqs", nargs="*", metavar="SEQ", help="records, such as 6EN 6JA")
    parser.add_argument(
        "--status", choices=(*filter(None, STATUSES), UNDECIDED), help="what to say of them"
    )
    add_filter(parser, without=("status",))
    parser = add_part(
        parts, "history", "show all changes of a record, and who wrote its fields", _run_history
    )
    _add_seq(parser)


def _add_seq(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("seq", metavar="SEQ", help="the record, such as 6EN")


def _find_one(workspace: "Workspace", dataset: "Dataset", seq: str) -> StoredRecord:
    from qeu.store.queries import find_by_seq

    found = find_by_seq(workspace, dataset, seq)
    if len(found) != 1:
        raise QeuError(
            f"{len(found)} records of {dataset.name!r} have the seq {seq!r}; expected one. "
            "`data search` lists seqs."
        )
    return found[0]


def _run_search(
    args: argparse.Namespace, workspace: "Workspace", dataset: "Dataset", line: ProgressLine
) -> int:
    from qeu.store.matching import matching_ids
    from qeu.store.queries import iterate_records

    if not clean_value(args.term):
        raise UsageError("There is nothing to search for.")
    where = read_filter(args, args.term)
    hits = []
    for batch in iterate_records(workspace, matching_ids(workspace, dataset, where)):
        hits += [_hit(stored, where) for stored in batch]
    if args.json:
        show_json({"dataset": dataset.name, "term": args.term, "total": len(hits), "hits": hits})
    elif hits:
        show(table([(h["seq"], h["field"], h["text"]) for h in hits]))
        say(f"{len(hits):,} found.")
    else:
        show("Nothing found.")
    return 0


def _hit(stored: StoredRecord, where: Filter) -> dict[str, str]:
    for field in (*TEXTS, "seq"):
        text = stored.value(field)
        # folding may lengthen a text: the place is near enough for a snippet
        at = fold(text).find(where.term)
        if at >= 0:
            start = max(0, at - 20)
            return {"seq": stored.record.seq, "field": field, "text": one_line(text[start:], 70)}
    return {"seq": stored.record.seq, "field": "extra", "text": one_line(stored.value("extra"), 70)}


def _run_show(
    args: argparse.Namespace, workspace: "Workspace", dataset: "Dataset", line: ProgressLine
) -> int:
    from qeu.store.findings import read_findings

    stored = _find_one(workspace, dataset, args.seq)
    findings = read_findings(workspace, stored)
    if args.json:
        told_findings = [vars(finding) for finding in findings]
        show_json(stored.to_json() | {"findings": told_findings})
        return 0
    for field in ("seq", *(name for name in EDITABLE if name != "seq")):
        value = stored.value(field)
        if value and value != "{}":
            show(f"{field}: {value}")
    for finding in findings:
        show(f"check {finding.name.replace('_', ' ')} ({finding.place}): {finding.message}")
    return 0


def _run_edit(
    args: argparse.Namespace, workspace: "Workspace", dataset: "Dataset", line: ProgressLine
) -> int:
    from qeu.store.changes import edit_record

    seen = _find_one(workspace, dataset, args.seq)
    stored = edit_record(workspace, dataset, seen.id, seen.version, args.field, args.text)
    if args.json:
        show_json(stored.to_json())
    elif stored == seen:
        show(f"{args.seq}: {args.field} is that already.")
    else:
        show(f"{args.seq}: {args.field} is set.")
    return 0


def _run_review(
    args: argparse.Namespace, workspace: "Workspace", dataset: "Dataset", line: ProgressLine
) -> int:
    from qeu.services.data_review import set_status
    from qeu.store.queries import read_facets

    where = read_filter(args, without=("status",))
    if args.seqs:
        if where != ALL:
            raise UsageError("Name records, or narrow by a filter; not both.")
        ids = [_find_one(workspace, dataset, seq).id for seq in args.seqs]
        where = Filter(ids=tuple(ids))
    if args.status:
        if where == ALL:
            raise UsageError(
                "Which records? Name their seqs, or narrow by a filter such as --review category."
            )
        status = "" if args.status == UNDECIDED else args.status
        applied = set_status(workspace, dataset, where, status)
        if args.json:
            show_json({"changed": applied.changed, "event": applied.event, "status": args.status})
        else:
            show(f"{applied.changed:,} records changed")
        return 0
    if where == ALL:
        waiting = tuple(name for name, _ in read_facets(workspace, dataset)["review"] if name)
        # a facet that no record has: an empty queue is not the whole data set
        where = Filter(review=waiting or ("-",))
    return _show_queue(args, workspace, dataset, where)


def _show_queue(
    args: argparse.Namespace, workspace: "Workspace", dataset: "Dataset", where: Filter
) -> int:
    from qeu.store.matching import matching_ids
    from qeu.store.queries import iterate_records

    found = []
    for batch in iterate_records(workspace, matching_ids(workspace, dataset, where)):
        found += batch
    if args.json:
        rows = [
            {
                "seq": s.record.seq,
                "review": s.review,
                "status": s.status,
                "question": s.record.question,
            }
            for s in found
        ]
        show_json({"dataset": dataset.name, "total": len(rows), "records": rows})
    elif found:
        show(
            table(
                [
                    (
                        s.record.seq,
                        s.review or "-",
                        s.status or "-",
                        one_line(s.record.question, 60),
                    )
                    for s in found
                ]
            )
        )
        say(f"{len(found):,} records.")
    else:
        show("There is nothing to review.")
    return 0


def _run_history(
    args: argparse.Namespace, workspace: "Workspace", dataset: "Dataset", line: ProgressLine
) -> int:
    from qeu.store.undo import read_history, read_origins

    stored = _find_one(workspace, dataset, args.seq)
    entries = read_history(workspace, dataset, stored.id)
    origins = read_origins(workspace, dataset, stored.id)
    if args.json:
        show_json(
            {
                "dataset": dataset.name,
                "seq": stored.record.seq,
                "history": [vars(entry) for entry in entries],
                "origins": {name: vars(origin) for name, origin in origins.items()},
            }
        )
        return 0
    for entry in entries:
        at = entry.at[:16].replace("T", " ")
        state = " (undone)" if entry.state == "undone" else ""
        if entry.field:
            before, after = shorten_pair(entry.before, entry.after)
            what = f"{entry.field}: {before} → {after}"
        elif entry.kind == "import":
            sources = (o.source for o in origins.values() if o.event == entry.event)
            what = f"from {next(sources, '')}".strip()
        else:
            what = "left the data set"
        show(f"{at}  {entry.actor}  {entry.kind}{state}  {what}")
    for name in TEXTS:
        origin = origins[name]
        licence = f", {origin.licence}" if origin.licence else ""
        show(f"{name} is from {origin.source or origin.actor}{licence}")
    return 0
