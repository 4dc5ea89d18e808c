"""`ensemble`: make one text of several that bulk jobs brought for a record; accept what is good."""

import argparse
import threading

from qeu.cli.data_arguments import add_json, told
from qeu.cli.loading import INTERRUPTED, make_engines, run_stoppable
from qeu.cli.screen import ProgressLine, show, show_json
from qeu.cli.workspace import open_workspace


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's options."""
    parser = commands.add_parser(
        "ensemble",
        help="put the texts of bulk jobs together, record by record",
        description="Make one text of several for each record of one or more bulk jobs over the "
        "same data set; the texts themselves stay. `jobs` lists them.",
        allow_abbrev=False,
    )
    parser.add_argument("jobs", type=int, nargs="+", metavar="JOB", help="number of a job")
    parser.add_argument(
        "--method", default="medoid", metavar="medoid|sentences|MODEL",
        help="the text that the others resemble most (medoid), what most of them say (sentences), "
        "or a model that fuses them (default: medoid)",
    )  # fmt: skip
    parser.add_argument(
        "--accept", action="store_true",
        help="put those that hold their contract into the records, as one step that undo takes "
        "back; records decided before stay",
    )  # fmt: skip
    parser.add_argument(
        "--stale", action="store_true", help="accept also where the record was changed since"
    )
    add_json(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")
    parser.set_defaults(run=run_ensemble)


def run_ensemble(args: argparse.Namespace) -> int:
    """Make the ensembles; Ctrl-C keeps those that are made."""
    from dataclasses import asdict

    from qeu.services.job_bulk import accept_all
    from qeu.services.job_candidates import open_group
    from qeu.services.job_ensemble import METHODS, Ensembled, make_ensembles
    from qeu.services.job_fusion import fuse

    line = ProgressLine(args.quiet or args.json)
    with open_workspace() as workspace:
        group = open_group(workspace, args.jobs)

        def make(stop: threading.Event) -> Ensembled:
            if args.method in METHODS:
                return make_ensembles(workspace, group, args.method, told(line), stop)
            return fuse(workspace, make_engines(args), group, args.method, told(line), stop)

        made, stopped = run_stoppable(make)
        line.clear()
        known: dict[str, object] = {"jobs": list(group.numbers), "method": args.method}
        known |= made.to_json()
        parts = [f"{made.records:,} records", f"{made.made:,} made", f"{made.kept:,} kept"]
        for name in ("disputed", "broken", "empty", "failed"):
            if number := getattr(made, name):
                parts.append(f"{number:,} {name}")
        if args.accept and not stopped:
            done = accept_all(workspace, group, args.method, include_stale=args.stale)
            known["accepted"] = asdict(done)
            parts.append(f"{done.accepted:,} accepted")
        if args.json:
            show_json(known)
        else:
            show(", ".join(parts))
            for sentence, count in made.reasons.items():
                show(f"  {count:,} failed: {sentence}")
    return INTERRUPTED if stopped else 0
