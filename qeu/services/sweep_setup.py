"""Decide what a sweep leaves open: its prompts, how each model is asked, which cells are one."""

import threading
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from qeu.backends.adapter_finder import AdapterFinder
from qeu.backends.catalog import find_model, is_hosted, split_ref
from qeu.backends.engines import Engines
from qeu.backends.shelf import OnProgress
from qeu.core.errors import QeuError
from qeu.core.eval_spec import EvalSpec, Way
from qeu.core.prompts import Prompt
from qeu.core.record import Record
from qeu.core.roles import BY_CATEGORY, Role, role_for
from qeu.core.sweep_cells import Setting, SweepCell, make_cells
from qeu.core.sweep_spec import SweepSpec
from qeu.services.adapters import own_layout
from qeu.services.evaluate_ask import Asked, make_asked
from qeu.services.evaluate_setup import ReadyWay, gather, ready_ways
from qeu.store.workspace import Workspace

# What a setting asks for beside its sampling: (model, role, target, layout).
Words = tuple[str, str, str, str]


@dataclass(frozen=True)
class Variant:
    """One way of asking all prompts; of a prompt that cannot be asked so, `errors` say why."""

    way: ReadyWay
    prompts: tuple[Prompt | None, ...]
    errors: tuple[str, ...]

    @property
    def same(self) -> Hashable:
        """Equal where the same is asked of the same weights."""
        return self.way.model, self.way.identity, self.prompts


def gather_prompts(workspace: Workspace, spec: SweepSpec) -> tuple[list[Record], int]:
    """(the prompts of a sweep as they are now, of how many matching records).

    Raises QeuError where no record matches.
    """
    if spec.prompts:
        return [prompt.record() for prompt in spec.prompts], len(spec.prompts)
    found = gather(workspace, EvalSpec(spec.dataset, (), dict(spec.where), spec.limit))
    return [stored.record for stored in found.records], found.matching


class Variants:
    """How each setting of a sweep is asked; settings that ask the very same share a number."""

    def __init__(self, ready: dict[Words, Variant]) -> None:
        self._ready = ready
        numbers: dict[Hashable, int] = {}
        self._numbers = {
            words: numbers.setdefault(variant.same, len(numbers))
            for words, variant in ready.items()
        }

    def find(self, setting: Setting) -> Variant | None:
        """How it is asked; None for a model that is not on this machine yet."""
        return self._ready.get(words_of(setting))

    def cells(self, spec: SweepSpec) -> list[SweepCell]:
        """The cells of the sweep, in their order."""

        def same(setting: Setting) -> Hashable:
            words = words_of(setting)
            return self._numbers.get(words, words)

        return make_cells(spec, same, lambda model: not is_hosted(split_ref(model)[0]))

    def asked(self, cell: SweepCell, exact: bool) -> list[tuple[int, int, Asked | str]]:
        """(prompt, seed, request) of each text of a cell; a sentence where it cannot be asked."""
        variant = self.find(cell.setting)
        assert variant is not None, cell.setting
        return [
            (
                at,
                sampling.seed,
                make_asked(variant.way, prompt, sampling, exact) if prompt else variant.errors[at],
            )
            for sampling in cell.samplings()
            for at, prompt in enumerate(variant.prompts)
        ]


def words_of(setting: Setting) -> Words:
    """What a setting asks for beside its sampling."""
    return setting.model, setting.role, setting.target, setting.layout


def open_variants(
    engines: Engines,
    spec: SweepSpec,
    records: Sequence[Record],
    stop: threading.Event,
    on_load: OnProgress | None = None,
    *,
    fetch: bool = True,
) -> Variants:
    """All ways of asking of a sweep; a model that is not here yet is fetched, or left out.

    Raises QeuError for an unknown model or adapter, and for one without its key.
    """
    wanted = [
        (model, role, target, layout)
        for model in spec.models
        if fetch or _is_here(engines, model, spec.exact)
        for role in spec.roles
        for target in spec.targets
        for layout in spec.layouts
    ]
    ways = [_way(engines, spec, words, fetch) for words in wanted]
    # an evaluation's own: a model's identity, what its adapter learned
    asking = EvalSpec(spec.dataset, tuple(ways), exact=spec.exact)
    ready = ready_ways(engines, asking, stop, on_load)
    return Variants(
        {
            words: _render(spec, words, way, records)
            for words, way in zip(wanted, ready, strict=True)
        }
    )


def _is_here(engines: Engines, model: str, exact: bool) -> bool:
    name, adapter = split_ref(model)
    card = find_model(name, local_paths=engines.local_paths)
    return engines.identify(card.id, adapter, exact=exact) is not None


def _way(engines: Engines, spec: SweepSpec, words: Words, fetch: bool) -> Way:
    """As an evaluation names it; without a target, what the adapter learned, else an answer."""
    model, role, target, layout = words
    adapter = split_ref(model)[1]
    if adapter is not None and fetch and not target:
        # one of the Hub tells what it learned once it is here
        AdapterFinder(engines.adapters, local_paths=engines.local_paths).find(adapter)
    learned = own_layout(engines.adapters, model, local_paths=engines.local_paths)
    target = target or (learned[1] if learned else "") or "answer"
    if target != "answer":
        return Way(model, "own", layout, target, role)
    return Way(model, "given" if spec.use_reasoning else "none", layout, "", role)


def _render(spec: SweepSpec, words: Words, way: ReadyWay, records: Sequence[Record]) -> Variant:
    prompts: list[Prompt | None] = []
    errors: list[str] = []
    for record in records:
        asking = replace(way.asking, role=_role(spec, words, way, record))
        reasoning = record.reasoning if spec.use_reasoning else ""
        try:
            prompts.append(asking.first(record, reasoning))
            errors.append("")
        except QeuError as error:
            prompts.append(None)
            errors.append(str(error))
    return Variant(way, tuple(prompts), tuple(errors))


def _role(spec: SweepSpec, words: Words, way: ReadyWay, record: Record) -> Role:
    """The role of a prompt in its edited wording; one that an adapter learned stays as it was."""
    role = role_for(way.asking.role, record.category)
    chosen = words[1] or way.asking.role.id == BY_CATEGORY.id
    edited = spec.wordings.get(role.id, "").strip() if chosen else ""
    return Role(role.id, edited) if edited else role
