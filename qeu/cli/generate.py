"""`generate`: write texts in bulk for the records of a data set; what is finished stays."""

import argparse
import threading
from typing import TYPE_CHECKING

from qeu.cli.arguments import add_sampling, read_sampling, read_texts
from qeu.cli.data_arguments import add_filter, add_json, read_filter, told
from qeu.cli.loading import INTERRUPTED, make_engines, run_stoppable
from qeu.cli.screen import ProgressLine, say, show, show_json
from qeu.cli.workspace import open_workspace
from qeu.core.errors import QeuError
from qeu.core.job_spec import JOB_TARGETS, MOST_RETRIES, MOST_SAMPLES, TEXT_FIELDS, JobSpec
from qeu.core.prompts import LAYOUTS
from qeu.core.roles import ROLE_IDS

if TYPE_CHECKING:
    from qeu.services.job_plan import JobPlan
    from qeu.services.job_runner import JobWorker
    from qeu.store.jobs import Counts, Job
    from qeu.store.workspace import Workspace

_POLL_S = 0.2


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's options."""
    parser = commands.add_parser(
        "generate",
        help="write reasoning, answers or translations for many records",
        description="Ask one or several models for a text about every record of a data set. Each "
        "finished text is stored at once; the same request is never computed twice. Ctrl-C "
        "pauses: `jobs resume N` goes on. Texts can be given as @FILE or - (standard input).",
        allow_abbrev=False,
    )
    parser.add_argument("name", metavar="DATASET", help="data set")
    parser.add_argument(
        "--model", action="append", required=True, metavar="M[@ADAPTER]",
        help="who writes; may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--target", choices=JOB_TARGETS, default="reasoning",
        help="what is written (default: reasoning)",
    )  # fmt: skip
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="first N records only")
    parser.add_argument("--samples", type=int, default=1, metavar="N",
                        help=f"texts a record and model, 1 to {MOST_SAMPLES}")  # fmt: skip
    asking = parser.add_argument_group("asking")
    asking.add_argument("--hinted", action="store_true", help="show the model the answer too")
    asking.add_argument("--no-reasoning", action="store_true",
                        help="answers without the record's reasoning")  # fmt: skip
    asking.add_argument("--view", metavar="TEXT", help="a person's own way of thinking")
    asking.add_argument("--view-name", default="", metavar="NAME", help="what the view is called")
    asking.add_argument("--role", choices=ROLE_IDS, default="logician", help="who speaks")
    asking.add_argument("--role-text", metavar="TEXT", help="other wording for the role")
    asking.add_argument("--layout", choices=LAYOUTS, default="", help="default: the model's own")
    asking.add_argument(
        "--template", metavar="TEXT",
        help="free prompt with {instruction}, {input} …; with --target template",
    )  # fmt: skip
    asking.add_argument("--text-field", choices=TEXT_FIELDS, default="reasoning",
                        help="what is translated; with --target translation")  # fmt: skip
    asking.add_argument("--to", default="ja", metavar="LANGUAGE", help="en, ja, zh-CN or zh-TW")
    asking.add_argument("--expect", default="en", metavar="LANGUAGE",
                        help="language that the texts must be in (en)")  # fmt: skip
    asking.add_argument(
        "--retries", type=int, default=1, metavar="N",
        help=f"ask again when a rule is broken, 0 to {MOST_RETRIES} (1)",
    )  # fmt: skip
    asking.add_argument("--exact", action="store_true", help="the same texts again, always")
    add_filter(parser)
    add_sampling(parser)
    output = parser.add_argument_group("output")
    output.add_argument("--dry-run", action="store_true", help="only say what would be done")
    add_json(output)  # type: ignore[arg-type]
    output.add_argument("-q", "--quiet", action="store_true", help="no progress")
    parser.set_defaults(run=run_generate)


def read_spec(args: argparse.Namespace) -> JobSpec:
    """The job that the options describe; raises UsageError for what cannot be meant."""
    texts = read_texts({"view": args.view, "role text": args.role_text, "template": args.template})
    return JobSpec.from_json(
        {
            "dataset": args.name,
            "sources": args.model,
            "target": args.target,
            "where": read_filter(args).to_json(),
            "limit": args.limit,
            "hinted": args.hinted,
            "use_reasoning": not args.no_reasoning,
            "view": texts.get("view", ""),
            "view_name": args.view_name,
            "role": args.role,
            "role_text": texts.get("role text", ""),
            "layout": args.layout,
            "template": texts.get("template", ""),
            "text_field": args.text_field,
            "to_language": args.to,
            "expected_language": args.expect,
            "sampling": read_sampling(args),
            "samples": args.samples,
            "retries": args.retries,
            "exact": args.exact,
        }
    )


def run_generate(args: argparse.Namespace) -> int:
    """Order the job and work on it here; Ctrl-C pauses it."""
    from qeu.services.job_plan import plan_job
    from qeu.store.jobs import create_job

    spec = read_spec(args)
    line = ProgressLine(args.quiet or args.json)
    engines = make_engines(args)
    with open_workspace() as workspace:
        plan, _ = run_stoppable(lambda stop: plan_job(workspace, engines, spec, told(line), stop))
        line.clear()
        if args.dry_run:
            if args.json:
                show_json(plan.to_json())
            else:
                show(plan_line(plan))
            return 0
        say(plan_line(plan))
        job = create_job(workspace, spec)
        say(f"job {job.id}")
        return work_on(args, workspace, job)


def work_on(args: argparse.Namespace, workspace: "Workspace", job: "Job") -> int:
    """Work on a job until it is done or cannot go on; its results are printed at the end."""
    from qeu.services.job_runner import JobWorker
    from qeu.store.jobs import claim_job, count_items, set_state
    from qeu.store.owner import my_owner, owner_lives

    owner = my_owner()
    if not claim_job(workspace, job, owner, owner_lives):
        raise QeuError(
            f"Job {job.id} is {job.state}, or another process works on it. "
            "`jobs` shows who does what."
        )
    worker = JobWorker(workspace, make_engines(args), job, owner)
    line = ProgressLine(args.quiet or args.json)

    def work(stop: threading.Event) -> "Job":
        done = threading.Event()

        def follow() -> None:
            while not done.wait(_POLL_S):
                if stop.is_set():
                    worker.stop()
                line.draw(progress_line(worker, count_items(workspace, job)))

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            return worker.run()
        finally:
            done.set()
            thread.join()

    ended, stopped = run_stoppable(work)
    line.clear()
    counts = count_items(workspace, ended)
    if stopped and ended.state == "queued":
        ended = set_state(workspace, job.id, "paused")
    _show_results(args, workspace, ended)
    say(summary_line(ended, counts))
    if stopped:
        return INTERRUPTED
    if ended.state != "done":
        raise QeuError(ended.note or f"Job {job.id} is {ended.state}.")
    if counts.failed and not counts.done:
        raise QeuError(f"All {counts.failed:,} texts failed; `jobs show {job.id}` says why.")
    return 0


def plan_line(plan: "JobPlan") -> str:
    """What a job would do, on one line."""
    parts = [f"{plan.cached:,} cached", f"{plan.todo:,} to do"]
    if plan.skipped:
        parts.append(f"{plan.skipped:,} skipped")
    if plan.seconds is not None and plan.todo:
        parts.append(f"about {duration(plan.seconds)}")
    parts.append(f"about {plan.tokens:,} tokens")
    return ", ".join(parts)


def progress_line(worker: "JobWorker", counts: "Counts") -> str:
    """How far a job is at this moment."""
    if worker.tally.waiting:
        return f"waiting: {worker.tally.waiting}"
    left = worker.tally.seconds_left(counts.todo)
    parts = [f"{counts.total - counts.todo:,} of {counts.total:,}"]
    parts.append(f"{worker.tally.tokens_per_s:.0f} tokens/s")
    if left is not None:
        parts.append(f"{duration(left)} left")
    if counts.failed:
        parts.append(f"{counts.failed:,} failed")
    return ", ".join(parts)


def summary_line(job: "Job", counts: "Counts") -> str:
    """How a job stands."""
    parts = [f"job {job.id} {job.state}", f"{counts.done:,} done"]
    for name in ("cached", "broken", "failed", "skipped", "todo"):
        if number := getattr(counts, name):
            parts.append(f"{number:,} {name.replace('todo', 'to do')}")
    return ", ".join(parts) + (f" · {job.note}" if job.note else "")


def duration(seconds: float) -> str:
    """A time that a person can plan with."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {whole % 60:02d} s" if minutes else f"{whole} s"


def _show_results(args: argparse.Namespace, workspace: "Workspace", job: "Job") -> None:
    from qeu.services.job_output import result_row
    from qeu.store.job_items import iterate_results

    for result in iterate_results(workspace, job, ("done", "failed", "skipped")):
        row = result_row(job, result)
        if args.json:
            show_json({"job": job.id, **row})
            continue
        text = str(row["response"] or row["reason"])
        marks = f" [{row['broken']}]" if row["broken"] else ""
        show(f"{row['seq']} · {row['source']}{marks}\n{text}\n")
