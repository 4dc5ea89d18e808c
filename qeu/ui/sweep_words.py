"""A sweep in the page's language: names of axes, values, measures and cells, and what is best."""

from qeu.core.roles import BY_CATEGORY
from qeu.core.sweep_measures import BY_NAME, PROMPT, Estimate
from qeu.core.sweep_spec import GRID_FIELDS, SETTING_AXES, AxisValue, SweepSpec
from qeu.core.sweep_verdict import EQUAL, NONE, TOLD, TOO_FEW, Best
from qeu.services.evaluate_table import tell as tell_value
from qeu.services.evaluate_verdict import tell_p
from qeu.services.sweep_result import CellResult, Sweep
from qeu.services.sweep_table import tell_estimate
from qeu.ui.models_pickers import short_label
from qeu.ui.strings import text

AXIS_WORDS = {
    "model": "side.model",
    "role": "side.role",
    "target": "side.target",
    "layout": "side.layout",
    "temperature": "sampling.temperature",
    "top_p": "sampling.top_p",
    "top_k": "sampling.top_k",
    "min_p": "sampling.min_p",
    "repetition_penalty": "sampling.repetition_penalty",
    "max_new_tokens": "sampling.max_new_tokens",
}
assert set(AXIS_WORDS) == {*SETTING_AXES, *GRID_FIELDS}
MEASURE_WORDS = {
    "right": "evaluate.measure.right",
    "reference": "evaluate.measure.reference",
    "contract": "evaluate.measure.contract",
    "leak_reference": "evaluate.measure.leak_reference",
    "leak_commit": "evaluate.measure.leak_commit",
    "loop": "evaluate.measure.loop",
    "closed": "evaluate.measure.closed",
    "language": "evaluate.measure.language",
    "length": "evaluate.measure.length",
    "distinct_1": "sweep.measure.distinct_1",
    "distinct_2": "sweep.measure.distinct_2",
    "own_agreement": "sweep.measure.own_agreement",
}
assert set(MEASURE_WORDS) == set(BY_NAME)
_ARROWS = {1: " ↑", -1: " ↓", 0: ""}
_ROLES = ("assistant", "translator", "creator", "logician")


def axis_name(axis: str, language: str) -> str:
    """What is varied, as the rest of the page calls it."""
    return text(AXIS_WORDS[axis], language)


def value_name(axis: str, value: AxisValue, language: str) -> str:
    """A value of an axis; what is left to the model is called its own."""
    if not isinstance(value, str):
        return f"{value:g}"
    if axis == "model":
        return short_label(value)
    if axis == "layout":
        return value or text("layout.auto", language)
    if not value:
        return text("sweep.own", language)
    if axis == "target":
        return text(f"target.{value}", language)
    if value == BY_CATEGORY.id:
        return text("train.role.by_category", language)
    return text(f"role.{value}", language) if value in _ROLES else value


def measure_name(name: str, language: str, arrow: bool = False) -> str:
    """What is measured; with `arrow`, which way is better."""
    return text(MEASURE_WORDS[name], language) + (_ARROWS[BY_NAME[name].better] if arrow else "")


def cell_name(spec: SweepSpec, cell: CellResult, language: str) -> str:
    """A cell by its values on the varied axes; all of those that come to it, by strokes."""
    names, parts = list(spec.axes), []
    for name in spec.varied:
        at = names.index(name)
        values = dict.fromkeys(
            value_name(name, one[at], language) for one in cell.cell.combinations
        )
        shown = "/".join(values)
        # a model's name says what it is
        parts.append(shown if name == "model" else f"{axis_name(name, language)} {shown}")
    number = text("sweep.cell", language, number=cell.number)
    return text("list.comma", language).join(parts) or number


def estimate_text(one: Estimate | None, language: str) -> str:
    """A mean, its interval, and of how many."""
    told = tell_estimate(one)
    return told if one is None else f"{told} · {count_text(one, language)}"


def count_text(one: Estimate, language: str) -> str:
    """On how many a mean rests."""
    unit = "sweep.prompts" if one.unit == PROMPT else "sweep.texts"
    return f"n = {text(unit, language, count=f'{one.n:,}')}"


def best_text(sweep: Sweep, best: Best, language: str) -> str:
    """What can be said of the best cell of a measure; "" where neither more nor less is better."""
    measure, one = BY_NAME[best.measure], best.comparison
    if best.verdict == NONE or one is None:
        return ""
    if best.verdict == EQUAL:
        return text("sweep.best.equal", language)
    unit = "sweep.prompts" if sweep.unit == PROMPT else "sweep.texts"
    values: dict[str, object] = {
        "best": f"{cell_name(sweep.spec, sweep.cell(best.best), language)} "
        f"({tell_value(measure, one.right)})",
        "next": f"{cell_name(sweep.spec, sweep.cell(best.next_best), language)} "
        f"({tell_value(measure, one.left)})",
        "count": text(unit, language, count=f"{best.n:,}"),
    }
    if best.verdict == TOO_FEW:
        return text("sweep.best.too_few", language, **values, needed=best.needed)
    values["p"] = tell_p(one.p)
    if best.verdict == TOLD:
        return text("sweep.best.told", language, **values)
    return text(
        "sweep.best.unclear", language, **values, tied=f"{len(best.tied):,}",
        tested=f"{best.tested:,}",
    )  # fmt: skip
