"""What stands above a translation line, and which models there are to translate it."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import gradio as gr

from qeu.core.errors import QeuError
from qeu.services.runs import Live
from qeu.services.translated_text import begin_translation, translation_warning
from qeu.ui.compare_form import Data
from qeu.ui.context import Context
from qeu.ui.models_pickers import adapter_choices, local_choices, short_label
from qeu.ui.strings import text

# Behind the name of a model that is not fit.
WARNING = " ⚠"


@dataclass(frozen=True)
class Shown:
    """The texts that stand above the line, by part; `still` tells whether they still do."""

    texts: Mapping[str, str] = field(default_factory=dict)
    complete: bool = True
    still: Callable[[], bool] = lambda: True


def translator_choices(
    context: Context, target: str, hosted: Collection[str] = ()
) -> list[tuple[str, str]]:
    """The models to choose from, those that do not write the target marked and at the end.

    Names are short, unless two models had the same then.
    """
    local = {ref: label for label, ref in local_choices()}
    refs = [*hosted, *local, *(ref for _, ref in adapter_choices(context.settings.adapters))]
    short = Counter(map(short_label, refs))
    found = []
    for ref in refs:
        label = short_label(ref) if short[short_label(ref)] == 1 else local.get(ref, ref)
        unfit = _is_unfit(ref, target)
        found.append((unfit, label + (WARNING if unfit else ""), ref))
    return [(label, ref) for _, label, ref in sorted(found, key=lambda item: item[0])]


def _is_unfit(ref: str, target: str) -> bool:
    try:
        return translation_warning(ref, "und", target) is not None
    except QeuError:
        # a base that is no model any more: choosing it says so
        return False


def list_sources(texts: Mapping[str, str], target: str) -> list[str]:
    """The languages that must be translated from; none where all is in the target already."""
    begun = [begin_translation(key, given, target, "") for key, given in texts.items()]
    return list(dict.fromkeys(one.source for one in begun if one.state != "same"))


def live_texts(live: Live | None) -> dict[str, str]:
    """What a side or panel shows, by part."""
    if live is None:
        return {}
    reasoning, answer = live.parts()
    return {key: part for key, part in (("reasoning", reasoning), ("answer", answer)) if part}


def read_side(context: Context, place: str, key: str) -> Callable[[Data, gr.Request], Shown]:
    """What `TranslationStrip.wire` reads for one text of a run: the one that is shown now."""

    def read(data: Data, request: gr.Request) -> Shown:
        session = context.sessions.of(request)
        live = session.shown.get(place, {}).get(key)
        return Shown(
            live_texts(live),
            live is None or live.finished,
            lambda: session.shown.get(place, {}).get(key) is live,
        )

    return read


def part_name(part: str, language: str) -> str:
    """The name of a run's part in the page's language."""
    return text("part.reasoning" if part == "reasoning" else "part.answer", language)
