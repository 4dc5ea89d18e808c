"""Review what bulk jobs wrote, record by record: accept, merge, edit, reject, take back.

What is accepted goes into the record with who wrote it; undo takes the text and the decision back.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qeu.core.ensemble import LOW_AGREEMENT
from qeu.core.errors import QeuError
from qeu.core.text_diff import word_diff
from qeu.services.data_edit import edit_fields
from qeu.services.job_candidates import (
    Group,
    Proposal,
    about_texts,
    current_text,
    read_proposals,
    stored_values,
)
from qeu.store.job_ensembles import StoredEnsemble, read_ensembles
from qeu.store.job_reviews import (
    Review,
    Waiting,
    delete_review,
    group_name,
    insert_reviews,
    last_review,
    list_waiting,
    read_review,
)
from qeu.store.queries import get_record
from qeu.store.records import StoredRecord
from qeu.store.undo import undo
from qeu.store.workspace import Workspace

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff]+")


@dataclass(frozen=True)
class Case:
    """A record to decide about: its texts, what it holds now, the ensembles, the last decision."""

    stored: StoredRecord
    proposals: tuple[Proposal, ...]
    current: Mapping[str, str]
    ensembles: Mapping[str, StoredEnsemble]
    review: Review | None

    def proposal(self, letter: str) -> Proposal:
        """The text of this letter; QeuError where there is none."""
        for one in self.proposals:
            if one.slot.letter == letter:
                return one
        raise QeuError(f"There is no text {letter} for this record. Choose one that is shown.")


def list_cases(workspace: Workspace, group: Group, show: str = "all") -> list[Waiting]:
    """The records to look at, those not reviewed first; `show` as in the store."""
    return list_waiting(workspace, group.numbers, show, LOW_AGREEMENT)


def read_case(workspace: Workspace, group: Group, record: int) -> Case:
    """All there is to see of one record; QeuError where it was removed."""
    stored = get_record(workspace, group.dataset, record)
    return Case(
        stored,
        tuple(read_proposals(workspace, group, record)),
        {name: current_text(stored, name) for name in group.fields},
        read_ensembles(workspace, group_name(group.numbers), record),
        read_review(workspace, group.numbers, record),
    )


def decide(
    workspace: Workspace,
    group: Group,
    record: int,
    version: int,
    decision: str,
    *,
    letter: str = "",
    method: str = "",
    texts: Mapping[str, str] | None = None,
    actor: str = "user",
) -> StoredRecord:
    """Accept the text of a `letter`, a merged one of a `method`, an edited one, or reject all.

    `version` is the record's as it was shown: raises QeuError where somebody changed it since.
    `texts` are those of an edited one, by field; its `letter` names the one that was edited.
    The record as it is afterwards.
    """
    case = read_case(workspace, group, record)
    if decision == "reject":
        _keep(workspace, group, case, decision, "", {}, 0, actor)
        return case.stored
    writers: Sequence[Proposal] = case.proposals
    if decision == "accept":
        chosen = case.proposal(letter)
        writers, source, texts = [chosen], chosen.key, chosen.texts
    elif decision == "merged":
        made = case.ensembles.get(method)
        if made is None:
            raise QeuError("This record has no merged text of that kind yet. Make it first.")
        writers = [one for one in writers if one.slot.letter not in made.ensemble.dropped]
        source, texts = merged_source(made), {group.fields[0]: made.ensemble.text}
    elif decision == "edited":
        writers = [case.proposal(letter)] if letter else writers
        source = writers[0].key if letter else ""
    else:
        raise ValueError(decision)
    texts = {name: text.strip() for name, text in (texts or {}).items()}
    if not any(texts.values()):
        raise QeuError("There is no text to accept. Write one, or choose another.")
    about = about_texts(writers, source) | {"decision": decision, "merged": method}
    before = case.stored
    values = stored_values(before, texts)

    def also(own: Workspace, event: int) -> None:
        _keep(own, group, case, decision, source, texts, event, actor, letter)

    return edit_fields(
        workspace, group.dataset, record, version, values, actor=actor, about=about, also=also
    )


def take_back(workspace: Workspace, group: Group, actor: str = "user") -> int:
    """Undo the last decision about these jobs' texts; the record that it was about.

    Raises QeuError where there is none, or where the data set was changed since in another way.
    """
    review = last_review(workspace, group.numbers)
    if review is None:
        raise QeuError("There is no decision to take back.")
    if review.event:
        undo(workspace, group.dataset, expected=review.event, actor=actor)
    else:
        delete_review(workspace, group.numbers, review.record, actor)
    return review.record


def merged_source(made: StoredEnsemble) -> str:
    """What a decision names as its source: the key of a fused text, else how it was made."""
    return made.key or f"ensemble: {made.method}"


def share_changed(before: str, after: str) -> float:
    """The share of words that an edit changed, from 0 to 1; of two empty texts 0."""
    most = max(len(_WORD.findall(before)), len(_WORD.findall(after)))
    if not most:
        return 0.0
    steps = word_diff(before, after)
    kept = sum(len(_WORD.findall(text)) for kind, text in steps if kind == "equal")
    return max(0.0, 1 - kept / most)


def review_rows(
    group: Group,
    record: int,
    proposals: Sequence[Proposal],
    decision: str,
    source: str,
    texts: Mapping[str, str],
    event: int,
) -> list[Review]:
    """The rows of a decision: one for each job that wrote for the record, with its distances."""
    accepted = next(iter(texts.values()), "")
    rows = []
    for job in group.jobs:
        mine = [one for one in proposals if one.slot.job.id == job.id]
        if not mine:
            continue
        distances = {
            f"{one.slot.source}.{one.slot.sample}": share_changed(one.text, accepted)
            for one in mine
            if accepted
        }
        rows.append(Review(job.id, record, decision, source, accepted, event, distances))
    return rows


def _keep(
    workspace: Workspace,
    group: Group,
    case: Case,
    decision: str,
    source: str,
    texts: Mapping[str, str],
    event: int,
    actor: str,
    letter: str = "",
) -> None:
    rows = review_rows(group, case.stored.id, case.proposals, decision, source, texts, event)
    accepted = next(iter(texts.values()), "")
    far = {one.slot.letter: share_changed(one.text, accepted) for one in case.proposals}
    data = {
        "decision": decision,
        "source": source,
        "text": accepted,
        "distance": far.get(letter, min(far.values(), default=0.0)) if accepted else 0,
        "jobs": list(group.numbers),
    }
    with workspace.change() as db:
        insert_reviews(db, rows)
        workspace.append_event(actor, "review", f"record/{case.stored.id}", data)
