"""What jobs brought, by model: counted from the store, as plain values."""

import json
from pathlib import Path

import pytest

from qeu.services.job_bulk import accept_all
from qeu.services.job_candidates import open_group
from qeu.services.job_review import decide, list_cases, read_case
from qeu.services.job_summary import summarize
from qeu.store.workspace import Workspace
from tests.services.job_group import FIRST, LEAKING, SECOND, finished
from tests.store.dataset_rows import fill


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with nine rows, three of each category."""
    workspace = Workspace(tmp_path / "qeu.db")
    fill(workspace, 9, language="en")
    return workspace


def test_contract_leaks_length_and_cost_by_model(workspace: Workspace):
    def write(prompt: str) -> str:
        return LEAKING if "(0)" in prompt or "(2)" in prompt else FIRST

    form = "You should list what is known."
    job = finished(workspace, write, form, where={"category": ["open_qa", "math"]}, retries=1)
    first, second = summarize(workspace, open_group(workspace, [job.id])).sources
    assert (first.source, second.source, first.letters) == ("smollm2-135m", "phi-2", ("A",))
    assert (first.passed.count, first.passed.of) == (4, 6)
    assert first.passed.low < 4 / 6 < first.passed.high
    assert (first.leaked.count, first.language.count, first.loops.count) == (2, 0, 0)
    assert {name: (r.count, r.of) for name, r in first.leaks.items()} == {
        "math": (1, 3), "open_qa": (1, 3),
    }  # fmt: skip
    assert second.passed.count == 6
    assert (first.attempts, second.attempts) == (8, 6)
    assert second.characters == len(form)
    assert second.paid_new_tokens == 6 * len(form.split())
    # two texts were asked for twice; both tries were paid for
    assert first.paid_new_tokens == 4 * len(FIRST.split()) + 4 * len(LEAKING.split())
    assert first.distance is None


def test_what_was_there_before_costs_nothing(workspace: Workspace):
    finished(workspace)
    [first, _] = summarize(workspace, open_group(workspace, [finished(workspace).id])).sources
    assert (first.cached, first.paid_new_tokens, first.done) == (9, 0, 9)


def test_edits_are_a_score_of_the_teacher(workspace: Workspace):
    group = open_group(workspace, [finished(workspace).id])
    number = list_cases(workspace, group)[0].record
    case = read_case(workspace, group, number)
    decide(workspace, group, number, case.stored.version, "accept", letter="A")
    found = summarize(workspace, group)
    assert found.sources[0].distance == 0
    assert found.sources[1].distance > 0.3
    assert (found.sources[0].decided, found.decisions) == (1, {"accept": 1})
    accept_all(workspace, group, "B")
    found = summarize(workspace, group)
    assert found.decisions["accept"] > 1
    # five texts as they were, one in whose place the other teacher's was taken
    assert found.sources[1].distance == pytest.approx(0.6 / 6)


def test_who_agrees_with_whom(workspace: Workspace):
    one = finished(workspace)
    two = finished(workspace, SECOND, "Nothing in common at all, dear friend!", view="x")
    found = summarize(workspace, open_group(workspace, [one.id, two.id]))
    means = {(pair.one, pair.other): pair.mean for pair in found.agreement}
    assert len(means) == 6
    assert means["B", "C"] == 1.0
    assert means["A", "B"] > means["A", "D"]
    assert {pair.records for pair in found.agreement} == {9}
    assert json.loads(json.dumps(found.to_json()))["sources"][0]["passed"]["of"] == 9
