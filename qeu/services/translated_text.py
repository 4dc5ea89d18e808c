"""One text on its way into another language: where it stands, what is wrong with it, who is fit."""

from dataclasses import dataclass, replace

from qeu.backends.catalog import (
    TASKS,
    ModelCard,
    Unfit,
    find_model,
    fitness_warning,
    is_hosted,
    list_models,
    split_ref,
)
from qeu.backends.providers import hosted_fitness
from qeu.core.contract import check_answer
from qeu.core.language import identify
from qeu.core.loops import find_loop
from qeu.core.translate_prompts import (
    chinese_script,
    language_code,
    needs_no_translation,
    strip_markers,
    text_language,
)


@dataclass
class Translation:
    """One text, and what has become of it so far.

    `state`: queued → writing → done | same (nothing to translate) | failed | stopped. `fault` says
    what is wrong with the text that is there: "language" (it is another one), "script" (the other
    Chinese script), "mixed" (some lines are in another language), "loop", "length" (cut at the
    limit), "empty"; `error` is a sentence where no more came. `piece` of `pieces` is being written.
    """

    key: str
    source_text: str
    source: str
    target: str
    model: str
    state: str = "queued"
    text: str = ""
    piece: int = 0
    pieces: int = 0
    fault: str = ""
    error: str = ""
    revision: str = ""
    at: str = ""
    cached: bool = False
    new_tokens: int = 0

    @property
    def good(self) -> bool:
        """Whether it is complete and nothing is wrong with it."""
        return self.state in ("done", "same") and not self.fault

    def to_json(self) -> dict[str, object]:
        """Plain values, as the command line prints them."""
        names = (
            "text", "state", "fault", "error", "source", "target", "model", "revision", "at",
            "cached", "new_tokens",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}


def begin_translation(key: str, text: str, target: str, model: str) -> Translation:
    """The text as it will be given to the model; done at once where nothing need be translated."""
    given = strip_markers(text)
    source = text_language(given, target)
    one = Translation(key, given, source, target, model)
    # without letters there is nothing to say in another language
    if needs_no_translation(source, target) or not any(map(str.isalpha, given)):
        one.text, one.state = given, "same"
    return one


def find_fault(one: Translation) -> str:
    """What is wrong with a finished text: a code of `Translation.fault`, or ""."""
    expected = language_code(one.target)
    language, *_ = check_answer(one.text, expected_language=expected)
    if language.verdict == "fail":
        found, certain = identify(one.text)
        return "language" if certain and found != expected else "mixed"
    script = chinese_script(one.text) if expected == "zh" else ""
    if script and script != one.target:
        return "script"
    return "loop" if find_loop(one.text) and not find_loop(one.source_text) else ""


def translation_warning(
    model: str, source: str, target: str, local_paths: bool = True
) -> Unfit | None:
    """Why this model should not translate between these languages, or None.

    `instead` names models of the table that should.
    """
    unfit = _check_pair(find_card(model, local_paths), source, target)
    if unfit is None:
        return None
    fit = tuple(card.id for card in list_models() if not _check_pair(card, source, target))
    return replace(unfit, instead=fit)


def _check_pair(card: ModelCard, source: str, target: str) -> Unfit | None:
    return fitness_warning(
        card,
        task="translate",
        language=language_code(source),
        answer_language=language_code(target),
    )


def explain_unfit(unfit: Unfit) -> str:
    """The warning as a sentence, with the way out."""
    told = {
        "cannot_do": "{label} is not fit to translate",
        "cannot_read": "{label} does not read {language}",
        "cannot_write": "{label} does not write {language}",
    }[unfit.code].format(**unfit.facts)
    instead = ", ".join(unfit.instead) or "a larger model"
    return f"{told}. Choose {instead}, or a model of Groq or of a server."


def find_card(model: str, local_paths: bool = True) -> ModelCard:
    """The card of `MODEL` or `MODEL@ADAPTER` as a translator; raises QeuError where there is none.

    A hosted model is judged by what is known of its family; an unknown one counts as fit.
    """
    card = find_model(split_ref(model)[0], local_paths=local_paths)
    family = hosted_fitness(card.label) if is_hosted(card.id) else None
    if family is None or not family.known:
        return card
    able = TASKS if family.translates else ("answer",)
    return replace(card, reads=family.reads, writes=family.translates, fit_for=able)
