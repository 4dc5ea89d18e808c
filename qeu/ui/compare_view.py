"""What the Compare tab shows, as components, and the updates that bring a run onto it."""

from collections.abc import Mapping
from dataclasses import dataclass

import gradio as gr

from qeu.core.text_diff import word_diff
from qeu.services.compare import SIDES
from qeu.services.runs import Live
from qeu.ui.context import Context, Words
from qeu.ui.lens_panel import LensPanel
from qeu.ui.lens_view import link_html
from qeu.ui.markup import diff_text, escape
from qeu.ui.panels import head_html, notice_html, prompt_html, receipt_html, text_html
from qeu.ui.strings import text
from qeu.ui.translation_strip import TranslationStrip
from qeu.ui.visibility import OFF
from qeu.ui.votes_panel import VotesPanel

Updates = dict[object, object]


@dataclass(frozen=True)
class SideView:
    """The outputs of one side; `keep_btn` and the line that answers it are None where none is."""

    head: gr.HTML
    body: gr.HTML
    prompt: gr.HTML
    receipt: gr.HTML
    stop_btn: gr.Button
    copy_btn: gr.Button
    strip: TranslationStrip
    keep_btn: gr.Button | None = None
    keep_line: gr.HTML | None = None

    def outputs(self) -> set[object]:
        """All that `update` may change."""
        found = {self.head, self.body, self.prompt, self.receipt, *self.strip.outputs()}
        return found | ({self.keep_line} if self.keep_line else set())

    def update(self, live: Live | None, language: str, whole: bool) -> Updates:
        """What changes while text arrives; with `whole` also prompt, receipt and translation."""
        updates: Updates = {
            self.head: head_html(live, language),
            self.body: text_html(live, language),
        }
        if whole or (live and live.phase in ("waiting", "reading")):
            updates[self.prompt] = prompt_html(live, language)
        if whole:
            updates[self.receipt] = receipt_html(live.generation if live else None, language)
            # it may be another text now
            updates |= self.strip.clear()
            if self.keep_line:
                updates[self.keep_line] = gr.update(value="", visible=OFF)
        return updates


@dataclass(frozen=True)
class CompareView:
    """All outputs of the tab."""

    notice: gr.HTML
    sides: Mapping[str, SideView]
    diff: gr.HTML
    cut_btn: gr.Button
    snippet: gr.Code
    command_box: gr.Textbox
    link_box: gr.Textbox
    json_btn: gr.DownloadButton
    history_list: gr.Radio
    votes: VotesPanel
    lens: LensPanel

    def outputs(self) -> set[object]:
        """All that a run may update."""
        found: set[object] = {
            self.notice,
            self.diff,
            self.cut_btn,
            self.snippet,
            self.command_box,
            self.link_box,
            self.json_btn,
            self.history_list,
            *self.votes.outputs(),
            *self.lens.outputs(),
        }
        for side in self.sides.values():
            found |= side.outputs()
        return found

    def show_notice(self, message: str, kind: str = "info") -> Updates:
        """A line beside the buttons."""
        return {self.notice: notice_html(message, kind)}

    def show_lives(
        self,
        lives: Mapping[str, Live],
        language: str,
        whole: bool = True,
        only: set[str] = frozenset(),
    ) -> Updates:
        """Both sides, or those in `only`."""
        updates: Updates = {}
        for name in SIDES:
            if not only or name in only:
                live = lives.get(name)
                updates |= self.sides[name].update(live, language, whole)
                if live and live.generation and live.phase == "done":
                    body = self.sides[name].body
                    updates[body] = f"{updates[body]}{link_html(language)}"
        if whole:
            updates[self.diff] = diff_html(lives, language)
        return updates

    def show_translations(self, request: gr.Request) -> Updates:
        """The translations in the language just chosen."""
        strips = [side.strip for side in self.sides.values()]
        return {key: value for strip in strips for key, value in strip.on_language(request).items()}


def build_side_view(context: Context, say: Words, name: str, keep: bool = False) -> SideView:
    """The outputs of one side, with their fixed heights; `keep` adds a button to keep its text."""
    head = gr.HTML(head_html(None, "en"), elem_id=f"{name}-head", elem_classes="q-head")
    body = gr.HTML(
        text_html(None, "en"),
        elem_id=f"{name}-text",
        elem_classes="q-body",
        padding=False,
        autoscroll=True,
        min_height=300,
        max_height=300,
    )
    with gr.Row(elem_classes="q-tight q-small"):
        stop_btn = gr.Button(say("action.stop_side"), size="sm", elem_id=f"{name}-stop")
        copy_btn = gr.Button(say("action.copy"), size="sm", elem_id=f"{name}-copy")
        keep_btn = keep_line = None
        if keep:
            keep_btn = gr.Button(
                say("dataset.keep"), size="sm", elem_id=f"{name}-keep", min_width=130
            )
    if keep:
        keep_line = gr.HTML(visible=OFF, elem_id=f"{name}-keep-line", padding=False)
    strip = TranslationStrip(context, say, name)
    with gr.Accordion(say("prompt.title"), open=False, elem_id=f"{name}-prompt"):
        prompt = gr.HTML(prompt_html(None, "en"))
    with gr.Accordion(say("receipt.title"), open=False, elem_id=f"{name}-receipt"):
        receipt = gr.HTML(receipt_html(None, "en"))
    return SideView(head, body, prompt, receipt, stop_btn, copy_btn, strip, keep_btn, keep_line)


def diff_html(lives: Mapping[str, Live], language: str) -> str:
    """The words in which the sides differ; only for two finished texts."""
    texts = [lives[name].text for name in SIDES if name in lives and lives[name].generation]
    if len(texts) < len(SIDES):
        return f'<p class="q-hint">{escape(text("diff.empty", language))}</p>'
    if texts[0] == texts[1]:
        return f'<p class="q-hint">{escape(text("diff.same", language))}</p>'
    return f'<div class="q-diff" dir="auto">{diff_text(word_diff(*texts))}</div>'
