"""Examples of a run token by token: each one's field, whether it is learned, where the cut is."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qeu.backends.catalog import find_model
from qeu.backends.token_pieces import TokenPiece
from qeu.backends.training_encoder import TrainingEncoder, find_base, open_encoder
from qeu.core.record import Record
from qeu.core.settings import Settings
from qeu.core.training_example import NOT_LEARNED, TrainingExample, make_example
from qeu.services.train_count import find_others
from qeu.services.train_order import TrainOrder
from qeu.services.train_plan import ExampleRef, TrainPlan
from qeu.store.queries import load_records
from qeu.store.workspace import Workspace


@dataclass(frozen=True)
class ShownPiece:
    """A piece of an example's text: `tokens` many, of one field, learned or only read."""

    text: str
    tokens: int
    field: str
    learned: bool
    control: bool = False


@dataclass(frozen=True)
class ShownExample:
    """One record as it is learned. `limit` tokens are kept; `reasoning_from` is another's seq.

    `ref` says which example it is; its length is that of the whole.
    """

    ref: ExampleRef
    pieces: tuple[ShownPiece, ...]
    learned: int
    limit: int
    reasoning_from: str = ""

    @property
    def is_cut(self) -> bool:
        """Whether its end is lost."""
        return self.ref.tokens > self.limit

    def split(self) -> tuple[tuple[ShownPiece, ...], tuple[ShownPiece, ...]]:
        """(kept, cut off); a character that the cut would halve is cut off."""
        total = 0
        for at, piece in enumerate(self.pieces):
            total += piece.tokens
            if total > self.limit:
                return self.pieces[:at], self.pieces[at:]
        return self.pieces, ()


def show_examples(
    workspace: Workspace,
    plan: TrainPlan,
    settings: Settings,
    stop: threading.Event | None = None,
) -> list[ShownExample]:
    """The examples that a plan names, in its order; those whose records are gone are left out.

    Each has the reasoning that it will have in training. Reads the base's tokenizer and none of
    its weights. Raises QeuError as the plan does.
    """
    order, refs = plan.order, plan.shown
    if not refs:
        return []
    encoder = open_encoder(find_base(find_model(order.base), settings.cache_dir, stop=stop))
    others = _others_of(workspace, plan, stop)
    return list(_show(workspace, order, refs, encoder, others))


def _show(
    workspace: Workspace,
    order: TrainOrder,
    refs: Sequence[ExampleRef],
    encoder: TrainingEncoder,
    others: dict[int, Record],
) -> Iterator[ShownExample]:
    for ref in refs:
        for stored in load_records(workspace, [ref.id]):
            other = others.get(ref.id)
            example = make_example(stored.record, order.variant, encoder, encoder.end_id, other)
            shuffled = other is not None and example.reasoning_from == other.identity
            yield ShownExample(
                ref,
                tuple(_pieces(example, encoder.read(example.input_ids))),
                example.learned_tokens(order.training.max_length),
                order.training.max_length,
                other.seq if shuffled and other else "",
            )


def _others_of(
    workspace: Workspace, plan: TrainPlan, stop: threading.Event | None
) -> dict[int, Record]:
    """{record: whose reasoning it gets} for these examples, where reasonings are shuffled."""
    if plan.order.variant.reasoning != "shuffled":
        return {}
    # among those that the run learns from, as the run itself draws
    others = find_others(workspace, plan.train_ids, plan.order, stop)
    found = {}
    for ref in plan.shown:
        for stored in load_records(workspace, [others[ref.id]] if ref.id in others else []):
            found[ref.id] = stored.record
    return found


def _pieces(example: TrainingExample, texts: Sequence[TokenPiece]) -> Iterator[ShownPiece]:
    at = 0
    for piece in texts:
        # the first token of a text is foretold by nothing
        learned = at > 0 and example.labels[at] != NOT_LEARNED
        yield ShownPiece(piece.text, piece.tokens, example.fields[at], learned, piece.control)
        at += piece.tokens
