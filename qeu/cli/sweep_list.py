"""`sweep list`, `show`, `resume` and `delete`: sweeps that were ordered before."""

import argparse

from qeu.cli.data_arguments import add_json
from qeu.cli.loading import make_engines
from qeu.cli.screen import say, show, show_json, table
from qeu.cli.sweep_view import add_view, read_fixed, show_sweep, write_csv
from qeu.cli.sweep_work import work_on
from qeu.cli.workspace import open_workspace
from qeu.core.text import one_line

_ACTIONS = {
    "show": "the cells of a sweep as far as they are, or the texts of one cell",
    "resume": "go on with a sweep where it was",
    "delete": "forget a sweep; its texts stay and are not made again",
}


def add_parts(parser: argparse.ArgumentParser) -> None:
    """Add the parts to the command."""
    parts = parser.add_subparsers(metavar="ACTION", title="sweeps that are there")
    listed = parts.add_parser(
        "list", help="all sweeps, the latest first", description="All sweeps, the latest first.",
        allow_abbrev=False,
    )  # fmt: skip
    add_json(listed)
    listed.set_defaults(run=_run_list)
    for name, text in _ACTIONS.items():
        about = f"{text[0].upper()}{text[1:]}."
        part = parts.add_parser(name, help=text, description=about, allow_abbrev=False)
        part.add_argument("number", type=int, metavar="N", help="number of the sweep")
        if name == "show":
            part.add_argument("--cell", type=int, metavar="K", help="the texts of this cell")
        if name != "delete":
            add_view(part)
        add_json(part)
        part.set_defaults(run={"show": _show, "resume": _resume, "delete": _delete}[name])


def _run_list(args: argparse.Namespace) -> int:
    from qeu.store.sweeps import list_sweeps

    with open_workspace() as workspace:
        found = list_sweeps(workspace)
    if args.json:
        show_json(
            {
                "sweeps": [
                    {"sweep": one.id, "at": one.at, "title": one.title, "state": one.state,
                     "cells": one.cells, "done": one.done}
                    for one in found
                ]
            }
        )  # fmt: skip
    elif found:
        rows = [
            (str(one.id), one.state, f"{one.done:,}/{one.cells:,}", one_line(one.title, 100))
            for one in found
        ]
        show(table([("sweep", "state", "cells", ""), *rows]))
    else:
        say("There are no sweeps yet; `sweep --model M --prompt TEXT --grid …` makes one.")
    return 0


def _show(args: argparse.Namespace) -> int:
    from qeu.services.sweep_result import read_cell, read_sweep

    with open_workspace() as workspace:
        if args.cell is None:
            found = read_sweep(workspace, args.number)
            read_fixed(args, found.spec)
            write_csv(args.csv, found)
            if args.json:
                show_json(found.to_json())
            elif found.cells:
                show_sweep(args, found)
            else:
                say("No cell is finished yet; `sweep resume` goes on.")
            return 0
        cell, texts = read_cell(workspace, args.number, args.cell)
    if args.json:
        show_json(cell.to_json() | {"samples": [text.to_json() for text in texts]})
        return 0
    setting = cell.cell.setting
    sampling = setting.sampling.to_json()
    told = " ".join(f"{name}={value}" for name, value in sampling.items() if name != "seed")
    show(f"{setting.model}, role {cell.role}, target {cell.target}, layout {cell.layout}\n{told}")
    for text in texts:
        sample, made = text.sample, text.generation
        show(f"\n— prompt {sample.prompt + 1}, seed {sample.seed}: {sample.finish_reason}")
        show(f"  {one_line(text.record.question, 160)}")
        if sample.error or made is None:
            show(sample.error or "The text is not in the workspace any more.")
            continue
        if made.reasoning:
            show(f"[reasoning] {made.reasoning}")
        if made.answer or not made.reasoning:
            show(f"[answer] {made.answer}")
    return 0


def _resume(args: argparse.Namespace) -> int:
    from qeu.store.sweeps import get_sweep

    with open_workspace() as workspace:
        stored = get_sweep(workspace, args.number)
        models = stored.asked.get("models")
        model = str(models[0]) if isinstance(models, list) and models else ""
        return work_on(args, workspace, make_engines(args), stored.id, model)


def _delete(args: argparse.Namespace) -> int:
    from qeu.store.sweeps import delete_sweep

    with open_workspace() as workspace:
        delete_sweep(workspace, args.number)
    if args.json:
        show_json({"sweep": args.number, "deleted": True})
    else:
        say(f"Sweep {args.number} is deleted; its texts stay.")
    return 0
