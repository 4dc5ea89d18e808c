"""The loss of given texts behind prompts, as training would see it: forward passes only.

Rows of like length share a batch; padding stands on the right, where no real token looks, so that
no mask is needed and every model takes its fastest way.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from qeu.backends.base import EngineIdentity
from qeu.backends.compute_queue import StopSign
from qeu.backends.cpu_threads import restored_threads, wanted_threads
from qeu.backends.failures import explain_failure, is_out_of_memory
from qeu.core.errors import QeuError
from qeu.core.prompts import Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from qeu.backends.tokenize import PromptEncoder

# Tokens of a batch, padding included. More gain nothing on a processor, and each turn at it should
# be short; a card is only busy with many.
MOST_TOKENS = {"cpu": 2_048, "cuda": 16_384}


@dataclass(frozen=True)
class LossRow:
    """A prompt and the completion, not empty, whose loss behind it is asked."""

    prompt: Prompt
    completion: str


@dataclass(frozen=True)
class TextLoss:
    """Mean cross entropy in nats of a completion's tokens and the end token behind them."""

    loss: float
    tokens: int


@dataclass(frozen=True)
class LossLine:
    """Row `row` of those asked, as token ids; the completion ends with the model's end token."""

    row: int
    prompt: tuple[int, ...]
    completion: tuple[int, ...]

    @property
    def width(self) -> int:
        """Tokens in all."""
        return len(self.prompt) + len(self.completion)


@dataclass(frozen=True)
class LossPlan:
    """Rows by batches, each to be computed at once, and why others cannot be (by row)."""

    batches: tuple[tuple[LossLine, ...], ...]
    refused: dict[int, str]


class LossMeter(Protocol):
    """A loaded model that tells losses, as `LocalModel` does."""

    def identify(self, adapter: str | None) -> EngineIdentity:
        """What its losses depend on beside the texts."""
        ...

    def plan_losses(self, rows: Sequence[LossRow]) -> LossPlan:
        """The rows as batches."""
        ...

    def losses(
        self,
        batch: Sequence[LossLine],
        adapter: str | None = None,
        stop: StopSign | None = None,
        adapter_hash: str | None = None,
    ) -> list[TextLoss]:
        """The losses of one batch; [] where `stop` was set first."""
        ...


def plan_losses(
    rows: Sequence[LossRow],
    encoder: "PromptEncoder",
    end_id: int | None,
    name: str,
    context: int,
    most_tokens: int,
) -> LossPlan:
    """Encode rows, join ids, and put those of like length together; `end_id` None has no end."""
    lines, refused = [], {}
    end = () if end_id is None else (end_id,)
    for at, row in enumerate(rows):
        prompt = encoder.prepare(row.prompt).token_ids
        line = LossLine(at, prompt, (*encoder.encode(row.completion), *end))
        if line.width > context:
            refused[at] = (
                f"Question, reasoning and answer have {line.width:,} tokens; {name} reads "
                f"{context:,}. Shorten the text, or choose a model with a longer context."
            )
        else:
            lines.append(line)
    return LossPlan(tuple(group_lines(lines, most_tokens)), refused)


def group_lines(lines: Sequence[LossLine], most_tokens: int) -> Iterator[tuple[LossLine, ...]]:
    """Lines by length, the longest first, in groups of at most so many tokens, or of one line."""
    group: list[LossLine] = []
    for line in sorted(lines, key=lambda one: (-one.width, -len(one.completion))):
        if group and group[0].width * (len(group) + 1) > most_tokens:
            yield tuple(group)
            group = []
        group.append(line)
    if group:
        yield tuple(group)


def measure_losses(
    model: "PreTrainedModel",
    lines: Sequence[LossLine],
    free_memory: Callable[[], None] = lambda: None,
) -> list[TextLoss]:
    """The losses of a few lines in their order; what does not fit into memory goes in halves.

    The caller holds the model and has switched its adapters. Raises QeuError where a single line
    is too much, or the model fails.
    """
    try:
        return _measure(model, lines)
    except Exception as e:
        failure = e
    # outside of the handler: the failed pass's tensors hang on its frames
    failure.__traceback__ = None
    free_memory()
    if len(lines) == 1 or not is_out_of_memory(failure):
        raise QeuError(explain_failure(failure, "The loss could not be computed")) from failure
    middle = (len(lines) + 1) // 2
    halves = lines[:middle], lines[middle:]
    return [loss for half in halves for loss in measure_losses(model, half, free_memory)]


def _measure(model: "PreTrainedModel", lines: Sequence[LossLine]) -> list[TextLoss]:
    import torch

    width = max(line.width for line in lines)
    ids = [[*line.prompt, *line.completion] + [0] * (width - line.width) for line in lines]
    first = min(len(line.prompt) for line in lines) - 1  # the first column that foretells
    with restored_threads() as cores, torch.inference_mode():
        if model.device.type == "cpu":
            weight_bytes = int(model.get_memory_footprint())
            torch.set_num_threads(wanted_threads(weight_bytes, width * len(lines), cores))
        logits = model(
            input_ids=torch.tensor(ids, device=model.device),  # (lines, width)
            use_cache=False,
            logits_to_keep=width - first,
        ).logits  # (lines, width - first, vocabulary)
        sums = []
        for line, row in zip(lines, logits, strict=True):
            begin = len(line.prompt) - 1 - first
            wanted = torch.tensor(line.completion, device=model.device)
            # line by line: the whole batch in float32 would be the largest thing in memory
            scores = row[begin : begin + len(wanted)].float()
            sums.append(torch.nn.functional.cross_entropy(scores, wanted))
        losses = torch.stack(sums).tolist()
    return [TextLoss(loss, len(line.completion)) for loss, line in zip(losses, lines, strict=True)]
