"""Votes on two texts side by side, and the standings that can be read from them.

Which is better and whether each is acceptable are two questions: two bad texts are not a tie.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from qeu.core.jeffreys import jeffreys

BETTER = ("left", "right", "equal")
# With fewer decided votes not even a unanimous verdict is told: it is one evening's mood.
LEAST_DECIDED = 10


@dataclass(frozen=True)
class Vote:
    """One person's verdict on the two texts of run `run`; "left" and "right" are the run's sides.

    `left`, `right` are MODEL or MODEL@ADAPTER; `left_as`, `right_as` tell in words of the command
    line what was set differently on that side ("" where nothing was). `left_ok`, `right_ok`: good
    enough to use, None where not said. `swapped`: the left side was shown at the right. `blind`:
    no names were shown. `seconds` from both texts shown to the vote. `voter` "" is the one person
    at the command line, else a browser.
    """

    run: int
    left: str
    right: str
    better: str
    left_ok: bool | None = None
    right_ok: bool | None = None
    swapped: bool = False
    blind: bool = True
    left_as: str = ""
    right_as: str = ""
    category: str = ""
    language: str = ""
    note: str = ""
    seconds: float = 0.0
    voter: str = ""
    id: int = 0
    at: str = ""

    def problems(self) -> list[str]:
        """What makes this no vote."""
        found = []
        if self.better not in BETTER:
            found.append(f"better is {self.better!r}. Choose one of: {', '.join(BETTER)}.")
        if self.seconds < 0:
            found.append(f"seconds is {self.seconds}; a vote takes time.")
        return found

    @property
    def acceptable(self) -> dict[str, bool | None]:
        """By side."""
        return {"left": self.left_ok, "right": self.right_ok}

    def name(self, side: str) -> str:
        """A side's model, with what was set differently behind it."""
        model, more = (self.left, self.left_as) if side == "left" else (self.right, self.right_as)
        return f"{model} ({more})" if more else model

    def to_json(self) -> dict[str, object]:
        """Plain values; `acceptable` by side, as in the log."""
        data = asdict(self)
        del data["left_ok"], data["right_ok"]
        return data | {"acceptable": self.acceptable}


@dataclass(frozen=True)
class Tally:
    """Wins, ties and losses; the interval is that of wins among the decided votes."""

    wins: int = 0
    ties: int = 0
    losses: int = 0

    @property
    def decided(self) -> int:
        """Votes that preferred one."""
        return self.wins + self.losses

    @property
    def votes(self) -> int:
        """All votes."""
        return self.decided + self.ties

    @property
    def share(self) -> float | None:
        """Wins among the decided; None where none is."""
        return self.wins / self.decided if self.decided else None

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% Jeffreys interval of the share."""
        return jeffreys(self.wins, self.decided)

    @property
    def verdict(self) -> str:
        """`more` or `less` than half won, `open` where the interval holds the half, `too_few`."""
        if self.decided < LEAST_DECIDED:
            return "too_few"
        low, high = self.interval
        return "more" if low > 0.5 else "less" if high < 0.5 else "open"

    def to_json(self) -> dict[str, object]:
        """Plain values; bounds with four decimals."""
        low, high = self.interval
        share = None if self.share is None else round(self.share, 4)
        told = {"share": share, "low": round(low, 4), "high": round(high, 4)}
        counts = {"votes": self.votes, "wins": self.wins, "ties": self.ties, "losses": self.losses}
        return {**counts, **told, "verdict": self.verdict}


@dataclass(frozen=True)
class Share:
    """`count` of `of` with its 95% Jeffreys interval."""

    count: int
    of: int

    @property
    def interval(self) -> tuple[float, float]:
        """Its bounds."""
        return jeffreys(self.count, self.of)

    def to_json(self) -> dict[str, object]:
        """Plain values; bounds with four decimals."""
        low, high = self.interval
        share = round(self.count / self.of, 4) if self.of else None
        told = {"low": round(low, 4), "high": round(high, 4)}
        return {"count": self.count, "of": self.of, "share": share, **told}


@dataclass(frozen=True)
class Pair:
    """Two that met; the tallies are those of `first`, which comes before `second` by name."""

    first: str
    second: str
    all: Tally
    by_category: Mapping[str, Tally]
    by_language: Mapping[str, Tally]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        parts = {
            "by_category": {name: tally.to_json() for name, tally in self.by_category.items()},
            "by_language": {name: tally.to_json() for name, tally in self.by_language.items()},
        }
        return {"first": self.first, "second": self.second, **self.all.to_json(), **parts}


@dataclass(frozen=True)
class Engine:
    """One MODEL or MODEL@ADAPTER against all others it met; `acceptable` of what was told."""

    name: str
    all: Tally
    acceptable: Share

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "name": self.name,
            **self.all.to_json(),
            "acceptable": self.acceptable.to_json(),
        }


@dataclass(frozen=True)
class Standings:
    """All that votes tell. `position` are blind votes: how often the text at the left won."""

    votes: int
    pairs: tuple[Pair, ...]
    engines: tuple[Engine, ...]
    position: Tally

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "votes": self.votes,
            "least_decided": LEAST_DECIDED,
            "pairs": [pair.to_json() for pair in self.pairs],
            "engines": [engine.to_json() for engine in self.engines],
            "left_position": self.position.to_json(),
        }


def make_standings(votes: Sequence[Vote]) -> Standings:
    """Count votes by pair, engine and position; those with most votes come first."""
    groups: dict[tuple[str, str], list[Vote]] = {}
    for vote in votes:
        first, second = sorted((vote.name("left"), vote.name("right")))
        groups.setdefault((first, second), []).append(vote)
    pairs = [_pair(first, second, found) for (first, second), found in groups.items()]
    names = dict.fromkeys(name for vote in votes for name in (vote.left, vote.right))
    engines = [_engine(name, votes) for name in names]
    blind = [vote for vote in votes if vote.blind]
    return Standings(
        len(votes),
        tuple(sorted(pairs, key=lambda pair: (-pair.all.votes, pair.first, pair.second))),
        tuple(sorted(engines, key=lambda engine: (-engine.all.votes, engine.name))),
        _tally(blind, lambda vote: "right" if vote.swapped else "left"),
    )


def _pair(first: str, second: str, votes: Sequence[Vote]) -> Pair:
    def side(vote: Vote) -> str:
        return "left" if vote.name("left") == first else "right"

    return Pair(
        first,
        second,
        _tally(votes, side),
        _tallies(votes, side, lambda vote: vote.category),
        _tallies(votes, side, lambda vote: vote.language),
    )


def _engine(name: str, votes: Sequence[Vote]) -> Engine:
    # a model that met itself neither won nor lost, but its texts were acceptable or not
    met = [vote for vote in votes if name in (vote.left, vote.right) and vote.left != vote.right]
    told = [
        ok
        for vote in votes
        for model, ok in ((vote.left, vote.left_ok), (vote.right, vote.right_ok))
        if model == name and ok is not None
    ]
    tally = _tally(met, lambda vote: "left" if vote.left == name else "right")
    return Engine(name, tally, Share(sum(told), len(told)))


def _tallies(
    votes: Sequence[Vote], side: Callable[[Vote], str], part: Callable[[Vote], str]
) -> dict[str, Tally]:
    parts = sorted({part(vote) for vote in votes})
    return {name: _tally((v for v in votes if part(v) == name), side) for name in parts}


def _tally(votes: Iterable[Vote], side: Callable[[Vote], str]) -> Tally:
    """Count the votes from the view of the side that `side` names in each."""
    wins = ties = losses = 0
    for vote in votes:
        if vote.better == "equal":
            ties += 1
        elif vote.better == side(vote):
            wins += 1
        else:
            losses += 1
    return Tally(wins, ties, losses)
