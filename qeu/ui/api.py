"""The functions that other programs may call over HTTP, with names and shapes that stay."""

import importlib.util
import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal, TypedDict

import gradio as gr

from qeu.core.contract import check_answer, check_reasoning
from qeu.core.errors import QeuError, UsageError
from qeu.core.prompts import LAYOUTS, TARGETS
from qeu.core.record import CATEGORIES, LANGUAGES
from qeu.core.roles import ROLE_IDS
from qeu.core.sampling import Sampling
from qeu.core.settings import Settings
from qeu.core.text import one_line
from qeu.services.asks import side_json
from qeu.services.compare import Comparison, SideSettings, results_json, start_comparison
from qeu.services.data_merge import MergeOptions
from qeu.services.merge_given import merge_given
from qeu.services.runs import Run
from qeu.ui.context import DEFAULT_MODEL, Context

# The page's named endpoints and MCP tools; nothing else of the page is called by programs.
ENDPOINTS = ("compare", "check", "merge", "generate")
# How Gradio's MCP server names itself to the page that it asks for its callers.
MCP_HEADER, MCP_USER = "x-gradio-user", "mcp"

RoleId = Literal[ROLE_IDS]  # type: ignore[valid-type]  # the schema lists the known names
Target = Literal[TARGETS]  # type: ignore[valid-type]
Layout = Literal["", *LAYOUTS]  # type: ignore[valid-type]
Category = Literal[CATEGORIES]  # type: ignore[valid-type]
Part = Literal["reasoning", "answer"]


class SamplingFields(TypedDict, total=False):
    """The settings of `Sampling` by name and type, for the schema that callers read."""

    temperature: float
    top_p: float
    top_k: int
    min_p: float
    repetition_penalty: float
    max_new_tokens: int
    seed: int
    greedy: bool


def add_api(context: Context) -> None:
    """Add the four functions to the page that is being built."""

    def compare(
        instruction: str,
        left: str = DEFAULT_MODEL,
        right: str = DEFAULT_MODEL,
        role: RoleId = "assistant",
        input: str = "",
        reasoning: str = "",
        target: Target = "answer",
        layout: Layout = "",
        sampling: SamplingFields | None = None,
        exact: bool = False,
        reference: str = "",
        category: Category = "open_qa",
        request: gr.Request = None,  # type: ignore[assignment]  # gradio hands it in
    ) -> dict:
        """Ask two language models the same question, wait for both texts, and check both.

        Args:
            instruction: the question or task.
            left: first model, NAME or NAME@ADAPTER, such as smollm2-135m.
            right: second model, NAME or NAME@ADAPTER.
            role: what the models are told to be.
            input: context of the question, may be empty.
            reasoning: reasoning that both sides are to follow, may be empty.
            target: what they write: an answer, a reasoning, both, or a reasoning as a task.
            layout: prompt layout, empty for each model's own.
            sampling: settings by name, such as {"temperature": 0, "max_new_tokens": 64}.
            exact: promise the same texts after a restart.
            reference: reference answer that a reasoning must not state; no model sees it.
            category: kind of task, which decides the contract of a reasoning.

        Returns:
            {"left": {...}, "right": {...}}, each with text, reasoning, answer, error and checks.
        """
        with _told():
            sides = [
                SideSettings(model, role=role, target=target, layout=layout)
                for model in (left, right)
            ]
            shared = (instruction, input, reasoning, reference, category)
            comparison = _comparison(context, sides, shared, sampling, exact)
            engines = context.engines(request)
            with _place(context, request), start_comparison(engines, comparison) as run:
                run.wait()
            return _answer(results_json(run), request)

    def generate(
        instruction: str,
        model: str = DEFAULT_MODEL,
        role: RoleId = "assistant",
        input: str = "",
        reasoning: str = "",
        target: Target = "answer",
        layout: Layout = "",
        sampling: SamplingFields | None = None,
        exact: bool = False,
        reference: str = "",
        category: Category = "open_qa",
        request: gr.Request = None,  # type: ignore[assignment]
    ) -> dict:
        """Ask one language model a question, wait for its text, and check it.

        Args:
            instruction: the question or task.
            model: NAME or NAME@ADAPTER, such as smollm2-135m.
            role: what the model is told to be.
            input: context of the question, may be empty.
            reasoning: reasoning that the model is to follow, may be empty.
            target: what it writes: an answer, a reasoning, both, or a reasoning as a task.
            layout: prompt layout, empty for the model's own.
            sampling: settings by name, such as {"temperature": 0, "max_new_tokens": 64}.
            exact: promise the same text after a restart.
            reference: reference answer that a reasoning must not state; the model never sees it.
            category: kind of task, which decides the contract of a reasoning.

        Returns:
            {"text": ..., "reasoning": ..., "answer": ..., "finish_reason": ..., "checks": ...}
        """
        with _told():
            side = SideSettings(model, role=role, target=target, layout=layout)
            shared = (instruction, input, reasoning, reference, category)
            asks = _comparison(context, [side, side], shared, sampling, exact).asks()[:1]
            engines = context.engines(request)
            with _place(context, request), Run(engines, asks, exact=exact) as run:
                run.wait()
            return _answer(side_json(run.live[asks[0].key]), request)

    def check(
        text: str,
        question: str = "",
        reference: str = "",
        category: Category = "open_qa",
        part: Part = "reasoning",
        language: Literal["", "en", "ja", "zh"] = "",
        request: gr.Request = None,  # type: ignore[assignment]
    ) -> list:
        """Check a reasoning against its contract: length, form, language, loops, leaked answers.

        Args:
            text: the reasoning, or an answer.
            question: what it belongs to; numbers in it are no leak.
            reference: the reference answer that a reasoning must not state, may be empty.
            category: kind of task, such as creative or math.
            part: what the text is; an answer is checked for its language and for loops only.
            language: language it should be in, empty for English (of an answer: for any).

        Returns:
            A list of checks with name, verdict (pass, fail, partial, skip), message and spans.
        """
        with _told():
            _refuse_others("category", category, CATEGORIES)
            _refuse_others("part", part, ("reasoning", "answer"))
            _refuse_others("language", language, ("", *LANGUAGES[:3]))
            for name, value in (("text", text), ("question", question), ("reference", reference)):
                if not isinstance(value, str):
                    raise UsageError(f"{name} is {one_line(repr(value))}; give words.")
            if context.settings.public:
                context.limits.check_texts(text, question, reference)
            if part == "answer":
                found = check_answer(text, expected_language=language or None)
            else:
                found = check_reasoning(
                    text, category=category, question=question, reference=reference,
                    expected_language=language or "en",
                )  # fmt: skip
            return _answer([one.to_json() for one in found], request)

    def merge(
        files: list[list[dict]],
        languages: list[str] | None = None,
        first: int = 1,
        last: int = 0,
        sentences: bool = True,
        keep_rest: bool = False,
        request: gr.Request = None,  # type: ignore[assignment]
    ) -> dict:
        """Interleave parallel data sets in several languages row by row: 1EN, 1JA, 2EN, 2JA.

        Nothing is stored; the records come back.

        Args:
            files: a list of rows for each language; a row has instruction, reasoning, output.
            languages: en, ja or zh for each list; empty finds them from the rows.
            first: first row to take, from 1.
            last: last row to take, 0 for all.
            sentences: put a sentence that names the language before each reasoning.
            keep_rest: keep rows that a shorter list lacks.

        Returns:
            {"records": [...], "languages": [...], "notes": [...], "rejected": [...]}
        """
        with _told():
            _refuse_bad_lists(files, languages, first, last)
            if context.settings.public:
                context.limits.check_texts(json.dumps(files, ensure_ascii=False))
            options = MergeOptions(
                tuple(languages or ()),
                (first, last or None),
                None if sentences else {},
                bool(keep_rest),
            )
            return _answer(merge_given(files, options).to_json(), request)

    for function in (compare, check, merge, generate):
        gr.api(function, api_name=function.__name__, concurrency_limit=None)


def require_mcp(settings: Settings) -> None:
    """Raise QeuError where the functions cannot be served as MCP tools, though they should be."""
    if importlib.util.find_spec("mcp") is None:
        raise QeuError(
            "QEU_MCP is 1, but the package mcp is missing. Run `pip install -r requirements.txt`, "
            "or start without QEU_MCP."
        )
    if settings.password:
        # gradio lists its tools to whoever asks, and none of them would work behind the password
        raise QeuError(
            "QEU_MCP is 1 and QEU_PASSWORD is set: MCP tools cannot ask for the page's password. "
            "Leave one of them out."
        )


def _comparison(
    context: Context,
    sides: list[SideSettings],
    shared: tuple[str, str, str, str, str],
    sampling: Mapping[str, object] | None,
    exact: bool,
) -> Comparison:
    """What is asked, every value looked at; `shared` as the fields of a comparison follow."""
    if sampling is not None and not isinstance(sampling, Mapping):
        raise UsageError(f"sampling is {one_line(repr(sampling))}; give its settings by name.")
    settings = Sampling.from_json(sampling or {})
    instruction, input, reasoning, reference, category = shared
    comparison = Comparison(
        sides[0], sides[1], instruction, input, reasoning, reference, category,
        sampling=settings, exact=exact,
    )  # fmt: skip
    comparison = Comparison.from_json(comparison.to_json())
    for side in sides:
        context.check_model(side.model)
    return comparison


def _refuse_others(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        shown = ", ".join(item or "(none)" for item in allowed)
        raise UsageError(f"{name} is {one_line(repr(value))}. Choose one of: {shown}.")


def _refuse_bad_lists(files: object, languages: object, first: object, last: object) -> None:
    if not isinstance(files, list) or not all(isinstance(rows, list) for rows in files):
        raise UsageError("files is no list of lists; give one list of rows for each language.")
    if languages is not None and not (
        isinstance(languages, list) and all(isinstance(code, str) for code in languages)
    ):
        raise UsageError(f"languages is {one_line(repr(languages))}; give codes such as en, ja.")
    for name, value in (("first", first), ("last", last)):
        if not isinstance(value, int) or isinstance(value, bool):
            raise UsageError(f"{name} is {one_line(repr(value))}; give a whole number.")


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
    # all that come by way of MCP share one session, and would wait for each other
    visitor = "" if _is_mcp(request) else context.visitor(request)
    return context.limits.call_places.take(visitor)


def _answer(found: object, request: gr.Request | None) -> object:
    """The result as it is; as JSON for MCP, whose answers are texts and would be Python's own."""
    return json.dumps(found, ensure_ascii=False) if _is_mcp(request) else found


def _is_mcp(request: gr.Request | None) -> bool:
    return request is not None and request.headers.get(MCP_HEADER) == MCP_USER
