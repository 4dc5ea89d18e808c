"""The loss on the validation records while a run learns, by what the tokens belong to."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qeu.backends.cpu_threads import restored_threads, wanted_threads
from qeu.core.training_example import NOT_LEARNED, TrainingExample

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Tokens of a batch, padding included: half of them may have scores of the whole vocabulary.
MOST_TOKENS = 2_048
# What answer_loss looks at is called output in a record.
_PARTS = {"reasoning": "reasoning_loss", "output": "answer_loss"}


@dataclass(frozen=True)
class ValidationLosses:
    """Means in nats a learned token, over `rows` records; None where none is learned."""

    loss: float
    reasoning_loss: float | None
    answer_loss: float | None
    rows: int

    def of(self, measure: str) -> float | None:
        """One of them by the name that WatchSettings.best has."""
        found = getattr(self, measure)
        assert found is None or isinstance(found, float), measure
        return found


def measure_validation(
    model: "PreTrainedModel",
    examples: Sequence[TrainingExample],
    is_stopped: Callable[[], bool] = lambda: False,
) -> ValidationLosses | None:
    """The losses of these examples, each on its own; None where it was stopped or there are none.

    The caller has put the model into evaluation; its random state is not touched.
    """
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    with restored_threads() as cores:
        for batch in _group(examples):
            if is_stopped():
                return None
            for example, losses in zip(batch, _token_losses(model, batch, cores), strict=True):
                for at, loss in zip(_learned_places(example), losses, strict=True):
                    part = example.parts[at]
                    sums[part] = sums.get(part, 0.0) + loss
                    counts[part] = counts.get(part, 0) + 1
    if not counts:
        return None
    means = {name: sums[part] / counts[part] for part, name in _PARTS.items() if part in counts}
    return ValidationLosses(
        loss=sum(sums.values()) / sum(counts.values()),
        reasoning_loss=means.get("reasoning_loss"),
        answer_loss=means.get("answer_loss"),
        rows=len(examples),
    )


def _group(examples: Sequence[TrainingExample]) -> Iterator[list[TrainingExample]]:
    """Examples by length, the longest first, in groups of at most MOST_TOKENS, or of one."""
    group: list[TrainingExample] = []
    for example in sorted(examples, key=lambda one: -one.tokens):
        if group and group[0].tokens * (len(group) + 1) > MOST_TOKENS:
            yield group
            group = []
        group.append(example)
    if group:
        yield group


def _learned_places(example: TrainingExample) -> list[int]:
    """Where the tokens with a loss stand; nothing foretells the first token."""
    return [at for at in range(1, example.tokens) if example.labels[at] != NOT_LEARNED]


def _token_losses(
    model: "PreTrainedModel", batch: Sequence[TrainingExample], cores: int
) -> list[list[float]]:
    """The losses of each example's learned tokens, in their order."""
    import torch

    width = max(example.tokens for example in batch)
    # padding stands on the right, where no real token looks, so no mask is needed
    ids = [[*example.input_ids] + [0] * (width - example.tokens) for example in batch]
    # only these columns foretell something; scores of the whole vocabulary are large
    columns = sorted({at - 1 for example in batch for at in _learned_places(example)})
    order = {column: at for at, column in enumerate(columns)}
    if model.device.type == "cpu":
        weight_bytes = int(model.get_memory_footprint())
        torch.set_num_threads(wanted_threads(weight_bytes, width * len(batch), cores))
    found = []
    with torch.inference_mode():
        logits = model(
            input_ids=torch.tensor(ids, device=model.device),  # (examples, width)
            use_cache=False,
            logits_to_keep=torch.tensor(columns, device=model.device),
        ).logits  # (examples, columns, vocabulary)
        for example, row in zip(batch, logits, strict=True):
            places = _learned_places(example)
            wanted = torch.tensor([example.labels[at] for at in places], device=model.device)
            scores = row[torch.tensor([order[at - 1] for at in places], device=model.device)]
            # row by row: the whole batch in float32 would be the largest thing in memory
            losses = torch.nn.functional.cross_entropy(scores.float(), wanted, reduction="none")
            found.append(losses.tolist())
    return found
