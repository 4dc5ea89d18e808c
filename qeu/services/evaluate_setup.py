"""Decide what an evaluation leaves open: each way's model, layout and role, and the records."""

import hashlib
import re
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from qeu.backends.adapter_finder import AdapterFinder
from qeu.backends.base import EngineIdentity
from qeu.backends.catalog import find_layout, find_model, split_ref
from qeu.backends.engines import Engines
from qeu.backends.shelf import OnProgress
from qeu.core.errors import QeuError
from qeu.core.eval_prompts import Asking, ExamplePool
from qeu.core.eval_spec import ROLE_CHOICES, EvalSpec, Way, default_ways
from qeu.core.record import Record
from qeu.core.roles import BY_CATEGORY, ROLE_IDS, Role, find_role
from qeu.core.run_passport import RunPassport
from qeu.core.training_variant import Donor, shuffle_reasonings
from qeu.services.shipped_data import open_dataset
from qeu.store.datasets import Dataset
from qeu.store.filters import ALL, Filter
from qeu.store.matching import matching_ids
from qeu.store.queries import iterate_records
from qeu.store.records import StoredRecord
from qeu.store.run_folders import RUN, TRAIN, RunFolder
from qeu.store.workspace import Workspace

# Draws whose reasoning a record gets where reasonings are shuffled.
SHUFFLE_SEED = 7
# What stands before the answers of those that learned answers alone.
_BEHIND = {"none": "none"}
_SEED_END = re.compile(r"-s\d+\Z")


@dataclass(frozen=True)
class ReadyWay:
    """A way that can be asked: where its model runs, and how it is asked there."""

    at: int
    asking: Asking
    model: str
    adapter: str | None
    identity: EngineIdentity
    is_local: bool
    # identities of the records that its adapter learned from, where its run tells them
    learned: frozenset[str] = frozenset()

    @property
    def way(self) -> Way:
        """As it was ordered."""
        return self.asking.way


@dataclass(frozen=True)
class Material:
    """The records that are asked; `shuffled` is whose reasoning each gets, by record id."""

    dataset: Dataset
    records: tuple[StoredRecord, ...]
    matching: int
    shuffled: dict[int, str] = field(default_factory=dict)
    examples: dict[tuple[int, int], tuple[Record, ...]] = field(default_factory=dict)

    def given(self, way: Way, stored: StoredRecord) -> str:
        """The reasoning that stands before the answer; "" where the way is given none.

        Raises QeuError where the record has none that it needs.
        """
        if way.reasoning == "given":
            if not stored.record.reasoning.strip():
                raise QeuError("The record has no reasoning to give.")
            return stored.record.reasoning
        if way.reasoning == "shuffled":
            if stored.id not in self.shuffled:
                raise QeuError(
                    "No other record of this category and language has a reasoning to give."
                )
            return self.shuffled[stored.id]
        return ""

    def shown(self, way: Way, stored: StoredRecord) -> tuple[Record, ...]:
        """The worked examples before a record's question."""
        return self.examples.get((stored.id, way.examples), ())


def suggest_ways(
    adapters: Path,
    base: str,
    names: Sequence[str],
    reasonings: Sequence[str] = ("own",),
    examples: int = 2,
) -> tuple[Way, ...]:
    """The base at its best, and its adapters (names in the folder) as each is really used.

    "own" among `reasonings` means just that: who learned to answer alone writes no reasoning.
    Names that differ in the training's seed only (…-s0, …-s1) are a group.
    """
    used, first = dict[str, str](), None
    for name in names:
        run = _run_of(adapters / name)
        first = first or run
        answers_alone = run is not None and run.target == "answer"
        used[f"{base}@{name}"] = (
            "own" if run is None or not answers_alone else _BEHIND.get(run.reasoning, "given")
        )
    stems = Counter(_SEED_END.sub("", name) for name in names if _SEED_END.search(name))
    ways = []
    for way in default_ways(base, names, reasonings, examples, first.layout if first else ""):
        if first and not way.has_adapter and way.reasoning == "own":
            # the very prompts of the first adapter, without it
            role = first.role if first.role in ROLE_CHOICES else ""
            way = replace(way, role=role, target=first.target if first.target != "answer" else "")
        if way.has_adapter:
            stem = _SEED_END.sub("", way.model.rpartition("@")[2])
            reasoning = used[way.model] if way.reasoning == "own" else way.reasoning
            group = f"{stem}, {reasoning}" if stems[stem] > 1 else ""
            way = replace(way, reasoning=reasoning, group=group)
        if way not in ways:
            ways.append(way)
    return tuple(ways)


def _run_of(path: Path) -> RunPassport | None:
    try:
        return RunFolder(path).passport()
    except QeuError:  # it came without one, or is of another version
        return None


def gather(workspace: Workspace, spec: EvalSpec) -> Material:
    """The records, the examples and the other reasonings that the ways need.

    Raises QeuError where no record matches.
    """
    dataset = open_dataset(workspace, spec.dataset)
    where = Filter.from_json(spec.where)
    ids = matching_ids(workspace, dataset, where)
    if not ids:
        raise QeuError(
            f"No record of {dataset.name!r} matches the filter: there is nothing to evaluate. "
            "Widen the filter, or split the data set first (data split)."
        )
    matching = [stored for batch in iterate_records(workspace, ids) for stored in batch]
    records = _drawn(matching, spec.limit)
    reasonings = {way.reasoning for way in spec.ways}
    shuffled = _shuffle(matching) if "shuffled" in reasonings else {}
    counts = sorted({way.examples for way in spec.ways if way.examples})
    examples = _examples(workspace, dataset, records, counts) if counts else {}
    return Material(dataset, tuple(records), len(matching), shuffled, examples)


def ready_ways(
    engines: Engines, spec: EvalSpec, stop: threading.Event, on_load: OnProgress | None = None
) -> list[ReadyWay]:
    """All ways with their engines' identities; a model that is not here yet is fetched.

    Raises QeuError for an unknown model or adapter, and for one without its key.
    """
    return [_ready(engines, at, way, spec, stop, on_load) for at, way in enumerate(spec.ways)]


def _ready(
    engines: Engines,
    at: int,
    way: Way,
    spec: EvalSpec,
    stop: threading.Event,
    on_load: OnProgress | None,
) -> ReadyWay:
    name, adapter = split_ref(way.model)
    card = find_model(name, local_paths=engines.local_paths)
    layout, target, role = _learned(engines, adapter)
    layout = way.layout or layout or find_layout(card.id)
    if way.examples and layout != "chat":
        raise QeuError(
            f"{way.model} is asked in layout {layout}, and worked examples are turns of a chat. "
            "Choose layout chat for it, or no examples."
        )
    if way.role:
        role = BY_CATEGORY if way.role == BY_CATEGORY.id else find_role(way.role)
    # who learned to answer alone is still asked for a reasoning, if that is what is wanted
    own = way.target or (target if target != "answer" else "") or "both"
    asking = Asking(way, layout, role or BY_CATEGORY, own if way.reasoning == "own" else "answer")
    identity = engines.identify(card.id, adapter, exact=spec.exact)
    if identity is None:  # the weights are not here yet
        backend = engines.load(card.id, exact=spec.exact, progress=on_load, stop=stop)
        identity = backend.identify(adapter)
    known = _learned_records(engines, adapter)
    return ReadyWay(at, asking, card.id, adapter, identity, card.kind == "local", known)


def _learned(engines: Engines, adapter: str | None) -> tuple[str, str, Role | None]:
    """(layout, target, role) that an adapter learned; "" and None where that is not told."""
    if adapter is None:
        return "", "", None
    found = AdapterFinder(engines.adapters, local_paths=engines.local_paths).find(adapter)
    run = found.run
    if run is None:
        return "", "", None
    role = None
    if run.role == BY_CATEGORY.id:
        role = BY_CATEGORY
    elif run.role in ROLE_IDS:
        role = Role(run.role, _role_text(RunFolder(found.path)) or find_role(run.role).text)
    return run.layout, run.target, role


def _learned_records(engines: Engines, adapter: str | None) -> frozenset[str]:
    """What a run's folder says that it learned from; empty for adapters that came without."""
    if adapter is None:
        return frozenset()
    path = AdapterFinder(engines.adapters, local_paths=engines.local_paths).find(adapter).path
    for folder in (RunFolder(path), RunFolder(path.parent)):  # a checkpoint's run is above it
        if (folder.path / RUN).is_file():
            return frozenset(one.record.identity for one in folder.frozen(TRAIN))
    return frozenset()


def _role_text(folder: RunFolder) -> str:
    """The wording that the run was trained with; "" where its passport cannot be read."""
    for path in (folder, RunFolder(folder.path.parent)):  # a checkpoint's run is above it
        if (path.path / RUN).is_file():
            try:
                passport: RunPassport = path.passport()
            except QeuError:  # of another version, or another program
                return ""
            return passport.role_text
    return ""


def _drawn(matching: Sequence[StoredRecord], limit: int) -> list[StoredRecord]:
    """So many of them, drawn by identity, in the data set's order; all for 0."""
    if not limit or limit >= len(matching):
        return list(matching)

    def draw(stored: StoredRecord) -> bytes:
        return hashlib.sha256(stored.record.identity.encode()).digest()

    chosen = {stored.id for stored in sorted(matching, key=draw)[:limit]}
    return [stored for stored in matching if stored.id in chosen]


def _shuffle(matching: Sequence[StoredRecord]) -> dict[int, str]:
    """Another's reasoning for each; drawn among all that match, whatever the limit."""
    donors = [
        Donor(
            stored.id,
            (stored.record.category, stored.record.language),
            stored.record.identity,
            stored.record.reasoning.strip(),
        )
        for stored in matching
        if stored.record.reasoning.strip()
    ]
    texts = {donor.key: donor.text for donor in donors}
    return {key: texts[other] for key, other in shuffle_reasonings(donors, SHUFFLE_SEED).items()}


def _examples(
    workspace: Workspace,
    dataset: Dataset,
    records: Sequence[StoredRecord],
    counts: Sequence[int],
) -> dict[tuple[int, int], tuple[Record, ...]]:
    """By (record, how many): from the training split, or where there is none, from all others."""
    train = matching_ids(workspace, dataset, Filter(split=("train",)))
    asked = {stored.id for stored in records}
    ids = train or matching_ids(workspace, dataset, ALL)
    found = (stored for batch in iterate_records(workspace, ids) for stored in batch)
    pool = ExamplePool(stored.record for stored in found if stored.id not in asked)
    return {
        (stored.id, count): pool.choose(stored.record, count)
        for stored in records
        for count in counts
    }
