"""What a sweep would do, before it is ordered: its cells, what is there, how long it takes."""

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass

from qeu.backends.catalog import split_ref
from qeu.backends.engines import Engines
from qeu.core.errors import QeuError
from qeu.core.sweep_spec import LARGE_CELLS, LARGE_TEXTS, SweepSpec
from qeu.services.evaluate_ask import Asked
from qeu.services.sweep import check_size
from qeu.services.sweep_setup import gather_prompts, open_variants
from qeu.store.evaluations import list_evaluations
from qeu.store.generations import known_keys
from qeu.store.sweeps import list_sweeps
from qeu.store.workspace import Workspace

# Of larger sweeps it is not looked up which texts are there: that alone would take minutes.
MOST_LOOKED_UP = 100_000


@dataclass(frozen=True)
class SweepPlan:
    """Counts of a sweep; `cells` are `combinations` less those that ask the very same as another.

    `cached` texts are there already (None: not looked up), `failing` cannot be asked, for
    `reasons`. `tokens` are the most that the others can have; `seconds` None is unknown before a
    first run.
    """

    combinations: int
    cells: int
    prompts: int
    matching: int
    texts: int
    cached: int | None
    failing: int
    tokens: int
    seconds: float | None
    reasons: dict[str, int]

    @property
    def todo(self) -> int:
        """Texts that must be made, at most."""
        return self.texts - (self.cached or 0) - self.failing

    @property
    def is_large(self) -> bool:
        """Whether a person is to be asked first."""
        return self.cells >= LARGE_CELLS or self.todo >= LARGE_TEXTS

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self) | {"todo": self.todo, "is_large": self.is_large}


def plan_sweep(
    workspace: Workspace,
    engines: Engines,
    spec: SweepSpec,
    progress: Callable[[int, int], None] = lambda done, total: None,
    stop: threading.Event | None = None,
) -> SweepPlan:
    """Look at every text of a sweep without making any; raises QeuError where it cannot be.

    A model whose weights are not on this machine yet has nothing cached.
    """
    stop = stop or threading.Event()
    spec = spec.checked()
    records, matching = gather_prompts(workspace, spec)
    check_size(spec, len(records))
    variants = open_variants(engines, spec, records, stop, fetch=False)
    cells = variants.cells(spec)
    total = sum(cell.seeds for cell in cells) * len(records)
    cached = failing = tokens = done = 0
    reasons: dict[str, int] = {}
    seen: set[str] = set()
    seconds: float | None = 0.0
    looks = total <= MOST_LOOKED_UP
    paces = {model: find_pace(workspace, model) for model in spec.models}
    for cell in cells:
        if stop.is_set():
            raise QeuError("Looking at the sweep was stopped.")
        count, most = cell.seeds * len(records), cell.setting.sampling.max_new_tokens
        done += count
        todo = count
        if looks and variants.find(cell.setting) is not None:
            asked = variants.asked(cell, spec.exact)
            why = [one for *_, one in asked if not isinstance(one, Asked)]
            for sentence in why:
                reasons[sentence] = reasons.get(sentence, 0) + 1
            failing += len(why)
            keys = [one.key for *_, one in asked if isinstance(one, Asked)]
            # what an earlier cell asks too is made once
            there = known_keys(workspace, keys) | seen.intersection(keys)
            seen.update(keys)
            todo = sum(key not in there for key in keys)
            cached += len(keys) - todo
        tokens += todo * most
        pace = paces[cell.setting.model]
        if todo:
            seconds = None if pace is None or seconds is None else seconds + pace * todo * most
        progress(done, total)
    return SweepPlan(
        spec.combinations, len(cells), len(records), matching, total,
        cached if looks else None, failing, tokens, seconds, reasons,
    )  # fmt: skip


def find_pace(workspace: Workspace, model: str) -> float | None:
    """Seconds that a text of this model takes for each token that it may have; None if unknown.

    Of earlier sweeps of this model alone, else of evaluations of its base.
    """
    base = split_ref(model)[0]
    for sweep in list_sweeps(workspace):
        models = sweep.asked.get("models")
        bases = {split_ref(str(one))[0] for one in models} if isinstance(models, list) else set()
        if sweep.seconds_a_token and bases == {base}:
            return sweep.seconds_a_token
    for one in list_evaluations(workspace):
        if one.base == base and one.seconds_a_text:
            return one.seconds_a_text
    return None
