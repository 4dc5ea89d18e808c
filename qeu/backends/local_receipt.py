"""Say which settings reached the local engine, as asked or not, and where it ran."""

from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version

import qeu
from qeu.core.generation import Parameter, Receipt
from qeu.core.sampling import Sampling

_OFF = {"top_p": 1, "top_k": 0, "min_p": 0, "repetition_penalty": 1}
_DRAWING = ("temperature", "top_p", "top_k", "min_p", "seed")
ROUNDING = (
    "{dtype} rounds differently with the number of rows computed together: beside another row the "
    "same seed may draw another text. The exact setting does not have this."
)
FLOAT32_ROUNDING = (
    "Rows computed together round slightly differently from one alone; the exact setting computes "
    "each on its own."
)


def sent_sampling(asked: Sampling, prompt_tokens: int, context: int) -> Sampling:
    """The settings as they are used: no more new tokens than the context has room for."""
    from dataclasses import replace

    return replace(asked, max_new_tokens=min(asked.max_new_tokens, context - prompt_tokens))


def list_parameters(asked: Sampling, sent: Sampling, vocabulary: int) -> tuple[Parameter, ...]:
    """Every setting on its way from the page to the engine."""
    found = []
    for name, value in asked.to_json().items():
        used: float | int | bool | None = getattr(sent, name)
        why = ""
        if name == "greedy" and asked.is_greedy and not asked.greedy:
            used, why = True, "Temperature 0 means greedy."
        elif name in _DRAWING and asked.is_greedy:
            used, why = None, "Greedy takes the likeliest token, nothing is drawn."
        elif value == _OFF.get(name):
            used, why = None, f"{value:g} is off."
        elif name == "top_k" and value > vocabulary:
            used, why = vocabulary, f"The model has {vocabulary:,} tokens."
        elif used != value:
            why = "The context has room for no more after the prompt."
        found.append(Parameter(name, value, used, why))
    return tuple(found)


def note_begun(tokens: int) -> tuple[str, ...]:
    """What the receipt says of tokens that the text was begun with."""
    return (f"Given, not chosen: the first {tokens:,} of the text's tokens.",) if tokens else ()


def make_receipt(
    parameters: tuple[Parameter, ...],
    *,
    dtype: str,
    device: str,
    batch: int,
    exact: bool,
    adapter: bool,
    notes: Sequence[str],
) -> Receipt:
    """The receipt of one row."""
    said = list(notes)
    if not exact:
        said.append(FLOAT32_ROUNDING if dtype == "float32" else ROUNDING.format(dtype=dtype))
    packages = ("torch", "transformers", "peft") if adapter else ("torch", "transformers")
    return Receipt(
        parameters,
        "transformers",
        dtype,
        device,
        batch,
        exact,
        {"qeu": qeu.__version__} | {name: _version(name) for name in packages},
        tuple(said),
    )


@lru_cache
def _version(package: str) -> str:
    return version(package)
