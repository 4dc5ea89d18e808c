"""What the sweep says beside its buttons: how much is ordered, how far it is, how it ended."""

import gradio as gr

from qeu.core.sweep_spec import LARGE_CELLS, LARGE_TEXTS, SweepSpec
from qeu.services.evaluate_order import EvalOrder, count_records
from qeu.services.sweep_plan import find_pace, plan_sweep
from qeu.services.sweep_runs import SweepRun
from qeu.store.datasets import list_datasets
from qeu.store.sweeps import OPEN, list_sweeps
from qeu.ui.context import Context
from qeu.ui.dataset_work_panel import bar_html
from qeu.ui.markup import escape
from qeu.ui.panels import failure_html, notice_html
from qeu.ui.reasoning_jobs_view import time_text
from qeu.ui.sentences import tell
from qeu.ui.strings import text

# Of more texts it is not looked up, while somebody types, which are there already.
MOST_LOOKED_UP = 2_000


def about_html(context: Context, request: gr.Request, spec: SweepSpec, language: str) -> str:
    """How many cells and texts an order makes, and how long they may take.

    Raises QeuError where it cannot be meant, as for a data set that is not there.
    """
    workspace, prompts = context.records(request), count_prompts(context, request, spec)
    texts = spec.combinations * spec.seeds * prompts
    here = {dataset.name for dataset in list_datasets(workspace)}
    if texts <= MOST_LOOKED_UP and (spec.prompts or spec.dataset in here):
        plan = plan_sweep(workspace, context.engines(request), spec)
        told = [_count_text(plan.cells, plan.prompts, spec.seeds, plan.texts, language)]
        if plan.cached:
            told.append(text("sweep.about.cached", language, count=f"{plan.cached:,}"))
        told += [
            f"{count:,} × {tell(why, language)}" for why, count in list(plan.reasons.items())[:3]
        ]
        seconds = plan.seconds
    else:
        told = [_count_text(spec.combinations, prompts, spec.seeds, texts, language)]
        seconds = _seconds(context, request, spec, texts)
    if seconds:
        time = time_text(seconds, language)
        told.append(text("sweep.about.time", language, time=time))
    elif seconds is None:
        told.append(text("sweep.about.no_time", language))
    return notice_html(" ".join(told))


def count_prompts(context: Context, request: gr.Request, spec: SweepSpec) -> int:
    """How many prompts an order asks; shipped records are counted before they are brought in."""
    if spec.prompts:
        return len(spec.prompts)
    split = spec.where.get("split")
    first = str(split[0]) if isinstance(split, list) and split else ""
    order = EvalOrder(spec.dataset, "", split=first, limit=spec.limit)
    return count_records(context.records(request), order)


def is_large(context: Context, request: gr.Request, spec: SweepSpec) -> bool:
    """Whether so much is ordered that a person is asked first."""
    texts = spec.combinations * spec.seeds * count_prompts(context, request, spec)
    return spec.combinations >= LARGE_CELLS or texts >= LARGE_TEXTS


def line_html(context: Context, language: str) -> str:
    """How far the sweep is, or how the last one ended."""
    run = context.sweeps.latest
    if run is not None and not run.finished:
        return bar_html(_Bar(run), language) + _left_html(run, language)  # type: ignore[arg-type]
    if run is not None and run.error:
        return failure_html(run.error, language)
    latest = list_sweeps(context.workspace, 1)
    if not latest or latest[0].state != OPEN:
        return notice_html("")
    one = latest[0]
    told = text(
        "sweep.stopped", language, number=one.id, done=f"{one.done:,}", total=f"{one.cells:,}"
    )
    go_on = escape(text("sweep.go_on", language))
    button = (
        f'<button type="button" class="q-link" data-do="resume" data-value="{one.id}">'
        f"{go_on}</button>"
    )
    return f'<div class="q-notice q-warning" role="status">{escape(told)} {button}</div>'


class _Bar:
    """A sweep as the bar shows it, with the key of the words for its step."""

    def __init__(self, run: SweepRun) -> None:
        self.stopping = run.stopping
        self.done, self.total = run.progress.done, run.progress.total
        self.step = run.load or "sweep.step"


def _left_html(run: SweepRun, language: str) -> str:
    """How many are there, and how long the rest takes."""
    so_far = run.progress
    if not so_far.total or run.stopping.is_set():
        return ""
    told = text(
        "sweep.so_far", language, done=f"{so_far.done:,}", total=f"{so_far.total:,}",
        cells=f"{so_far.cells_done:,}", all=f"{so_far.cells:,}",
    )  # fmt: skip
    if (seconds := run.seconds_left) is not None and so_far.done < so_far.total:
        left = text("sweep.left", language, time=time_text(seconds, language))
        told = f"{told} · {left}"
    return f'<p class="q-facts">{escape(told)}</p>'


def _count_text(cells: int, prompts: int, seeds: int, texts: int, language: str) -> str:
    return text(
        "sweep.about", language, cells=f"{cells:,}", prompts=f"{prompts:,}", seeds=f"{seeds:,}",
        texts=f"{texts:,}",
    )  # fmt: skip


def _seconds(context: Context, request: gr.Request, spec: SweepSpec, texts: int) -> float | None:
    """What so many texts take at most; None where the pace of a model is not known."""
    lengths = spec.grid.get("max_new_tokens") or (spec.sampling.max_new_tokens,)
    each = sum(lengths) / len(lengths) * texts / len(spec.models)
    paces = [find_pace(context.records(request), model) for model in spec.models]
    return None if None in paces else sum(pace * each for pace in paces if pace is not None)
