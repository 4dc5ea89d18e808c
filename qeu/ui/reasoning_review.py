"""The review: one record after the other by keys or clicks; decisions stand in the workspace."""

from collections.abc import Mapping

import gradio as gr

from qeu.core.errors import QeuError
from qeu.services.job_candidates import Group, open_group
from qeu.services.job_ensemble import METHODS, ensemble_of
from qeu.services.job_review import Case, decide, list_cases, read_case, take_back
from qeu.store.job_ensembles import list_methods
from qeu.store.job_reviews import count_reviewed, group_name
from qeu.store.workspace import Workspace
from qeu.ui.compare_form import Data, Updates
from qeu.ui.context import Context, Words
from qeu.ui.panels import notice_html
from qeu.ui.reasoning_jobs import ATTACH_JS, JobList
from qeu.ui.reasoning_review_view import (
    DECISION_WORDS,
    Stand,
    case_html,
    empty_html,
    field_name,
    method_name,
)
from qeu.ui.reasoning_usefulness_view import useful_lines
from qeu.ui.sentences import tell
from qeu.ui.sessions import language_of
from qeu.ui.strings import text
from qeu.ui.visibility import OFF

QUIET = {"show_progress": "hidden", "api_visibility": "private"}
MANY = {"concurrency_limit": None, "trigger_mode": "multiple", **QUIET}
# So many records of a list are walked through; the others come when these are decided.
MOST_LISTED = 5_000


class ReviewPart:
    """The record under review, the form to edit its text, and what is shown of the list."""

    def __init__(self, context: Context, say: Words, jobs: JobList) -> None:
        self.context, self.jobs = context, jobs
        self.state = gr.State({})
        with gr.Row(elem_classes="q-tight q-review-bar"):
            self.show_radio = gr.Radio(
                [
                    (say("job.show.all"), "all"),
                    (say("job.show.unreviewed"), "unreviewed"),
                    (say("job.show.disputed"), "disputed"),
                    (say("job.show.broken"), "broken"),
                ],
                value="all",
                label=say("job.show"),
                elem_id="job-show",
                elem_classes="q-scope",
                min_width=300,
                scale=3,
            )
            self.method_dd = gr.Dropdown(
                [(say("job.method.sentences"), "sentences"), (say("job.method.medoid"), "medoid")],
                value="sentences",
                label=say("job.merged"),
                elem_id="job-merged",
                min_width=180,
                scale=1,
            )
        self.line = gr.HTML(notice_html(""), elem_id="job-review-line", padding=False)
        self.case = gr.HTML(elem_id="job-review", padding=False, js_on_load=ATTACH_JS % "review")
        with gr.Group(visible=OFF, elem_id="job-edit") as self.form:
            self.boxes = [
                gr.Textbox(lines=5, elem_id=f"job-edit-{at}", visible=not at) for at in range(2)
            ]
            with gr.Row(elem_classes="q-actions"):
                self.save_btn = gr.Button(
                    say("job.edit.save"), variant="primary", size="md", elem_id="job-edit-save"
                )
                self.discard_btn = gr.Button(
                    say("job.edit.discard"), size="md", elem_id="job-edit-discard"
                )

    def wire(self) -> None:
        """Connect the controls; the review follows the chosen jobs."""
        self.case.select(self.on_act, self.inputs(), self.outputs(), **MANY)
        gr.on(
            [self.jobs.news.change, self.show_radio.input],
            self.on_list, self.inputs(), self.outputs(), trigger_mode="always_last",
            concurrency_limit=None, **QUIET,
        )  # fmt: skip
        self.method_dd.input(self.on_method, self.inputs(), self.outputs(), **MANY)
        self.save_btn.click(self.on_save, self.inputs(), self.outputs(), **MANY)
        self.discard_btn.click(self.on_discard, None, self.form, **QUIET)

    def follow(self, news: gr.Number) -> None:
        """Show the record again when this is raised: more is known of its texts."""
        news.change(self.on_more_known, self.inputs(), {self.state, self.case}, **QUIET)

    def inputs(self) -> set[object]:
        """What every handler reads."""
        return {self.state, self.show_radio, self.method_dd, *self.boxes, self.jobs.chosen}

    def outputs(self) -> set[object]:
        """What every handler may update."""
        return {self.state, self.method_dd, self.line, self.case, self.form, *self.boxes}

    # -- which records ---------------------------------------------------------------------------

    def on_list(self, data: Data, request: gr.Request) -> Updates:
        """Read the list anew: other jobs, other records, another language, new texts."""
        language = language_of(request)
        state = dict(data[self.state] or {})  # type: ignore[call-overload]
        workspace = self.context.records(request)
        if not data[self.jobs.chosen]:
            return self._empty(state, text("job.review.none", language))
        try:
            group = self._group(data, workspace)
            waiting = list_cases(workspace, group, str(data[self.show_radio] or "all"))
        except QeuError as error:
            return self._empty(state, tell(str(error), language))
        state |= {
            "ids": [line.record for line in waiting[:MOST_LISTED]],
            "total": len(waiting),
            "decided": sum(line.reviewed for line in waiting),
            "at": 0,
        }
        methods = list_methods(workspace, group_name(group.numbers))
        choices = [
            (method_name(method, language), method)
            for method in dict.fromkeys(("sentences", "medoid", *methods))
        ]
        updates: Updates = {self.method_dd: gr.update(choices=choices)}
        if str(data[self.method_dd]) not in [value for _, value in choices]:
            updates[self.method_dd] = gr.update(choices=choices, value="sentences")
            data = {**data, self.method_dd: "sentences"}
        fresh = {**data, self.state: state}
        return self._show(fresh, workspace, group, language) | updates | self._closed()

    def _empty(self, state: Mapping[str, object], message: str) -> Updates:
        turn = int(state.get("turn") or 0) + 1  # type: ignore[call-overload]
        return {
            self.state: {"turn": turn},
            self.case: empty_html(message, turn),
            self.line: notice_html(""),
            **self._closed(),
        }

    def _show(
        self, data: Data, workspace: Workspace, group: Group, language: str, told: str = ""
    ) -> Updates:
        """The record at the place where the state stands."""
        state = dict(data[self.state] or {})  # type: ignore[call-overload]
        ids, at = list(state.get("ids") or ()), int(state.get("at") or 0)
        if not ids:
            message = text("job.review.nothing", language)
            return self._empty(state, message) | {self.line: notice_html(told)}
        at = max(0, min(at, len(ids) - 1))
        case = read_case(workspace, group, ids[at])
        method = str(data[self.method_dd] or "sentences")
        if method in METHODS:
            made = ensemble_of(workspace, group, case.stored, method)
            case = read_case(workspace, group, ids[at])
        else:
            found = case.ensembles.get(method)
            made = found if found else ensemble_of(workspace, group, case.stored, "sentences")
        turn = int(state.get("turn") or 0) + 1
        stand = Stand(at, int(state["total"]), int(state["decided"]))
        state |= {
            "at": at, "turn": turn, "version": case.stored.version, "record": case.stored.id,
            "method": made.method,
        }  # fmt: skip
        merged = made if len(case.proposals) > 1 else None
        public = self.context.settings.public
        lines = {} if public else useful_lines(self.context.usefulness, case, language)
        return {
            self.state: state,
            self.line: notice_html(told),
            self.case: case_html(group, case, merged, stand, turn, language, lines),
        }

    # -- one click or key ------------------------------------------------------------------------

    def on_act(self, data: Data, event: gr.EventData, request: gr.Request) -> Updates:
        """Accept, merge, edit, reject, move, undo."""
        act = event._data if isinstance(event._data, dict) else {}
        do, value = str(act.get("do")), str(act.get("value") or "")
        language, workspace = language_of(request), self.context.records(request)
        try:
            group = self._group(data, workspace)
            return self._act(data, workspace, group, do, value, language)
        except QeuError as error:
            return self._refuse(data, workspace, error, language)
        except ValueError:
            return {self.line: notice_html(text("dataset.not_understood", language), "error")}

    def _act(
        self, data: Data, workspace: Workspace, group: Group, do: str, value: str, language: str
    ) -> Updates:
        state = dict(data[self.state] or {})  # type: ignore[call-overload]
        if do == "undo":
            record = take_back(workspace, group)
            ids = list(state.get("ids") or ())
            if record in ids:
                state["at"] = ids.index(record)
            told = text("job.told.undone", language)
            return self._counted(data, workspace, group, state, told, language)
        if not state.get("record"):
            raise QeuError("There is no record to decide about. Choose a job with texts first.")
        if do == "move":
            state["at"] = int(state.get("at") or 0) + int(value)
            shown = self._show({**data, self.state: state}, workspace, group, language)
            return shown | self._closed()
        if do == "edit":
            return self._open(workspace, group, state, value, language)
        number, version = int(state["record"]), int(state["version"])
        if do == "accept" and value.isdigit():
            # a key: the n-th text that is shown
            proposals = read_case(workspace, group, number).proposals
            if not 0 < int(value) <= len(proposals):
                return {self.line: notice_html(text("job.no_such", language, number=value))}
            value = proposals[int(value) - 1].slot.letter
        if do not in DECISION_WORDS:
            raise ValueError(do)
        stored = decide(
            workspace, group, number, version, do, letter=value if do == "accept" else "",
            method=str(state.get("method") or ""),
        )  # fmt: skip
        told = self._told(stored.record.seq or str(stored.id), do, value, language)
        state["at"] = int(state.get("at") or 0) + 1
        return self._counted(data, workspace, group, state, told, language)

    def _counted(
        self,
        data: Data,
        workspace: Workspace,
        group: Group,
        state: dict[str, object],
        told: str,
        language: str,
    ) -> Updates:
        """After a decision: the list stays as it was, so that nothing jumps; the count is new."""
        state |= {"decided": count_reviewed(workspace, group.numbers)}
        shown = self._show({**data, self.state: state}, workspace, group, language, told)
        return shown | self._closed()

    def _told(self, seq: str, decision: str, letter: str, language: str) -> str:
        name = text(DECISION_WORDS[decision], language)
        what = f"{name} {letter}".strip()
        return text("dataset.decided", language, seq=seq, status=what)

    def on_method(self, data: Data, request: gr.Request) -> Updates:
        """Another way of merging."""
        language, workspace = language_of(request), self.context.records(request)
        try:
            return self._show(data, workspace, self._group(data, workspace), language)
        except QeuError as error:
            return self._refuse(data, workspace, error, language)

    def on_more_known(self, data: Data, request: gr.Request) -> Updates:
        """The same record; whoever edits it now still does so from the text that they opened."""
        state = dict(data[self.state] or {})  # type: ignore[call-overload]
        if not state.get("record"):
            return {self.state: gr.skip()}
        workspace = self.context.records(request)
        try:
            group = self._group(data, workspace)
            shown = self._show(data, workspace, group, language_of(request))
        except QeuError:  # said where the jobs are chosen
            return {self.state: gr.skip()}
        fresh = dict(shown[self.state])  # type: ignore[call-overload]
        if fresh.get("record") == state["record"]:
            fresh["version"] = state["version"]
        return {self.state: fresh, self.case: shown[self.case]}

    # -- editing ---------------------------------------------------------------------------------

    def _open(
        self,
        workspace: Workspace,
        group: Group,
        state: dict[str, object],
        letter: str,
        language: str,
    ) -> Updates:
        """The form, filled with the text of this letter, else with the merged one."""
        case = read_case(workspace, group, int(state["record"]))  # type: ignore[call-overload]
        texts, letter = _draft(case, group, letter, str(state.get("method") or ""))
        updates: Updates = {self.form: gr.update(visible=True)}
        for at, box in enumerate(self.boxes):
            shown = at < len(group.fields)
            field = group.fields[at] if shown else ""
            updates[box] = gr.update(
                visible=shown,
                value=texts.get(field, ""),
                label=field_name(field, language) if shown else "",
            )
        return updates | {self.state: state | {"letter": letter}}

    def on_save(self, data: Data, request: gr.Request) -> Updates:
        """Accept what was written in the form."""
        language, workspace = language_of(request), self.context.records(request)
        state = dict(data[self.state] or {})  # type: ignore[call-overload]
        try:
            group = self._group(data, workspace)
            texts = {
                field: str(data[box] or "")
                for field, box in zip(group.fields, self.boxes, strict=False)
            }
            stored = decide(
                workspace, group, int(state["record"]), int(state["version"]), "edited",
                letter=str(state.get("letter") or ""), texts=texts,
            )  # fmt: skip
            told = self._told(stored.record.seq or str(stored.id), "edited", "", language)
            state["at"] = int(state.get("at") or 0) + 1
            return self._counted(data, workspace, group, state, told, language)
        except QeuError as error:
            # the form stays open: nothing that was written is lost
            return {self.line: notice_html(tell(str(error), language), "error")}

    def on_discard(self) -> object:
        """Close the form; nothing is stored."""
        return gr.update(visible=OFF)

    def _closed(self) -> Updates:
        return {self.form: gr.update(visible=OFF)}

    def _refuse(self, data: Data, workspace: Workspace, error: QeuError, language: str) -> Updates:
        """Say it, and show the record as it is by now."""
        try:
            shown = self._show(data, workspace, self._group(data, workspace), language)
        except QeuError:
            shown = {}
        return shown | {self.line: notice_html(tell(str(error), language), "error")}

    def _group(self, data: Data, workspace: Workspace) -> Group:
        numbers = [int(number) for number in data[self.jobs.chosen] or ()]  # type: ignore[attr-defined]
        return open_group(workspace, numbers)


def _draft(case: Case, group: Group, letter: str, method: str) -> tuple[dict[str, str], str]:
    """What an edit begins with: (text by field, the letter it comes from or "")."""
    if len(case.proposals) == 1:
        letter = case.proposals[0].slot.letter
    if letter:
        return dict(case.proposal(letter).texts), letter
    texts = dict(case.current)
    made = case.ensembles.get(method)
    if made and made.ensemble.text:
        texts[group.fields[0]] = made.ensemble.text
    return texts, ""
