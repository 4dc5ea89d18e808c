"""One blind round of a page: which side stands where, and whether the names are still covered."""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from qeu.core.votes import Vote
from qeu.services.compare import SIDES, Comparison
from qeu.services.runs import Live
from qeu.services.votes import why_no_vote
from qeu.store.history import StoredComparison
from qeu.ui.sessions import Session

PLACE = "votes"
_MOST_ROUNDS = 500
_OTHER = {"left": "right", "right": "left"}


@dataclass
class Round:
    """Two texts to choose from. While it is `covered`, nothing on the page tells who wrote which.

    `swapped`: the comparison's left side stands at the right. `stored` is None while the texts are
    being written; `why` is a sentence where they cannot be voted on.
    """

    comparison: Comparison
    swapped: bool = field(default_factory=lambda: bool(secrets.randbelow(2)))
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    covered: bool = True
    stored: StoredComparison | None = None
    shown_at: float = 0.0
    why: str = ""
    vote: Vote | None = None
    before: bool = False
    taken_back: bool = False
    # what came of putting the better text into a data set; "" where nobody did
    kept: str = ""
    # two clicks at once: the names are uncovered, and the texts put in their places, once
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False, compare=False)

    def side_at(self, position: str) -> str:
        """The comparison's side that stands at "left" or "right"; its own inverse."""
        return _OTHER[position] if self.swapped else position

    def placed(self, lives: Mapping[str, Live]) -> dict[str, Live]:
        """The texts by the position they stand at."""
        return {at: lives[self.side_at(at)] for at in SIDES if self.side_at(at) in lives}

    def finish(self, stored: StoredComparison) -> None:
        """Both texts are there: show them to be voted on, or say why not and whose they are."""
        self.stored, self.shown_at = stored, time.monotonic()
        if why := why_no_vote(stored):
            self.why = why
            self.give_up()

    def give_up(self) -> None:
        """Show the names without a vote. Texts that nobody has seen yet stand where they belong."""
        self.covered = False
        if self.stored is None or self.why:
            self.swapped = False

    @property
    def seconds(self) -> float:
        """Since both texts were shown."""
        return time.monotonic() - self.shown_at

    @property
    def can_keep(self) -> bool:
        """Whether a text has won that nobody called unusable, and that is not kept yet."""
        vote = self.vote
        if vote is None or vote.better not in SIDES or self.kept:
            return False
        return vote.acceptable[vote.better] is not False

    @property
    def ready(self) -> bool:
        """Whether a vote is awaited."""
        return self.covered and self.stored is not None


@dataclass
class Booth:
    """A page's blind switch, its round, whether its standings were opened, examples asked."""

    on: bool = False
    round: Round | None = None
    standings: bool = False
    examples: int = 0

    @property
    def covered(self) -> bool:
        """Whether names are hidden at this moment."""
        return self.round is not None and self.round.covered


def booth_of(session: Session) -> Booth:
    """The booth of a page, made at its first use."""
    found = session.kept.setdefault(PLACE, Booth())
    assert isinstance(found, Booth)
    return found


class Rounds:
    """Rounds that wait for a vote, by token: a page that is loaded again finds its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rounds: OrderedDict[str, Round] = OrderedDict()

    def keep(self, one: Round) -> None:
        """Remember a round; of too many the oldest is forgotten."""
        with self._lock:
            self._rounds[one.token] = one
            while len(self._rounds) > _MOST_ROUNDS:
                self._rounds.popitem(last=False)

    def find(self, token: str, run: int) -> Round | None:
        """The round of this token, if it is about this run and still waits."""
        with self._lock:
            found = self._rounds.get(token)
        fits = found is not None and found.ready and found.stored and found.stored.id == run
        return found if fits else None
