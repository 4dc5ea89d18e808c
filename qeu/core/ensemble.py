"""Make one reasoning of several for the same record, without a model; say who agrees with whom.

Three ways: `choose_medoid` takes the one that the others resemble most; `select_sentences` puts
together what most of them say, without saying it twice; `find_origins` tells of a text that was
fused by a model which sentence came from whom.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qeu.core.chrf import chrf_of, ngrams, pairwise
from qeu.core.contract import LIMITS
from qeu.core.segments import count_characters, count_words, is_unspaced, sentence_spans

# Two sentences say the same from here on; of unrelated ones in the shipped data one in a thousand
# pairs comes to 0.33 (tests/core/test_ensemble.py).
SAME_SENTENCE = 0.45
# Below this mean the reasonings agree no more than those of unrelated questions, of which one pair
# in a hundred comes to 0.37: a person should look.
LOW_AGREEMENT = 0.37


@dataclass(frozen=True)
class Candidate:
    """One reasoning of a record: who wrote it, and the names of the checks that it breaks."""

    source: str
    text: str
    broken: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """A sentence [start, end) of an ensemble and the sources that say it; none: it is new."""

    start: int
    end: int
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Ensemble:
    """One text made of several.

    `agreement` is the mean pairwise character F-score of the texts it was made of (1 for a single
    one), `dropped` are the sources left out for what they break, by source.
    """

    text: str
    parts: tuple[Part, ...]
    agreement: float
    dropped: Mapping[str, tuple[str, ...]]

    @property
    def disputed(self) -> bool:
        """Whether the sources differ so much that a person should look."""
        return self.agreement < LOW_AGREEMENT


def usable(candidates: Sequence[Candidate]) -> tuple[list[Candidate], dict[str, tuple[str, ...]]]:
    """(those to work with, what the others break): all that hold the contract, or else all.

    Empty texts are never worked with.
    """
    written = [c for c in candidates if c.text.strip()]
    sound = [c for c in written if not c.broken]
    kept = sound or written
    return kept, {c.source: c.broken or ("length",) for c in candidates if c not in kept}


def mean_agreement(texts: Sequence[str]) -> float:
    """The mean pairwise score; 1 for fewer than two texts."""
    if len(texts) < 2:
        return 1.0
    scores = pairwise(texts)
    pairs = [scores[row][column] for row in range(len(texts)) for column in range(row)]
    return sum(pairs) / len(pairs)


def choose_medoid(candidates: Sequence[Candidate]) -> Ensemble:
    """The text that resembles the others most; the earlier one of two that are equally central."""
    kept, dropped = usable(candidates)
    if not kept:
        return Ensemble("", (), 1.0, dropped)
    scores = pairwise([c.text for c in kept])
    best = max(range(len(kept)), key=lambda at: (sum(scores[at]), -at))
    text = kept[best].text.strip()
    parts = find_origins(text, kept)
    return Ensemble(text, parts, mean_agreement([c.text for c in kept]), dropped)


def select_sentences(candidates: Sequence[Candidate]) -> Ensemble:
    """What most sources say, in the order they say it, within the contract's length.

    Sentences that say the same form a group; groups are taken by how many sources stand behind
    them, then by how early they come, until the limit of lines and words is reached. Of a group
    the sentence that resembles the others most speaks.
    """
    kept, dropped = usable(candidates)
    groups = _group(kept)
    if not groups:
        return Ensemble("", (), 1.0, dropped)
    unspaced = is_unspaced(" ".join(c.text for c in kept))
    limit = LIMITS["characters" if unspaced else "words"]
    count = count_characters if unspaced else count_words
    chosen: list[_Group] = []
    room = limit
    for group in sorted(groups, key=lambda g: (-len(g.sources), g.place)):
        needed = count(group.speaker)
        if len(chosen) < LIMITS["lines"] and needed <= room:
            chosen.append(group)
            room -= needed
    chosen.sort(key=lambda group: group.place)
    parts, text = [], ""
    for group in chosen:
        text += "\n" if text else ""
        parts.append(Part(len(text), len(text) + len(group.speaker), tuple(sorted(group.sources))))
        text += group.speaker
    return Ensemble(text, tuple(parts), mean_agreement([c.text for c in kept]), dropped)


def find_origins(text: str, candidates: Sequence[Candidate]) -> tuple[Part, ...]:
    """For each sentence of a text the sources that say it too, in their order."""
    said = [
        (c.source, [ngrams(c.text[start:end]) for start, end in sentence_spans(c.text)])
        for c in candidates
    ]
    parts = []
    for start, end in sentence_spans(text):
        mine = ngrams(text[start:end])
        sources = [
            source
            for source, sentences in said
            if any(chrf_of(mine, other) >= SAME_SENTENCE for other in sentences)
        ]
        parts.append(Part(start, end, tuple(dict.fromkeys(sources))))
    return tuple(parts)


@dataclass
class _Group:
    """Sentences of different sources that say the same; `place` is the mean of where they stand."""

    sentences: list[str]
    sources: set[str]
    places: list[float]

    @property
    def place(self) -> float:
        return sum(self.places) / len(self.places)

    @property
    def speaker(self) -> str:
        scores = pairwise(self.sentences)
        best = max(range(len(scores)), key=lambda at: (sum(scores[at]), -at))
        return self.sentences[best]


def _group(candidates: Sequence[Candidate]) -> list[_Group]:
    groups: list[_Group] = []
    for candidate in candidates:
        spans = sentence_spans(candidate.text)
        for at, (start, end) in enumerate(spans):
            sentence = " ".join(candidate.text[start:end].split())
            place = at / len(spans)
            mine = ngrams(sentence)
            for group in groups:
                if any(chrf_of(mine, ngrams(s)) >= SAME_SENTENCE for s in group.sentences):
                    if candidate.source not in group.sources:
                        group.sentences.append(sentence)
                        group.places.append(place)
                        group.sources.add(candidate.source)
                    break
            else:
                groups.append(_Group([sentence], {candidate.source}, [place]))
    return groups
