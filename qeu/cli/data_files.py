"""`data import|export`: files and Hub data sets into the workspace and out of it."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from qeu.cli.data_arguments import Parts, add_filter, add_json, add_part, read_filter, told
from qeu.cli.screen import ProgressLine, say, show, show_json
from qeu.cli.workspace import open_workspace
from qeu.core.columns import FIELDS
from qeu.core.errors import QeuError, UsageError
from qeu.core.record import CATEGORIES, LANGUAGES
from qeu.core.text import one_line

if TYPE_CHECKING:
    from qeu.services.data_import import ImportOptions, ImportPreview, ImportReport
    from qeu.store.datasets import Dataset
    from qeu.store.workspace import Workspace

_SHOWN_REJECTED = 20


def add_commands(parts: "Parts[argparse.ArgumentParser]") -> None:
    """Add the commands."""
    _add_import(parts)
    parser = add_part(
        parts, "export", "write a data set to a file, or push it to the Hub", _run_export,
        "FILE ends with .json, .jsonl, .csv, .parquet or .xlsx, or is hub:OWNER/NAME (needs "
        "HF_TOKEN), where a card is made. Importing the file again changes nothing.",
    )  # fmt: skip
    parser.add_argument("file", metavar="FILE", help="file to write, or hub:OWNER/NAME")
    parser.add_argument("--columns", default="", metavar="A,B", help="only these columns")
    parser.add_argument("--public", action="store_true", help="on the Hub: for everybody")
    add_filter(parser)


def _add_import(parts: "Parts[argparse.ArgumentParser]") -> None:
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
    parser.add_argument(
        "--dry-run", "--preview", action="store_true",
        help="only show how the columns would be read, with the first row",
    )  # fmt: skip
    parser.add_argument("--rejected", metavar="FILE", help="write the bad rows here, as JSONL")
    add_json(parser)
    parser.set_defaults(run=_run_import)


def _run_import(args: argparse.Namespace) -> int:
    from qeu.services.data_import import ImportOptions

    columns = {}
    for pair in args.column:
        field, equals, column = pair.partition("=")
        if not equals or field not in FIELDS:
            raise UsageError(f"--column {pair!r}: expected FIELD=COLUMN, FIELD one of "
                             f"{', '.join(FIELDS)}.")  # fmt: skip
        columns[field] = column
    options = ImportOptions(columns, args.language, args.category, args.licence, args.update)
    if args.dry_run:
        return _preview(args, options)
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
    workspace: "Workspace",
    name: str,
    dataset: str,
    options: "ImportOptions",
    line: ProgressLine,
) -> "ImportReport":
    from qeu.services.data_import import import_file, import_hub

    def progress(done: int) -> None:
        line.draw(f"{name}: {done:,}")

    if not name.startswith("hub:"):
        return import_file(workspace, Path(name), dataset, options, progress)
    parts = name.removeprefix("hub:").split("/")
    split = parts.pop() if len(parts) > 2 else "train"
    return import_hub(workspace, "/".join(parts), dataset, split, options, progress)


def _import_json(
    dataset: str, reports: "list[ImportReport]", failures: list[dict[str, object]]
) -> dict[str, object]:
    rejected = [bad.to_json() | {"file": r.file} for r in reports for bad in r.rejected]
    return {
        "dataset": dataset,
        "imported": sum(r.imported for r in reports),
        "unchanged": sum(r.unchanged for r in reports),
        "updated": sum(r.updated for r in reports),
        "same_seq": sum(r.same_seq for r in reports),
        "rejected": failures + rejected,
        "rejected_count": len(failures) + sum(r.rejected_count for r in reports),
        "files": [
            {"file": r.file, "format": r.format, "encoding": r.encoding, "columns": r.columns}
            for r in reports
        ],
    }


def _show_reports(reports: "list[ImportReport]") -> None:
    for report in reports:
        told = f"{report.file}: {report.imported:,} imported, {report.unchanged:,} unchanged"
        told += f", {report.updated:,} updated" if report.updated else ""
        show(f"{told}, {report.rejected_count:,} rejected")
        if columns := _renamed(report.columns):
            show(f"  columns: {columns}")
        if report.same_seq:
            show(
                f"  {report.same_seq:,} of them stand beside a record of the same seq; to change "
                f"those records instead: `data undo {report.dataset}`, then import with --update"
            )
        for bad in report.rejected[:_SHOWN_REJECTED]:
            show(f"  row {bad.row}: {f'{bad.field}: ' if bad.field else ''}{bad.reason}")
        if report.rejected_count > _SHOWN_REJECTED:
            show(f"  … and {report.rejected_count - _SHOWN_REJECTED:,} more; see --rejected FILE")


def _renamed(columns: Mapping[str, str]) -> str:
    pairs = (f"{field}={column}" for field, column in columns.items() if field != column)
    return ", ".join(pairs)


def _preview(args: argparse.Namespace, options: "ImportOptions") -> int:
    from qeu.services.data_import import preview_import

    looked = []
    for name in args.files:
        if name.startswith("hub:"):
            raise UsageError(f"{name}: --dry-run looks at files only.")
        looked.append((name, preview_import(Path(name), options)))
    if args.json:
        files = [
            {
                "file": name,
                "format": preview.source.format,
                "encoding": preview.source.encoding,
                "columns": preview.columns,
                "other_columns": _others(preview),
                "problems": preview.problems,
            }
            for name, preview in looked
        ]
        show_json({"dataset": args.dataset, "files": files})
        return 0
    for name, preview in looked:
        show(f"{name}: {preview.source.format} {preview.source.encoding}".rstrip())
        for field, column in preview.columns.items():
            value = preview.source.sample[0].get(column, "") if preview.source.sample else ""
            show(f"  {field}={column}: {one_line(str(value), 60)}")
        if others := _others(preview):
            show(f"  kept besides: {', '.join(others)}")
        for problem in preview.problems:
            show(f"  {problem}")
    return 0


def _others(preview: "ImportPreview") -> list[str]:
    taken = set(preview.columns.values())
    return [name for name in preview.source.columns if name not in taken]


def _write_rejected(path: str | None, reports: "list[ImportReport]") -> None:
    if path:
        text = "".join(report.bad_rows_jsonl() for report in reports)
        try:
            Path(path).write_text(text, encoding="utf-8")
        except OSError as error:
            raise QeuError(f"The file {path} cannot be written ({error.strerror}).") from error


def _run_export(
    args: argparse.Namespace, workspace: "Workspace", dataset: "Dataset", line: ProgressLine
) -> int:
    from qeu.services.data_export import export_file, push_to_hub

    where = read_filter(args)
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
        progress=told(line),
    )
    line.clear()
    if args.json:
        show_json(report.to_json())
        return 0
    show(f"{report.rows:,} records written to {report.file}")
    for licence, count in report.licences.items():
        show(f"  licence {licence or 'not stated'}: {count:,} records")
    return 0
