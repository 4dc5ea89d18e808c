"""Order a bulk job on the Reasoning tab: look first what it would do, then start it."""

from collections.abc import Iterator

import gradio as gr

from qeu.backends.catalog import Task, find_model, fitness_warning, split_ref
from qeu.core.errors import QeuError
from qeu.core.job_spec import JobSpec
from qeu.services.job_plan import JobPlan, plan_job
from qeu.store.datasets import count_records, find_dataset, list_datasets
from qeu.store.queries import read_page
from qeu.ui.compare_form import Data, Updates
from qeu.ui.dataset_report_panel import notes_html
from qeu.ui.dataset_work_panel import MANY, QUIET, Work
from qeu.ui.panels import notice_html
from qeu.ui.reasoning_jobs_view import plan_html
from qeu.ui.reasoning_order_form import MOST_PUBLIC_RECORDS, OrderFields
from qeu.ui.sentences import tell
from qeu.ui.sessions import language_of
from qeu.ui.strings import text


class OrderForm(OrderFields):
    """Look first, then start; the job itself is worked on by the queue, not by this page."""

    def wire(self) -> None:
        """Connect the buttons but Start, which the tab connects to the list of jobs."""
        super().wire()
        self.look_btn.click(self.on_look, self.inputs(), self.outputs() | {self.stop_btn}, **MANY)
        self.target_dd.change(
            self.on_target,
            self.target_dd,
            {self.translation_row, self.template_box, self.use_reasoning_cb, self.hinted_cb},
            **QUIET,
        )
        last = {"trigger_mode": "always_last", **QUIET}
        self.dataset_dd.input(self.on_dataset, self.inputs(), {self.scope_radio}, **last)

    def opened(self) -> set[object]:
        """All that `on_open` may update."""
        return {self.dataset_dd, self.scope_radio, self.start_btn, self.look_btn, self.line}

    def on_open(self, data: Data, request: gr.Request) -> Updates:
        """The tab was opened: the data sets there are now, the one of the Dataset tab first."""
        workspace = self.context.records(request)
        names = [dataset.name for dataset in list_datasets(workspace)]
        wanted = [str(data[self.dataset_dd] or ""), str(data[self.place.name_dd] or "")]
        chosen = next((name for name in wanted if name in names), names[0] if names else None)
        updates: Updates = {self.dataset_dd: gr.update(choices=names, value=chosen)}
        updates |= self.on_dataset({**data, self.dataset_dd: chosen}, request)
        for button in (self.start_btn, self.look_btn):
            updates[button] = gr.update(interactive=bool(names))
        why = "" if names else text("job.no_data", language_of(request))
        updates[self.line] = notice_html(why, "warning")
        return updates

    def on_dataset(self, data: Data, request: gr.Request) -> Updates:
        """How many records are meant by each answer."""
        language, workspace = language_of(request), self.context.records(request)
        name = str(data[self.dataset_dd] or "")
        if not name:
            choices = [(text("data.scope.filter_plain", language), "filter"),
                       (text("data.scope.all_plain", language), "all")]  # fmt: skip
            return {self.scope_radio: gr.update(choices=choices)}
        try:
            dataset = find_dataset(workspace, name)
            page = read_page(workspace, dataset, self._filter(data), limit=0)
            total = count_records(workspace, dataset)
        except QeuError:
            return {self.scope_radio: gr.skip()}
        about = "" if page.total_exact else "≈ "
        choices = [
            (text("data.scope.filter", language, count=f"{about}{page.total:,}"), "filter"),
            (text("data.scope.all", language, count=f"{total:,}"), "all"),
        ]
        return {self.scope_radio: gr.update(choices=choices)}

    def on_look(self, data: Data, request: gr.Request) -> Iterator[Updates]:
        """What the job would do, without doing it."""
        try:
            workspace, spec = self.read(data, request)
        except QeuError as error:
            yield self.refuse(error, request)
            return
        engines = self.context.engines(request)

        def do(work: Work) -> JobPlan:
            return plan_job(workspace, engines, spec, work.tell, work.stopping)

        def show(result: object, language: str) -> Updates:
            assert isinstance(result, JobPlan)
            shown = plan_html(result, self._notes(spec, language), language)
            return {self.line: notice_html(""), self.report: shown}

        yield from self.run(request, do, show)

    def on_start(self, data: Data, request: gr.Request) -> tuple[Updates, int]:
        """Order the job; its updates and its number, 0 where it could not be ordered."""
        language = language_of(request)
        try:
            _, spec = self.read(data, request)
            job = self.context.jobs(request).order(spec, self.context.engines(request))
        except QeuError as error:
            return self.refuse(error, request) | {self.report: ""}, 0
        public = self.context.settings.public
        told = text("job.ordered_here" if public else "job.ordered", language, number=job.id)
        notes = notes_html(self._notes(spec, language))
        return {self.line: notice_html(told), self.report: notes}, job.id

    def _notes(self, spec: JobSpec, language: str) -> list[str]:
        """What a person should know before: models that are not fit, limits of a public page."""
        local = not self.context.settings.public
        cards = [find_model(split_ref(ref)[0], local_paths=local) for ref in spec.sources]
        notes = [
            text("job.unfit", language, model=tell(card.label, language))
            for card in cards
            if fitness_warning(card, task=_task_of(spec.target))
        ]
        if self.context.settings.public:
            notes.append(text("job.public", language, count=MOST_PUBLIC_RECORDS))
        return notes


def _task_of(target: str) -> Task:
    tasks: dict[str, Task] = {"translation": "translate", "answer": "answer", "template": "answer"}
    return tasks.get(target, "reason")
