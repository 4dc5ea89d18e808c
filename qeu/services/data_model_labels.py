"""Let a model label records: it tells how probable each allowed label is behind the question.

A label's score is its log-probability less the one it has behind a question without content. That
takes away the model's taste for frequent words, and with it what a long label loses by its length;
division by the length would take away the second only. Confidence is the label's share among the
allowed ones. The scores alone change nothing: `data_labels.run_labels` sets what they say.
"""

import math
import threading
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from qeu.backends.catalog import ModelCard, Unfit, find_model, fitness_warning, split_ref
from qeu.backends.scoring import Scorer, ScoreRow, TextScore
from qeu.backends.shelf import OnProgress, Shelf
from qeu.core.errors import QeuError
from qeu.core.label_prompts import CONTENT_FREE, LabelQuestion, ask_label
from qeu.core.labels import LABELS, Label
from qeu.core.record import Record
from qeu.services.data_labels import Given
from qeu.store.changes import Progress
from qeu.store.datasets import Dataset
from qeu.store.filters import ALL, Filter
from qeu.store.matching import matching_ids
from qeu.store.queries import iterate_records, read_facets
from qeu.store.records import StoredRecord
from qeu.store.workspace import Workspace

# Records asked about before others get their turn at the machine.
TOGETHER = 8


@dataclass
class ModelLabels:
    """What `model` said of the first `scored` of `total` records; fewer where it was stopped."""

    model: str
    fields: tuple[str, ...]
    total: int
    given: dict[int, Given] = field(default_factory=dict)

    @property
    def scored(self) -> int:
        """Records that have labels."""
        return len(self.given)


def label_warning(
    workspace: Workspace,
    dataset: Dataset,
    model: str,
    where: Filter = ALL,
    local_paths: bool = True,
) -> Unfit | None:
    """Why this model should not label these records, or None; `local_paths` as in the catalog."""
    card = _card(model, local_paths)
    if unfit := fitness_warning(card, task="label"):
        return unfit
    for code, _ in read_facets(workspace, dataset, where)["language"]:
        if (not where.language or code in where.language) and (
            unfit := fitness_warning(card, task="label", language=code)
        ):
            return unfit
    return None


def explain_unfit(unfit: Unfit) -> str:
    """The warning as a sentence, with the way out."""
    told = {
        "cannot_do": "{label} is not fit to {task} records",
        "cannot_read": "{label} does not read {language}",
        "cannot_write": "{label} does not write {language}",
    }[unfit.code].format(**unfit.facts)
    return f"{told}. Choose one that is: {', '.join(unfit.instead) or 'any larger model'}."


def score_dataset(
    shelf: Shelf,
    workspace: Workspace,
    dataset: Dataset,
    model: str,
    fields: Sequence[str] = LABELS,
    where: Filter = ALL,
    *,
    run_anyway: bool = False,
    local_paths: bool = True,
    progress: Progress = lambda done, total: None,
    stop: threading.Event | None = None,
    on_load: OnProgress | None = None,
    known: ModelLabels | None = None,
) -> ModelLabels:
    """Ask `MODEL` or `MODEL@ADAPTER` about every matching record; `stop` keeps what was asked.

    What the model said before of records that are still the same (`known`) is not asked again.
    Nothing is written, and no transaction is open meanwhile. Raises QeuError for a model that is
    not fit (unless `run_anyway`) or runs on a server, which tells no probabilities of given texts.
    A public page passes `local_paths` False.
    """
    if unknown := [name for name in fields if name not in LABELS]:
        raise QeuError(f"Cannot label {unknown[0]!r}. Choose among: {', '.join(LABELS)}.")
    card, stop = _card(model, local_paths), stop or threading.Event()
    unfit = label_warning(workspace, dataset, model, where, local_paths)
    if unfit and not run_anyway:
        raise QeuError(f"{explain_unfit(unfit)} Or run it anyway, and check what it says.")
    ids = matching_ids(workspace, dataset, where)
    labels = ModelLabels(model, tuple(fields), len(ids))
    if known and known.model == model and set(fields) <= set(known.fields):
        labels.given |= _still_true(workspace, ids, known)
        ids = array("q", (number for number in ids if number not in labels.given))
        if not ids:
            return labels
    scorer: Scorer = shelf.load(card.id, progress=on_load, stop=stop)
    ask = _Asker(scorer, card.layout, split_ref(model)[1], tuple(fields), stop)
    if ids and not ask.calibrate(shelf):
        return labels
    for batch in iterate_records(workspace, ids, TOGETHER):
        if stop.is_set() or not (found := ask.label(shelf, batch)):
            break
        labels.given |= found
        progress(labels.scored, labels.total)
    return labels


def _still_true(workspace: Workspace, ids: Sequence[int], known: ModelLabels) -> dict[int, Given]:
    """The labels of records that nobody has changed since."""
    asked = [number for number in ids if number in known.given]
    return {
        stored.id: known.given[stored.id]
        for batch in iterate_records(workspace, asked)
        for stored in batch
        if stored.version == known.given[stored.id].version
    }


class _Asker:
    """One model asked for the same fields again and again."""

    def __init__(
        self,
        scorer: Scorer,
        layout: str,
        adapter: str | None,
        fields: tuple[str, ...],
        stop: threading.Event,
    ) -> None:
        self._scorer, self._layout, self._adapter = scorer, layout, adapter
        self._fields, self._stop = fields, stop
        self._before: list[Mapping[str, float]] = []

    def calibrate(self, shelf: Shelf) -> bool:
        """Ask what the model says of no content; False where it was stopped."""
        self._before = self._ask(shelf, [CONTENT_FREE])
        return bool(self._before)

    def label(self, shelf: Shelf, batch: Sequence[StoredRecord]) -> dict[int, Given]:
        """{record id: its labels}; {} where it was stopped."""
        scores = iter(self._ask(shelf, [stored.record for stored in batch]))
        found = {}
        for stored in batch:
            told = list(islice(scores, len(self._fields)))
            if told:
                labels = map(choose_label, told, self._before)
                found[stored.id] = Given(
                    stored.version, dict(zip(self._fields, labels, strict=True))
                )
        return found

    def _ask(self, shelf: Shelf, records: Sequence[Record]) -> list[Mapping[str, float]]:
        """For every record and field {label: log-probability}; [] where it was stopped."""
        asked = [ask_label(r, name, self._layout) for r in records for name in self._fields]
        with shelf.queue.turn(self._stop, lambda ahead: None) as mine:
            if not mine:
                return []
            rows = [ScoreRow(one.prompt, tuple(one.choices.values())) for one in asked]
            scores = self._scorer.score(rows, self._adapter, self._stop)
        return [_named(one, told) for one, told in zip(asked, scores, strict=False)]


def choose_label(scores: Mapping[str, float], before: Mapping[str, float]) -> Label:
    """The label that the content speaks for most; `before` are the scores without content."""
    gain = {name: score - before[name] for name, score in scores.items()}
    best = max(gain, key=lambda name: gain[name])
    share = 1 / sum(math.exp(value - gain[best]) for value in gain.values())
    return Label(best, share, "log-probability")


def _named(question: LabelQuestion, scores: Sequence[TextScore]) -> dict[str, float]:
    told = (score.log_probability for score in scores)
    return dict(zip(question.choices, told, strict=True))


def _card(model: str, local_paths: bool) -> ModelCard:
    card = find_model(split_ref(model)[0], local_paths=local_paths)
    if card.kind != "local":
        raise QeuError(
            f"{card.id} runs on a server, which does not tell how probable a given label is. "
            "Choose a model that is loaded here, such as llama-3-8b."
        )
    return card
