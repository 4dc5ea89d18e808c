"""`data`: import, search, export, undo; operations on a data set stand in data_curate.py."""

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from qeu.cli import data_curate
from qeu.cli.data_arguments import add_filter, add_json, read_filter
from qeu.cli.screen import ProgressLine, say, show, show_json, table
from qeu.core.columns import FIELDS
from qeu.core.errors import QeuError, UsageError
from qeu.core.record import CATEGORIES, LANGUAGES
from qeu.core.settings import Settings
from qeu.core.text import clean_value, one_line
from qeu.services.data_export import export_file, push_to_hub
from qeu.services.data_import import ImportOptions, ImportReport, import_file, import_hub
from qeu.store.changes import edit_record
from qeu.store.datasets import count_records, find_dataset, list_datasets
from qeu.store.filters import Filter
from qeu.store.matching import matching_ids
from qeu.store.queries import find_by_seq, iterate_records
from qeu.store.records import EDITABLE, TEXTS, StoredRecord
from qeu.store.undo import Step, next_redo, next_undo, redo, undo
from qeu.store.workspace import Workspace

_SHOWN_REJECTED = 20


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the group and its commands."""
    group = commands.add_parser(
        "data",
        help="import, merge, label, check, search, export data sets; undo any change",
        description="Work on the data sets of the workspace. Every change is one step that "
        "`data undo` takes back.",
        allow_abbrev=False,
    )
    parts = group.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_import(parts)
    data_curate.add_commands(parts, open_workspace)
    _add_search(parts)
    _add_export(parts)
    for name, step, text in (
        ("undo", undo, "take the last change back"),
        ("redo", redo, "bring back what was undone last"),
    ):
        parser = parts.add_parser(name, help=text, description=text, allow_abbrev=False)
        parser.add_argument("name", metavar="NAME", help="data set")
        add_json(parser)
        parser.set_defaults(run=lambda args, step=step: _run_step(args, step))
    parser = parts.add_parser("list", help="list the data sets", allow_abbrev=False)
    add_json(parser)
    parser.set_defaults(run=_run_list)
    parser = parts.add_parser("edit", help="set one field of one record", allow_abbrev=False)
    parser.add_argument("name", metavar="NAME", help="data set")
    parser.add_argument("seq", metavar="SEQ", help="the record, such as 6EN")
    parser.add_argument("field", metavar="FIELD", choices=EDITABLE, help=", ".join(EDITABLE))
    parser.add_argument("text", metavar="TEXT", help="its new value")
    add_json(parser)
    parser.set_defaults(run=_run_edit)


@contextmanager
def open_workspace(make: bool = False) -> Iterator[Workspace]:
    """The workspace of QEU_HOME; only looking at one that is not there makes none."""
    path = Settings.from_env(os.environ).home / "qeu.db"
    workspace = Workspace(path if make or path.exists() else None)
    try:
        yield workspace
    finally:
        workspace.close()


def _add_import(parts: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = parts.add_parser(
        "import",
        help="import JSON, JSONL, CSV, Parquet or Excel files, or a data set of the Hub",
        description="Import files into a data set. Good rows are imported, bad ones reported with "
        "row, field and reason. Rows that were imported before are recognised and left alone.",
        allow_abbrev=False,
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="files, or hub:OWNER/NAME[/SPLIT]")
    parser.add_argument("--dataset", required=True, metavar="NAME", help="data set to import into")
    parser.add_argument(
        "--column", action="append", default=[], metavar="FIELD=COLUMN",
        help=f"correct the guess of columns; fields: {', '.join(FIELDS)}",
    )  # fmt: skip
    parser.add_argument("--language", choices=LANGUAGES, default="", help="of rows that tell none")
    parser.add_argument("--category", choices=CATEGORIES, default="open_qa", help="likewise")
    parser.add_argument("--licence", default="", metavar="TEXT", help="licence of the texts")
    parser.add_argument(
        "--update", action="store_true", help="a row whose seq is there sets that record's texts"
    )
    parser.add_argument("--rejected", metavar="FILE", help="write the bad rows here, as JSONL")
    add_json(parser)
    parser.set_defaults(run=_run_import)


def _run_import(args: argparse.Namespace) -> int:
    columns = {}
    for pair in args.column:
        field, equals, column = pair.partition("=")
        if not equals or field not in FIELDS:
            raise UsageError(f"--column {pair!r}: expected FIELD=COLUMN, FIELD one of "
                             f"{', '.join(FIELDS)}.")  # fmt: skip
        columns[field] = column
    options = ImportOptions(columns, args.language, args.category, args.licence, args.update)
    reports, failures = [], []
    line = ProgressLine(quiet=args.json)
    with open_workspace(make=True) as workspace:
        for name in args.files:
            try:
                reports.append(_import_one(workspace, name, args.dataset, options, line))
            except QeuError as error:
                failures.append({"row": 0, "field": "", "reason": str(error), "file": name})
            line.clear()
    _write_rejected(args.rejected, reports)
    kept = sum(r.imported + r.unchanged + r.updated for r in reports)
    if args.json:
        show_json(_import_json(args.dataset, reports, failures))
    else:
        _show_reports(reports)
    if kept:
        for failure in failures:
            say(str(failure["reason"]))
        return 0
    if failures:
        raise QeuError(" ".join(str(failure["reason"]) for failure in failures))
    raise QeuError("No row could be imported; the report names each row's fault.")


def _import_one(
    workspace: Workspace,
    name: str,
    dataset: str,
    options: ImportOptions,
    line: ProgressLine,
) -> ImportReport:
    def progress(done: int) -> None:
        line.draw(f"{name}: {done:,}")

    if not name.startswith("hub:"):
        return import_file(workspace, Path(name), dataset, options, progress)
    parts = name.removeprefix("hub:").split("/")
    split = parts.pop() if len(parts) > 2 else "train"
    return import_hub(workspace, "/".join(parts), dataset, split, options, progress)


def _import_json(
    dataset: str, reports: list[ImportReport], failures: list[dict[str, object]]
) -> dict[str, object]:
    rejected = [bad.to_json() | {"file": r.file} for r in reports for bad in r.rejected]
    return {
        "dataset": dataset,
        "imported": sum(r.imported for r in reports),
        "unchanged": sum(r.unchanged for r in reports),
        "updated": sum(r.updated for r in reports),
        "rejected": failures + rejected,
        "rejected_count": len(failures) + sum(r.rejected_count for r in reports),
        "files": [
            {"file": r.file, "format": r.format, "encoding": r.encoding, "columns": r.columns}
            for r in reports
        ],
    }


def _show_reports(reports: list[ImportReport]) -> None:
    for report in reports:
        told = f"{report.file}: {report.imported:,} imported, {report.unchanged:,} unchanged"
        told += f", {report.updated:,} updated" if report.updated else ""
        show(f"{told}, {report.rejected_count:,} rejected")
        for bad in report.rejected[:_SHOWN_REJECTED]:
            show(f"  row {bad.row}: {f'{bad.field}: ' if bad.field else ''}{bad.reason}")
        if report.rejected_count > _SHOWN_REJECTED:
            show(f"  … and {report.rejected_count - _SHOWN_REJECTED:,} more; see --rejected FILE")


def _write_rejected(path: str | None, reports: list[ImportReport]) -> None:
    if path:
        text = "".join(report.bad_rows_jsonl() for report in reports)
        try:
            Path(path).write_text(text, encoding="utf-8")
        except OSError as error:
            raise QeuError(f"The file {path} cannot be written ({error.strerror}).") from error


def _add_search(parts: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = parts.add_parser(
        "search",
        help="find records that hold a text",
        description="List every record that holds the text, anywhere inside a word, in any "
        "language; case and width are ignored.",
        allow_abbrev=False,
    )
    parser.add_argument("name", metavar="NAME", help="data set")
    parser.add_argument("term", metavar="TERM", help="text to find")
    add_filter(parser, search=False)
    add_json(parser)
    parser.set_defaults(run=_run_search)


def _run_search(args: argparse.Namespace) -> int:
    if not clean_value(args.term):
        raise UsageError("There is nothing to search for.")
    where = read_filter(args, args.term)
    hits = []
    with open_workspace() as workspace:
        dataset = find_dataset(workspace, args.name)
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
    from qeu.core.text import fold

    for field in (*TEXTS, "seq"):
        text = stored.value(field)
        # folding may lengthen a text: the place is near enough for a snippet
        at = fold(text).find(where.term)
        if at >= 0:
            start = max(0, at - 20)
            return {"seq": stored.record.seq, "field": field, "text": one_line(text[start:], 70)}
    return {"seq": stored.record.seq, "field": "extra", "text": one_line(stored.value("extra"), 70)}


def _add_export(parts: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = parts.add_parser(
        "export",
        help="write a data set to a file, or push it to the Hub",
        description="Write the records to FILE: .json, .jsonl, .csv, .parquet or .xlsx, or push "
        "them to hub:OWNER/NAME with a card (needs HF_TOKEN). Importing the file again changes "
        "nothing.",
        allow_abbrev=False,
    )
    parser.add_argument("name", metavar="NAME", help="data set")
    parser.add_argument("file", metavar="FILE", help="file to write, or hub:OWNER/NAME")
    parser.add_argument("--columns", default="", metavar="A,B", help="only these columns")
    parser.add_argument("--public", action="store_true", help="on the Hub: for everybody")
    add_filter(parser)
    add_json(parser)
    parser.set_defaults(run=_run_export)


def _run_export(args: argparse.Namespace) -> int:
    where, line = read_filter(args), ProgressLine(quiet=args.json)
    with open_workspace() as workspace:
        dataset = find_dataset(workspace, args.name)
        if args.file.startswith("hub:"):
            address = push_to_hub(
                workspace, dataset, args.file.removeprefix("hub:"), where, not args.public
            )
            show_json({"address": address}) if args.json else show(address)
            return 0
        report = export_file(
            workspace,
            dataset,
            Path(args.file),
            where=where,
            columns=tuple(name.strip() for name in args.columns.split(",") if name.strip()),
            progress=lambda done, total: line.draw(f"{done:,} of {total:,}"),
        )
        line.clear()
    if args.json:
        show_json(report.to_json())
    else:
        show(f"{report.rows:,} records written to {report.file}")
        for licence, count in report.licences.items():
            show(f"  licence {licence or 'not stated'}: {count:,} records")
    return 0


def _run_step(args: argparse.Namespace, turn: Callable[..., Step]) -> int:
    line = ProgressLine(quiet=args.json)
    with open_workspace() as workspace:
        dataset = find_dataset(workspace, args.name)
        step = turn(
            workspace, dataset, progress=lambda done, total: line.draw(f"{done:,} of {total:,}")
        )
        line.clear()
        after, before = next_redo(workspace, dataset), next_undo(workspace, dataset)
    word = "undone" if turn is undo else "redone"
    if args.json:
        left = {
            "next_undo": before.what if before else "",
            "next_redo": after.what if after else "",
        }
        show_json({word: step.what, "event": step.event, "records": step.changed} | left)
    else:
        show(f"{word.capitalize()}: {step.what}.")
    return 0


def _run_list(args: argparse.Namespace) -> int:
    with open_workspace() as workspace:
        found = [(d, count_records(workspace, d)) for d in list_datasets(workspace)]
    if args.json:
        show_json({"datasets": [{"name": d.name, "records": n} for d, n in found]})
    elif found:
        show(table([(d.name, f"{n:,} records", f"made {d.created[:10]}") for d, n in found]))
    else:
        show("There are no data sets yet; `data import FILE --dataset NAME` makes one.")
    return 0


def _run_edit(args: argparse.Namespace) -> int:
    with open_workspace() as workspace:
        dataset = find_dataset(workspace, args.name)
        found = find_by_seq(workspace, dataset, args.seq)
        if len(found) != 1:
            raise QeuError(f"{len(found)} records of {dataset.name!r} have the seq {args.seq!r}; "
                           "expected one. `data search` lists seqs.")  # fmt: skip
        stored = edit_record(
            workspace, dataset, found[0].id, found[0].version, args.field, args.text
        )
    show_json(stored.to_json()) if args.json else show(f"{args.seq}: {args.field} is set.")
    return 0
