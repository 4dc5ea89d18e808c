"""Sentences about a run before it starts: its plan, and what its models are not fit for."""

from qeu.backends.catalog import find_model
from qeu.core.language import identify
from qeu.services.compare import Comparison
from qeu.services.plan import Plan
from qeu.ui.sentences import tell
from qeu.ui.strings import text


def plan_text(plan: Plan, language: str) -> str:
    """How the models share the machine, with the numbers that decided it."""
    hosted = text("list.comma", language).join(plan.hosted)
    if plan.kind == "hosted":
        return text("plan.hosted", language, models=hosted)
    if hosted and plan.kind == "one_batch":
        here = plan.stages[0].model
        return text("plan.one_beside", language, model=here, models=hosted)
    beside = text("plan.beside", language, models=hosted) if hosted else ""
    return _local_text(plan, language) + beside


def _local_text(plan: Plan, language: str) -> str:
    names = [stage.model for stage in plan.stages]
    if plan.kind == "one_batch":
        return text("plan.one_batch", language, model=names[0])
    sizes = " + ".join(f"{need / 1e9:.1f}" for need in plan.needs_bytes)
    return text(
        f"plan.{plan.kind}",
        language,
        order=text("plan.then", language).join(names),
        sizes=sizes,
        free=f"{plan.free_bytes / 1e9:.1f}",
    )


def warning_text(comparison: Comparison, language: str) -> str:
    """What to expect where a model does not read the question's language; empty if all is well."""
    asked, certain = identify(comparison.instruction + "\n" + comparison.input)
    if not certain or asked == "und":
        return ""
    for ask in comparison.asks():
        card = find_model(ask.model_name)
        if card.reads and asked not in card.reads:
            return text(
                "fit.reads",
                language,
                model=tell(card.label, language),
                language=text(f"language.{asked}", language),
            )
    return ""
