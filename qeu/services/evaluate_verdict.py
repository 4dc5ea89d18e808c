"""Helps, hurts, or cannot tell at this n: one verdict and one sentence for each pair of ways."""

from collections.abc import Sequence
from dataclasses import replace

from qeu.core.eval_measures import BY_NAME
from qeu.core.paired import ALPHA, Comparison, compare_pairs, holm
from qeu.services.evaluate_result import PairSummary, WayFacts

Averaged = dict[str, dict[int, float]]  # by measure, by record


def compare_one(
    name: str, left: Averaged, right: Averaged, alpha: float = ALPHA
) -> Comparison | None:
    """One measure of two ways on the records that both have; None where there are none."""
    shared = sorted(left[name].keys() & right[name].keys())
    return compare_pairs(
        [left[name][record] for record in shared],
        [right[name][record] for record in shared],
        is_share=BY_NAME[name].is_share,
        alpha=alpha,
    )


def decide(
    pairs: Sequence[PairSummary], facts: Sequence[WayFacts], by_record: Sequence[Averaged]
) -> list[PairSummary]:
    """Verdict and sentence of each pair, corrected for how many verdicts are made at once."""
    raw = [pair.comparisons[pair.decided_by].p for pair in pairs if pair.decided_by]
    corrected = iter(holm(raw))
    found = []
    for pair in pairs:
        if not pair.decided_by:
            sentence = _sentence(pair, facts, len(raw))
            found.append(replace(pair, sentence=sentence))
            continue
        left, right = by_record[pair.left], by_record[pair.right]
        decided = compare_one(pair.decided_by, left, right, ALPHA / len(raw))
        pair = replace(pair, decided=decided, p=next(corrected))
        pair = replace(pair, verdict=_verdict(pair))
        found.append(replace(pair, sentence=_sentence(pair, facts, len(raw))))
    return found


def _verdict(pair: PairSummary) -> str:
    if pair.decided is None or pair.p is None or pair.p > ALPHA:
        return "unclear"
    gain = pair.decided.difference * BY_NAME[pair.decided_by].better
    return "helps" if gain > 0 else "hurts" if gain < 0 else "unclear"


def _sentence(pair: PairSummary, facts: Sequence[WayFacts], verdicts: int) -> str:
    left, right = facts[pair.left].name, facts[pair.right].name
    one = pair.decided
    if one is None or pair.p is None:
        return (
            f"Cannot tell whether {right} helps against {left}: no record has a checkable answer, "
            "nor an answer loss, of both."
        )
    told = _figures(pair, one, tell_p(pair.p))
    if pair.verdict == "helps":
        said = [f"{right} helps against {left}: {told}."]
    elif pair.verdict == "hurts":
        said = [f"{right} hurts against {left}: {told}."]
    else:
        said = [f"Cannot tell at this n whether {right} helps against {left}: {told}."]
        said.append(_smallest(pair, one))
    if verdicts > 1:
        said.append(f"p and interval are corrected for {verdicts} comparisons.")
    return " ".join(said)


def _figures(pair: PairSummary, one: Comparison, p: str) -> str:
    """Both values, their difference, how sure it is; no words but the measure's."""
    factor, digits = (100, 1) if pair.decided_by == "right" else (1, 3)
    bounds = ""
    if one.low is not None and one.high is not None:
        low, high = (tell_signed(factor * bound, digits) for bound in (one.low, one.high))
        bounds = f", 95% [{low}, {high}]"
    change = tell_signed(factor * one.difference, digits)
    if pair.decided_by == "right":
        told = (
            f"right answers {one.left:.0%} → {one.right:.0%} "
            f"({change} points{bounds}, {p}, n = {one.n:,})"
        )
    else:
        told = (
            f"answer loss {one.left:.3f} → {one.right:.3f} "
            f"({change} nats a token{bounds}, {p}, n = {one.n:,})"
        )
    return told


def _smallest(pair: PairSummary, one: Comparison) -> str:
    if one.smallest is None:
        return "So few records show no difference whatever."
    if pair.decided_by == "right":
        return f"So many records show a difference from about {100 * one.smallest:.0f} points on."
    return f"So many records show a difference from about {one.smallest:.3f} nats a token on."


def tell_signed(value: float, digits: int) -> str:
    """With its sign, and a thousands' comma; what rounds to nothing is +0."""
    return f"{round(value, digits) + 0.0:+,.{digits}f}"


def tell_p(p: float) -> str:
    """A p value in as many digits as mean something."""
    return f"p = {p:.2g}" if p >= 0.0001 else "p < 0.0001"
