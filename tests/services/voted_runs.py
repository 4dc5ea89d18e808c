"""Runs of the history as votes are tested on: written down, not computed."""

from dataclasses import replace

from qeu.backends.catalog import split_ref
from qeu.core.prompts import split_completion
from qeu.core.sampling import Sampling
from qeu.services.asks import Live, broken_generation, side_json
from qeu.services.compare import Comparison, SideSettings
from qeu.store.history import StoredComparison, add_comparison
from qeu.store.workspace import Workspace

LEFT, RIGHT = "smollm2-135m", "phi-2@poems"


def comparison(
    left: str | SideSettings = LEFT, right: str | SideSettings = RIGHT, **values: object
) -> Comparison:
    """Two models, one question."""
    sides = [SideSettings(side) if isinstance(side, str) else side for side in (left, right)]
    return Comparison(*sides, **{"instruction": "Name a herb.", **values})


def store_run(
    workspace: Workspace,
    asked: Comparison,
    left: str = "Basil.",
    right: str = "Thyme grows.",
    ends: tuple[str, str] = ("stop", "stop"),
    visitor: str = "",
) -> StoredComparison:
    """The run with these texts, as the page would have stored it."""
    results = {}
    for ask, text, end in zip(asked.asks(), (left, right), ends, strict=True):
        ask = replace(ask, layout=ask.layout or "chat")
        live = Live(ask, phase="failed" if end == "error" else "done", text=text)
        model, adapter = split_ref(ask.model)
        reasoning, answer = split_completion(text, "chat", ask.target)
        error = "No Groq key. Set GROQ_API_KEY." if end == "error" else ""
        live.generation = replace(
            broken_generation(live, end, error),
            model=model, adapter=adapter, reasoning=reasoning, answer=answer,
        )  # fmt: skip
        results[ask.key] = side_json(live)
    question = asked.asks()[0].record.question
    return add_comparison(workspace, question, asked.to_json(), results, visitor)


def cooler() -> Sampling:
    """A sampling of a side's own."""
    return Sampling(temperature=0.1)
