"""The next-token view as text: bars, steps, surprises, two texts token by token."""

from typing import TYPE_CHECKING

from qeu.cli.screen import display_width, show, table, terminal_columns, wrap_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qeu.core.lens import Candidate, LensPicture, PairedToken, PartMean, Surprise, TwoSides
    from qeu.services.asks import Live
    from qeu.services.lens import Look

BAR_COLUMNS = 24
TOKEN_COLUMNS = 18
# Tokens of a comparison that are listed: those where the sides differ most.
MOST_APART = 12
_SHORT = {
    "repetition_penalty": "penalty",
    "temperature": "temp",
    "top_k": "top-k",
    "top_p": "top-p",
    "min_p": "min-p",
    "greedy": "greedy",
}
# Surprise in four shades, by bits.
_SHADES = ((8, "!!!"), (4, "!!"), (2, "!"))


def show_look(look: "Look") -> None:
    """The candidates with their bars, what each step did, and what was chosen."""
    picture = look.picture
    where = f"before token {look.position:,}" if look.position else "at the end of the prompt"
    show(f"\n{look.side.ask.model}, {where}")
    names = [_SHORT[step.name] for step in picture.steps]
    rows: list[tuple[str, ...]] = [("token", "", "before", *names, "", "")]
    for one in picture.candidates:
        shares = [_share(value) for value in (one.before, *one.after)]
        rows.append((_fit(one.shown), _sign(one, picture), *shares, _bar(one), _why(one)))
    others = picture.vocabulary - len(picture.candidates)
    if others:
        rest = [_share(value) for value in picture.rest]
        rows.append((f"{others:,} others", "", *rest, "", ""))
    show(table(rows))
    show("")
    steps: list[tuple[str, ...]] = [("step", "setting", "mass kept", "remaining", "entropy")]
    steps.append(
        ("before", "", "", f"{picture.vocabulary:,}", f"{picture.entropy_before:.2f} bits")
    )
    for step in picture.steps:
        setting = f"{step.setting:g}" if step.name != "greedy" else "on"
        steps.append(
            (
                _SHORT[step.name],
                setting if step.active else f"{setting} (off)",
                _share(step.mass),
                f"{step.kept:,}",
                f"{step.entropy:.2f} bits",
            )
        )
    show(table(steps))
    signs = "> chosen by these settings, = written in the text, * already in the text"
    number = "" if picture.uniform is None else f"; the seed's number is {picture.uniform:.4f}"
    show(f"\n{signs}{number}")
    for note in look.notes:
        show("\n".join(wrap_text(note, terminal_columns())))


def show_surprise(surprise: "Surprise") -> None:
    """Each token with how little it was expected, and the means."""
    show("\nSurprise in bits (0: certain), by token:")
    words = [f"{one.token.shown}[{one.bits:.1f}{_shade(one.bits)}]" for one in surprise.tokens]
    show("\n".join(wrap_text(" ".join(words), terminal_columns())))
    for mean in surprise.means:
        show(f"{mean.part}: {mean.bits:.2f} bits a token over {mean.tokens:,}")


def show_two(two: "TwoSides", models: "Sequence[str]") -> None:
    """Where two texts part, what the sides disagree on most, and the means of both texts."""
    left, right = models
    if two.why:
        show("\n".join(wrap_text(two.why, terminal_columns())))
    elif two.first_divergence is None:
        show("Both wrote the same tokens to the end.")
    else:
        at = two.first_divergence
        words = " | ".join(_token_at(tokens, at) for tokens in (two.left, two.right))
        show(f"The texts part at token {at:,}: {words}")
    rows: list[tuple[str, ...]] = [("text of", "part", "tokens", "own", "other's", "KL")]
    for name, means in ((left, two.left_means), (right, two.right_means)):
        rows += [(name, *_mean(mean)) for mean in means]
    show("\n" + table(rows))
    for name, tokens in ((left, two.left), (right, two.right)):
        _show_apart(name, tokens)


def show_continuation(live: "Live", look: "Look") -> None:
    """What was written from there on."""
    show(f"\nWith another token at position {look.position:,}:")
    show("\n".join(wrap_text(live.text, terminal_columns())))


def _show_apart(name: str, tokens: "Sequence[PairedToken]") -> None:
    known = [(one.divergence, at) for at, one in enumerate(tokens) if one.divergence is not None]
    most = sorted(at for _, at in sorted(known, reverse=True)[:MOST_APART])
    if not most:
        return
    show(f"\nWhere the sides differ most in the text of {name} (bits):")
    rows: list[tuple[str, ...]] = [("token", "", "own", "other's", "KL")]
    for at in most:
        one = tokens[at]
        rows.append(
            (f"{at:,}", _fit(one.token.shown), _bits(one.bits), _bits(one.other_bits),
             _bits(one.divergence))
        )  # fmt: skip
    show(table(rows))


def _token_at(tokens: "Sequence[PairedToken]", at: int) -> str:
    return tokens[at].token.shown if at < len(tokens) else "(the end)"


def _mean(mean: "PartMean") -> tuple[str, ...]:
    values = (mean.bits, mean.other_bits, mean.divergence)
    return (mean.part, f"{mean.tokens:,}", *map(_bits, values))


def _bits(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _sign(one: "Candidate", picture: "LensPicture") -> str:
    signs = (
        (">", one.token == picture.chosen),
        ("=", one.token == picture.written),
        ("*", one.used),
    )
    return "".join(sign for sign, holds in signs if holds)


def _share(value: float) -> str:
    if value == 0:
        return "–"
    return f"{value:.1%}" if value >= 0.001 else "<0.1%"


def _bar(one: "Candidate") -> str:
    return "#" * round(one.after[-1] * BAR_COLUMNS)


def _why(one: "Candidate") -> str:
    return f"removed by {_SHORT[one.removed_by]}" if one.removed_by else ""


def _shade(bits: float) -> str:
    return next((sign for least, sign in _SHADES if bits >= least), "")


def _fit(text: str) -> str:
    """The text in at most so many columns."""
    while display_width(text) > TOKEN_COLUMNS:
        text = text[:-2] + "…"
    return text
