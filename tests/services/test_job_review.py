"""Review of what jobs wrote: into the record with its origin, undone as one, never over others."""

from dataclasses import replace
from pathlib import Path

import pytest

from qeu.core.errors import QeuError
from qeu.services.job_bulk import accept_all, count_bulk
from qeu.services.job_candidates import Group, letter_of, open_group, target_fields
from qeu.services.job_ensemble import make_ensembles
from qeu.services.job_review import decide, list_cases, read_case, share_changed, take_back
from qeu.store.changes import edit_record
from qeu.store.datasets import find_dataset
from qeu.store.queries import get_record
from qeu.store.undo import read_origins, redo, undo
from qeu.store.workspace import Workspace
from tests.services.job_group import FIRST, LEAKING, SECOND, SPEC, finished
from tests.store.dataset_rows import fill


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with six rows."""
    workspace = Workspace(tmp_path / "qeu.db")
    fill(workspace, 6, category="open_qa", language="en")
    return workspace


def group_of(workspace: Workspace, *numbers: int) -> Group:
    return open_group(workspace, numbers)


def reviewed(workspace: Workspace, group: Group) -> list[int]:
    return [line.record for line in list_cases(workspace, group) if line.reviewed]


def first_case(workspace: Workspace, group: Group):
    return read_case(workspace, group, list_cases(workspace, group)[0].record)


def test_all_texts_stand_beside_each_other(workspace: Workspace):
    job = finished(workspace, second=LEAKING, limit=2)
    group = group_of(workspace, job.id)
    case = first_case(workspace, group)
    assert [(p.slot.letter, p.slot.ref, p.text) for p in case.proposals] == [
        ("A", "smollm2-135m", FIRST), ("B", "phi-2", LEAKING),
    ]  # fmt: skip
    assert case.proposals[0].broken == ()
    assert "leak_commit" in case.proposals[1].broken
    assert case.current == {"reasoning": ""}
    assert case.review is None


def test_an_accepted_text_goes_into_the_record_with_its_origin(workspace: Workspace):
    group = group_of(workspace, finished(workspace, hinted=True, view_name="mine").id)
    case = first_case(workspace, group)
    after = decide(workspace, group, case.stored.id, case.stored.version, "accept", letter="B")
    assert after.record.reasoning == SECOND
    origin = read_origins(workspace, group.dataset, after.id)["reasoning"]
    assert (origin.source, origin.licence, origin.hinted) == ("phi-2", "mit", True)
    edit, review = [e for e in workspace.events(f"record/{after.id}") if e.kind != "generate"]
    assert (edit.kind, edit.data["job"], edit.data["view"]) == ("edit", "1", "mine")
    assert edit.data["source"] == case.proposals[1].key
    assert review.kind == "review"
    assert review.data["decision"] == "accept"
    assert review.data["text"] == SECOND
    assert review.data["distance"] == 0
    assert reviewed(workspace, group) == [after.id]
    assert list_cases(workspace, group)[-1].record == after.id


def test_a_decision_that_cannot_be_kept_leaves_the_record(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
):
    group = group_of(workspace, finished(workspace).id)
    case = first_case(workspace, group)

    def refuse(*_: object) -> None:
        raise QeuError("The disk is full.")

    monkeypatch.setattr("qeu.services.job_review.insert_reviews", refuse)
    with pytest.raises(QeuError, match="full"):
        decide(workspace, group, case.stored.id, case.stored.version, "accept", letter="A")
    assert get_record(workspace, group.dataset, case.stored.id) == case.stored


def test_a_record_changed_meanwhile_is_not_written_over(workspace: Workspace):
    group = group_of(workspace, finished(workspace).id)
    case = first_case(workspace, group)
    number, version = case.stored.id, case.stored.version
    edit_record(workspace, group.dataset, number, version, "reasoning", "Mine.")
    with pytest.raises(QeuError, match="was changed by somebody else"):
        decide(workspace, group, number, version, "accept", letter="A")
    assert get_record(workspace, group.dataset, number).record.reasoning == "Mine."
    assert reviewed(workspace, group) == []
    assert read_case(workspace, group, number).proposals[0].result.stale


def test_a_decision_is_taken_back_with_its_text(workspace: Workspace):
    group = group_of(workspace, finished(workspace).id)
    one, two = (line.record for line in list_cases(workspace, group)[:2])
    before = get_record(workspace, group.dataset, one).record.reasoning
    for number in (one, two):
        version = get_record(workspace, group.dataset, number).version
        decide(workspace, group, number, version, "accept", letter="A")
    assert take_back(workspace, group) == two
    assert take_back(workspace, group) == one
    assert get_record(workspace, group.dataset, one).record.reasoning == before
    assert reviewed(workspace, group) == []
    with pytest.raises(QeuError, match="no decision to take back"):
        take_back(workspace, group)
    # undone and redone in the data set itself, the decision follows
    redo(workspace, group.dataset)
    assert reviewed(workspace, group) == [one]
    undo(workspace, group.dataset)
    assert reviewed(workspace, group) == []


def test_after_another_change_nothing_is_taken_back_by_mistake(workspace: Workspace):
    group = group_of(workspace, finished(workspace).id)
    case = first_case(workspace, group)
    after = decide(workspace, group, case.stored.id, case.stored.version, "accept", letter="A")
    edit_record(workspace, group.dataset, after.id, after.version, "output", "Other.")
    with pytest.raises(QeuError, match="changed meanwhile"):
        take_back(workspace, group)
    assert reviewed(workspace, group) == [after.id]


def test_reject_leaves_the_record_and_can_be_taken_back(workspace: Workspace):
    group = group_of(workspace, finished(workspace).id)
    case = first_case(workspace, group)
    decide(workspace, group, case.stored.id, case.stored.version, "reject")
    after = read_case(workspace, group, case.stored.id)
    assert after.stored == case.stored
    assert after.review is not None
    assert (after.review.decision, after.review.distances) == ("reject", {})
    assert take_back(workspace, group) == case.stored.id
    assert reviewed(workspace, group) == []


def test_an_edited_text_names_what_it_was_made_from(workspace: Workspace):
    group = group_of(workspace, finished(workspace).id)
    case = first_case(workspace, group)
    edited = "List what is known. Then choose two rules."
    after = decide(
        workspace, group, case.stored.id, case.stored.version, "edited",
        letter="A", texts={"reasoning": edited},
    )  # fmt: skip
    assert after.record.reasoning == edited
    review = read_case(workspace, group, case.stored.id).review
    assert review is not None
    assert review.decision == "edited"
    assert review.distances["0.0"] == pytest.approx(2 / 8)
    assert review.distances["1.0"] > 0.5
    with pytest.raises(QeuError, match="no text to accept"):
        decide(workspace, group, after.id, after.version, "edited", texts={"reasoning": " "})


def test_a_merged_text_is_accepted(workspace: Workspace):
    group = group_of(workspace, finished(workspace).id)
    make_ensembles(workspace, group, "sentences")
    case = first_case(workspace, group)
    after = decide(
        workspace, group, case.stored.id, case.stored.version, "merged", method="sentences"
    )
    assert after.record.reasoning == case.ensembles["sentences"].ensemble.text
    origin = read_origins(workspace, group.dataset, after.id)["reasoning"]
    assert origin.source == "smollm2-135m + phi-2"
    assert origin.licence == "apache-2.0 + mit"
    with pytest.raises(QeuError, match="no merged text"):
        decide(workspace, group, after.id, after.version, "merged", method="medoid")


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"target": "reasoning_task"}, ("reasoning",)),
        ({"target": "answer"}, ("output",)),
        ({"target": "both"}, ("reasoning", "output")),
        ({"target": "translation", "to_language": "ja"}, ("extra.reasoning_ja",)),
        ({"target": "template", "template": "{instruction}"}, ("extra.response",)),
    ],
)
def test_where_a_text_goes(changes: dict, fields: tuple[str, ...]):
    assert target_fields(replace(SPEC, **changes)) == fields


def test_a_reasoning_with_its_answer_is_one_step(workspace: Workspace):
    both = "First think.\n<|response|>Four."
    group = group_of(workspace, finished(workspace, both, both, target="both").id)
    case = first_case(workspace, group)
    assert dict(case.proposals[0].texts) == {"reasoning": "First think.", "output": "Four."}
    after = decide(workspace, group, case.stored.id, case.stored.version, "accept", letter="A")
    assert (after.record.reasoning, after.record.output) == ("First think.", "Four.")
    assert read_origins(workspace, group.dataset, after.id)["output"].licence == "apache-2.0"
    take_back(workspace, group)
    assert get_record(workspace, group.dataset, after.id).record == case.stored.record


def test_a_free_prompt_writes_beside_the_fields(workspace: Workspace):
    job = finished(workspace, target="template", template="Say: {instruction}")
    group = group_of(workspace, job.id)
    case = first_case(workspace, group)
    after = decide(workspace, group, case.stored.id, case.stored.version, "accept", letter="A")
    assert after.record.extra == {"response": FIRST}
    assert read_case(workspace, group, after.id).current == {"extra.response": FIRST}


class TestSeveralJobs:
    def test_two_views_of_the_same_records_are_looked_at_together(self, workspace: Workspace):
        one = finished(workspace, limit=3)
        two = finished(workspace, view="Be brief.", view_name="brief")
        group = group_of(workspace, two.id, one.id)
        assert [(s.letter, s.job.id) for s in group.slots] == [
            ("A", 1), ("B", 1), ("C", 2), ("D", 2),
        ]  # fmt: skip
        waiting = list_cases(workspace, group)
        assert len(waiting) == 6
        case = read_case(workspace, group, waiting[0].record)
        assert [p.slot.letter for p in case.proposals] == ["A", "B", "C", "D"]
        decide(workspace, group, case.stored.id, case.stored.version, "accept", letter="D")
        assert reviewed(workspace, group) == [case.stored.id]
        assert reviewed(workspace, group_of(workspace, 1)) == [case.stored.id]
        # decided for one job alone, it still waits where the other's text is there too
        other = waiting[1].record
        alone = group_of(workspace, 1)
        decide(workspace, alone, other, get_record(workspace, alone.dataset, other).version,
               "reject")  # fmt: skip
        assert reviewed(workspace, group) == [case.stored.id]

    def test_what_does_not_belong_together_is_told(self, workspace: Workspace):
        one = finished(workspace)
        two = finished(workspace, target="answer")
        with pytest.raises(QeuError, match="different fields"):
            group_of(workspace, one.id, two.id)
        fill(workspace, 3, "other")
        three = finished(workspace, dataset="other")
        with pytest.raises(QeuError, match="different data sets"):
            group_of(workspace, one.id, three.id)
        with pytest.raises(QeuError, match="No job is chosen"):
            group_of(workspace)


class TestAllAtOnce:
    def test_it_is_counted_done_and_undone_as_one_step(self, workspace: Workspace):
        def write(prompt: str) -> str:
            return LEAKING if "(2)" in prompt else FIRST

        group = group_of(workspace, finished(workspace, write).id)
        case = first_case(workspace, group)
        decide(workspace, group, case.stored.id, case.stored.version, "reject")
        second = list_cases(workspace, group)[0].record
        stored = get_record(workspace, group.dataset, second)
        edit_record(workspace, group.dataset, second, stored.version, "output", "Other.")
        counted = count_bulk(workspace, group, "A")
        assert (counted.accepted, counted.reviewed, counted.broken, counted.stale) == (3, 1, 1, 1)
        assert counted.total == 6
        assert accept_all(workspace, group, "A") == counted
        dataset = find_dataset(workspace, "demo")
        written = [
            get_record(workspace, dataset, line.record).record.reasoning == FIRST
            for line in list_cases(workspace, group)
        ]
        assert written.count(True) == 3
        assert len(reviewed(workspace, group)) == 4
        assert count_bulk(workspace, group, "A").accepted == 0
        take_back(workspace, group)
        assert len(reviewed(workspace, group)) == 1
        assert count_bulk(workspace, group, "A", include_stale=True).accepted == 4

    def test_its_origin_is_kept_for_every_record(self, workspace: Workspace):
        group = group_of(workspace, finished(workspace).id)
        accept_all(workspace, group, "B")
        number = list_cases(workspace, group)[3].record
        origin = read_origins(workspace, group.dataset, number)["reasoning"]
        assert (origin.kind, origin.source, origin.licence) == ("review", "phi-2", "mit")

    def test_an_ensemble_is_accepted_where_it_is_there(self, workspace: Workspace):
        group = group_of(workspace, finished(workspace).id)
        assert count_bulk(workspace, group, "medoid").missing == 6
        with pytest.raises(QeuError, match="No text can be accepted"):
            accept_all(workspace, group, "medoid")
        make_ensembles(workspace, group, "medoid")
        assert accept_all(workspace, group, "medoid").accepted == 6


def test_how_much_of_a_text_was_changed():
    assert share_changed("one two three", "one two three") == 0
    assert share_changed("one two three four", "one two 3 four") == pytest.approx(1 / 4)
    assert share_changed("one two", "three four") == 1
    assert share_changed("", "") == 0
    assert share_changed("短い道を選ぶ。", "短い道を捨てる。") == pytest.approx(3 / 7)


def test_letters_go_on_after_z():
    assert [letter_of(at) for at in (0, 25, 26, 51, 52)] == ["A", "Z", "AA", "AZ", "BA"]
