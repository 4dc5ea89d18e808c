"""How probable given texts are after a prompt: the scores that labelling compares."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from qeu.backends.compute_queue import StopSign
from qeu.backends.cpu_threads import restored_threads, wanted_threads
from qeu.core.errors import QeuError
from qeu.core.prompts import Prompt

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from qeu.backends.tokenize import PromptEncoder

# Prompts times choices that are computed at once.
MOST_TOGETHER = 64
# Tokens of the prompts, padding included, that are computed at once.
MOST_TOKENS = 8_192


@dataclass(frozen=True)
class ScoreRow:
    """A prompt and the texts, none empty, whose probability behind it is asked."""

    prompt: Prompt
    choices: tuple[str, ...]


@dataclass(frozen=True)
class TextScore:
    """The natural logarithm of a text's probability, and its length in tokens."""

    log_probability: float
    tokens: int


class Scorer(Protocol):
    """A loaded model that tells probabilities, as `LocalModel` does."""

    name: str
    context: int

    def score(
        self, rows: Sequence[ScoreRow], adapter: str | None = None, stop: StopSign | None = None
    ) -> list[tuple[TextScore, ...]]:
        """For every row the scores of its choices; [] where `stop` was set first."""
        ...


@dataclass(frozen=True)
class TokenRow:
    """The same as token ids."""

    prompt: tuple[int, ...]
    choices: tuple[tuple[int, ...], ...]


def encode_row(row: ScoreRow, encoder: "PromptEncoder", name: str, context: int) -> TokenRow:
    """The row's tokens; raises QeuError where model `name` cannot read so many."""
    prompt = encoder.prepare(row.prompt).token_ids
    choices = tuple(tuple(encoder.encode(choice)) for choice in row.choices)
    longest = len(prompt) + max(map(len, choices))
    if longest > context:
        raise QeuError(
            f"The prompt and its longest choice have {longest:,} tokens; {name} reads "
            f"{context:,}. Shorten the text, or choose a model with a longer context."
        )
    return TokenRow(prompt, choices)


def score_rows(
    model: "PreTrainedModel",
    rows: Sequence[TokenRow],
    budget: float,
    is_stopped: Callable[[], bool] = lambda: False,
) -> list[tuple[TextScore, ...]]:
    """The scores of any number of rows; their caches take at most `budget` bytes, or one row's.

    The caller holds the model and has switched its adapters. [] where it was stopped.
    """
    from qeu.backends.kv_cache import bytes_per_token

    a_token = bytes_per_token(model.config, model.dtype.itemsize)
    found: list[tuple[TextScore, ...]] = [()] * len(rows)
    for group in group_rows(rows, a_token, budget):
        done = [] if is_stopped() else score_group(model, [rows[at] for at in group], is_stopped)
        if not done:
            return []
        for at, scores in zip(group, done, strict=True):
            found[at] = scores
    return found


def group_rows(rows: Sequence[TokenRow], bytes_per_token: int, budget: float) -> list[list[int]]:
    """Places of the rows that are computed together, longest prompts first; `budget` in bytes."""
    order = sorted(range(len(rows)), key=lambda at: -len(rows[at].prompt))
    groups: list[list[int]] = []
    for at in order:
        group = groups[-1] if groups else []
        members = [*group, at]
        columns = len(rows[members[0]].prompt)
        copies = sum(len(rows[m].choices) for m in members) + len(members)
        fits = (
            copies <= MOST_TOGETHER
            and columns * len(members) <= MOST_TOKENS
            and copies * columns * bytes_per_token <= budget
        )
        if group and fits:
            group.append(at)
        else:
            groups.append([at])
    return groups


def score_group(
    model: "PreTrainedModel", rows: Sequence[TokenRow], is_stopped: Callable[[], bool]
) -> list[tuple[TextScore, ...]]:
    """The scores of a few rows: their prompts in one pass, all their choices in a second.

    Token ids are joined, never texts. [] where it was stopped between the passes.
    """
    import torch

    with restored_threads() as cores, torch.inference_mode():

        def use_threads(tokens: int) -> None:
            if model.device.type == "cpu":
                weight_bytes = int(model.get_memory_footprint())
                torch.set_num_threads(wanted_threads(weight_bytes, tokens, cores))

        width = max(len(row.prompt) for row in rows)
        # on the left, so that every prompt ends in the last column
        ids, mask = _padded([row.prompt for row in rows], width, model.device, left=True)
        use_threads(ids.numel())
        out = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=(mask.cumsum(1) - 1).clamp(min=0),
            use_cache=True,
            logits_to_keep=1,
        )
        first = out.logits[:, -1].float().log_softmax(-1)  # (rows, vocabulary)
        owners = [at for at, row in enumerate(rows) for _ in row.choices]
        choices = [choice for row in rows for choice in row.choices]
        begin = torch.tensor([choice[0] for choice in choices], device=model.device)
        owner = torch.tensor(owners, device=model.device)
        sums = first[owner, begin]
        longest = max(map(len, choices))
        if is_stopped():
            return []
        if longest > 1:
            heads = [choice[:-1] for choice in choices]
            ids, inside = _padded(heads, longest - 1, model.device, left=False)
            cache = out.past_key_values
            cache.batch_select_indices(owner)
            lengths = mask.sum(1)[owner][:, None]
            use_threads(ids.numel())
            logits = model(
                input_ids=ids,
                attention_mask=torch.cat([mask[owner], inside], dim=1),
                position_ids=lengths + torch.arange(longest - 1, device=model.device),
                past_key_values=cache,
                use_cache=True,
            ).logits
            tails, real = _padded(
                [choice[1:] for choice in choices], longest - 1, model.device, left=False
            )
            steps = logits.float().log_softmax(-1).gather(2, tails[:, :, None])[:, :, 0]
            sums = sums + (steps * real).sum(1)
        totals = iter(sums.tolist())
        return [
            tuple(TextScore(next(totals), len(choice)) for choice in row.choices) for row in rows
        ]


def _padded(
    rows: Sequence[Sequence[int]], width: int, device: "torch.device", left: bool
) -> "tuple[torch.Tensor, torch.Tensor]":
    """(ids, 1 where there is one and 0 where there is padding), both (rows, width)."""
    import torch

    ids, mask = [], []
    for row in rows:
        gap = width - len(row)
        ids.append([0] * gap + list(row) if left else list(row) + [0] * gap)
        mask.append([0] * gap + [1] * len(row) if left else [1] * len(row) + [0] * gap)
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)
