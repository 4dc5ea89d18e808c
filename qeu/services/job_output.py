"""The results of a job as a file: the three columns of the notes, or all there is to know."""

from collections.abc import Iterator
from pathlib import Path

from qeu.core.errors import QeuError
from qeu.store.job_items import Result, iterate_results
from qeu.store.jobs import Job
from qeu.store.workspace import Workspace
from qeu.store.writers import format_of, write_rows

PLAIN_COLUMNS = ("seq", "question", "response")
FULL_COLUMNS = (
    *("seq", "question", "response", "source", "sample", "state", "reason", "broken", "thinking"),
    *("model", "revision", "adapter", "adapter_hash", "layout", "target", "hinted", "view"),
    *("category", "language", "reference", "prompt", "finish_reason", "prompt_tokens"),
    *("new_tokens", "tokens_per_s", "seed", "attempts", "cached", "stale", "key"),
)


def export_job(workspace: Workspace, job: Job, path: Path, *, full: bool = False) -> int:
    """Write a job's results to .xlsx, .jsonl, .json, .csv or .parquet; how many rows there are.

    The plain form holds finished texts only; the full one also what failed, with its reason.
    """
    columns = FULL_COLUMNS if full else PLAIN_COLUMNS
    states = ("done", "failed", "skipped") if full else ("done",)
    count = write_rows(path, format_of(path), columns, _rows(workspace, job, states))
    if not count:
        path.unlink(missing_ok=True)
        raise QeuError(f"Job {job.id} has no results yet: there is nothing to write.")
    return count


def result_row(job: Job, result: Result) -> dict[str, object]:
    """Everything about one result, as plain values by column."""
    item, made, stored = result.item, result.generation, result.record
    record = stored.record if stored else None
    return {
        "seq": record.seq if record else "",
        "question": record.question if record else "",
        "response": response_of(job, result),
        "source": job.spec.sources[item.source],
        "sample": item.sample,
        "state": item.state,
        "reason": item.reason,
        "broken": " ".join(item.broken),
        "thinking": made.thinking if made else "",
        "model": made.model if made else "",
        "revision": made.revision if made else "",
        "adapter": (made.adapter or "") if made else "",
        "adapter_hash": (made.adapter_hash or "") if made else "",
        "layout": made.layout if made else "",
        "target": job.spec.target,
        "hinted": "yes" if job.spec.hinted else "no",
        "view": job.spec.view_name or job.spec.view[:80],
        "category": record.category if record else "",
        "language": record.language if record else "",
        "reference": record.output if record else "",
        "prompt": made.prompt_text if made else "",
        "finish_reason": made.finish_reason if made else "",
        "prompt_tokens": made.prompt_tokens if made else 0,
        "new_tokens": made.new_tokens if made else 0,
        "tokens_per_s": round(made.tokens_per_s, 2) if made else 0.0,
        "seed": made.seed if made else 0,
        "attempts": item.attempts,
        "cached": "yes" if item.cached else "no",
        "stale": "yes" if result.stale else "no",
        "key": item.key,
    }


def response_of(job: Job, result: Result) -> str:
    """The text that a result brought: its reasoning, its answer, or all it wrote."""
    made = result.generation
    if made is None:
        return ""
    if job.spec.writes_reasoning:
        return made.reasoning or made.text.strip()
    return (made.text if job.spec.target == "both" else made.answer or made.text).strip()


def _rows(workspace: Workspace, job: Job, states: tuple[str, ...]) -> Iterator[dict[str, object]]:
    return (result_row(job, result) for result in iterate_results(workspace, job, states))
