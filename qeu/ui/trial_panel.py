"""The language trial on the page: which languages to mix, the warning before, the grid after."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import gradio as gr

from qeu.backends.catalog import find_model, split_ref
from qeu.core.errors import QeuError
from qeu.core.roles import ROLE_IDS, ROLES, Role
from qeu.services.roles import worded_role
from qeu.services.runs import Live
from qeu.services.trial import (
    LANGUAGES,
    NEW_TOKENS,
    PLAIN_ROLE,
    Trial,
    list_items,
    short_sampling,
    start_trial,
)
from qeu.services.trial_verdicts import export_csv, export_json
from qeu.ui.compare_form import Data, Updates
from qeu.ui.context import Context, Words
from qeu.ui.panels import notice_html
from qeu.ui.sampling_form import SamplingForm
from qeu.ui.sentences import tell
from qeu.ui.sessions import language_of
from qeu.ui.streaming import stream_run
from qeu.ui.strings import text
from qeu.ui.trial_grid import (
    KEEP_OPEN_JS,
    banner_text,
    grid_html,
    plain_grid_html,
    totals_html,
)

PLACE = "trial"
AXES = ("instruction", "content", "answer")
# 27 texts are sent whole at every tick: slower than one text is, and still live.
GRID_TICK_S = 0.25
MANY = {"concurrency_limit": None, "trigger_mode": "multiple", "show_progress": "hidden"}
QUIET = {"show_progress": "hidden", "api_visibility": "private"}


class TrialPanel:
    """Builds the trial's part of the Roles tab; model, layout and wordings are the tab's own."""

    def __init__(
        self,
        context: Context,
        say: Words,
        sampling: SamplingForm,
        exact_cb: gr.Checkbox,
        model_dd: gr.Dropdown,
        layout_dd: gr.Dropdown,
        roles: Mapping[str, gr.Textbox],
    ) -> None:
        self.context, self.sampling, self.exact_cb = context, sampling, exact_cb
        self.model_dd, self.layout_dd, self.roles = model_dd, layout_dd, roles
        gr.Markdown(say("trial.intro"), elem_classes="q-intro")
        with gr.Row(elem_classes="q-tight q-ticks"):
            self.ticks: dict[str, gr.CheckboxGroup] = {
                axis: gr.CheckboxGroup(
                    [(say(f"language.{code}"), code) for code in LANGUAGES],
                    value=list(LANGUAGES),
                    label=say(f"trial.tick.{axis}"),
                    elem_id=f"trial-{axis}",
                    min_width=260,
                )
                for axis in AXES
            }
        with gr.Row(elem_classes="q-tight"):
            self.item_dd = gr.Dropdown(
                [(say(f"trial.item.{item.id}"), item.id) for item in list_items()],
                value=list_items()[0].id,
                label=say("trial.item"),
                info=say("trial.item.help"),
                elem_id="trial-item",
                min_width=200,
            )
            self.role_dd = gr.Dropdown(
                [
                    (say("trial.role.plain"), PLAIN_ROLE.id),
                    *((say(f"role.{role_id}"), role_id) for role_id in ROLE_IDS),
                ],
                value=PLAIN_ROLE.id,
                label=say("trial.role"),
                info=say("trial.role.help"),
                elem_id="trial-role",
                min_width=240,
            )
            self.tokens_slider = gr.Slider(
                16,
                128,
                value=NEW_TOKENS,
                step=8,
                label=say("trial.tokens"),
                info=say("trial.tokens.help"),
                buttons=[],
                elem_id="trial-tokens",
                min_width=200,
            )
        self.banner = gr.HTML(
            notice_html(*self._banner(Trial(str(model_dd.value or "")), "en")),
            elem_id="trial-banner",
        )
        with gr.Row(elem_classes="q-actions"):
            self.run_btn = gr.Button(
                say("trial.run"), variant="primary", elem_id="trial-run", min_width=130, scale=2
            )
            self.stop_btn = gr.Button(
                say("action.stop"), variant="stop", elem_id="trial-stop", min_width=90
            )
            self.csv_btn = gr.DownloadButton(
                say("trial.csv"), interactive=False, elem_id="trial-csv", min_width=110
            )
            self.json_btn = gr.DownloadButton(
                say("trial.json"), interactive=False, elem_id="trial-json", min_width=110
            )
        self.notice = gr.HTML(notice_html(""), elem_id="trial-notice")
        self.totals = gr.HTML(totals_html({}, "en"), elem_id="trial-totals", padding=False)
        self.grid = gr.HTML(
            plain_grid_html(Trial(""), "en"),
            elem_id="trial-grid",
            padding=False,
            js_on_load=KEEP_OPEN_JS,
        )

    def wire(self, spoken: gr.State) -> None:
        """Connect every control; `spoken` changes with the page's language."""
        shown = self.outputs() | {self.csv_btn, self.json_btn}
        self.run_btn.click(self.on_run, self._inputs(), shown, api_visibility="private", **MANY)
        self.stop_btn.click(self.on_stop, queue=False, **QUIET)
        settings = [*self.ticks.values(), self.item_dd, self.role_dd]
        gr.on(
            [self.model_dd.change, spoken.change, *(control.input for control in settings)],
            self.on_settings,
            self._inputs(),
            {self.banner, self.grid},
            trigger_mode="always_last",
            **QUIET,
        )

    def _inputs(self) -> set[gr.components.Component]:
        return {
            self.model_dd,
            self.layout_dd,
            self.item_dd,
            self.role_dd,
            self.tokens_slider,
            self.exact_cb,
            *self.ticks.values(),
            *self.sampling.components(),
            *self.roles.values(),
        }

    def outputs(self) -> set[object]:
        """All that `on_language` may update."""
        return {self.banner, self.notice, self.totals, self.grid}

    def read(self, data: Data) -> Trial:
        """The form as it stands; raises QeuError for values that cannot be used."""
        sampling = self.sampling.read(data)
        # An emptied number box sends nothing at all.
        tokens = data[self.tokens_slider] or NEW_TOKENS
        return Trial(
            model=str(data[self.model_dd] or "").strip(),
            item=str(data[self.item_dd]),
            instructions=tuple(data[self.ticks["instruction"]] or ()),  # type: ignore[arg-type]
            contents=tuple(data[self.ticks["content"]] or ()),  # type: ignore[arg-type]
            answers=tuple(data[self.ticks["answer"]] or ()),  # type: ignore[arg-type]
            role=self._role(data),
            layout=str(data[self.layout_dd] or ""),
            sampling=short_sampling(sampling, tokens),  # type: ignore[arg-type]
            exact=bool(data[self.exact_cb]),
        )

    def _role(self, data: Data) -> Role:
        role_id = str(data[self.role_dd])
        if role_id not in ROLES:
            return PLAIN_ROLE
        return worded_role(role_id, {role_id: str(data[self.roles[role_id]] or "")})

    def on_run(self, data: Data, request: gr.Request) -> Iterator[Updates]:
        """Run every ticked cell as one batch; an older trial of this page is stopped first."""
        session, language = self.context.sessions.of(request), language_of(request)
        try:
            trial = self.read(data)
            self.context.check_model(trial.model)
            run = start_trial(self.context.engines(request), trial)
        except QeuError as error:
            session.stop(PLACE)
            yield {self.notice: notice_html(tell(str(error), language), "error")}
            return
        plan = text("trial.plan", language, count=len(run.live), model=trial.model)
        locked = gr.update(interactive=False)
        first = {
            self.notice: notice_html(plan),
            self.csv_btn: locked,
            self.json_btn: locked,
            **self._show(run.live, language),
        }

        def show(_: set[str]) -> Updates:
            return self._show(run.live, language) | {
                self.notice: notice_html(_state_text(run.live, language) or plan)
            }

        beat = {self.notice: gr.skip()}
        yield from stream_run(session, PLACE, run, first, show, beat, tick_s=GRID_TICK_S)
        if session.is_current(PLACE, run):
            yield {
                **self._show(run.live, language),
                **self._take_away(trial, run.live),
                self.notice: notice_html(_end_text(run.live, language)),
            }

    def _show(self, lives: Mapping[str, Live], language: str) -> Updates:
        return {
            self.totals: totals_html(lives, language),
            self.grid: grid_html(lives, language),
        }

    def _take_away(self, trial: Trial, lives: Mapping[str, Live]) -> Updates:
        folder = Path(tempfile.mkdtemp(prefix="qeu-"))
        files = {
            self.csv_btn: (folder / "language-trial.csv", export_csv(lives)),
            self.json_btn: (folder / "language-trial.json", export_json(trial, lives)),
        }
        for path, content in files.values():
            path.write_text(content, encoding="utf-8", newline="")
        return {
            button: gr.update(value=str(path), interactive=True)
            for button, (path, _) in files.items()
        }

    def on_stop(self, request: gr.Request) -> None:
        """Stop all cells; the texts so far stay and are judged."""
        self.context.sessions.of(request).stop(PLACE)

    def on_settings(self, data: Data, request: gr.Request) -> Updates:
        """Say what will happen with these settings; show their grid, unless one has been run."""
        session, language = self.context.sessions.of(request), language_of(request)
        try:
            trial = self.read(data)
            updates: Updates = {self.banner: notice_html(*self._banner(trial, language))}
        except QeuError as error:
            return {self.banner: notice_html(tell(str(error), language), "error")}
        if PLACE not in session.shown:
            updates[self.grid] = plain_grid_html(trial, language)
        return updates

    def _banner(self, trial: Trial, language: str) -> tuple[str, str]:
        if not trial.model:
            return text("trial.no_model", language), "info"
        if not trial.cells():
            return text("trial.no_cells", language), "error"
        self.context.check_model(trial.model)
        return banner_text(find_model(split_ref(trial.model)[0]), trial, language)

    def on_language(self, request: gr.Request) -> Updates:
        """Show the last trial again in the language just chosen."""
        session, language = self.context.sessions.of(request), language_of(request)
        if not (lives := session.shown.get(PLACE)):
            return {self.totals: totals_html({}, language)}
        return self._show(lives, language) | {self.notice: notice_html("")}


def _state_text(lives: Mapping[str, Live], language: str) -> str:
    """How the batch is doing while no text shows it: loading, waiting, reading."""
    live = next(iter(lives.values()))
    if live.phase in ("queued", "loading"):
        return text("trial.loading", language)
    if live.phase == "waiting" and live.ahead:
        return text("side.waiting", language, ahead=live.ahead)
    return ""


def _end_text(lives: Mapping[str, Live], language: str) -> str:
    """What it took; the first error if there is one."""
    errors = [live.error for live in lives.values() if live.error]
    if errors:
        return tell(errors[0], language)
    tokens = sum(live.new_tokens for live in lives.values())
    seconds = max((live.seconds for live in lives.values()), default=0.0)
    return text("trial.done", language, count=len(lives), tokens=tokens, seconds=f"{seconds:.1f}")
