"""`jobs`: what bulk jobs there are and how they stand; pause, resume, retry, write to a file."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from qeu.cli.data_arguments import add_json
from qeu.cli.generate import summary_line, work_on
from qeu.cli.screen import say, show, show_json, table
from qeu.cli.workspace import open_workspace
from qeu.core.text import one_line

if TYPE_CHECKING:
    from qeu.core.intervals import Rate
    from qeu.store.jobs import Job
    from qeu.store.workspace import Workspace

_ACTIONS = {
    "show": "how one job stands, and why texts failed",
    "summary": "what a job brought, by model: contract, leaks, length, speed, cost, edits",
    "pause": "let a job rest; `resume` goes on where it was",
    "resume": "go on with a paused or stopped job, here and now",
    "stop": "end a job and keep what it brought",
    "retry": "do again what failed or was skipped",
    "write": "write a job's results to a file (.xlsx, .jsonl, .parquet …)",
}


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its parts."""
    parser = commands.add_parser(
        "jobs", help="bulk jobs: list, show, pause, resume, retry, write to a file",
        description="List the bulk jobs of the workspace, the latest first.", allow_abbrev=False,
    )  # fmt: skip
    add_json(parser)
    parser.set_defaults(run=_run_list)
    parts = parser.add_subparsers(metavar="ACTION")
    for name, text in _ACTIONS.items():
        part = parts.add_parser(name, help=text, description=text, allow_abbrev=False)
        part.add_argument("number", type=int, metavar="N", help="number of the job")
        add_json(part)
        part.set_defaults(run=_run_action, action=name)
        if name == "write":
            part.add_argument("file", metavar="FILE", type=Path)
            part.add_argument("--full", action="store_true", help="all columns, failures too")
        if name in ("resume", "retry"):
            part.add_argument("-q", "--quiet", action="store_true", help="no progress")


def _run_list(args: argparse.Namespace) -> int:
    from qeu.store.jobs import count_items, list_jobs

    with open_workspace() as workspace:
        found = [(job, count_items(workspace, job)) for job in list_jobs(workspace)]
    if args.json:
        show_json({"jobs": [_plain(job) | asdict(counts) for job, counts in found]})
        return 0
    rows = [
        (
            str(job.id), job.state, f"{counts.total - counts.todo:,}/{counts.total:,}",
            job.spec.dataset, job.spec.target, ", ".join(job.spec.sources), one_line(job.note, 60),
        )
        for job, counts in found
    ]  # fmt: skip
    if rows:
        show(table([("job", "state", "ready", "data set", "target", "models", ""), *rows]))
    else:
        say("There are no jobs yet; `generate` makes one.")
    return 0


def _run_action(args: argparse.Namespace) -> int:
    from qeu.services.job_output import export_job
    from qeu.store.jobs import count_items, get_job, retry_failed, set_state

    with open_workspace() as workspace:
        job = get_job(workspace, args.number)
        if args.action == "write":
            count = export_job(workspace, job, args.file, full=args.full)
            return _tell(args, {"rows": count, "file": str(args.file)}, f"{count:,} rows")
        if args.action == "summary":
            return _tell_summary(args, workspace, job)
        if args.action in ("pause", "stop"):
            job = set_state(workspace, job.id, {"pause": "paused", "stop": "stopped"}[args.action])
        elif args.action == "resume":
            if job.state not in ("queued", "running"):
                job = set_state(workspace, job.id, "queued")
            return work_on(args, workspace, job)
        elif args.action == "retry":
            count = retry_failed(workspace, job.id)
            say(f"{count:,} texts are to be made again")
            return work_on(args, workspace, get_job(workspace, job.id)) if count else 0
        counts = count_items(workspace, job)
        known = _plain(job) | asdict(counts)
        return _tell(args, known | _reasons(workspace, job), summary_line(job, counts))


def _tell_summary(args: argparse.Namespace, workspace: "Workspace", job: "Job") -> int:
    from qeu.services.job_candidates import open_group
    from qeu.services.job_summary import summarize

    found = summarize(workspace, open_group(workspace, (job.id,)))
    if args.json:
        show_json({"job": job.id, **found.to_json()})
        return 0
    head = ("", "model", "done", "holds", "leaks", "language", "loop", "tokens", "tokens/s",
            "paid", "tries", "edits")  # fmt: skip
    rows = [
        (
            " ".join(one.letters), one.source, f"{one.done:,}", _share(one.passed),
            _share(one.leaked), _share(one.language), _share(one.loops), f"{one.new_tokens:.0f}",
            f"{one.tokens_per_s:.1f}", f"{one.paid_prompt_tokens + one.paid_new_tokens:,}",
            f"{one.attempts:,}", "" if one.distance is None else f"{one.distance:.0%}",
        )
        for one in found.sources
    ]  # fmt: skip
    show(table([head, *rows]))
    for pair in found.agreement:
        show(f"{pair.one} and {pair.other} agree {pair.mean:.2f} ({pair.records:,} records)")
    return 0


def _share(rate: "Rate") -> str:
    """A share with its interval."""
    return f"{rate.share:.0%} ({rate.low:.0%}-{rate.high:.0%})" if rate.of else "-"


def _reasons(workspace: "Workspace", job: "Job") -> dict[str, object]:
    from qeu.store.jobs import count_reasons

    found = count_reasons(workspace, job)
    return {"reasons": [{"state": s, "reason": r, "count": n} for s, r, n in found]}


def _tell(args: argparse.Namespace, known: dict[str, object], line: str) -> int:
    if args.json:
        show_json(known)
        return 0
    show(line)
    for one in known.get("reasons", ()):  # type: ignore[attr-defined]
        show(f"  {one['count']:,} {one['state']}: {one['reason']}")
    return 0


def _plain(job: "Job") -> dict[str, object]:
    return {
        "id": job.id,
        "at": job.at,
        "state": job.state,
        "note": job.note,
        "wakes": job.wakes,
        "seconds": round(job.seconds, 3),
        "spec": job.spec.to_json(),
    }
