"""Choose the next token of every row, each row by its own settings and its own random numbers.

Steps, in this order: repetition penalty, temperature, top-k, top-p, min-p, draw. Every step is a
function of its own, so that a view of the next token can show what each one did.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from qeu.core.sampling import Sampling

KEPT, TOP_K, TOP_P, MIN_P = range(4)


@dataclass(frozen=True)
class Candidates:
    """The likeliest tokens of each row, best first; all tensors are (rows, columns).

    `scores` are after penalty and temperature. `removed_by` is KEPT, TOP_K, TOP_P or MIN_P, the
    first step that dropped the token; columns past the largest top-k are not here at all.
    `probabilities` are those the draw is made with: 0 where removed, else their sum is 1.
    """

    ids: torch.Tensor
    scores: torch.Tensor
    removed_by: torch.Tensor
    probabilities: torch.Tensor


class RowSettings:
    """The settings of all rows as columns of tensors, rebuilt only when rows leave the batch."""

    def __init__(self, rows: Sequence[Sampling], device: torch.device | str) -> None:
        def column(values: list[float]) -> torch.Tensor:
            return torch.tensor(values, dtype=torch.float32, device=device)[:, None]

        self.greedy = [row.is_greedy for row in rows]
        self.all_greedy = all(self.greedy)
        self.greedy_mask = torch.tensor(self.greedy, device=device)
        self.penalty = column([row.repetition_penalty for row in rows])
        self.penalises = any(row.repetition_penalty != 1 for row in rows)
        # what a greedy row asks beside the penalty has no effect, so it must not widen the work
        drawn = [row for row in rows if not row.is_greedy]
        self.temperature = column([1.0 if row.is_greedy else row.temperature for row in rows])
        self.top_k = [1 if row.is_greedy else row.top_k for row in rows]
        self.top_k_column = torch.tensor(self.top_k, device=device)[:, None]
        self.top_p = column([1.0 if row.is_greedy else row.top_p for row in rows])
        self.min_p = column([0.0 if row.is_greedy else row.min_p for row in rows])
        self.uses_top_p = any(row.top_p < 1 for row in drawn)
        self.uses_min_p = any(row.min_p > 0 for row in drawn)

    def columns(self, vocabulary: int) -> int:
        """How many candidates must be looked at: the largest top-k, or all where one is off."""
        return vocabulary if 0 in self.top_k else min(max(self.top_k), vocabulary)


def penalise(scores: torch.Tensor, used: torch.Tensor, penalty: torch.Tensor) -> torch.Tensor:
    """Divide positive and multiply negative scores of the `used` ids (rows, any length) in place.

    An id that stands in a row several times counts once: it is read before anything is written.
    """
    chosen = scores.gather(1, used)
    return scores.scatter_(1, used, torch.where(chosen < 0, chosen * penalty, chosen / penalty))


def rank(
    scores: torch.Tensor, settings: RowSettings, columns: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Temperature, then the best `columns` scores of each row in falling order, with their ids."""
    best, ids = scores.topk(columns, dim=-1)
    return best / settings.temperature, ids


def filter_candidates(ids: torch.Tensor, scores: torch.Tensor, settings: RowSettings) -> Candidates:
    """Top-k, top-p and min-p over ranked scores; the likeliest token always stays."""
    place = torch.arange(scores.shape[1], device=scores.device)[None, :]
    removed = torch.zeros_like(ids, dtype=torch.int8)
    limit = torch.where(settings.top_k_column > 0, settings.top_k_column, scores.shape[1])
    removed[place >= limit] = TOP_K
    probabilities = share(scores, removed)
    if settings.uses_top_p:
        # a token stays if those before it have not reached the mass yet
        before = probabilities.cumsum(-1) - probabilities
        out = (before >= settings.top_p) & (place > 0) & (settings.top_p < 1)
        removed[out & (removed == KEPT)] = TOP_P
        probabilities = share(scores, removed)
    if settings.uses_min_p:
        out = (probabilities < settings.min_p * probabilities[:, :1]) & (place > 0)
        removed[out & (removed == KEPT)] = MIN_P
        probabilities = share(scores, removed)
    return Candidates(ids, scores, removed, probabilities)


def draw(candidates: Candidates, uniforms: Sequence[float]) -> torch.Tensor:
    """One id a row: the first whose cumulated probability exceeds the row's number in [0, 1)."""
    # float64: a sum over a whole vocabulary in float32 would be off by more than rare tokens have
    mass = candidates.probabilities.double().cumsum(-1)
    point = torch.tensor(uniforms, dtype=torch.float64, device=mass.device)[:, None]
    column = (mass <= point * mass[:, -1:]).sum(-1, keepdim=True)
    # a parallel sum may round up behind the last kept token: then it is that one
    # (none is kept in a row of NaN, which its best score tells)
    last = ((candidates.probabilities > 0).sum(-1, keepdim=True) - 1).clamp(min=0)
    return candidates.ids.gather(1, torch.minimum(column, last))[:, 0]


def penalised(logits: torch.Tensor, used: torch.Tensor, settings: RowSettings) -> torch.Tensor:
    """The scores in float32 after the repetition penalty; the model's own stay as they are."""
    scores = logits.float()
    if not settings.penalises:
        return scores
    return penalise(scores.clone() if scores is logits else scores, used, settings.penalty)


def shortlist(scores: torch.Tensor, settings: RowSettings) -> Candidates:
    """What the draw is made from: the steps after the penalty, as each row asks for them."""
    ranked, ids = rank(scores, settings, settings.columns(scores.shape[1]))
    return filter_candidates(ids, ranked, settings)


def next_tokens(
    logits: torch.Tensor,
    used: torch.Tensor,
    settings: RowSettings,
    randoms: Sequence[random.Random],
) -> tuple[torch.Tensor, torch.Tensor]:
    """The chosen id and its row's best score, both (rows,), from logits (rows, vocabulary).

    A best score that is not finite means that the row's computation has failed. Greedy rows draw
    no random number.
    """
    scores = penalised(logits, used, settings)
    if settings.all_greedy:
        best, chosen = scores.max(-1)
        return chosen, best
    candidates = shortlist(scores, settings)
    uniforms = [
        0.0 if greedy else source.random()
        for greedy, source in zip(settings.greedy, randoms, strict=True)
    ]
    chosen = draw(candidates, uniforms)
    if any(settings.greedy):
        # of equal scores `topk` may rank any first; greedy is the same whoever shares the batch
        chosen = torch.where(settings.greedy_mask, scores.argmax(-1), chosen)
    return chosen, candidates.scores[:, 0]


def share(scores: torch.Tensor, removed: torch.Tensor) -> torch.Tensor:
    """Probabilities of what is not removed, 0 for the rest; both (rows, columns)."""
    return scores.masked_fill(removed != KEPT, float("-inf")).softmax(-1)
