"""`data list|rename|remove|restore|undo|redo`: whole data sets and their last changes."""

import argparse
from typing import TYPE_CHECKING

from qeu.cli.data_arguments import Parts, add_json, add_part, told
from qeu.cli.screen import ProgressLine, show, show_json, table
from qeu.cli.workspace import open_workspace

if TYPE_CHECKING:
    from qeu.store.datasets import Dataset
    from qeu.store.workspace import Workspace


def add_commands(parts: "Parts[argparse.ArgumentParser]") -> None:
    """Add the commands."""
    parser = parts.add_parser("list", help="list the data sets", allow_abbrev=False)
    parser.add_argument("--removed", action="store_true", help="list those that were removed")
    add_json(parser)
    parser.set_defaults(run=_run_list)
    parser = add_part(parts, "rename", "give a data set another name", _run_rename)
    parser.add_argument("new_name", metavar="NEW", help="its new name")
    add_part(
        parts, "remove", "remove a whole data set", _run_remove,
        "It is hidden, not deleted: `data restore NAME` brings it back, with its history.",
    )  # fmt: skip
    parser = parts.add_parser(
        "restore", help="bring back a data set that was removed", allow_abbrev=False
    )
    parser.add_argument("name", metavar="NAME", help="see `data list --removed`")
    add_json(parser)
    parser.set_defaults(run=_run_restore)
    add_part(parts, "undo", "take the last change back", _run_undo)
    add_part(parts, "redo", "bring back what was undone last", _run_redo)


def _run_list(args: argparse.Namespace) -> int:
    from qeu.store.datasets import count_records, list_datasets, list_removed

    with open_workspace() as workspace:
        sets = list_removed(workspace) if args.removed else list_datasets(workspace)
        found = [(d, count_records(workspace, d)) for d in sets]
    if args.json:
        rows = [
            {"name": d.name, "records": n} | ({"removed": d.removed} if d.removed else {})
            for d, n in found
        ]
        show_json({"datasets": rows})
    elif found:
        show(
            table(
                [
                    (d.name, f"{n:,} records", f"removed {d.removed[:16]}")
                    if d.removed
                    else (d.name, f"{n:,} records", f"made {d.created[:10]}")
                    for d, n in found
                ]
            )
        )
    elif args.removed:
        show("No data set was removed.")
    else:
        show("There are no data sets yet; `data import FILE --dataset NAME` makes one.")
    return 0


def _run_rename(
    args: argparse.Namespace, workspace: "Workspace", dataset: "Dataset", line: ProgressLine
) -> int:
    from qeu.store.datasets import rename_dataset

    renamed = rename_dataset(workspace, dataset, args.new_name)
    if args.json:
        show_json({"dataset": renamed.name, "was": dataset.name})
    else:
        show(f"{dataset.name} is called {renamed.name} now.")
    return 0


def _run_remove(
    args: argparse.Namespace, workspace: "Workspace", dataset: "Dataset", line: ProgressLine
) -> int:
    from qeu.store.datasets import count_records, remove_dataset

    records = count_records(workspace, dataset)
    remove_dataset(workspace, dataset)
    if args.json:
        show_json({"removed": dataset.name, "records": records})
    else:
        show(f"{dataset.name} is removed ({records:,} records); `data restore` brings it back.")
    return 0


def _run_restore(args: argparse.Namespace) -> int:
    from qeu.store.datasets import count_records, restore_dataset

    with open_workspace() as workspace:
        dataset = restore_dataset(workspace, args.name)
        records = count_records(workspace, dataset)
    if args.json:
        show_json({"restored": dataset.name, "records": records})
    else:
        show(f"{dataset.name} is back ({records:,} records).")
    return 0


def _run_undo(
    args: argparse.Namespace, workspace: "Workspace", dataset: "Dataset", line: ProgressLine
) -> int:
    return _turn(args, workspace, dataset, line, "undone")


def _run_redo(
    args: argparse.Namespace, workspace: "Workspace", dataset: "Dataset", line: ProgressLine
) -> int:
    return _turn(args, workspace, dataset, line, "redone")


def _turn(
    args: argparse.Namespace,
    workspace: "Workspace",
    dataset: "Dataset",
    line: ProgressLine,
    word: str,
) -> int:
    from qeu.store.undo import next_redo, next_undo, redo, undo

    turn = undo if word == "undone" else redo
    step = turn(workspace, dataset, progress=told(line))
    line.clear()
    after, before = next_redo(workspace, dataset), next_undo(workspace, dataset)
    if args.json:
        left = {
            "next_undo": before.what if before else "",
            "next_redo": after.what if after else "",
        }
        show_json({word: step.what, "event": step.event, "records": step.changed} | left)
    else:
        show(f"{word.capitalize()}: {step.what}.")
        if before and word == "undone":
            show(f"Before it: {before.what}.")
    return 0
