"""What a model says when it labels: asked with a bar, kept until it is applied, told in numbers."""

from collections import Counter
from dataclasses import dataclass

from qeu.backends.catalog import Unfit, find_model, fitness_warning, list_models, split_ref
from qeu.core.errors import QeuError
from qeu.services.data_labels import LabelOptions
from qeu.services.data_model_labels import ModelLabels, label_warning, score_dataset
from qeu.store.datasets import Dataset, Stopped
from qeu.store.filters import Filter
from qeu.store.workspace import Workspace
from qeu.ui.context import Context
from qeu.ui.dataset_report_panel import bars_html, column_name, notes_html, value_name
from qeu.ui.dataset_work_panel import Work
from qeu.ui.models_drawer import model_choices
from qeu.ui.sentences import tell
from qeu.ui.sessions import Session
from qeu.ui.strings import text

_KEPT = "data-label"
# Behind the name of a model that is not fit for it.
_WARNING = " ⚠"


@dataclass(frozen=True)
class Asked:
    """What a model said of records: `labels` of those that `where` means in `dataset`."""

    dataset: int
    where: Filter
    labels: ModelLabels


@dataclass(frozen=True)
class Asking:
    """A model to be asked about records, with what it told before."""

    context: Context
    session: Session
    model: str
    run_anyway: bool

    def warning(self, workspace: Workspace, dataset: Dataset, where: Filter) -> Unfit | None:
        """Why it should not be asked; QeuError where it cannot be at all."""
        self.context.check_model(self.model)
        local = not self.context.settings.public
        return label_warning(workspace, dataset, self.model, where, local)

    def kept(self, dataset: Dataset) -> Asked | None:
        """What it told before of this data set, as far as it was not applied yet."""
        asked = self.session.kept.get(_KEPT)
        if isinstance(asked, Asked) and asked.dataset == dataset.id:
            return asked if asked.labels.model == self.model else None
        return None

    def ask(
        self,
        workspace: Workspace,
        dataset: Dataset,
        where: Filter,
        fields: tuple[str, ...],
        work: Work,
    ) -> ModelLabels:
        """Ask about what it was not asked about yet; stopped, it is those asked until then."""
        kept = self.kept(dataset)
        work.note(0, 0, "data.label.asking")
        labels = score_dataset(
            self.context.shelf,
            workspace,
            dataset,
            self.model,
            fields,
            where,
            run_anyway=self.run_anyway,
            local_paths=not self.context.settings.public,
            progress=lambda done, total: work.note(done, total, "data.label.asking"),
            stop=work.stopping,
            on_load=lambda step: work.note(step.done, step.total, f"load.{step.step}"),
            known=kept.labels if kept else None,
        )
        work.note(0)
        if work.stopping.is_set() and not labels.given:
            raise Stopped("Labelling")
        self.session.kept[_KEPT] = Asked(dataset.id, where, labels)
        return labels

    def shown(self, dataset: Dataset, where: Filter, fields: tuple[str, ...]) -> ModelLabels | None:
        """What the last preview showed, if it was of the same."""
        asked = self.kept(dataset)
        same = asked and asked.where == where and asked.labels.fields == fields
        return asked.labels if asked and same else None

    def forget(self) -> None:
        """It was applied."""
        self.session.kept.pop(_KEPT, None)


def label_choices(context: Context) -> list[tuple[str, str]]:
    """The models of the table that run here; those not fit to label are marked."""
    return [
        (name + ("" if _is_fit(ref) else _WARNING), ref) for name, ref in model_choices(context)
    ]


def _is_fit(ref: str) -> bool:
    try:
        return not fitness_warning(find_model(split_ref(ref)[0]), task="label")
    except QeuError:
        return True


def unfit_text(unfit: Unfit, run_anyway: bool, language: str) -> str:
    """Why the model should not label, in one sentence with the way out."""
    facts = {"model": tell(unfit.facts["label"], language)}
    if code := unfit.facts.get("language"):
        facts["spoken"] = text(f"language.{code}", language)
    why = text(f"data.label.unfit.{unfit.code}", language, **facts)
    if run_anyway:
        return text("data.label.unfit.anyway", language, why=why)
    names = {card.id: tell(card.label, language) for card in list_models()}
    listed = text("list.comma", language).join(names[name] for name in unfit.instead)
    return text("data.label.unfit", language, why=why, instead=listed)


def asked_html(labels: ModelLabels, options: LabelOptions, language: str) -> str:
    """How many were asked and how sure the answers are; each label with its count."""
    told = [
        text(
            "data.label.asked",
            language,
            model=labels.model,
            scored=f"{labels.scored:,}",
            total=f"{labels.total:,}",
            unsure=f"{_count_unsure(labels, options.sure):,}",
            sure=f"{options.sure:.0%}",
        )
    ]
    if labels.scored < labels.total:
        told.append(text("data.label.partly", language))
    bars = "".join(
        bars_html(column_name(name, language), _counts(labels, name, language))
        for name in options.fields
    )
    return f'{notes_html(told)}<div class="q-columns">{bars}</div>'


def _count_unsure(labels: ModelLabels, sure: float) -> int:
    return sum(
        any(label.confidence < sure for label in given.labels.values())
        for given in labels.given.values()
    )


def _counts(labels: ModelLabels, name: str, language: str) -> dict[str, int]:
    counts = Counter(given.labels[name].value for given in labels.given.values())
    return {value_name(name, value, language): number for value, number in counts.most_common()}
