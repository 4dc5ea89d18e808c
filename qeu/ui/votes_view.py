"""What a blind vote shows, as HTML: covered sides, the bar to vote with, and the reveal."""

from collections.abc import Mapping

from qeu.services.compare import SIDES
from qeu.services.runs import Live
from qeu.services.votes import differences, shared_target
from qeu.ui.markup import escape, marked_text
from qeu.ui.sentences import tell
from qeu.ui.strings import text
from qeu.ui.votes_round import Booth, Round

# What the texts are called while nobody knows whose they are: the left one is A, whoever wrote it.
LETTERS = {"left": "A", "right": "B"}
_PART_KEYS = {"reasoning": "part.reasoning", "answer": "part.answer"}


def covered_head(position: str) -> str:
    """A letter where state, speed and checks stand otherwise: each of them could tell who wrote."""
    return f'<div class="q-letter" role="heading" aria-level="3">{LETTERS[position]}</div>'


def covered_body(live: Live | None, one: Round, language: str) -> str:
    """The text without marks, once both are there; until then nothing of either."""
    if live is None or not one.ready:
        return f'<div class="q-text q-empty">{escape(text("vote.waits", language))}</div>'
    return "".join(_part(name, shown, language) for name, shown in shown_parts(live, one).items())


def shown_parts(live: Live, one: Round) -> dict[str, str]:
    """The parts to be judged: those that both sides were asked for, where there are such."""
    reasoning, answer = live.parts()
    parts = {"reasoning": reasoning, "answer": answer}
    target = shared_target(one.comparison)
    if target in ("", "both"):
        return {name: shown for name, shown in parts.items() if shown}
    wanted = "answer" if target == "answer" else "reasoning"
    return {wanted: parts[wanted]}


def _part(name: str, shown: str, language: str) -> str:
    title = escape(text(_PART_KEYS[name], language))
    body = marked_text(shown, ())
    if not shown:
        body = f'<span class="q-hint">{escape(text("side.nothing", language))}</span>'
    return f'<section class="q-part"><h4>{title}</h4><div dir="auto">{body}</div></section>'


def bar_html(booth: Booth, lives: Mapping[str, Live], language: str) -> str:
    """The bar in the state that the round is in; empty where the switch is off."""
    one = booth.round
    if one is None:
        return _bar("idle", _line("vote.hint", language)) if booth.on else ""
    if not one.covered:
        return _bar("open", _reveal(one, language), one)
    if one.stored is None:
        return _bar("writing", _progress(lives, language), one)
    return _bar("ready", _questions(one, language), one)


def _bar(state: str, inner: str, one: Round | None = None) -> str:
    covered = " data-covered" if one and one.covered else ""
    run = one.stored.id if one and one.stored else 0
    token = one.token if one else ""
    return (
        f'<div class="q-vote" data-state="{state}" data-run="{run}" data-round="{token}"{covered}>'
        f"{inner}</div>"
    )


def _line(key: str, language: str, **values: object) -> str:
    return f'<p class="q-hint">{escape(text(key, language, **values))}</p>'


def _progress(lives: Mapping[str, Live], language: str) -> str:
    """Both sides' tokens as one number: who writes faster is nobody's to see."""
    tokens = sum(live.new_tokens for live in lives.values())
    key = "vote.writing" if tokens else "vote.starting"
    line = text(key, language, tokens=f"{tokens:,}") if tokens else text(key, language)
    return (
        f'<p class="q-vote-wait" role="status"><span class="q-dot q-busy"></span>{escape(line)}</p>'
    )


def _questions(one: Round, language: str) -> str:
    letters = {"a": "A", "equal": escape(text("vote.equal", language)), "b": "B"}
    keys = {"a": "", "equal": "<kbd>E</kbd>", "b": ""}
    better = "".join(
        f'<button type="button" data-better="{name}" aria-pressed="false">{label}{keys[name]}'
        "</button>"
        for name, label in letters.items()
    )
    acceptable = "".join(_acceptable(at, language) for at in SIDES)
    note = escape(text("vote.note", language))
    remarks = "".join(_line(key, language) for key in _remarks(one))
    return (
        f"{_group(text('vote.better', language), better)}"
        f"{_group(text('vote.acceptable', language), acceptable)}"
        f'<div class="q-vote-row"><input type="text" class="q-vote-note" maxlength="2000" '
        f'placeholder="{note}" aria-label="{note}">'
        f'<button type="button" class="q-vote-send" data-do="vote" disabled>'
        f"{escape(text('vote.send', language))}<kbd>⏎</kbd></button></div>"
        f"{remarks}{_line('vote.keys', language)}"
    )


def _group(title: str, inner: str) -> str:
    label = escape(title)
    return f'<div class="q-vote-row" role="group" aria-label="{label}"><b>{label}</b>{inner}</div>'


def _acceptable(position: str, language: str) -> str:
    letter, number = LETTERS[position], SIDES.index(position) + 1
    answers = "".join(
        f'<button type="button" data-ok="{letter.lower()}" data-value="{value}" '
        f'aria-pressed="false">{escape(text(key, language))}</button>'
        for value, key in (("yes", "vote.yes"), ("no", "vote.no"))
    )
    return (
        f'<span class="q-vote-ok" role="group" aria-label="{letter}">{letter}<kbd>{number}</kbd>'
        f"{answers}</span>"
    )


def _remarks(one: Round) -> list[str]:
    """What a voter should know of these texts, as keys of words."""
    assert one.stored is not None
    results = [one.stored.results.get(side) for side in SIDES]
    told = [result for result in results if isinstance(result, Mapping)]
    found = []
    if not shared_target(one.comparison):
        found.append("vote.unlike")
    if any(result.get("finish_reason") == "cancelled" for result in told):
        found.append("vote.stopped")
    if len({str(result.get("text")) for result in told}) == 1:
        found.append("vote.same")
    return found


def _reveal(one: Round, language: str) -> str:
    names = {at: side_name(one, at) for at in SIDES}
    rows = "".join(
        f'<span class="q-vote-name"><b>{LETTERS[at]}</b> {escape(name)}</span>'
        for at, name in names.items()
    )
    return (
        f'<div class="q-vote-row">{rows}</div>'
        f'<p class="q-vote-told" role="status">{escape(_told(one, names, language))}</p>'
        f'{_kept(one)}<div class="q-vote-row">{_buttons(one, language)}</div>'
    )


def _told(one: Round, names: Mapping[str, str], language: str) -> str:
    if one.why:
        return tell(one.why, language)
    if one.taken_back:
        return text("vote.undone", language)
    if one.vote is None:
        return text("vote.gone", language)
    if one.vote.better == "equal":
        chosen = text("vote.chose.equal", language)
    else:
        at = one.side_at(one.vote.better)
        chosen = text("vote.chose", language, name=f"{LETTERS[at]} · {names[at]}")
    return f"{text('vote.before', language)} {chosen}" if one.before else chosen


def _kept(one: Round) -> str:
    return f'<p class="q-vote-told" role="status">{escape(one.kept)}</p>' if one.kept else ""


def _buttons(one: Round, language: str) -> str:
    following = escape(text("vote.next", language))
    found = (
        f'<button type="button" class="q-vote-send" data-do="next">{following}<kbd>N</kbd></button>'
    )
    if one.can_keep:
        keep = escape(text("vote.keep", language))
        found += f'<button type="button" data-do="keep">{keep}<kbd>K</kbd></button>'
    if one.vote is not None:
        back = escape(text("vote.undo", language))
        found += f'<button type="button" data-do="undo">{back}<kbd>U</kbd></button>'
    return found


def side_name(one: Round, position: str) -> str:
    """Who wrote the text at a position: the model, and what was set differently on its side."""
    side = one.side_at(position)
    more = differences(one.comparison)[SIDES.index(side)]
    model = one.comparison.side(side).model
    return f"{model} ({more})" if more else model
