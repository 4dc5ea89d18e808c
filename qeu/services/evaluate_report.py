"""An evaluation as one file to send on: HTML or Markdown, pictures inside, nothing fetched."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import qeu
from qeu.core.errors import QeuError
from qeu.services.evaluate_picture import plot_use, tell_use, use_rows, way_styles, ways_behind
from qeu.services.evaluate_plot import plot_pair
from qeu.services.evaluate_result import EvalText, Evaluation, PairSummary
from qeu.services.evaluate_table import measure_rows, pair_rows
from qeu.services.usefulness_plot import draw_legend

KINDS = (".html", ".md")
# Records whose texts are shown side by side.
MOST_SHOWN = 12
_LONGEST = 1_200
_XMLNS = 'xmlns="http://www.w3.org/2000/svg"'
_PAIR_HEAD = ("", "left", "right", "difference (95%)", "p", "records", "smallest to be seen")
_USE_HEAD = ("", "usefulness", "gain", "state the reference", "commit to an answer", "records")
_USE_TITLE = "Usefulness of the reasonings against what they leak"
_USE_HOW = (
    "Usefulness: nats a token by which the reference answer is likelier behind a reasoning than "
    "behind another record's of the same way, category and language; gain: than behind none. "
    "Above 0 it helps. Sentences that leak were cut from both before, so that nothing is useful "
    "by telling the answer. Leak score: 0 to 1, a leak from 0.5 on. Large signs are means with "
    "their 95% intervals; a record's first text is measured."
)
_HOW = (
    "Every record was asked in every way, with the same seeds. A record's texts are averaged "
    "first: records are the unit. p by McNemar's exact test where there is one text a record, "
    "else by flipping the signs of the records' differences; intervals are of 95%. “Smallest to "
    "be seen” is the true difference that so many records would show four times of five. Verdicts "
    "are corrected for their number (Holm), the tables are not. A right answer in a form that "
    "nobody listed counts as wrong; checks of reasonings are those of the program, with their "
    "weaknesses."
)
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;"
    "color:#1a1a1a;background:#fff}table{border-collapse:collapse;margin:1rem 0;display:block;"
    "overflow-x:auto}td,th{border:1px solid #ccc;padding:.25rem .6rem;text-align:left;"
    "font-variant-numeric:tabular-nums}th{background:#f4f4f4}"
    ".verdict{border-left:5px solid #7a7a7a;padding:.4rem .8rem;margin:.6rem 0;background:#f7f7f7}"
    ".helps{border-color:#009e73}"
    ".hurts{border-color:#d55e00}pre{white-space:pre-wrap;background:#f7f7f7;padding:.6rem}"
    "svg{max-width:100%;height:auto}summary{cursor:pointer}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}th,pre,.verdict"
    "{background:#242424}td,th{border-color:#444}svg text{fill:#aaa!important}}"
)


def write_report(evaluation: Evaluation, path: Path) -> None:
    """Write it as the file's name ends; QeuError where that is unknown or it cannot be written."""
    if path.suffix not in KINDS:
        raise QeuError(f"A report is .html or .md, and {path.name!r} is neither.")
    text = html_report(evaluation) if path.suffix == ".html" else markdown_report(evaluation)
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.write_text(text, "utf-8", "replace")
        temporary.replace(path)
    except OSError as e:
        raise QeuError(
            f"The report {path} cannot be written ({e.strerror}). Choose another folder."
        ) from e


def html_report(evaluation: Evaluation) -> str:
    """The whole page."""
    names = _names(evaluation)
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(_title(evaluation))}</title><style>{_STYLE}</style>",
        f"<h1>{escape(_title(evaluation))}</h1><p>{escape(_about(evaluation))}</p>",
    ]
    parts += [
        f'<p class="verdict {pair.verdict}">{escape(pair.sentence)}</p>'
        for pair in evaluation.pairs
    ]
    parts.append("<h2>The ways</h2><ol>")
    parts += [f"<li>{escape(line)}</li>" for line in _way_lines(evaluation)]
    parts.append("</ol>" + _html_table(["", *names], measure_rows(evaluation)))
    parts += _html_use(evaluation)
    for pair in evaluation.pairs:
        parts.append(f"<h2>{escape(_pair_title(pair))}</h2>{plot_pair(evaluation, pair)}")
        parts.append(_html_table(_PAIR_HEAD, pair_rows(evaluation, pair)))
    parts += [f"<h2>How it was measured</h2><p>{escape(_HOW)}</p>"]
    parts += [f"<p>{escape(note)}</p>" for note in evaluation.notes]
    parts.append("<h2>Texts</h2>")
    parts += [_html_record(evaluation, record) for record in _shown(evaluation)]
    return "\n".join(parts) + "\n</html>\n"


def markdown_report(evaluation: Evaluation) -> str:
    """The same as Markdown, pictures as data."""
    names = _names(evaluation)
    parts = [f"# {_plain(_title(evaluation))}", _plain(_about(evaluation))]
    parts += [f"- **{pair.verdict}** – {_plain(pair.sentence)}" for pair in evaluation.pairs]
    parts.append("## The ways")
    lines = enumerate(_way_lines(evaluation), start=1)
    parts.append("\n".join(f"{at}. {_plain(line)}" for at, line in lines))
    parts.append(markdown_table(["", *names], measure_rows(evaluation)))
    parts += _markdown_use(evaluation)
    for pair in evaluation.pairs:
        parts.append(f"## {_pair_title(pair)}")
        if picture := plot_pair(evaluation, pair):
            parts.append(_markdown_picture("differences", picture))
        parts.append(markdown_table(_PAIR_HEAD, pair_rows(evaluation, pair)))
    parts += ["## How it was measured", _HOW, *map(_plain, evaluation.notes), "## Texts"]
    parts += [_markdown_record(evaluation, record) for record in _shown(evaluation)]
    return "\n\n".join(parts) + "\n"


def _html_use(evaluation: Evaluation) -> list[str]:
    """Picture, words and table; nothing where no way answers behind a reasoning."""
    if not ways_behind(evaluation):
        return []
    parts = [f"<h2>{_USE_TITLE}</h2>"]
    if picture := plot_use(evaluation):
        legend = draw_legend(way_styles(evaluation))
        parts.append(f'<figure style="margin:0;max-width:48rem">{picture}{legend}</figure>')
    parts += [f"<p>{escape(told)}</p>" for told in tell_use(evaluation)]
    return [*parts, _html_table(_USE_HEAD, use_rows(evaluation)), f"<p>{_USE_HOW}</p>"]


def _markdown_use(evaluation: Evaluation) -> list[str]:
    if not ways_behind(evaluation):
        return []
    parts = [f"## {_USE_TITLE}"]
    if picture := plot_use(evaluation, legend=True):
        # a file of its own needs to say what it is
        parts.append(_markdown_picture("usefulness", picture.replace("<svg ", f"<svg {_XMLNS} ")))
    parts += map(_plain, tell_use(evaluation))
    return [*parts, markdown_table(_USE_HEAD, use_rows(evaluation)), _USE_HOW]


def _markdown_picture(about: str, svg: str) -> str:
    data = base64.b64encode(svg.encode()).decode()
    return f"![{about}](data:image/svg+xml;base64,{data})"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown; what would end a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        f"| {' | '.join(cell if cell == '---' else _plain(cell) for cell in line)} |"
        for line in lines
    )


def _title(evaluation: Evaluation) -> str:
    return f"Evaluation on {evaluation.spec.dataset}"


def _about(evaluation: Evaluation) -> str:
    spec, count = evaluation.spec, len(evaluation.records)
    sampling = spec.sampling
    drawn = "greedy" if sampling.is_greedy else (
        f"temperature {sampling.temperature:g}, top-p {sampling.top_p:g}, top-k {sampling.top_k}, "
        f"min-p {sampling.min_p:g}"
    )  # fmt: skip
    where = "; ".join(f"{name} {_told(value)}" for name, value in spec.where.items()) or "all"
    return (
        f"{count:,} records ({where}), {spec.seeds} text{'s' * (spec.seeds > 1)} each and way, "
        f"{drawn}, repetition penalty {sampling.repetition_penalty:g}, at most "
        f"{sampling.max_new_tokens:,} new tokens. QEU Playground {qeu.__version__}."
    )


def _told(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _names(evaluation: Evaluation) -> list[str]:
    return [f"[{at}]" for at in range(1, len(evaluation.ways) + 1)]


def _way_lines(evaluation: Evaluation) -> list[str]:
    lines = []
    for way in evaluation.ways:
        facts = way.facts
        learned = f", adapter {facts.adapter_hash[:12]}" if facts.adapter_hash else ""
        revision = facts.revision[:12] or "unknown"
        lines.append(
            f"{facts.name}: {facts.ref}, layout {facts.layout}, writes {facts.target}, "
            f"role {facts.role}, {facts.dtype}, revision {revision}{learned}"
        )
    return lines


def _pair_title(pair: PairSummary) -> str:
    return f"[{pair.right + 1}] against [{pair.left + 1}]"


def _shown(evaluation: Evaluation) -> list[int]:
    """The records whose texts stand in the report, evenly taken."""
    count = len(evaluation.records)
    if count <= MOST_SHOWN:
        return list(range(count))
    return [at * count // MOST_SHOWN for at in range(MOST_SHOWN)]


def _texts_of(evaluation: Evaluation, record: int) -> list[EvalText]:
    return [one for one in evaluation.texts if one.record == record and one.seed == 1]


def _written(text: EvalText) -> str:
    if text.error:
        return text.error
    parts = [f"[reasoning] {text.reasoning}"] if text.reasoning else []
    shown = "\n".join([*parts, f"[answer] {text.answer or '–'}"])
    return shown if len(shown) <= _LONGEST else shown[:_LONGEST] + " …"


def _verdict_of(text: EvalText) -> str:
    right = text.values.get("right")
    return "" if right is None else ", right" if right else ", wrong"


def _html_record(evaluation: Evaluation, at: int) -> str:
    record = evaluation.records[at]
    body = f"<p><b>{escape(record.question)}</b></p>"
    if record.output.strip():
        body += f"<p>Reference:</p><pre>{escape(record.output[:_LONGEST])}</pre>"
    for text in _texts_of(evaluation, at):
        head = f"[{text.way + 1}]{_verdict_of(text)}"
        body += f"<p>{head}</p><pre>{escape(_written(text))}</pre>"
    summary = f"{record.seq} · {record.category} · {record.language}"
    return f"<details><summary>{escape(summary)}</summary>{body}</details>"


def _markdown_record(evaluation: Evaluation, at: int) -> str:
    record = evaluation.records[at]
    parts = [f"### {_plain(record.seq)} · {record.category} · {record.language}"]
    parts.append(_fenced(record.question))
    for text in _texts_of(evaluation, at):
        parts.append(f"[{text.way + 1}]{_verdict_of(text)}\n\n{_fenced(_written(text))}")
    return "\n\n".join(parts)


def _fenced(text: str) -> str:
    """A text that can hold fences itself."""
    longest = max((len(run) for run in text.split("\n") if set(run) == {"`"}), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _html_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _plain(text: str) -> str:
    """Words of others as words: nothing in them is markup."""
    flat = " ".join(text.split())
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#" else c for c in flat)
