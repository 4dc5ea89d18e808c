"""Draw the picture of one choice with the sampler's own functions, and compare distributions.

A row is one position's scores, (vocabulary,), as the model gave them.
"""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from qeu.core.lens import Candidate, LensPicture, LensStep, ShownToken, steps_of
from qeu.core.sampling import Sampling

if TYPE_CHECKING:
    import torch

    from qeu.backends.sampler import Candidates

TOP = 20
# Below this log-probability (natural) a token is never seen; infinity could not be averaged.
_LEAST_LOG = -1e4
# Rows whose distributions are compared at once: each is held in float32 a few times over.
_ROWS_TOGETHER = 16


def draw_picture(
    row: "torch.Tensor",
    used: Sequence[int],
    sampling: Sampling,
    name: Callable[[int], ShownToken],
    *,
    top: int = TOP,
    written: int | None = None,
    uniform: float | None = None,
) -> LensPicture:
    """What the sampler does with a row behind the ids `used` (prompt and all written so far).

    `uniform` is the random number of the draw, from [0, 1). The row itself stays as it is.
    """
    import torch

    from qeu.backends.sampler import RowSettings, penalised

    with torch.inference_mode():
        settings = RowSettings([sampling], row.device)
        behind = torch.tensor([list(used)], dtype=torch.long, device=row.device)
        scores = penalised(row[None], behind, settings)  # (1, vocabulary)
        before = row.float().softmax(-1)
        shares = [scores[0].softmax(-1)]  # behind each step, each (vocabulary,)
        kept = [len(row)]
        if sampling.is_greedy:
            chosen, removed, order = _take_best(row[None], behind, settings, scores, shares, kept)
        else:
            chosen, removed, order = _take_drawn(scores, settings, uniform, shares, kept)
        likeliest = int(before.argmax())
        shown = _choose_shown(scores[0], order, top, [written, chosen, likeliest])
        places = torch.tensor([token for token, _ in shown], device=row.device)
        columns = torch.stack([before, *shares])[:, places]  # (1 + steps, shown)
        rest = (1 - columns.double().sum(-1)).clamp(min=0).tolist()
        by_token = zip(shown, columns.T.tolist(), removed[places].tolist(), strict=True)
        steps = steps_of(sampling)
        known = set(used)
        found = []
        for (token, rank), (first, *after), step in by_token:
            told = name(token)
            found.append(
                Candidate(
                    token, told.shown, told.kind, rank, first, tuple(after),
                    steps[step] if step >= 0 else "", token in known,
                )
            )  # fmt: skip
        return LensPicture(
            steps=_describe(sampling, shares, kept),
            candidates=tuple(found),
            rest=tuple(rest),
            vocabulary=len(row),
            entropy_before=_entropy(before),
            likeliest=likeliest,
            chosen=chosen,
            written=written,
            uniform=None if sampling.is_greedy else uniform,
        )


def surprise_bits(rows: "torch.Tensor", ids: Sequence[int]) -> list[float]:
    """How little each id was expected by its row, in bits; rows are (len(ids), vocabulary)."""
    import torch

    wanted = torch.tensor(list(ids), device=rows.device)[:, None]
    chances = [
        part.float().log_softmax(-1).gather(1, wanted[at : at + len(part)])[:, 0]
        for at, part in _parts(rows)
    ]
    if not chances:
        return []
    bits = -torch.cat(chances).double().clamp(min=_LEAST_LOG) / math.log(2)
    return (bits + 0.0).tolist()


def divergence_bits(left: "torch.Tensor", right: "torch.Tensor") -> list[float]:
    """D(left ‖ right) of each pair of rows, in bits; both (rows, vocabulary).

    Of vocabularies that are padded to different sizes the common part is compared.
    """
    import torch

    width = min(left.shape[1], right.shape[1])
    found: list[float] = []
    with torch.inference_mode():
        for at, part in _parts(left):
            ours = part[:, :width].float().log_softmax(-1)
            other = right[at : at + len(part), :width].float().log_softmax(-1)
            ours, other = ours.clamp(min=_LEAST_LOG), other.clamp(min=_LEAST_LOG)
            nats = (ours.exp() * (ours - other)).double().sum(-1)
            # rounding can leave equal distributions a hair below zero
            found += (nats.clamp(min=0) / math.log(2)).tolist()
    return found


def _take_drawn(
    scores: "torch.Tensor",
    settings: object,
    uniform: float | None,
    shares: "list[torch.Tensor]",
    kept: list[int],
) -> "tuple[int | None, torch.Tensor, torch.Tensor]":
    """(the drawn token, the step that removed each token or -1, the ids best first)."""
    import torch

    from qeu.backends import sampler

    vocabulary = scores.shape[1]
    shares.append((scores / settings.temperature)[0].softmax(-1))  # type: ignore[attr-defined]
    kept.append(vocabulary)
    candidates = sampler.shortlist(scores, settings)  # type: ignore[arg-type]
    for step in (sampler.TOP_K, sampler.TOP_P, sampler.MIN_P):
        # a token names the first step that dropped it: later ones have not happened yet
        gone = candidates.removed_by.where(candidates.removed_by <= step, sampler.KEPT)
        probabilities = sampler.share(candidates.scores, gone)[0]
        shares.append(torch.zeros_like(scores[0]).scatter(0, candidates.ids[0], probabilities))
        kept.append(int((gone == sampler.KEPT).sum()))
    chosen = None if uniform is None else int(sampler.draw(candidates, [uniform])[0])
    return chosen, _removed_by(candidates, vocabulary), candidates.ids[0]


def _removed_by(candidates: "Candidates", vocabulary: int) -> "torch.Tensor":
    """The number of the step that removed each token of the vocabulary, -1 where none did."""
    from qeu.backends import sampler

    steps = {sampler.KEPT: -1, sampler.TOP_K: 2, sampler.TOP_P: 3, sampler.MIN_P: 4}
    ids, codes = candidates.ids[0], candidates.removed_by[0]
    # what the sampler does not even look at is behind the largest top-k
    found = codes.new_full((vocabulary,), steps[sampler.TOP_K])
    return found.scatter(0, ids, codes.new_tensor([steps[code] for code in range(4)])[codes.long()])


def _take_best(
    logits: "torch.Tensor",
    used: "torch.Tensor",
    settings: object,
    scores: "torch.Tensor",
    shares: "list[torch.Tensor]",
    kept: list[int],
) -> "tuple[int, torch.Tensor, torch.Tensor]":
    """The same for greedy, whose one step keeps the best token."""
    import torch

    from qeu.backends.sampler import next_tokens

    chosen = int(next_tokens(logits, used, settings, [])[0])  # type: ignore[arg-type]
    alone = torch.zeros_like(scores[0])
    alone[chosen] = 1
    shares.append(alone)
    kept.append(1)
    removed = torch.ones_like(scores[0], dtype=torch.int8)
    removed[chosen] = -1
    return chosen, removed, alone.nonzero()[0]


def _choose_shown(
    scores: "torch.Tensor", order: "torch.Tensor", top: int, also: Sequence[int | None]
) -> list[tuple[int, int]]:
    """(id, rank) of the tokens to show: the first `top` of the order, then `also`."""
    count = min(top, len(scores))
    found = dict.fromkeys(order[:count].tolist())
    if len(found) < count:
        # of equal scores another length may put another one first: what the sampler took leads
        longer = scores.topk(min(len(scores), len(order) + count)).indices.tolist()
        for token in longer:
            if len(found) == count:
                break
            found[token] = None
    shown = [(token, rank) for rank, token in enumerate(found, start=1)]
    others = {token for token in also if token is not None} - set(found)
    places = {token: int((scores > scores[token]).sum()) + 1 for token in others}
    # as good as the last one shown, but behind it
    more = [(token, max(place, count + 1)) for token, place in places.items()]
    return shown + sorted(more, key=lambda one: (one[1], one[0]))


def _describe(
    sampling: Sampling, shares: "Sequence[torch.Tensor]", kept: Sequence[int]
) -> tuple[LensStep, ...]:
    off = {"repetition_penalty": 1, "temperature": 1, "top_k": 0, "top_p": 1, "min_p": 0}
    found = []
    for at, name in enumerate(steps_of(sampling)):
        setting = True if name == "greedy" else getattr(sampling, name)
        removed = kept[at - 1] - kept[at] if at else 0
        mass = float(shares[at - 1][shares[at] > 0].double().sum()) if removed else 1.0
        found.append(
            LensStep(
                name,
                setting,
                active=setting != off.get(name),
                kept=kept[at],
                removed=removed,
                mass=min(mass, 1.0),
                entropy=_entropy(shares[at]),
            )
        )
    return tuple(found)


def _entropy(probabilities: "torch.Tensor") -> float:
    import torch

    # + 0.0: a distribution of one token has -0
    return float(torch.special.entr(probabilities).double().sum()) / math.log(2) + 0.0


def _parts(rows: "torch.Tensor") -> "list[tuple[int, torch.Tensor]]":
    return [(at, rows[at : at + _ROWS_TOGETHER]) for at in range(0, len(rows), _ROWS_TOGETHER)]
