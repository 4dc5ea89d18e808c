"""A line under a text that shows it in another language, translated by a model."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

import gradio as gr

from qeu.backends.catalog import Unfit
from qeu.core.errors import QeuError
from qeu.core.translate_prompts import default_target
from qeu.services.translate import TranslationRun
from qeu.services.translated_text import translation_warning
from qeu.services.translators import find_translators, list_hosted
from qeu.ui.compare_form import Data, Updates
from qeu.ui.context import DEFAULT_MODEL, Context, Words
from qeu.ui.panels import notice_html
from qeu.ui.sentences import tell
from qeu.ui.sessions import Session, language_of
from qeu.ui.streaming import stream_run
from qeu.ui.strings import text
from qeu.ui.translation_source import Shown, list_sources, translator_choices
from qeu.ui.translation_view import Title, translation_html, unfit_text
from qeu.ui.visibility import OFF

MANY = {"concurrency_limit": None, "trigger_mode": "multiple", "show_progress": "hidden"}
QUIET = {"show_progress": "hidden", "api_visibility": "private"}
TARGET_KEYS = {
    "en": "translate.in.en",
    "ja": "translate.in.ja",
    "zh-CN": "translate.in.zh-CN",
    "zh-TW": "translate.in.zh-TW",
}
# How many fit models a sentence names.
MOST_NAMED = 3


@dataclass(frozen=True)
class _Made:
    """The last translation of a strip, and what it is of."""

    run: TranslationRun
    shown: Shown


class TranslationStrip:
    """One slim line; the translation opens below it. `name` begins the ids of its elements."""

    def __init__(self, context: Context, say: Words, name: str) -> None:
        self.context, self.name = context, name
        self.place = f"translation/{name}"
        with gr.Column(elem_classes="q-strip", elem_id=f"{name}-translation"):
            with gr.Row(elem_classes="q-strip-row"):
                self.target_dd = gr.Dropdown(
                    [(say(key), code) for code, key in TARGET_KEYS.items()],
                    value=default_target("en"),
                    label=say("translate.target"),
                    show_label=False,
                    container=False,
                    elem_id=f"{name}-translation-target",
                    min_width=100,
                    scale=3,
                )
                self.model_dd = gr.Dropdown(
                    translator_choices(context, default_target("en")),
                    value=DEFAULT_MODEL,
                    label=say("translate.model"),
                    show_label=False,
                    container=False,
                    allow_custom_value=not context.settings.public,
                    elem_id=f"{name}-translation-model",
                    min_width=100,
                    scale=4,
                )
                self.translate_btn = gr.Button(
                    say("translate.do"), size="sm", elem_id=f"{name}-translation-do",
                    min_width=70, scale=0,
                )  # fmt: skip
                self.stop_btn = gr.Button(
                    say("action.stop"), size="sm", variant="stop", visible=OFF,
                    elem_id=f"{name}-translation-stop", min_width=70, scale=0,
                )  # fmt: skip
            self.banner = gr.HTML("", elem_id=f"{name}-translation-banner", padding=False)
            self.anyway_cb = gr.Checkbox(
                False,
                label=say("translate.anyway"),
                visible=OFF,
                container=False,
                elem_id=f"{name}-translation-anyway",
            )
            self.result = gr.HTML(
                "", elem_id=f"{name}-translation-text", elem_classes="q-translated",
                padding=False, max_height=340,
            )  # fmt: skip

    def outputs(self) -> set[object]:
        """All that a handler here, `clear` and `on_language` may update."""
        return {
            self.target_dd, self.model_dd, self.translate_btn, self.stop_btn, self.banner,
            self.anyway_cb, self.result,
        }  # fmt: skip

    def clear(self) -> Updates:
        """Nothing below the line: the text above it is another one."""
        return {
            self.result: "",
            self.banner: "",
            self.anyway_cb: gr.update(visible=OFF),
            **self._idle(),
        }

    def wire(
        self,
        read: Callable[[Data, gr.Request], Shown],
        title: Title,
        inputs: Collection[object] = (),
    ) -> None:
        """Connect the line to the texts that `read` gives, from `inputs` and the visitor's page."""
        self.read, self.title = read, title
        own = {self.target_dd, self.model_dd, self.anyway_cb}
        needed, shown = own | set(inputs), self.outputs()
        self.translate_btn.click(self.on_translate, needed, shown, api_visibility="private", **MANY)
        self.stop_btn.click(self.on_stop, queue=False, **QUIET)
        self.model_dd.focus(self.on_focus, {self.target_dd}, self.model_dd, **QUIET)
        warned = {self.banner, self.anyway_cb}
        late = {**MANY, "trigger_mode": "always_last", "api_visibility": "private"}
        self.target_dd.input(self.on_target, queue=False, **QUIET)
        self.model_dd.input(self.on_model, queue=False, **QUIET)
        # one listener for all: providers may be asked, and an older answer could come last
        meant = [self.target_dd.input, self.model_dd.input, self.anyway_cb.change]
        gr.on(meant, self.on_warning, needed, warned, **late)
        # Another model: whoever wants it run anyway says so again. In the browser, since a second
        # answer, come late, would undo a click.
        self.model_dd.input(None, None, self.anyway_cb, js="() => false", api_visibility="private")

    # -- what the controls do --------------------------------------------------------------------

    def on_translate(self, data: Data, request: gr.Request) -> Iterator[Updates]:
        """Translate what stands above, or say why not; an older translation here is stopped."""
        session, language = self._session(request), language_of(request)
        session.stop(self.place)
        try:
            shown = self.read(data, request)
            if not (texts := {key: given for key, given in shown.texts.items() if given.strip()}):
                yield {self.banner: notice_html(text("translate.empty", language))}
                return
            if not shown.complete:
                yield {self.banner: notice_html(text("translate.busy", language))}
                return
            target, model = self._choose(texts, data, request)
            chosen: Updates = {self.target_dd: target}
            if model != data[self.model_dd]:
                chosen |= self._offer(target, request, model)
            self.context.check_model(model)
            anyway = bool(data[self.anyway_cb])
            unfit = self._unfit(texts, target, model)
            banner = self._banner(unfit, texts, target, anyway, request)
            if unfit and not anyway:
                yield chosen | {self.banner: banner, self.anyway_cb: gr.update(visible=True)}
                return
            run = TranslationRun(
                self.context.engines(request),
                self.context.records(request),
                texts,
                target,
                model,
                run_anyway=anyway,
                local_paths=not self.context.settings.public,
            )
        except QeuError as error:
            yield {self.banner: notice_html(tell(str(error), language), "error")}
            return
        made = session.kept[self.place] = _Made(run, shown)
        first = chosen | {
            self.banner: banner,
            self.anyway_cb: gr.update(visible=bool(unfit) or OFF),
            **self._busy(),
            self.result: translation_html(run, self.title, language),
        }

        def is_there() -> bool:
            return session.kept.get(self.place) is made and shown.still()

        def show(changed: set[str]) -> Updates:
            if not is_there():
                run.stop()
                return {self.result: gr.skip()}
            return {self.result: translation_html(run, self.title, language)}

        beat = {self.result: gr.skip()}
        yield from stream_run(session, self.place, run, first, show, beat)  # type: ignore[arg-type]
        if is_there():
            yield {self.result: translation_html(run, self.title, language), **self._idle()}

    def on_stop(self, request: gr.Request) -> None:
        """Stop the translation; the text so far stays."""
        self._session(request).stop(self.place)

    def on_gone(self, request: gr.Request) -> Updates:
        """The text above is another one now: nothing more is shown of the old one."""
        session = self._session(request)
        session.stop(self.place)
        session.kept.pop(self.place, None)
        return self.clear()

    def on_focus(self, data: Data, request: gr.Request) -> Updates:
        """The models there are now: keys may have been entered since the page was opened."""
        return self._offer(str(data[self.target_dd]), request)

    def on_target(self, request: gr.Request) -> None:
        """The visitor chose a language: from now on it is not chosen for them."""
        self._session(request).kept[f"{self.place}/target"] = True

    def on_model(self, request: gr.Request) -> None:
        """The visitor chose a model: from now on it is not chosen for them."""
        self._session(request).kept[f"{self.place}/model"] = True

    def on_warning(self, data: Data, request: gr.Request) -> Updates:
        """Why the chosen model should not translate the text above, if so."""
        language, anyway = language_of(request), bool(data[self.anyway_cb])
        target, model = str(data[self.target_dd]), str(data[self.model_dd] or "").strip()
        try:
            texts = self.read(data, request).texts
            unfit = self._unfit(texts, target, model)
            banner = self._banner(unfit, texts, target, anyway, request)
        except QeuError as error:
            banner, unfit = notice_html(tell(str(error), language), "error"), None
        return {self.banner: banner, self.anyway_cb: gr.update(visible=bool(unfit) or OFF)}

    def on_language(self, request: gr.Request) -> Updates:
        """In the language just chosen: what is shown, and the language to show texts in."""
        session, language = self._session(request), language_of(request)
        updates: Updates = {self.banner: "", self.anyway_cb: gr.update(visible=OFF)}
        if f"{self.place}/target" not in session.kept:
            updates[self.target_dd] = default_target(language)
        made = session.kept.get(self.place)
        if isinstance(made, _Made) and made.shown.still():
            updates[self.result] = translation_html(made.run, self.title, language)
            updates |= self._idle() if made.run.finished else self._busy()
        return updates

    # -- choosing --------------------------------------------------------------------------------

    def _choose(self, texts: Mapping[str, str], data: Data, request: gr.Request) -> tuple[str, str]:
        """Target and model; where the visitor chose neither, such as are of use for this text."""
        kept = self._session(request).kept
        target, model = str(data[self.target_dd]), str(data[self.model_dd] or "").strip()
        sources = list_sources(texts, target)
        if f"{self.place}/target" not in kept and not sources:
            target = default_target(language_of(request), target)
            sources = list_sources(texts, target)
        if f"{self.place}/model" not in kept and self._unfit(texts, target, model):
            at_hand, _ = self._at_hand(sources, target, request)
            model = at_hand[0] if at_hand else model
        return target, model

    def _offer(self, target: str, request: gr.Request, model: str = "") -> Updates:
        """The models there are now, and one of them chosen if it is named."""
        # why a provider lists nothing is said in the drawer, and where somebody presses Translate
        hosted, _ = list_hosted(self.context.engines(request))
        choices = translator_choices(self.context, target, hosted)
        value = {"value": model} if model else {}
        return {self.model_dd: gr.update(choices=choices, **value)}

    def _unfit(self, texts: Mapping[str, str], target: str, model: str) -> Unfit | None:
        """Why the model should not translate one of the texts."""
        local = not self.context.settings.public
        for source in list_sources(texts, target):
            if unfit := translation_warning(model, source, target, local):
                return unfit
        return None

    def _at_hand(
        self, sources: Collection[str], target: str, request: gr.Request
    ) -> tuple[list[str], list[str]]:
        """Models that are fit for all of it, and why a provider offers none."""
        engines = self.context.engines(request)
        lists = [find_translators(engines, source, target) for source in sources]
        if not lists:
            return [], []
        first, sentences = lists[0]
        return [name for name in first if all(name in names for names, _ in lists)], sentences

    def _banner(
        self,
        unfit: Unfit | None,
        texts: Mapping[str, str],
        target: str,
        anyway: bool,
        request: gr.Request,
    ) -> str:
        if unfit is None:
            return ""
        language, public = language_of(request), self.context.settings.public
        at_hand, sentences = [], []
        if not anyway:
            at_hand, sentences = self._at_hand(list_sources(texts, target), target, request)
        told = unfit_text(unfit, at_hand[:MOST_NAMED], anyway, public, language)
        return notice_html(told, "warning") + "".join(
            notice_html(tell(sentence, language), "error") for sentence in sentences
        )

    def _idle(self) -> Updates:
        return {
            self.translate_btn: gr.update(visible=True),
            self.stop_btn: gr.update(visible=OFF),
        }

    def _busy(self) -> Updates:
        return {
            self.translate_btn: gr.update(visible=OFF),
            self.stop_btn: gr.update(visible=True),
        }

    def _session(self, request: gr.Request) -> Session:
        return self.context.sessions.of(request)
