"""`vote add|undo|standings|export`: which of two texts is better, and what that tells."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from qeu.cli.data_arguments import add_json
from qeu.cli.screen import show, show_json, table
from qeu.cli.workspace import open_workspace
from qeu.core.prompts import LAYOUTS
from qeu.core.votes import BETTER, LEAST_DECIDED

if TYPE_CHECKING:
    from qeu.core.votes import Standings, Tally, Vote
    from qeu.services.vote_export import VoteExport

_OK: Mapping[str, bool | None] = {"yes": True, "no": False, "": None}
_VERDICTS = {
    "more": "better",
    "less": "worse",
    "open": "no difference seen",
    "too_few": f"too few to tell (at least {LEAST_DECIDED} decided)",
}
_REASONS = {
    "equal": "called equal",
    "split": "voters disagree",
    "unacceptable": "the better one is not acceptable",
    "stopped": "a side was stopped",
    "same": "both sides wrote the same",
    "held_out": "the question is kept for testing",
    "different": "the sides were asked for different things, or a part is missing",
}


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands."""
    parser = commands.add_parser(
        "vote",
        help="vote on comparisons, read the standings, export chosen and rejected",
        description="Votes on comparisons of the history: which side is better, and whether each "
        "is acceptable. The page shows them blind.",
        allow_abbrev=False,
    )
    parts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_add(parts)
    undo = parts.add_parser("undo", help="take your last vote back", allow_abbrev=False)
    undo.add_argument("--voter", default="", metavar="NAME", help="whose; yours has no name")
    add_json(undo)
    undo.set_defaults(run=run_undo)
    told = "wins, ties and losses by pair, engine, category and language, with 95 %% intervals"
    standings = parts.add_parser("standings", help=told, allow_abbrev=False)
    add_json(standings)
    standings.set_defaults(run=run_standings)
    _add_export(parts)


def _add_add(parts: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    add = parts.add_parser("add", help="vote on one comparison of the history", allow_abbrev=False)
    add.add_argument("number", type=int, metavar="RUN", help="its number in `history`")
    add.add_argument("--better", choices=BETTER, required=True, help="which side is better")
    for side in ("left", "right"):
        add.add_argument(
            f"--{side}-ok", choices=("yes", "no"), default="", help=f"is the {side} acceptable?"
        )
    add.add_argument("--note", default="", metavar="TEXT", help="why")
    add.add_argument("--voter", default="", metavar="NAME", help="tells several people apart")
    add_json(add)
    add.set_defaults(run=run_add)


def _add_export(parts: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    export = parts.add_parser(
        "export",
        help="write chosen and rejected texts for DPO, or the chosen as records",
        description="Write a line for each comparison that the votes decided. dpo: JSONL of "
        "prompt, chosen, rejected, as TRL's DPOTrainer reads it. records: rows of a data set, as "
        "JSON, JSONL, CSV, Parquet or Excel. Who wrote each text, and under which licence, stands "
        "beside it: a licence may forbid training other models on it.",
        allow_abbrev=False,
    )
    export.add_argument("file", type=Path, metavar="FILE", help="file to write")
    export.add_argument("--format", choices=("dpo", "records"), default="dpo", help="(dpo)")
    export.add_argument(
        "--layout", choices=LAYOUTS, default="chat",
        help="of the pairs: chat writes messages, the others texts with their markers (chat)",
    )  # fmt: skip
    add_json(export)
    export.set_defaults(run=run_export)


def run_add(args: argparse.Namespace) -> int:
    """Store the vote; a second one of the same voter changes nothing and says so."""
    # here and not above: the help of every command waits for what stands above
    from qeu.services.votes import cast_vote

    with open_workspace() as workspace:
        vote, is_new = cast_vote(
            workspace, args.number, args.better, blind=False, note=args.note, voter=args.voter,
            acceptable={"left": _OK[args.left_ok], "right": _OK[args.right_ok]},
        )  # fmt: skip
    if args.json:
        show_json({**vote.to_json(), "new": is_new})
    elif is_new:
        show(f"Run {vote.run}: {_told(vote)}.")
    else:
        show(f"Run {vote.run} has your vote already: {_told(vote)}. `vote undo` takes it back.")
    return 0


def run_undo(args: argparse.Namespace) -> int:
    """Take the last vote back."""
    from qeu.services.votes import take_back

    with open_workspace() as workspace:
        vote = take_back(workspace, args.voter)
    if args.json:
        show_json(vote.to_json())
    else:
        show(f"Taken back: run {vote.run}, {_told(vote)}.")
    return 0


def run_standings(args: argparse.Namespace) -> int:
    """Print the standings."""
    from qeu.services.votes import read_standings

    with open_workspace() as workspace:
        found = read_standings(workspace)
    if args.json:
        show_json(found.to_json())
    elif not found.votes:
        show("There are no votes yet. Vote in Compare with the blind switch, or by `vote add`.")
    else:
        _show_standings(found)
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Write the file and say what was left out."""
    from qeu.services.vote_export import export_votes

    with open_workspace() as workspace:
        report = export_votes(workspace, args.file, kind=args.format, layout=args.layout)
    if args.json:
        show_json(report.to_json())
    else:
        _show_export(report)
    return 0


def _told(vote: "Vote") -> str:
    return "both are equal" if vote.better == "equal" else f"{vote.name(vote.better)} is better"


def _show_standings(found: "Standings") -> None:
    head = ("", "votes", "wins", "ties", "losses", "won", "95%", "")
    rows = [head]
    for pair in found.pairs:
        rows.append((f"{pair.first} against {pair.second}", *_cells(pair.all)))
        for parts in (pair.by_category, pair.by_language):
            if len(parts) > 1:
                rows += [(f"  {name or '-'}", *_cells(tally)) for name, tally in parts.items()]
    show(table(rows))
    engines = [(*head[:-1], "acceptable")]
    for engine in found.engines:
        ok = f"{engine.acceptable.count} of {engine.acceptable.of}" if engine.acceptable.of else "-"
        engines.append((engine.name, *_cells(engine.all)[:-1], ok))
    show("\n" + table(engines))
    if found.position.votes:
        show("\nleft position, blind votes: " + "  ".join(_cells(found.position)))


def _cells(tally: "Tally") -> tuple[str, ...]:
    low, high = tally.interval
    won = "-" if tally.share is None else f"{tally.share:.0%}"
    between = f"{low:.0%} to {high:.0%}" if tally.decided else "-"
    counts = (str(n) for n in (tally.votes, tally.wins, tally.ties, tally.losses))
    return (*counts, won, between, _VERDICTS[tally.verdict])


def _show_export(report: "VoteExport") -> None:
    show(f"{report.rows:,} lines written to {report.file}")
    for reason, count in report.left_out.items():
        show(f"  left out, {_REASONS[reason]}: {count:,}")
    if report.reduced:
        show(f"  asked differently, so the prompt is the question alone: {report.reduced:,}")
    for licence, count in report.licences.items():
        show(f"  licence {licence or 'not stated'}: {count:,} texts")
