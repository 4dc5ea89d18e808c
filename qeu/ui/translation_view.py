"""Translations as HTML: marked as machine-made, with who made them, and what is wrong with them."""

from collections.abc import Callable
from math import ceil

from qeu.backends.catalog import Unfit
from qeu.services.translate import TranslationRun
from qeu.services.translated_text import Translation
from qeu.ui.markup import LONGEST_SHOWN, escape
from qeu.ui.models_pickers import short_label
from qeu.ui.panels import notice_html
from qeu.ui.sentences import tell
from qeu.ui.strings import text, words

# Written out, so that a search for a key finds it.
LANGUAGE_KEYS = {
    "en": "translate.language.en",
    "ja": "translate.language.ja",
    "zh": "translate.language.zh",
    "zh-CN": "translate.language.zh-CN",
    "zh-TW": "translate.language.zh-TW",
    "und": "translate.language.und",
}
FAULT_KEYS = {
    "language": "translate.fault.language",
    "script": "translate.fault.script",
    "mixed": "translate.fault.mixed",
    "loop": "translate.fault.loop",
    "length": "translate.fault.length",
    "empty": "translate.fault.empty",
}
UNFIT_KEYS = {
    "cannot_do": "translate.unfit.cannot_do",
    "cannot_read": "translate.unfit.cannot_read",
    "cannot_write": "translate.unfit.cannot_write",
}
# The name of a part in the page's language.
Title = Callable[[str, str], str]


def language_name(code: str, language: str) -> str:
    """A text's language in the page's language."""
    return text(LANGUAGE_KEYS[code], language)


def translation_html(run: TranslationRun, title: Title, language: str) -> str:
    """All texts of a run as they stand, under one line that says what they are."""
    lives = list(run.live.values())
    if all(one.state == "same" for one in lives):
        spoken = language_name(lives[0].target, language)
        return notice_html(text("translate.same", language, spoken=spoken))
    shown = [one for one in lives if one.text or one.state != "queued"]
    many = len(lives) > 1
    parts = "".join(
        _part_html(one, title(one.key, language) if many else "", language) for one in shown
    )
    errors = dict.fromkeys(one.error for one in lives if one.error)
    told = "".join(notice_html(tell(error, language), "error") for error in errors)
    if any(one.state == "stopped" for one in lives):
        told += notice_html(text("translate.stopped", language), "warning")
    return f'<details class="q-translation" open>{_head_html(run, language)}{parts}{told}</details>'


def _head_html(run: TranslationRun, language: str) -> str:
    lives = [one for one in run.live.values() if one.state != "same"]
    made = next((one for one in lives if one.at), lives[0])
    sources = dict.fromkeys(language_name(one.source, language) for one in lives)
    facts = [
        text(
            "translate.pair",
            language,
            source=text("list.comma", language).join(sources),
            target=language_name(made.target, language),
        ),
        made.model,
    ]
    title = made.revision
    if made.at:
        facts.append(f"{made.at[:16].replace('T', ' ')} UTC")
    if lives and all(one.cached for one in lives):
        facts.append(text("translate.kept", language))
    busy = "" if run.finished else f'<span class="q-state q-busy">{_state(run, language)}</span>'
    return (
        f'<summary><b class="q-machine">⇄ {escape(text("translate.machine", language))}</b>'
        f'<small title="{escape(title)}">{escape(" · ".join(facts))}</small>{busy}</summary>'
    )


def _state(run: TranslationRun, language: str) -> str:
    """What the run is at, in a few words."""
    if run.phase == "loading":
        step = words(language).get(f"load.{run.step}", run.step)
        share = f" {run.share:.0%}" if run.share else ""
        return escape(text("side.loading", language, step=step) + share)
    if run.waits_s:
        return escape(text("side.limited", language, seconds=ceil(run.waits_s)))
    if run.phase == "waiting" and run.ahead:
        return escape(text("side.waiting", language, ahead=run.ahead))
    told = text("translate.writing", language)
    one = next((one for one in run.live.values() if one.state == "writing"), None)
    if one and one.pieces > 1:
        told += " · " + text("translate.piece", language, at=one.piece, count=one.pieces)
    return escape(told)


def _part_html(one: Translation, title: str, language: str) -> str:
    head = f"<h4>{escape(title)}</h4>" if title else ""
    spoken = language_name(one.target, language)
    if one.state == "same":
        hint = escape(text("translate.part_same", language, spoken=spoken))
        return f'<div class="q-part">{head}<p class="q-hint">{hint}</p></div>'
    caret = '<span class="q-caret"></span>' if one.state == "writing" else ""
    fault = ""
    if one.fault:
        values = {"spoken": spoken} if "{spoken}" in words("en")[FAULT_KEYS[one.fault]] else {}
        fault = notice_html(text(FAULT_KEYS[one.fault], language, **values), "warning")
    body = escape(one.text[:LONGEST_SHOWN])
    return (
        f'<div class="q-part">{head}<div dir="auto" lang="{escape(one.target)}">{body}{caret}</div>'
        f"{fault}</div>"
    )


def unfit_text(
    unfit: Unfit, at_hand: list[str], run_anyway: bool, public: bool, language: str
) -> str:
    """Why a model should not translate this, in one sentence with the way out."""
    facts = {"model": tell(unfit.facts["label"], language)}
    if code := unfit.facts.get("language"):
        facts["spoken"] = language_name(code, language)
    why = text(UNFIT_KEYS[unfit.code], language, **facts)
    if run_anyway:
        return text("translate.unfit.anyway", language, why=why)
    comma = text("list.comma", language)
    if at_hand:
        names = comma.join(map(short_label, at_hand))
        return text("translate.unfit", language, why=why, instead=names)
    if public:
        return text("translate.unfit.public", language, why=why)
    if unfit.instead:
        names = comma.join(list(dict.fromkeys(map(short_label, unfit.instead)))[:2])
        return text("translate.unfit.none", language, why=why, instead=names)
    return text("translate.unfit.nothing", language, why=why)
