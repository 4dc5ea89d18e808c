"""Checks on any text that a visitor pastes, without running a model."""

import gradio as gr

from qeu.core.contract import check_reasoning
from qeu.core.record import CATEGORIES
from qeu.ui.context import Words
from qeu.ui.markup import marked_text
from qeu.ui.panels import check_marks, chips_html
from qeu.ui.sessions import language_of


def check_html(
    pasted: str, question: str, reference: str, category: str, expected: str, language: str
) -> str:
    """Chips and the marked text of a pasted reasoning."""
    if not pasted.strip():
        return ""
    checks = check_reasoning(
        pasted,
        category=category,
        question=question,
        reference=reference,
        expected_language=expected or "en",
    )
    marks = check_marks(checks, language)
    chips = f'<div class="q-chips">{chips_html({"reasoning": checks}, language)}</div>'
    return f'{chips}<div class="q-part q-pasted" dir="auto">{marked_text(pasted, marks)}</div>'


def build_checks_panel(say: Words) -> None:
    """An accordion with a box for the text, what it is checked against, and the result."""
    with gr.Accordion(say("paste.title"), open=False, elem_id="paste"):
        with gr.Row(elem_classes="q-tight"):
            pasted_box = gr.Textbox(
                "",
                label=say("paste.text"),
                placeholder=say("paste.hint"),
                lines=5,
                max_lines=12,
                elem_id="paste-text",
                scale=3,
            )
            with gr.Column(scale=2, min_width=240):
                question_box = gr.Textbox(
                    "", label=say("question.instruction"), lines=1, max_lines=4
                )
                reference_box = gr.Textbox(
                    "", label=say("question.reference"), lines=1, max_lines=4
                )
                with gr.Row(elem_classes="q-tight"):
                    category_dd = gr.Dropdown(
                        [(say(f"category.{name}"), name) for name in CATEGORIES],
                        value="open_qa",
                        label=say("question.category"),
                        min_width=110,
                        elem_id="paste-category",
                    )
                    language_dd = gr.Dropdown(
                        [(say(f"language.{code}"), code) for code in ("en", "ja", "zh")],
                        value="en",
                        label=say("question.language"),
                        min_width=110,
                    )
        result = gr.HTML(elem_id="paste-result")

        def on_check(
            pasted: str,
            question: str,
            reference: str,
            category: str,
            expected: str,
            request: gr.Request,
        ) -> str:
            return check_html(pasted, question, reference, category, expected, language_of(request))

        boxes = [pasted_box, question_box, reference_box, category_dd, language_dd]
        gr.on(
            [box.input for box in boxes],
            on_check,
            boxes,
            result,
            show_progress="hidden",
            trigger_mode="always_last",
            api_visibility="private",
        )
