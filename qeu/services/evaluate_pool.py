"""Trainings that differ in their seed only, put together: one way for all of them."""

import math
from collections.abc import Sequence
from dataclasses import replace

from qeu.core.paired import mean_interval
from qeu.services.evaluate_result import Evaluation, PairSummary
from qeu.services.evaluate_summary import average_by_record, summarize
from qeu.services.evaluate_verdict import Averaged, tell_signed

_APART = 1_000  # more than the seeds of one way


def pool_groups(evaluation: Evaluation) -> Evaluation | None:
    """The same texts with each group as one way; None where no group has two members.

    A record's texts are averaged over the trainings, too. Each pair tells the difference training
    by training, and from three on its interval over them: that of the records is for these very
    trainings.
    """
    members: dict[str, list[int]] = {}
    for at, way in enumerate(evaluation.spec.ways):
        members.setdefault(f"group {way.group}" if way.group else f"way {at}", []).append(at)
    groups = list(members.values())
    if all(len(group) == 1 for group in groups):
        return None
    ways, facts, place = [], [], dict[int, tuple[int, int]]()
    for to, group in enumerate(groups):
        first, told = evaluation.spec.ways[group[0]], evaluation.ways[group[0]].facts
        if len(group) > 1:
            first = replace(first, title=f"{first.group} ({len(group)} trainings)", group="")
            refs = ", ".join(evaluation.ways[at].facts.ref for at in group)
            learned = max(evaluation.ways[at].facts.learned for at in group)
            told = replace(told, name=first.title, ref=refs, adapter_hash="", learned=learned)
        ways.append(first)
        facts.append(told)
        place |= {at: (to, number) for number, at in enumerate(group)}
    texts = [
        replace(text, way=place[text.way][0], seed=text.seed + _APART * place[text.way][1])
        for text in evaluation.texts
    ]
    named = ((place[left][0], place[right][0]) for left, right in evaluation.spec.pairs)
    pairs = tuple(dict.fromkeys(pair for pair in named if pair[0] != pair[1]))
    spec = replace(evaluation.spec, ways=tuple(ways), pairs=pairs)
    pooled = summarize(spec, evaluation.records, evaluation.matching, facts, texts)
    averaged = [average_by_record(evaluation.texts, at) for at in range(len(evaluation.ways))]
    told = tuple(_tell_trainings(pair, groups, averaged) for pair in pooled.pairs)
    return replace(pooled, pairs=told)


def _tell_trainings(
    pair: PairSummary, groups: Sequence[Sequence[int]], averaged: Sequence[Averaged]
) -> PairSummary:
    """The difference of the deciding measure, training by training; one base stands for all."""
    lefts, rights = groups[pair.left], groups[pair.right]
    count = max(len(lefts), len(rights))
    if not pair.decided_by or count == 1 or {len(lefts), len(rights)} - {1, count}:
        return pair
    found = []
    for at in range(count):
        left = averaged[lefts[at % len(lefts)]][pair.decided_by]
        right = averaged[rights[at % len(rights)]][pair.decided_by]
        shared = left.keys() & right.keys()
        if shared:
            sums = math.fsum(right[record] - left[record] for record in shared)
            found.append(sums / len(shared))
    factor, digits = (100, 1) if pair.decided_by == "right" else (1, 3)
    listed = ", ".join(tell_signed(factor * one, digits) for one in found)
    said = [pair.sentence, f"Training by training the difference was {listed}."]
    interval = mean_interval(found)
    if interval:
        low, high = (tell_signed(factor * bound, digits) for bound in interval)
        said.append(f"Over these {len(found)} trainings that is 95% [{low}, {high}].")
        if pair.verdict != "unclear" and interval[0] <= 0 <= interval[1]:
            said.append("For other trainings of this kind it is not certain.")
    return replace(pair, trainings=tuple(found), over_trainings=interval, sentence=" ".join(said))
