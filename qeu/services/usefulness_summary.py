"""What a measurement of usefulness says of each source: means with intervals, and its leak rate."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from qeu.core.intervals import Rate
from qeu.core.leak import LIMIT as LEAK_LIMIT
from qeu.core.usefulness import Mean, mean_of
from qeu.services.usefulness import UsefulRow


@dataclass(frozen=True)
class SourceUsefulness:
    """One source: `useful` and `gain_without` are means in nats a token, None where none could be
    had; `leaked` is the share of its texts that leak, `cut` how many sentences were cut.
    """

    source: str
    useful: Mean | None
    gain_without: Mean | None
    leaked: Rate
    cut: int

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self) | {"leaked": self.leaked.to_json()}


@dataclass
class _Tally:
    useful: list[float] = field(default_factory=list)
    gain: list[float] = field(default_factory=list)
    leaked: int = 0
    judged: int = 0
    cut: int = 0


class UsefulnessSummary:
    """Sums up rows as they come, so that they need not be kept."""

    def __init__(self) -> None:
        self._tallies: dict[str, _Tally] = {}
        self.reasons: dict[str, int] = {}

    def add(self, rows: Iterable[UsefulRow]) -> None:
        """Take in more rows; those without a reasoning count for nothing but their reason."""
        for row in rows:
            tally = self._tallies.setdefault(row.source, _Tally())
            if row.why:
                self.reasons[row.why] = self.reasons.get(row.why, 0) + 1
            tally.cut += row.result.cut_own
            tally.judged += row.has_text
            tally.leaked += row.leak >= LEAK_LIMIT
            if row.result.useful is not None:
                tally.useful.append(row.result.useful)
            if row.result.gain_without is not None:
                tally.gain.append(row.result.gain_without)

    def sources(self) -> list[SourceUsefulness]:
        """One entry a source, in the order in which they came."""
        return [
            SourceUsefulness(
                source,
                mean_of(tally.useful),
                mean_of(tally.gain),
                Rate(tally.leaked, tally.judged),
                tally.cut,
            )
            for source, tally in self._tallies.items()
        ]
