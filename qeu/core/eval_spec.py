"""What an evaluation is: which records, and the ways of asking that are held against each other."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace

from qeu.core.errors import UsageError
from qeu.core.prompts import LAYOUTS
from qeu.core.roles import BY_CATEGORY, ROLE_IDS
from qeu.core.sampling import MAX_SEED, Sampling
from qeu.core.text import clean_value, one_line

# Whose reasoning stands before the answer: the way writes its own, as it is really used; the
# record's (a teacher's); that of another record of its category and language; none.
REASONINGS = ("own", "given", "shuffled", "none")
# What a way writes where it writes its own reasoning; "" is what its adapter learned, or both.
OWN_TARGETS = ("", "both", "reasoning", "reasoning_task")
ROLE_CHOICES = ("", *ROLE_IDS, BY_CATEGORY.id)
MOST_SEEDS, MOST_EXAMPLES, MOST_WAYS = 20, 8, 32
MAX_NEW_TOKENS = 320
VALIDATION: Mapping[str, object] = {"split": ["validation"]}
_WORDS = {
    "own": "its own reasoning",
    "given": "the reasoning given",
    "shuffled": "another reasoning given",
    "none": "no reasoning",
}


@dataclass(frozen=True)
class Way:
    """One way of asking: `MODEL` or `MODEL@ADAPTER`, and whose reasoning stands before the answer.

    Empty `layout`, `target` and `role` are the adapter's own; without an adapter the model's own
    layout, both, and the role that each record's category calls for. `examples` puts so many worked
    examples of the training split before the question (chat only). Ways of one `group` are the same
    training with other seeds: they can be put together (services/evaluate_pool.py).
    """

    model: str
    reasoning: str = "own"
    layout: str = ""
    target: str = ""
    role: str = ""
    examples: int = 0
    title: str = ""
    group: str = ""

    @property
    def name(self) -> str:
        """What tables call it."""
        if self.title:
            return self.title
        parts = [self.layout, _WORDS[self.reasoning]]
        if self.examples:
            parts.append(_count_examples(self.examples))
        return f"{self.model} ({', '.join(part for part in parts if part)})"

    @property
    def has_adapter(self) -> bool:
        """Whether it is an adapter that is asked."""
        return "@" in self.model

    def problems(self) -> list[str]:
        """All that cannot be meant, each as one sentence."""
        found = [] if self.model.strip() else ["A way names no model."]
        for name, allowed in (
            ("reasoning", REASONINGS),
            ("layout", ("", *LAYOUTS)),
            ("target", OWN_TARGETS),
            ("role", ROLE_CHOICES),
        ):
            if (value := getattr(self, name)) not in allowed:
                shown = ", ".join(item or "(its own)" for item in allowed)
                found.append(f"{name} is {one_line(repr(value))}. Choose one of: {shown}.")
        if not _whole(self.examples, 0, MOST_EXAMPLES):
            found.append(f"examples is {self.examples!r}; choose 0 to {MOST_EXAMPLES}.")
        elif self.examples and self.layout not in ("", "chat"):
            found.append(
                f"Worked examples are turns of a chat, and layout {self.layout} is chosen for "
                f"{self.model}. Choose layout chat, or no examples."
            )
        if self.target and self.reasoning != "own":
            found.append(
                f"target {self.target} is for a way that writes its own reasoning, and "
                f"{self.model} is asked with reasoning {self.reasoning}. Leave the target out."
            )
        return found


@dataclass(frozen=True)
class EvalSpec:
    """An evaluation as a person orders it; nothing in it is secret.

    `where` is a filter's plain values; `limit` takes so many of the matching records, drawn by
    their identity (0: all). Each record is asked `seeds` times, with seeds 1, 2, … `pairs` are
    (left, right) places in `ways`, empty: as `default_pairs` tells. `losses` False measures none;
    `usefulness` False leaves out those behind another reasoning and behind none, about half.
    """

    dataset: str
    ways: tuple[Way, ...]
    where: Mapping[str, object] = field(default_factory=lambda: dict(VALIDATION))
    limit: int = 0
    seeds: int = 3
    sampling: Sampling = field(default_factory=lambda: Sampling(max_new_tokens=MAX_NEW_TOKENS))
    losses: bool = True
    exact: bool = False
    pairs: tuple[tuple[int, int], ...] = ()
    usefulness: bool = True

    @property
    def compared(self) -> tuple[tuple[int, int], ...]:
        """The pairs that are held against each other."""
        return self.pairs or default_pairs(self.ways)

    def sampling_of(self, seed: int) -> Sampling:
        """The settings of the n-th text of a record, from 1."""
        return replace(self.sampling, seed=seed % MAX_SEED)

    def problems(self) -> list[str]:
        """All that cannot be meant, each as one sentence."""
        found = [problem for way in self.ways for problem in way.problems()]
        if not self.dataset.strip():
            found.append("No data set is named.")
        if not 1 <= len(self.ways) <= MOST_WAYS:
            found.append(f"There are {len(self.ways)} ways of asking; name 1 to {MOST_WAYS}.")
        names = [way.name for way in self.ways if not way.problems()]
        if twice := next((name for name in names if names.count(name) > 1), ""):
            found.append(f"Two ways are called {twice!r}. Give one of them another title.")
        if not _whole(self.seeds, 1, MOST_SEEDS):
            found.append(f"seeds is {self.seeds!r}; choose 1 to {MOST_SEEDS}.")
        elif self.seeds > 1 and self.sampling.is_greedy:
            found.append(
                f"Greedy decoding writes the same text with all {self.seeds} seeds. "
                "Choose 1 seed, or a temperature above 0."
            )
        if not _whole(self.limit, 0, 10**9):
            found.append(f"limit is {self.limit!r}; choose 0 (all) or more.")
        for left, right in self.pairs:
            if left == right or not {left, right} <= set(range(len(self.ways))):
                found.append(f"The pair {left}, {right} does not name two of the ways.")
        return found + self.sampling.problems()

    def checked(self) -> "EvalSpec":
        """The same with texts cleaned; raises UsageError naming every problem."""
        if found := self.problems():
            raise UsageError(" ".join(dict.fromkeys(found)))
        ways = tuple(replace(way, title=clean_value(way.title)) for way in self.ways)
        return replace(self, ways=ways, sampling=self.sampling.checked())

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        data = asdict(self) | {"where": dict(self.where), "pairs": [list(p) for p in self.pairs]}
        return data | {"ways": [asdict(way) for way in self.ways]}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "EvalSpec":
        """The spec again; UsageError for unknown names and for what cannot be meant."""
        values = _known(cls, data)
        ways = values.get("ways", ())
        values["ways"] = tuple(Way(**_known(Way, way)) for way in ways)  # type: ignore[arg-type, attr-defined]
        values["pairs"] = tuple((int(a), int(b)) for a, b in values.get("pairs", ()))  # type: ignore[attr-defined]
        if isinstance(values.get("sampling"), Mapping):
            values["sampling"] = Sampling.from_json(values["sampling"])  # type: ignore[arg-type]
        try:
            return cls(**values).checked()  # type: ignore[arg-type]
        except TypeError as error:
            raise UsageError("An evaluation needs a dataset and its ways.") from error


def default_ways(
    base: str,
    adapters: Sequence[str],
    reasonings: Sequence[str] = ("own",),
    examples: int = 2,
    layout: str = "",
) -> tuple[Way, ...]:
    """The base at its best (its own layout; without and with worked examples) and each adapter.

    Adapters are asked with each of these reasonings, "own" first. With `layout`, which they have
    learned, the base is asked in that too: only so does it write reasonings to hold beside theirs.
    """
    ways = [Way(base, "none", title=f"{base}, as it is")]
    if examples:
        title = f"{base}, {_count_examples(examples)}"
        ways.append(Way(base, "none", "chat", examples=examples, title=title))
    if layout:
        ways.append(Way(base, "own", layout, title=f"{base}, in {layout}"))
    ordered = sorted(reasonings, key=lambda one: one != "own")
    ways += [Way(f"{base}@{one}", reasoning) for one in adapters for reasoning in ordered]
    return tuple(ways)


def default_pairs(ways: Sequence[Way]) -> tuple[tuple[int, int], ...]:
    """(left, right): what is worth holding against each other.

    Each way without an adapter against each adapter as it is really used, and the first adapter
    against the others; within an adapter the other ways against that one. Without any adapter, the
    first way against the others.
    """
    bases = [at for at, way in enumerate(ways) if not way.has_adapter]
    groups: dict[str, list[int]] = {}
    for at, way in enumerate(ways):
        if way.has_adapter:
            groups.setdefault(way.model, []).append(at)
    mains = [_main(ways, group) for group in groups.values()]
    pairs = [(base, main) for main in mains for base in bases]
    pairs += [(mains[0], main) for main in mains[1:]]
    if not mains:
        pairs += [(bases[0], base) for base in bases[1:]]
    for main, group in zip(mains, groups.values(), strict=True):
        pairs += [(at, main) for at in group if at != main]
    return tuple(pairs)


def _main(ways: Sequence[Way], group: Sequence[int]) -> int:
    return next((at for at in group if ways[at].reasoning == "own"), group[0])


def _known(cls: type, data: object) -> dict[str, object]:
    if not isinstance(data, Mapping):
        raise UsageError(f"A part of the evaluation is {one_line(repr(data))}; it must be an "
                         "object with names.")  # fmt: skip
    names = {f.name for f in fields(cls)}
    if unknown := sorted(set(data) - names):
        raise UsageError(f"Unknown setting {unknown[0]!r}. Known: {', '.join(sorted(names))}.")
    return dict(data)


def _whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _count_examples(count: int) -> str:
    return "1 example" if count == 1 else f"{count} examples"
