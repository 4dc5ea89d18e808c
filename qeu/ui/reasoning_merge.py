"""All records of the chosen jobs at once: put their texts together, accept what holds."""

from collections.abc import Iterator

import gradio as gr

from qeu.backends.catalog import find_model, fitness_warning, split_ref
from qeu.core.errors import QeuError
from qeu.services.job_bulk import Bulk, accept_all, count_bulk
from qeu.services.job_candidates import Group, open_group
from qeu.services.job_ensemble import METHODS, Ensembled, make_ensembles
from qeu.services.job_fusion import fuse
from qeu.store.job_ensembles import list_methods
from qeu.store.job_reviews import group_name
from qeu.store.workspace import Workspace
from qeu.ui.compare_form import Data, Updates
from qeu.ui.context import Context, Words
from qeu.ui.dataset_report_panel import notes_html, told_html
from qeu.ui.dataset_work_panel import MANY, QUIET, Work
from qeu.ui.models_drawer import model_choices
from qeu.ui.models_pickers import short_label
from qeu.ui.panels import notice_html
from qeu.ui.reasoning_jobs import JobList
from qeu.ui.reasoning_review_view import METHOD_WORDS, method_name
from qeu.ui.reasoning_work import ReasoningPanel
from qeu.ui.sentences import tell
from qeu.ui.sessions import language_of
from qeu.ui.strings import text
from qeu.ui.visibility import OFF

_MODEL = "model"
_COUNTS = {
    "kept": "job.merge.kept",
    "disputed": "job.merge.disputed",
    "broken": "job.merge.broken",
    "empty": "job.merge.empty",
    "failed": "job.merge.failed",
}
_LEFT = {
    "reviewed": "job.bulk.reviewed",
    "missing": "job.bulk.missing",
    "broken": "job.bulk.broken",
    "stale": "job.bulk.stale",
}


class ChosenPanel(ReasoningPanel):
    """A part about the jobs that are chosen in the list."""

    def __init__(self, context: Context, say: Words, jobs: JobList) -> None:
        super().__init__(context, say)
        self.jobs = jobs

    def read_group(self, data: Data, request: gr.Request) -> tuple[Workspace, Group]:
        """The chosen jobs, looked at together; QeuError where they cannot be."""
        workspace = self.context.records(request)
        numbers = [int(number) for number in data[self.jobs.chosen] or ()]  # type: ignore[attr-defined]
        return workspace, open_group(workspace, numbers)


class MergePanel(ChosenPanel):
    """Ensembles of all records, without a model or by one."""

    name = "merge"

    def build(self) -> None:
        """The accordion."""
        say = self.say
        with gr.Accordion(say("job.merge.title"), open=False, elem_id="job-merge"):
            gr.Markdown(say("job.merge.intro"), elem_classes="q-intro")
            with gr.Row(elem_classes="q-tight"):
                self.method_radio = gr.Radio(
                    [
                        *((say(key), name) for name, key in METHOD_WORDS.items()),
                        (say("job.merge.model"), _MODEL),
                    ],
                    value="medoid",
                    label=say("job.merge.how"),
                    elem_id="job-merge-method",
                    elem_classes="q-scope",
                    min_width=300,
                    scale=2,
                )
                self.model_dd = gr.Dropdown(
                    model_choices(self.context),
                    value=None,
                    allow_custom_value=True,
                    visible=OFF,
                    label=say("side.model"),
                    elem_id="job-merge-model",
                    min_width=200,
                )
            with gr.Row(elem_classes="q-actions"):
                self.make_btn = gr.Button(
                    say("job.merge.do"), size="md", variant="primary", elem_id="job-merge-do",
                    min_width=130, scale=0,
                )  # fmt: skip
                self.build_stop()
            self.build_line()
            self.build_report()

    def wire(self) -> None:
        """Connect the controls."""
        super().wire()
        self.method_radio.change(
            lambda how: gr.update(visible=how == _MODEL or OFF),
            self.method_radio,
            self.model_dd,
            **QUIET,
        )
        self.make_btn.click(
            self.on_make,
            {self.method_radio, self.model_dd, self.jobs.chosen, self.jobs.news},
            self.outputs() | {self.stop_btn, self.jobs.news},
            **MANY,
        )

    def on_make(self, data: Data, request: gr.Request) -> Iterator[Updates]:
        """Put the texts of all records together."""
        method = str(data[self.method_radio])
        try:
            workspace, group = self.read_group(data, request)
            if method == _MODEL:
                method = str(data[self.model_dd] or "").strip()
                if not method:
                    raise QeuError("No model is chosen. Choose one to fuse the texts.")
                self.context.check_model(method)
        except QeuError as error:
            yield self.refuse(error, request)
            return
        engines = self.context.engines(request)
        local = not self.context.settings.public

        def do(work: Work) -> Ensembled:
            if method in METHODS:
                return make_ensembles(workspace, group, method, work.note, work.stopping)
            return fuse(workspace, engines, group, method, work.note, work.stopping)

        def show(result: object, language: str) -> Updates:
            assert isinstance(result, Ensembled)
            notes = [
                f"{count:,} × {tell(told, language)}" for told, count in result.reasons.items()
            ]
            if method not in METHODS:
                card = find_model(split_ref(method)[0], local_paths=local)
                if fitness_warning(card, task="fuse"):
                    notes.append(text("job.unfit", language, model=tell(card.label, language)))
            return {
                self.line: notice_html(""),
                self.report: told_html(made_text(result, language)) + notes_html(notes),
            }

        def after(result: object) -> Updates:
            return {self.jobs.news: int(data[self.jobs.news] or 0) + 1}  # type: ignore[call-overload]

        yield from self.run(request, do, show, after)


class BulkPanel(ChosenPanel):
    """Accept all that hold their contract, of one writer or of the merged ones; counted first."""

    name = "bulk"

    def build(self) -> None:
        """The accordion."""
        say = self.say
        with gr.Accordion(say("job.bulk.title"), open=False, elem_id="job-bulk") as self.accordion:
            gr.Markdown(say("job.bulk.intro"), elem_classes="q-intro")
            with gr.Row(elem_classes="q-tight"):
                self.choice_dd = gr.Dropdown(
                    [], value=None, label=say("job.bulk.choice"), elem_id="job-bulk-choice",
                    min_width=240, scale=2,
                )  # fmt: skip
                self.stale_cb = gr.Checkbox(
                    False,
                    label=say("job.bulk.include_stale"),
                    info=say("job.stale.help"),
                    elem_id="job-bulk-stale",
                    min_width=220,
                    scale=2,
                )
            with gr.Row(elem_classes="q-actions"):
                self.count_btn = gr.Button(
                    say("job.bulk.count"), size="md", elem_id="job-bulk-count", min_width=110,
                    scale=0,
                )  # fmt: skip
                self.accept_btn = gr.Button(
                    say("job.bulk.do"), size="md", variant="primary", interactive=False,
                    elem_id="job-bulk-do", min_width=130, scale=0,
                )  # fmt: skip
                self.build_stop()
            self.build_line()
            self.build_report()

    def wire(self) -> None:
        """Connect the controls; what was counted is accepted only while it still is the same."""
        super().wire()
        inputs = {self.choice_dd, self.stale_cb, self.jobs.chosen, self.jobs.news}
        outputs = self.outputs() | {self.stop_btn, self.accept_btn}
        self.count_btn.click(self.on_count, inputs, outputs, **MANY)
        self.accept_btn.click(self.on_accept, inputs, outputs | {self.jobs.news}, **MANY)
        gr.on(
            [self.accordion.expand, self.jobs.news.change],
            self.on_choices, inputs, {self.choice_dd, self.accept_btn},
            trigger_mode="always_last", **QUIET,
        )  # fmt: skip
        gr.on(
            [self.choice_dd.input, self.stale_cb.input],
            lambda: gr.update(interactive=False), None, self.accept_btn, **QUIET,
        )  # fmt: skip

    def on_choices(self, data: Data, request: gr.Request) -> Updates:
        """Whose texts can be accepted at once."""
        language = language_of(request)
        try:
            workspace, group = self.read_group(data, request)
        except QeuError:
            return {self.choice_dd: gr.update(choices=[], value=None)}
        choices = [
            (f"{slot.letter} · {short_label(slot.ref)}", slot.letter) for slot in group.slots
        ]
        methods = list_methods(workspace, group_name(group.numbers))
        choices += [
            (f"{method_name(method, language)} ({count:,})", method)
            for method, count in methods.items()
        ]
        values = [value for _, value in choices]
        chosen = data[self.choice_dd] if data[self.choice_dd] in values else values[0]
        return {
            self.choice_dd: gr.update(choices=choices, value=chosen),
            self.accept_btn: gr.update(interactive=False),
        }

    def on_count(self, data: Data, request: gr.Request) -> Iterator[Updates]:
        """Say what accepting would do."""
        yield from self._run(data, request, False)

    def on_accept(self, data: Data, request: gr.Request) -> Iterator[Updates]:
        """Do it, as one step."""
        yield from self._run(data, request, True)

    def _run(self, data: Data, request: gr.Request, accept: bool) -> Iterator[Updates]:
        try:
            workspace, group = self.read_group(data, request)
            choice = str(data[self.choice_dd] or "")
            if not choice:
                raise QeuError("Nothing is chosen. Choose whose texts to accept.")
        except QeuError as error:
            yield self.refuse(error, request)
            return
        include = bool(data[self.stale_cb])

        def do(work: Work) -> Bulk:
            deed = accept_all if accept else count_bulk
            return deed(
                workspace, group, choice, include_stale=include, progress=work.note,
                stop=work.stopping,
            )  # fmt: skip

        def show(result: object, language: str) -> Updates:
            assert isinstance(result, Bulk)
            key = "job.bulk.accepted" if accept else "job.bulk.would"
            told = [text(key, language, count=f"{result.accepted:,}")]
            told += [
                text(word, language, count=f"{count:,}")
                for name, word in _LEFT.items()
                if (count := getattr(result, name))
            ]
            return {self.line: notice_html(""), self.report: told_html(" · ".join(told))}

        def after(result: object) -> Updates:
            assert isinstance(result, Bulk)
            ready = gr.update(interactive=bool(result.accepted) and not accept)
            updates: Updates = {self.accept_btn: ready}
            if accept:
                updates[self.jobs.news] = int(data[self.jobs.news] or 0) + 1  # type: ignore[call-overload]
            return updates

        yield from self.run(request, do, show, after, writes=accept)


def made_text(made: Ensembled, language: str) -> str:
    """What putting together brought, on one line."""
    told = [text("job.merge.made", language, made=f"{made.made:,}", records=f"{made.records:,}")]
    told += [
        text(key, language, count=f"{count:,}")
        for name, key in _COUNTS.items()
        if (count := getattr(made, name))
    ]
    return " · ".join(told)
