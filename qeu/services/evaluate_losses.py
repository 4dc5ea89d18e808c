"""Losses of given texts for an evaluation: computed once for a model and a text, and kept."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from qeu.backends.losses import LossLine, LossMeter, LossRow
from qeu.core.eval_prompts import Given
from qeu.core.request import hash_json
from qeu.services.evaluate_model import ModelUser, group_missing
from qeu.services.evaluate_setup import ReadyWay
from qeu.store.usefulness import Loss, add_losses, find_losses

# Raise it when the same texts would be measured otherwise.
_VERSION = 1


@dataclass(frozen=True)
class AskedLoss:
    """A given text whose loss is wanted, and the key that it is kept under."""

    way: ReadyWay
    given: Given
    key: str


def make_asked_loss(way: ReadyWay, given: Given) -> AskedLoss:
    """The request for a loss, with its key."""
    prompt, identity = given.prompt, way.identity
    key = hash_json(
        {
            "version": _VERSION,
            "kind": "evaluation",
            "model": identity.model,
            "revision": identity.revision,
            "adapter_hash": identity.adapter_hash,
            "dtype": identity.dtype,
            "text": prompt.text,
            "messages": [[message.role, message.content] for message in prompt.messages],
            "prefill": prompt.prefill,
            "completion": given.completion,
            "ends": given.ends,
        }
    )
    return AskedLoss(way, given, key)


class LossTaker(ModelUser):
    """Takes losses with one model and adapter after the other."""

    def take(
        self, asked: Iterable[AskedLoss], tell: Callable[[int], None] = lambda done: None
    ) -> dict[str, Loss]:
        """The losses by key; those that are too long for the model are missing, as after a stop."""
        wanted = {one.key: one for one in asked}
        found = find_losses(self._workspace, list(wanted))
        tell(len(found))
        for group in group_missing(wanted, found, lambda one: (one.way.model, one.way.adapter)):
            self._take_group(group, found, tell)
        return found

    def _take_group(
        self, group: Sequence[AskedLoss], found: dict[str, Loss], tell: Callable[[int], None]
    ) -> None:
        way = group[0].way
        model: LossMeter = self._load(way.model)  # type: ignore[assignment]
        plan = model.plan_losses([LossRow(a.given.prompt, a.given.completion) for a in group])
        for batch in plan.batches:
            lines = [_line(line, group[line.row].given) for line in batch]
            # a turn for each batch: others wait for a second or two, not for all of it
            with self._turn() as mine:
                if not mine or self._stop.is_set():
                    return
                losses = model.losses(lines, way.adapter, self._stop, way.identity.adapter_hash)
            if not losses:
                return
            kept = {
                group[line.row].key: (one.loss, one.tokens)
                for line, one in zip(lines, losses, strict=True)
            }
            add_losses(self._workspace, way.way.model, kept)
            found.update(kept)
            tell(len(found))


def _line(line: LossLine, given: Given) -> LossLine:
    """A reasoning that an answer follows does not end the text."""
    return line if given.ends else replace(line, completion=line.completion[:-1])
