"""The Models drawer: what is loaded, what would fit, adapters, keys, the table of models."""

from collections.abc import Callable, Iterator, Sequence

import gradio as gr
from gradio.events import Dependency

from qeu.backends.adapter_files import scan_adapters
from qeu.backends.precision import AUTO
from qeu.core.errors import QeuError
from qeu.ui.adapters_panel import ASK_JS as MANAGE_JS
from qeu.ui.adapters_panel import AdaptersPanel
from qeu.ui.adapters_view import open_html
from qeu.ui.compare_form import Updates
from qeu.ui.context import DEFAULT_MODEL, Context, Words
from qeu.ui.keys_panel import ASK_JS, KeysPanel
from qeu.ui.models_hosted import HostedModels
from qeu.ui.models_pickers import (
    Choices,
    adapter_choices,
    hosted_choices,
    local_choices,
    short_label,
)
from qeu.ui.models_view import (
    PRECISION_WORDS,
    adapters_html,
    estimate_html,
    memory_html,
    precision_of,
    table_html,
)
from qeu.ui.panels import notice_html
from qeu.ui.sentences import tell
from qeu.ui.sessions import language_of
from qeu.ui.strings import text, words

QUIET = {"show_progress": "hidden", "api_visibility": "private"}


def model_choices(context: Context, language: str = "en") -> Choices:
    """Models of the table that run here, and adapters of each, as picker entries."""
    return [*local_choices(language), *adapter_choices(context.settings.adapters)]


class ModelsDrawer:
    """A drawer on the right that any tab can open; `hosted` knows each visitor's providers."""

    def __init__(self, context: Context, say: Words, hosted: HostedModels) -> None:
        self.context, self.hosted = context, hosted
        self.public = context.settings.public
        with gr.Sidebar(
            label=say("models.title"), position="right", open=False, elem_id="models", width=340
        ) as self.sidebar:
            gr.Markdown(say("models.loaded"), elem_classes="q-section")
            self.memory = gr.HTML(elem_id="models-loaded", js_on_load=ASK_JS)
            gr.Markdown(say("models.section.load"), elem_classes="q-section")
            self.model_dd = gr.Dropdown(
                local_choices(),
                value=DEFAULT_MODEL,
                label=say("models.choose"),
                info=None if self.public else say("models.choose.help"),
                allow_custom_value=True,  # what is not offered is refused in our own words
                elem_id="models-choose",
            )
            # who visits a public page does not decide how its owner's memory is used
            self.precision_dd = gr.Dropdown(
                [(say(word), name) for name, word in PRECISION_WORDS.items()],
                value=AUTO,
                label=say("models.precision"),
                elem_id="models-precision",
                visible=not self.public,
            )
            self.estimate = gr.HTML(elem_id="models-estimate")
            with gr.Row(elem_classes="q-tight"):
                self.load_btn = gr.Button(
                    say("models.load"),
                    variant="primary",
                    min_width=80,
                    elem_id="models-load",
                    size="md",
                )
                self.refresh_btn = gr.Button(
                    "⟳", min_width=40, scale=0, elem_id="models-refresh", size="md"
                )
            self.notice = gr.HTML(notice_html(""), elem_id="models-notice")
            with gr.Accordion(
                say("models.section.adapters"), open=False, elem_id="models-adapters"
            ):
                # visitors of a public page change nothing of its adapters
                self.manage = None if self.public else AdaptersPanel(context, say)
                self.adapters = gr.HTML(elem_id="models-adapter-list", js_on_load=MANAGE_JS)
            with gr.Accordion(say("models.section.hosted"), open=False, elem_id="models-hosted"):
                self.keys = KeysPanel(context, say, hosted)
            with gr.Accordion(say("models.section.list"), open=False, elem_id="models-list"):
                self.table = gr.HTML(elem_id="models-table")

    def wire(
        self,
        pickers: Sequence[gr.Dropdown],
        status: gr.HTML,
        show_status: Callable[[gr.Request], str],
        after: Callable[[Dependency], None],
    ) -> None:
        """Connect the buttons.

        Adapters and hosted models that appear go to all `pickers`; `after` is told of every event
        that may bring some. `status` is the header's line, written by `show_status`.
        """
        self.pickers, self.status, self.show_status = tuple(pickers), status, show_status
        outputs = {self.notice, self.memory, self.estimate, status}
        self.load_btn.click(self.on_load, self.model_dd, outputs, concurrency_limit=None, **QUIET)
        self.memory.submit(self.on_unload, self.model_dd, outputs, **QUIET)
        self.model_dd.change(
            self.on_choose,
            self.model_dd,
            [self.precision_dd, self.estimate],
            trigger_mode="always_last",
            **QUIET,
        )
        self.precision_dd.input(
            self.on_precision,
            [self.model_dd, self.precision_dd],
            outputs,
            trigger_mode="always_last",
            **QUIET,
        )
        shown = {*self.outputs(), *self.pickers}
        self.sidebar.expand(self.on_show, self.model_dd, self.outputs(), **QUIET)
        after(self.refresh_btn.click(self.on_refresh, self.model_dd, shown, **QUIET))
        self.keys.wire({*self.pickers}, self.show_choices, after)
        if self.manage:
            listed = {self.adapters, *self.pickers}
            self.manage.wire(self.adapters, listed, self.show_adapters)

    def look_at_first(self, demo: gr.Blocks) -> Dependency:
        """When the page opens: ask the providers that the owner has keys for."""
        shown = {self.keys.states, *self.pickers}
        return demo.load(self.on_first, None, shown, concurrency_limit=None, **QUIET)

    def follow_language(self, event: Dependency) -> None:
        """Say everything again in the language just chosen."""
        shown = {*self.outputs(), *self.pickers}
        event.then(self.on_language, self.model_dd, shown, **QUIET)

    def follow_adapters(self, mark: gr.HTML) -> None:
        """Hand adapters that came or went to every picker, whenever `mark` changes."""
        shown = {self.adapters, *self.pickers}
        mark.change(self.show_adapters, None, shown, trigger_mode="always_last", **QUIET)

    def watched(self) -> dict[gr.HTML, Callable[[gr.Request], str]]:
        """What changes while nobody touches the drawer, each part with what writes it."""
        return {self.memory: self.memory_text, self.keys.states: self.keys.states_html}

    def outputs(self) -> set[object]:
        """All that `show` writes."""
        return {
            self.memory,
            self.estimate,
            self.adapters,
            self.table,
            self.keys.states,
            self.model_dd,
        }

    def show(self, model: str | None, request: gr.Request) -> Updates:
        """Everything as it is now, in the page's language."""
        language = language_of(request)
        return {
            self.memory: self.memory_text(request),
            self.estimate: self._estimate(model, request),
            self.adapters: self._adapters_text(language),
            self.table: table_html(language),
            self.keys.states: self.keys.states_html(request),
            self.model_dd: gr.update(choices=local_choices(language)),
        }

    def show_adapters(self, request: gr.Request) -> Updates:
        """The adapters as they are now, here and in every picker."""
        listed = self._adapters_text(language_of(request))
        return {self.adapters: listed, **self.show_choices(request)}

    def show_choices(self, request: gr.Request) -> Updates:
        """What this visitor can choose from, for every picker."""
        choices = model_choices(self.context, language_of(request))
        choices += hosted_choices(self.hosted.refs(request))
        return {picker: gr.update(choices=choices) for picker in self.pickers}

    def memory_text(self, request: gr.Request) -> str:
        """What is loaded, and what is free."""
        shelf = self.context.shelf
        return memory_html(
            shelf.loaded(),
            shelf.free_bytes(),
            language_of(request),
            may_unload=not self.public,
        )

    def on_show(self, model: str | None, request: gr.Request) -> Updates:
        """The drawer was opened."""
        return self.show(model, request)

    def on_first(self, request: gr.Request) -> Updates:
        """The page was opened: hosted models that the owner has keys for join the pickers."""
        self.hosted.look(request)
        return {self.keys.states: self.keys.states_html(request), **self.show_choices(request)}

    def on_language(self, model: str | None, request: gr.Request) -> Updates:
        """The drawer and all pickers in another language."""
        return self.show(model, request) | self.show_choices(request)

    def on_refresh(self, model: str | None, request: gr.Request) -> Updates:
        """Look again at what is there; adapters and models that appeared go to every picker."""
        # a visitor must not make the owner's key ask again and again
        self.hosted.look(request, refresh=not self.context.settings.public)
        return self.show(model, request) | self.show_choices(request)

    def on_choose(self, model: str | None, request: gr.Request) -> tuple[object, str]:
        """Another model: its precision, and what it would take."""
        try:
            self._check(model)
            precision: object = precision_of(self.context.shelf, (model or "").strip())
        except QeuError:
            precision = gr.skip()  # the estimate says what is wrong with the name
        return precision, self._estimate(model, request)

    def on_precision(self, model: str | None, precision: str, request: gr.Request) -> Updates:
        """How the model is to be loaded from now on, by the drawer and by runs."""
        try:
            self._refuse_visitors()
            self.context.shelf.choose_precision((model or "").strip(), precision)
        except QeuError as error:
            return self._told(tell(str(error), language_of(request)), "error", model, request)
        return {self.estimate: self._estimate(model, request)}

    def on_load(self, model: str | None, request: gr.Request) -> Iterator[Updates]:
        """Load a model and tell how far it is."""
        from qeu.services.loading import load_with_progress

        language, name = language_of(request), (model or "").strip()
        try:
            self._check(name)
            for step, share in load_with_progress(self.context.engines(request), name):
                label = words(language).get(f"load.{step}", step)
                line = f"{label} {share:.0%}" if share else label
                yield {self.notice: notice_html(line)}
        except QeuError as error:
            yield self._told(tell(str(error), language), "error", model, request)
            return
        ready = text("model.ready", language, model=short_label(name))
        yield self._told(ready, "info", model, request)

    def on_unload(self, model: str | None, event: gr.EventData, request: gr.Request) -> Updates:
        """Free the memory of the card whose button was pressed; refused while it computes."""
        language = language_of(request)
        name, _, precision = str(event.ask).partition("\n")
        try:
            self._refuse_visitors()
            self.context.shelf.unload(name, precision=precision or None)
        except QeuError as error:
            return self._told(tell(str(error), language), "error", model, request)
        done = text("models.unloaded", language, model=short_label(name))
        return self._told(done, "info", model, request)

    def _adapters_text(self, language: str) -> str:
        folder = self.context.settings.adapters
        found, broken = scan_adapters(folder)
        if self.public:
            return adapters_html(found, broken, None, language)
        return adapters_html(found, broken, folder, language, open_html)

    def _told(self, line: str, kind: str, model: str | None, request: gr.Request) -> Updates:
        return {
            self.notice: notice_html(line, kind),
            self.memory: self.memory_text(request),
            self.estimate: self._estimate(model, request),
            self.status: self.show_status(request),
        }

    def _estimate(self, model: str | None, request: gr.Request) -> str:
        language, name = language_of(request), (model or "").strip()
        try:
            self._check(name)
        except QeuError as error:
            return notice_html(tell(str(error), language), "error")
        return estimate_html(self.context.shelf, name, language)

    def _check(self, model: str | None) -> None:
        self.context.check_model((model or "").strip())

    def _refuse_visitors(self) -> None:
        if self.public:
            raise QeuError(
                "Visitors do not change what a public page has loaded. "
                "Run the playground on your own machine for that."
            )
