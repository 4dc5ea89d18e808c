"""What bulk jobs brought, by model: contract, leaks, length, speed, cost, edits, agreement."""

import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from qeu.core.chrf import chrf
from qeu.core.intervals import Rate
from qeu.services.job_candidates import Group, Slot, read_proposals
from qeu.store.job_reviews import count_decisions, list_waiting, mean_distances
from qeu.store.jobs import Job
from qeu.store.workspace import Workspace

LEAKS = ("leak_reference", "leak_commit")
# Pairs of texts are compared on so many records at most, spread over the whole job.
MOST_COMPARED = 200


@dataclass(frozen=True)
class SourceSummary:
    """One model of one job; rates are of its finished texts, tokens are all that were paid for.

    `leaks` are by category of the record; `distance` is the mean share of words in which its texts
    differ from what was accepted, of `decided` texts, None where nothing was. `characters` and
    `new_tokens` are means of a text, `tokens_per_s` the mean speed of one.
    """

    letters: tuple[str, ...]
    job: int
    source: str
    view: str
    hinted: bool
    done: int
    failed: int
    skipped: int
    todo: int
    cached: int
    attempts: int
    passed: Rate
    leaked: Rate
    leaks: dict[str, Rate]
    language: Rate
    loops: Rate
    characters: float
    new_tokens: float
    tokens_per_s: float
    paid_prompt_tokens: int
    paid_new_tokens: int
    distance: float | None
    decided: int

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        rates = {
            name: getattr(self, name).to_json()
            for name in ("passed", "leaked", "language", "loops")
        }
        leaks = {category: rate.to_json() for category, rate in self.leaks.items()}
        return asdict(self) | rates | {"letters": list(self.letters), "leaks": leaks}


@dataclass(frozen=True)
class Agreement:
    """How much the texts of two letters agree on the same records: mean character F-score."""

    one: str
    other: str
    mean: float
    records: int


@dataclass(frozen=True)
class Summary:
    """All models of a group of jobs; `decisions` counts what a person decided, by decision."""

    sources: tuple[SourceSummary, ...]
    agreement: tuple[Agreement, ...]
    decisions: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "sources": [one.to_json() for one in self.sources],
            "agreement": [asdict(one) for one in self.agreement],
            "decisions": dict(self.decisions),
            "seconds": round(self.seconds, 3),
        }


def summarize(workspace: Workspace, group: Group, stop: threading.Event | None = None) -> Summary:
    """The summary of all models of these jobs, as they stand now."""
    sources: list[SourceSummary] = []
    decisions: dict[str, int] = {}
    for job in group.jobs:
        sources += _sources_of(workspace, group, job)
        for name, count in count_decisions(workspace, job.id).items():
            # a decision about several jobs stands once for each of them
            decisions[name] = max(decisions.get(name, 0), count)
    return Summary(
        tuple(sources),
        tuple(_agreements(workspace, group, stop)),
        decisions,
        sum(job.seconds for job in group.jobs),
    )


def _sources_of(workspace: Workspace, group: Group, job: Job) -> list[SourceSummary]:
    states = _count_states(workspace, job)
    texts = _measure_texts(workspace, job)
    broken = _count_broken(workspace, job)
    paid = _count_paid(workspace, job)
    distances = mean_distances(workspace, job.id)
    found = []
    for at, ref in enumerate(job.spec.sources):
        state = states.get(at, {})
        checked = broken.get(at, [])
        of = sum(count for _, _, count in checked)

        def rate(*names: str, rows=checked, of=of) -> Rate:  # type: ignore[no-untyped-def]
            return Rate(sum(n for _, marks, n in rows if marks & set(names)), of)

        passed = Rate(sum(count for _, marks, count in checked if not marks), of)
        leaks = {
            category: Rate(
                sum(n for name, marks, n in checked if name == category and marks & set(LEAKS)),
                sum(n for name, _, n in checked if name == category),
            )
            for category in sorted({category for category, _, _ in checked})
        }
        measured = texts.get(at, (0.0, 0.0, 0.0))
        far = distances.get(at)
        mine = [slot for slot in group.slots if (slot.job.id, slot.source) == (job.id, at)]
        letters = tuple(slot.letter for slot in mine)
        found.append(
            SourceSummary(
                letters=letters,
                job=job.id,
                source=ref,
                view=job.spec.view_name or job.spec.view[:80],
                hinted=job.spec.hinted,
                done=state.get("done", 0),
                failed=state.get("failed", 0),
                skipped=state.get("skipped", 0),
                todo=state.get("todo", 0),
                cached=state.get("cached", 0),
                attempts=state.get("attempts", 0),
                passed=passed,
                leaked=rate(*LEAKS),
                leaks=leaks,
                language=rate("language"),
                loops=rate("loop"),
                characters=round(measured[0], 1),
                new_tokens=round(measured[1], 1),
                tokens_per_s=round(measured[2], 2),
                paid_prompt_tokens=paid.get(ref, (0, 0))[0],
                paid_new_tokens=paid.get(ref, (0, 0))[1],
                distance=None if far is None else round(far[0], 4),
                decided=far[1] if far else 0,
            )
        )
    return found


def _count_states(workspace: Workspace, job: Job) -> dict[int, dict[str, int]]:
    rows = workspace.read(
        "SELECT source, state, count(*), sum(cached), sum(attempts) FROM job_items "
        "WHERE job = ? GROUP BY source, state",
        (job.id,),
    )
    found: dict[int, dict[str, int]] = {}
    for source, state, count, cached, attempts in rows:
        counts = found.setdefault(source, {"cached": 0, "attempts": 0})
        counts[state] = count
        counts["cached"] += cached
        counts["attempts"] += attempts
    return found


def _count_broken(workspace: Workspace, job: Job) -> dict[int, list[tuple[str, set[str], int]]]:
    """{source: [(category, names of failed checks, how many texts)]} of finished texts."""
    rows = workspace.read(
        "SELECT job_items.source, coalesce(records.category, ''), job_items.broken, count(*) "
        "FROM job_items LEFT JOIN records ON records.id = job_items.record "
        "WHERE job = ? AND state = 'done' GROUP BY 1, 2, 3",
        (job.id,),
    )
    found: dict[int, list[tuple[str, set[str], int]]] = {}
    for source, category, broken, count in rows:
        found.setdefault(source, []).append((category, set(broken.split()), count))
    return found


def _measure_texts(workspace: Workspace, job: Job) -> dict[int, tuple[float, float, float]]:
    """{source: (mean characters, mean new tokens, mean tokens/s)} of finished texts."""
    part = "reasoning" if job.spec.writes_reasoning else "text"
    rows = workspace.read(
        "SELECT source, avg(length(CASE WHEN json_extract(data, '$.' || ?) != '' "
        "THEN json_extract(data, '$.' || ?) ELSE json_extract(data, '$.text') END)), "
        "avg(json_extract(data, '$.new_tokens')), avg(json_extract(data, '$.tokens_per_s')) "
        "FROM job_items JOIN generations ON generations.key = job_items.key "
        "WHERE job = ? AND state = 'done' GROUP BY source",
        (part, part, job.id),
    )
    return {row[0]: (row[1] or 0.0, row[2] or 0.0, row[3] or 0.0) for row in rows}


def _count_paid(workspace: Workspace, job: Job) -> dict[str, tuple[int, int]]:
    """{model: (prompt tokens, new tokens)} of all that this job had made, further tries included.

    What failed was not measured; what another job had made before cost this one nothing.
    """
    rows = workspace.read(
        "SELECT json_extract(events.data, '$.model'), "
        "sum(json_extract(generations.data, '$.prompt_tokens')), "
        "sum(json_extract(generations.data, '$.new_tokens')) "
        "FROM (SELECT DISTINCT record FROM job_items WHERE job = ?) AS asked "
        "JOIN events ON events.subject = 'record/' || asked.record "
        "JOIN generations ON generations.key = json_extract(events.data, '$.key') "
        "WHERE events.actor = ? AND events.kind = 'generate' GROUP BY 1",
        (job.id, job.subject),
    )
    return {row[0]: (row[1] or 0, row[2] or 0) for row in rows}


def _agreements(
    workspace: Workspace, group: Group, stop: threading.Event | None
) -> Sequence[Agreement]:
    """The mean agreement of each two letters, on the same records for all."""
    if len(group.slots) < 2:
        return []
    waiting = sorted(line.record for line in list_waiting(workspace, group.numbers))
    step = max(1, -(-len(waiting) // MOST_COMPARED))
    sums: dict[tuple[str, str], list[float]] = {}
    for record in waiting[::step]:
        if stop is not None and stop.is_set():
            break
        texts = {
            one.slot.letter: one.text
            for one in read_proposals(workspace, group, record)
            if one.text.strip()
        }
        for one, other in _pairs(group.slots):
            if one in texts and other in texts:
                sums.setdefault((one, other), []).append(chrf(texts[one], texts[other]))
    return [
        Agreement(one, other, round(sum(found) / len(found), 4), len(found))
        for (one, other), found in sums.items()
    ]


def _pairs(slots: Sequence[Slot]) -> list[tuple[str, str]]:
    letters = [slot.letter for slot in slots]
    return [(one, other) for at, one in enumerate(letters) for other in letters[at + 1 :]]
