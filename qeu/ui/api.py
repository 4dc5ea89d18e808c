"""The functions that other programs may call over HTTP, with names and shapes that stay."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import gradio as gr

from qeu.core.contract import check_reasoning
from qeu.core.errors import QeuError
from qeu.core.sampling import Sampling
from qeu.services.compare import Comparison, SideSettings, results_json, start_comparison
from qeu.ui.context import DEFAULT_MODEL, Context


def add_api(context: Context) -> None:
    """Add `/compare` and `/check` to the page that is being built."""

    def compare(
        instruction: str,
        left: str = DEFAULT_MODEL,
        right: str = DEFAULT_MODEL,
        role: str = "assistant",
        input: str = "",
        reasoning: str = "",
        target: str = "answer",
        layout: str = "",
        sampling: dict | None = None,
        exact: bool = False,
        request: gr.Request = None,  # type: ignore[assignment]  # gradio hands it in
    ) -> dict:
        """Ask two models the same question and wait for both texts.

        Args:
            instruction: the question.
            left: first model, NAME or NAME@ADAPTER.
            right: second model, NAME or NAME@ADAPTER.
            role: assistant, translator, creator or logician.
            input: context of the question, may be empty.
            reasoning: reasoning that both sides are to follow, may be empty.
            target: answer, reasoning, reasoning_task or both.
            layout: prompt layout, empty for the model's own.
            sampling: settings by name, such as {"temperature": 0, "max_new_tokens": 64}.
            exact: promise the same texts after a restart.

        Returns:
            {"left": {...}, "right": {...}} with text, reasoning, answer, receipt and checks.
        """
        sides = [SideSettings(m, role=role, target=target, layout=layout) for m in (left, right)]
        with _told():
            comparison = Comparison(
                sides[0],
                sides[1],
                instruction,
                input,
                reasoning,
                sampling=Sampling.from_json(sampling or {}),
                exact=exact,
            )
            comparison = Comparison.from_json(comparison.to_json())
            for side in sides:
                context.check_model(side.model)
            engines = context.engines(request)
            with _place(context, request), start_comparison(engines, comparison) as run:
                run.wait()
            return results_json(run)

    def check(
        text: str, question: str = "", reference: str = "", category: str = "open_qa"
    ) -> list:
        """Check a reasoning against its contract: length, form, language, loop, leak.

        Args:
            text: the reasoning.
            question: what it belongs to; numbers in it are no leak.
            reference: the reference answer, may be empty.
            category: kind of task, such as creative or math.
        """
        with _told():
            if context.settings.public:
                context.limits.check_texts(text, question, reference)
            found = check_reasoning(text, category=category, question=question, reference=reference)
            return [c.to_json() for c in found]

    gr.api(compare, api_name="compare", concurrency_limit=None)
    gr.api(check, api_name="check", concurrency_limit=None)


@contextmanager
def _told() -> Iterator[None]:
    """Errors meant for a person reach the caller as they are, and no traceback the log."""
    try:
        yield
    except QeuError as error:
        raise gr.Error(str(error), print_exception=False) from error


def _place(context: Context, request: gr.Request) -> AbstractContextManager[None]:
    """On a public page a caller waits for one result at a time, and so many callers altogether."""
    if not context.settings.public:
        return nullcontext()
    return context.limits.call_places.take(context.visitor(request))
