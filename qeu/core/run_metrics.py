"""What a run measured, step by step: the lines of `metrics.jsonl`, read fast and thinned out.

Kinds of lines (each has `kind`, `step` and `time`, ISO 8601 in UTC):
train       loss, learning_rate, grad_norm, tokens (real ones so far), tokens_per_s, memory (bytes)
validation  loss, reasoning_loss, answer_loss (nats a token; null where none is learned), rows
samples     contract, leak, closed, loop: {count, of} each (texts are in samples.jsonl)
saved       checkpoint (its folder's name)
resumed     the step that a run went on from: what came after it is void
"""

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

KINDS = ("train", "validation", "samples", "saved", "resumed")
TRAIN_VALUES = ("loss", "learning_rate", "grad_norm", "tokens_per_s", "memory")
# More points than a screen has columns only hide each other.
MOST_POINTS = 1_000
# As many training steps tell all that a picture, a median or a last value needs.
MOST_READ = 4_000
_TRAIN = ('{"kind":"train"', '{"kind": "train"')

Line = Mapping[str, object]


@dataclass(frozen=True)
class RunMetrics:
    """Lines by kind, in the order of steps, each step once."""

    lines: Mapping[str, tuple[Line, ...]] = field(default_factory=dict)

    def of(self, kind: str) -> tuple[Line, ...]:
        """All lines of a kind."""
        return self.lines.get(kind, ())

    def curve(self, kind: str, name: str) -> list[tuple[int, float]]:
        """(step, value) of one measure, where it was measured."""
        found = ((line["step"], line.get(name)) for line in self.of(kind))
        return [(step, value) for step, value in found if isinstance(value, int | float)]  # type: ignore[misc]

    @property
    def last_step(self) -> int:
        """The last step that anything is known of."""
        last = [lines[-1]["step"] for lines in self.lines.values() if lines]
        return max(last, default=0)  # type: ignore[type-var, return-value]


def read_metrics(text: str, most: int = 0) -> RunMetrics:
    """The metrics of a file's text; a last line that was cut off by a crash is left out.

    Of more lines than `most` only so many of kind "train" are read, evenly taken, and the last one;
    of the other kinds all are. 0 reads everything.
    """
    rows = [row for row in text.split("\n") if row]
    if 0 < most < len(rows):
        rows = _take_evenly(rows, most)
    kinds: dict[str, list[Line]] = {}
    for line in _parse(rows):
        if line.get("kind") == "resumed":
            at = line["step"]
            for known in kinds.values():
                while known and known[-1]["step"] > at:  # type: ignore[operator]
                    known.pop()
        kinds.setdefault(str(line.get("kind")), []).append(line)
    return RunMetrics({kind: tuple(lines) for kind, lines in kinds.items()})


def _take_evenly(rows: Sequence[str], most: int) -> list[str]:
    # its writer puts the kind first, which saves reading the rest of the line
    train = [at for at, row in enumerate(rows) if row.startswith(_TRAIN)]
    step = len(train) / most
    kept = {train[int(at * step)] for at in range(most)} if step > 1 else set(train)
    left_out = set(train[:-1]) - kept
    return [row for at, row in enumerate(rows) if at not in left_out]


def _parse(rows: Sequence[str]) -> Iterable[Line]:
    try:
        # all at once: three times as fast as line by line
        found = json.loads(f"[{','.join(rows)}]")
    except ValueError:
        found = list(_parse_one_by_one(rows))
    return [line for line in found if isinstance(line, dict) and isinstance(line.get("step"), int)]


def _parse_one_by_one(rows: Sequence[str]) -> Iterable[object]:
    for row in rows:
        try:
            yield json.loads(row)
        except ValueError:
            continue  # half a line, written when the power went


def thin_out(
    points: Sequence[tuple[int, float]], most: int = MOST_POINTS
) -> list[tuple[int, float]]:
    """At most so many points, evenly taken; in each stretch the mean, at its last step."""
    if len(points) <= most:
        return list(points)
    cuts = [round(at * len(points) / most) for at in range(most + 1)]
    stretches = (points[a:b] for a, b in itertools.pairwise(cuts))
    return [(part[-1][0], sum(v for _, v in part) / len(part)) for part in stretches]


def smooth(points: Sequence[tuple[int, float]], weight: float) -> list[tuple[int, float]]:
    """Exponential moving average, its start corrected; `weight` from 0 (as is) to below 1."""
    smoothed, mean, share = [], 0.0, 0.0
    for step, value in points:
        mean = weight * mean + (1 - weight) * value
        share = weight * share + (1 - weight)
        smoothed.append((step, mean / share))
    return smoothed
