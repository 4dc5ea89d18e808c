"""Accept at once every text of bulk jobs that holds its contract, counted before it is done."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from qeu.core.errors import QeuError
from qeu.services.job_candidates import (
    Group,
    Proposal,
    Slot,
    about_texts,
    iterate_proposals,
    read_proposals,
    stored_values,
)
from qeu.services.job_review import merged_source, review_rows
from qeu.store.changes import Progress, change_records
from qeu.store.datasets import Stopped
from qeu.store.filters import Filter
from qeu.store.job_ensembles import read_ensembles
from qeu.store.job_reviews import Review, group_name, insert_reviews, list_waiting
from qeu.store.records import StoredRecord
from qeu.store.workspace import Workspace


@dataclass(frozen=True)
class Bulk:
    """What accepting at once would do, counted in records.

    `accepted` would be written or stand there already; the others are left as they are: decided
    before, without such a text, with one that breaks its contract, changed since they were asked.
    """

    accepted: int = 0
    reviewed: int = 0
    missing: int = 0
    broken: int = 0
    stale: int = 0

    @property
    def total(self) -> int:
        """All records with finished texts."""
        return self.accepted + self.reviewed + self.missing + self.broken + self.stale


@dataclass
class _Chosen:
    """A record whose text is accepted at once; `review` are its rows, but for the event."""

    version: int
    texts: Mapping[str, str]
    reviews: list[Review] = field(default_factory=list)


def count_bulk(
    workspace: Workspace,
    group: Group,
    choice: str,
    *,
    include_stale: bool = False,
    progress: Progress = lambda done, total: None,
    stop: threading.Event | None = None,
) -> Bulk:
    """What `accept_all` would do; `choice` is a letter, or the method of an ensemble."""
    return _choose(workspace, group, choice, include_stale, progress, stop)[0]


def accept_all(
    workspace: Workspace,
    group: Group,
    choice: str,
    *,
    include_stale: bool = False,
    actor: str = "user",
    progress: Progress = lambda done, total: None,
    stop: threading.Event | None = None,
) -> Bulk:
    """Accept every text of this choice that holds its contract, as one step; what was done."""
    bulk, chosen = _choose(workspace, group, choice, include_stale, progress, stop)
    if not chosen:
        raise QeuError(
            "No text can be accepted: all are decided, missing, outdated, or break their contract."
        )
    letters = [slot.letter for slot in group.slots]
    slots = [slot for slot in group.slots if slot.letter == choice or choice not in letters]
    data = {
        "decision": "accept" if choice in letters else "merged",
        "source": choice if choice not in letters else slots[0].ref,
        "text": "",
        "distance": 0,
        "jobs": list(group.numbers),
        **_about_slots(workspace, group, slots, chosen),
    }

    def make(stored: StoredRecord) -> Mapping[str, str] | None:
        mine = chosen.get(stored.id)
        # changed between the look and now: left to its person
        if mine is None or stored.version != mine.version:
            chosen.pop(stored.id, None)
            return None
        return stored_values(stored, mine.texts)

    before = len(chosen)

    def also(own: Workspace, event: int) -> None:
        rows = [
            Review(r.job, r.record, r.decision, r.source, r.text, event, r.distances)
            for mine in chosen.values()
            for r in mine.reviews
        ]
        with own.change() as db:
            insert_reviews(db, rows)

    change_records(
        workspace, group.dataset, make, Filter(ids=tuple(chosen)),
        what="Accepting", kind="review", data=data, actor=actor,
        progress=progress, stop=stop, also=also,
    )  # fmt: skip
    gone = before - len(chosen)
    return Bulk(len(chosen), bulk.reviewed, bulk.missing, bulk.broken, bulk.stale + gone)


def _choose(
    workspace: Workspace,
    group: Group,
    choice: str,
    include_stale: bool,
    progress: Progress,
    stop: threading.Event | None,
) -> tuple[Bulk, dict[int, _Chosen]]:
    waiting = list_waiting(workspace, group.numbers)
    done_before = {line.record for line in waiting if line.reviewed}
    letters = {slot.letter for slot in group.slots}
    counts = dict.fromkeys(("accepted", "reviewed", "missing", "broken", "stale"), 0)
    chosen: dict[int, _Chosen] = {}
    for done, (stored, proposals) in enumerate(iterate_proposals(workspace, group), start=1):
        if stop is not None and stop.is_set():
            raise Stopped("Accepting")
        progress(done, len(waiting))
        if stored.id in done_before:
            counts["reviewed"] += 1
            continue
        if choice in letters:
            found = [one for one in proposals if one.slot.letter == choice]
            texts = found[0].texts if found else {}
            broken = found[0].broken if found else ()
            source, decision = (found[0].key if found else ""), "accept"
        else:
            found = proposals
            name = group_name(group.numbers)
            made = read_ensembles(workspace, name, stored.id).get(choice)
            texts = {group.fields[0]: made.ensemble.text} if made else {}
            broken = made.broken if made else ()
            source, decision = (merged_source(made) if made else ""), "merged"
        if not any(text.strip() for text in texts.values()):
            counts["missing"] += 1
        elif broken:
            counts["broken"] += 1
        elif not include_stale and any(one.result.stale for one in found):
            counts["stale"] += 1
        else:
            counts["accepted"] += 1
            texts = {name: text.strip() for name, text in texts.items()}
            reviews = review_rows(group, stored.id, proposals, decision, source, texts, 0)
            chosen[stored.id] = _Chosen(stored.version, texts, reviews)
    return Bulk(**counts), chosen


def _about_slots(
    workspace: Workspace, group: Group, slots: Sequence[Slot], chosen: Mapping[int, _Chosen]
) -> dict[str, object]:
    """Who wrote what is accepted at once: the same for all records."""
    wanted = {slot.letter for slot in slots}
    writers: dict[str, Proposal] = {}
    for record in chosen:
        for one in read_proposals(workspace, group, record):
            if one.slot.letter in wanted:
                writers.setdefault(one.slot.letter, one)
        if len(writers) == len(wanted):
            break
    about = about_texts(list(writers.values()), "")
    about.pop("source")
    return about
