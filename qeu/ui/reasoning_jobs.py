"""The list of bulk jobs: read from the workspace each time, so that a reload loses nothing."""

import gradio as gr

from qeu.core.errors import QeuError
from qeu.services.job_output import response_of
from qeu.store.job_items import Result
from qeu.store.jobs import OPEN_STATES, Job, count_items, count_reasons, get_job, list_jobs
from qeu.store.queries import load_records
from qeu.store.workspace import Workspace
from qeu.ui.compare_form import Data, Updates
from qeu.ui.context import Context, Words
from qeu.ui.panels import notice_html
from qeu.ui.reasoning_jobs_view import JobLine, jobs_html
from qeu.ui.sentences import tell
from qeu.ui.sessions import language_of
from qeu.ui.strings import text

QUIET = {"show_progress": "hidden", "api_visibility": "private"}
MANY = {"concurrency_limit": None, "trigger_mode": "multiple", **QUIET}
# How often the page looks while something runs.
TICK_S = 1.0
_SHOWN_LATEST = 3
# As many jobs stand open; earlier ones fold away.
OPEN_JOBS = 6
# Hands the page's script the way to tell the server; the script itself may come a moment later.
ATTACH_JS = """
const attach = () => window.qeuReasoning
  ? window.qeuReasoning.attach(element, trigger, "%s")
  : setTimeout(attach, 50);
attach();
"""


class JobList:
    """The list and what can be done to a job; `chosen` are those whose texts are looked at."""

    def __init__(self, context: Context, say: Words) -> None:
        self.context = context
        self.chosen = gr.State([])
        self.state = gr.State({})
        self.line = gr.HTML(notice_html(""), elem_id="job-list-line", padding=False)
        self.list = gr.HTML(elem_id="job-list", padding=False, js_on_load=ATTACH_JS % "jobs")
        self.timer = gr.Timer(TICK_S, active=False)
        # Raised when a job has brought texts that the review does not know yet.
        self.news = gr.Number(0, visible="hidden", elem_id="job-news")

    def wire(self) -> None:
        """Connect the list's buttons and the clock."""
        self.list.select(self.on_act, self.inputs(), self.outputs(), **MANY)
        self.timer.tick(
            self.on_tick, self.inputs(), self.outputs(), concurrency_limit=None, **QUIET
        )

    def inputs(self) -> set[object]:
        """What every handler reads."""
        return {self.chosen, self.state, self.news}

    def outputs(self) -> set[object]:
        """What every handler may update."""
        return {self.chosen, self.state, self.news, self.list, self.line, self.timer}

    def on_tick(self, data: Data, request: gr.Request) -> Updates:
        """Look again."""
        return self.show(data, request)

    def on_act(self, data: Data, event: gr.EventData, request: gr.Request) -> Updates:
        """One click on the list."""
        act = event._data if isinstance(event._data, dict) else {}
        do, language = str(act.get("do")), language_of(request)
        state = dict(data[self.state] or {})  # type: ignore[call-overload]
        chosen = list(data[self.chosen] or ())  # type: ignore[call-overload]
        told, kind = "", "info"
        try:
            if do == "more":
                state["everything"] = True
            else:
                number = int(str(act.get("value") or 0))
                if do == "choose":
                    chosen = [number]
                elif do == "beside":
                    chosen = _toggled(chosen, number)
                else:
                    told = self._do(do, number, request, language)
        except QeuError as error:
            told, kind = tell(str(error), language), "error"
        except ValueError:
            told, kind = text("dataset.not_understood", language), "error"
        fresh = {**data, self.state: state, self.chosen: chosen}
        return self.show(fresh, request) | {self.line: notice_html(told, kind)}

    def _do(self, do: str, number: int, request: gr.Request, language: str) -> str:
        """What a button of a job asks for, as a sentence about it."""
        queue, engines = self.context.jobs(request), self.context.engines(request)
        if do == "pause":
            queue.pause(number)
            return text("job.told.pause", language, number=number)
        if do == "stop":
            queue.stop(number)
            return text("job.told.stop", language, number=number)
        if do == "resume":
            queue.resume(number, engines)
            return text("job.told.resume", language, number=number)
        if do == "retry":
            count = queue.retry(number, engines)
            return text("job.told.retry", language, number=number, count=f"{count:,}")
        raise ValueError(do)

    def show(self, data: Data, request: gr.Request, choose: int = 0) -> Updates:
        """The list as it is now; `choose` is a job just ordered. The clock runs while one does."""
        workspace, language = self.context.records(request), language_of(request)
        state = dict(data[self.state] or {})  # type: ignore[call-overload]
        chosen = [choose] if choose else list(data[self.chosen] or ())  # type: ignore[call-overload]
        jobs = list_jobs(workspace)
        chosen = [job.id for job in jobs if job.id in chosen] or [job.id for job in jobs[:1]]
        looked_at = [job for job in jobs if job.id in chosen]
        shown = [
            job
            for at, job in enumerate(jobs)
            if at < OPEN_JOBS or job in looked_at or state.get("everything")
        ]
        lines = {job.id: self._line(workspace, job, request) for job in shown}
        # the review reads again when there are texts for the first time, and when a job ends
        seen = [
            [job.id, lines[job.id].counts.done > 0, job.state in OPEN_STATES] for job in looked_at
        ]
        news = int(data[self.news] or 0) + (seen != state.get("seen"))  # type: ignore[call-overload]
        turn = int(state.get("turn") or 0) + 1
        running = any(job.state in OPEN_STATES for job in jobs)
        more = len(jobs) - len(shown)
        return {
            self.state: state | {"turn": turn, "seen": seen},
            self.chosen: chosen,
            self.news: news,
            self.list: jobs_html(list(lines.values()), looked_at, more, turn, language),
            self.timer: gr.Timer(TICK_S, active=running),
        }

    def _line(self, workspace: Workspace, job: Job, request: gr.Request) -> JobLine:
        worker = self.context.jobs(request).worker
        mine = worker is not None and worker.job.id == job.id
        tally = worker.tally if worker is not None and mine else None
        counts = count_items(workspace, job)
        reasons = count_reasons(workspace, job) if counts.failed or counts.skipped else ()
        latest = []
        if tally is not None and job.state == "running":
            outcomes = [o for o in tally.latest if o.key in o.generations][-_SHOWN_LATEST:]
            ids = [outcome.item.record for outcome in outcomes]
            records = {stored.id: stored for stored in load_records(workspace, ids)}
            for outcome in reversed(outcomes):
                stored = records.get(outcome.item.record)
                result = Result(outcome.item, stored, outcome.generations[outcome.key])
                seq = stored.record.seq if stored else ""
                ref = job.spec.sources[outcome.item.source]
                latest.append((seq, ref, response_of(job, result)))
        return JobLine(job, counts, reasons, tally, latest)

    def read_chosen(self, data: Data, request: gr.Request) -> tuple[Workspace, list[Job]]:
        """The jobs that are looked at; QeuError where none is chosen."""
        workspace = self.context.records(request)
        numbers = list(data[self.chosen] or ())  # type: ignore[call-overload]
        if not numbers:
            raise QeuError("No job is chosen. Choose one from the list first.")
        return workspace, [get_job(workspace, int(number)) for number in numbers]


def _toggled(chosen: list[int], number: int) -> list[int]:
    """A click takes a job in, or out where another one stays."""
    if number in chosen:
        return [one for one in chosen if one != number] or chosen
    return sorted([*chosen, number])
