"""The standings as HTML: who was preferred to whom, how sure that is, and what it leans on."""

from collections.abc import Mapping, Sequence

from qeu.core.votes import LEAST_DECIDED, Pair, Share, Standings, Tally
from qeu.services.vote_export import VoteExport
from qeu.ui.markup import escape
from qeu.ui.strings import text, words

_HEAD = ("vote.head.votes", "vote.head.counts", "vote.head.share")
_VERDICTS = {
    "more": "vote.verdict.more",
    "less": "vote.verdict.less",
    "open": "vote.verdict.open",
    "too_few": "vote.verdict.too_few",
}
_LEFT_OUT = {
    "equal": "vote.left.equal",
    "split": "vote.left.split",
    "unacceptable": "vote.left.unacceptable",
    "stopped": "vote.left.stopped",
    "same": "vote.left.same",
    "different": "vote.left.different",
    "held_out": "vote.left.held_out",
}


def standings_html(found: Standings, language: str, public: bool = False) -> str:
    """Pairs, models, position, and the buttons that write files."""
    visit = f'<p class="q-note">{escape(text("vote.visit", language))}</p>' if public else ""
    if not found.votes:
        return f'{visit}<p class="q-hint">{escape(text("vote.none", language))}</p>'
    pairs = "".join(_pair_rows(pair, language) for pair in found.pairs)
    engines = "".join(
        _row(engine.name, engine.all, language, _share(engine.acceptable))
        for engine in found.engines
    )
    return (
        visit
        + _table("vote.head.pair", "vote.head.verdict", pairs, language)
        + _table("vote.head.engine", "vote.head.acceptable", engines, language)
        + _position(found.position, language)
        + _buttons(language)
    )


def export_line(report: VoteExport, language: str) -> str:
    """What a file holds, what was left out of it, and under which licences its texts stand."""
    comma = text("list.comma", language)
    told = [text("vote.export.done", language, rows=f"{report.rows:,}")]
    if report.left_out:
        reasons = (text(_LEFT_OUT[k], language, count=n) for k, n in report.left_out.items())
        told.append(text("vote.export.left_out", language, reasons=comma.join(reasons)))
    if report.reduced:
        told.append(text("vote.export.reduced", language, count=report.reduced))
    if report.licences:
        named = comma.join(f"{name} ({count})" for name, count in report.licences.items())
        told.append(text("vote.export.licences", language, licences=named))
    return " ".join(told)


def _table(first: str, last: str, rows: str, language: str) -> str:
    head = "".join(f"<th>{escape(text(key, language))}</th>" for key in (first, *_HEAD, last))
    return (
        '<div class="q-scroll"><table class="q-table q-standings">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _pair_rows(pair: Pair, language: str) -> str:
    name = text("vote.against", language, first=pair.first, second=pair.second)
    rows = _row(name, pair.all, language, _verdict(pair.all, language))
    parts = _parts(pair.by_category, "category", language)
    parts += _parts(pair.by_language, "language", language)
    return rows + "".join(
        _row(part, tally, language, _verdict(tally, language), "q-sub") for part, tally in parts
    )


def _parts(tallies: Mapping[str, Tally], family: str, language: str) -> Sequence[tuple[str, Tally]]:
    """By name in the page's language; a single part is the whole again and is left out."""
    if len(tallies) < 2:
        return []
    known = words(language)
    return [(known.get(f"{family}.{name}", name or "–"), tally) for name, tally in tallies.items()]


def _row(name: str, tally: Tally, language: str, last: str, css: str = "") -> str:
    counts = f"{tally.wins} / {tally.ties} / {tally.losses}"
    return (
        f'<tr class="{css}"><th scope="row">{escape(name)}</th><td>{tally.votes}</td>'
        f"<td>{counts}</td><td>{_interval(tally)}</td><td>{last}</td></tr>"
    )


def _interval(tally: Tally) -> str:
    """The share as a dot within its interval, on a line from 0 to 100% with the half marked."""
    if tally.share is None:
        return "–"
    low, high = tally.interval
    told = f"{tally.share:.0%} ({low:.0%}–{high:.0%})"
    return (
        f'<span class="q-interval" role="img" aria-label="{told}">'
        f'<i style="left:{low:.1%};width:{high - low:.1%}"></i>'
        f'<b style="left:{tally.share:.1%}"></b></span> <span class="q-num">{told}</span>'
    )


def _verdict(tally: Tally, language: str) -> str:
    values = {"decided": tally.decided, "least": LEAST_DECIDED}
    told = text(_VERDICTS[tally.verdict], language, **values)
    return f'<span class="q-verdict q-{tally.verdict}">{escape(told)}</span>'


def _share(share: Share) -> str:
    if not share.of:
        return "–"
    low, high = share.interval
    return f"{share.count} / {share.of} ({low:.0%}–{high:.0%})"


def _position(tally: Tally, language: str) -> str:
    """How often the left text won: with shuffled sides that is half, unless people lean."""
    if not tally.decided:
        return ""
    low, high = tally.interval
    told = text(
        "vote.position", language, wins=tally.wins, decided=tally.decided,
        low=f"{low:.0%}", high=f"{high:.0%}",
    )  # fmt: skip
    key = "vote.position.bias" if tally.verdict in ("more", "less") else "vote.position.none"
    if tally.verdict != "too_few":
        told += " " + text(key, language)
    return f'<p class="q-hint">{escape(told)}</p>'


def _buttons(language: str) -> str:
    pairs = escape(text("vote.export.dpo", language))
    records = escape(text("vote.export.records", language))
    return (
        '<div class="q-vote-row">'
        f'<button type="button" data-do="export" data-value="dpo">{pairs}</button>'
        f'<button type="button" data-do="export" data-value="records">{records}</button></div>'
    )
