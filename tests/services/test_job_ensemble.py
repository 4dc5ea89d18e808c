"""Ensembles of what jobs wrote: without a model, and fused by one under the same contract."""

import threading
from pathlib import Path

import pytest

from qeu.core.errors import QeuError
from qeu.services.job_candidates import Group, open_group
from qeu.services.job_ensemble import ensemble_of, make_ensembles
from qeu.services.job_fusion import fuse
from qeu.services.job_review import list_cases, read_case
from qeu.store.changes import edit_record
from qeu.store.job_ensembles import list_methods
from qeu.store.queries import get_record
from qeu.store.workspace import Workspace
from tests.fake_shelf import FakeShelf
from tests.services.job_engine import JobModel, failed
from tests.services.job_group import FIRST, LEAKING, SECOND, A, finished
from tests.store.dataset_rows import fill

FUSED = "List what is known. Compare the choices with care. Sleep on it."


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with four rows."""
    workspace = Workspace(tmp_path / "qeu.db")
    fill(workspace, 4, category="open_qa", language="en")
    return workspace


@pytest.fixture
def group(workspace: Workspace) -> Group:
    """A finished job of two teachers."""
    return open_group(workspace, [finished(workspace).id])


def first(workspace: Workspace, group: Group):
    return read_case(workspace, group, list_cases(workspace, group)[0].record)


class TestWithoutAModel:
    def test_each_record_gets_one_with_its_agreement(self, workspace: Workspace, group: Group):
        made = make_ensembles(workspace, group, "sentences")
        assert (made.records, made.made, made.kept, made.disputed) == (4, 4, 0, 0)
        found = first(workspace, group).ensembles["sentences"]
        assert found.ensemble.parts[0].sources == ("A", "B")
        assert 0.37 < found.ensemble.agreement < 1
        assert found.broken == ()

    def test_what_is_there_is_not_made_again(self, workspace: Workspace, group: Group):
        make_ensembles(workspace, group, "medoid")
        number = list_cases(workspace, group)[0].record
        stored = get_record(workspace, group.dataset, number)
        edit_record(workspace, group.dataset, number, stored.version, "output", "12 of them.")
        made = make_ensembles(workspace, group, "medoid")
        assert (made.made, made.kept) == (1, 3)
        assert list_methods(workspace, "1") == {"medoid": 4}

    def test_a_text_that_breaks_its_contract_stays_out(self, workspace: Workspace):
        group = open_group(workspace, [finished(workspace, LEAKING).id])
        make_ensembles(workspace, group, "medoid")
        found = first(workspace, group).ensembles["medoid"]
        assert found.ensemble.text == SECOND
        assert "leak_commit" in found.ensemble.dropped["A"]

    def test_those_who_disagree_are_marked(self, workspace: Workspace):
        other = "Picture a market in autumn and let two people meet there."
        group = open_group(workspace, [finished(workspace, FIRST, other).id])
        assert list_cases(workspace, group, "disputed") == []
        assert make_ensembles(workspace, group, "medoid").disputed == 4
        assert len(list_cases(workspace, group, "disputed")) == 4

    def test_one_record_alone(self, workspace: Workspace, group: Group):
        case = first(workspace, group)
        found = ensemble_of(workspace, group, case.stored, "medoid")
        assert first(workspace, group).ensembles["medoid"] == found

    def test_stopped_it_keeps_what_is_made(self, workspace: Workspace, group: Group):
        stop = threading.Event()
        made = make_ensembles(
            workspace, group, "medoid", lambda done, total: done == 2 and stop.set(), stop
        )
        assert (made.records, made.made) == (2, 2)
        assert list_methods(workspace, "1") == {"medoid": 2}

    def test_an_unknown_way_is_told(self, workspace: Workspace, group: Group):
        with pytest.raises(QeuError, match="Choose one of: medoid, sentences"):
            make_ensembles(workspace, group, "best")


class TestByAModel:
    def test_it_sees_the_texts_and_not_the_answer(self, workspace: Workspace, group: Group):
        model = JobModel(A, lambda prompt: FUSED)
        made = fuse(workspace, FakeShelf(model), group, A)
        assert (made.records, made.made, made.failed) == (4, 4, 0)
        assert all(FIRST in prompt and SECOND in prompt for prompt in model.asked)
        assert not any("Answer number" in prompt for prompt in model.asked)
        found = first(workspace, group).ensembles[A]
        assert found.ensemble.text == FUSED
        assert [part.sources for part in found.ensemble.parts] == [("A", "B"), ("B",), ()]
        assert found.key

    def test_nothing_is_fused_twice(self, workspace: Workspace, group: Group):
        model = JobModel(A, lambda prompt: FUSED)
        fuse(workspace, FakeShelf(model), group, A)
        again = fuse(workspace, FakeShelf(model), group, A)
        assert (again.made, again.kept, len(model.asked)) == (0, 4, 4)
        with workspace.change() as db:
            db.execute("DELETE FROM job_ensembles")
        assert fuse(workspace, FakeShelf(model), group, A).made == 4
        assert len(model.asked) == 4

    def test_a_broken_contract_is_asked_again(self, workspace: Workspace):
        group = open_group(workspace, [finished(workspace, retries=1).id])

        def write(prompt: str) -> str:
            return FUSED if "broke these rules" in prompt and "(0)" in prompt else LEAKING

        model = JobModel(A, write)
        made = fuse(workspace, FakeShelf(model), group, A)
        assert (made.made, made.broken, len(model.asked)) == (4, 3, 8)
        found = [
            read_case(workspace, group, line.record).ensembles[A]
            for line in list_cases(workspace, group)
        ]
        assert sorted(one.ensemble.text == FUSED for one in found) == [False] * 3 + [True]

    def test_stopped_it_asks_no_more(self, workspace: Workspace, group: Group):
        stop = threading.Event()

        def write(prompt: str) -> str:
            stop.set()
            return FUSED

        model = JobModel(A, write)
        made = fuse(workspace, FakeShelf(model), group, A, stop=stop)
        assert (made.made, made.failed, len(model.asked)) == (1, 0, 1)
        assert list_methods(workspace, "1") == {A: 1}

    def test_failures_are_counted_and_tried_again(self, workspace: Workspace, group: Group):
        model = JobModel(A, lambda prompt: failed("Too long.") if "(0)" in prompt else FUSED)
        made = fuse(workspace, FakeShelf(model), group, A)
        assert (made.made, made.failed, made.reasons) == (3, 1, {"Too long.": 1})
        model.write = lambda prompt: FUSED
        assert fuse(workspace, FakeShelf(model), group, A).made == 1

    def test_a_model_that_is_gone_ends_it_and_keeps_what_is_there(
        self, workspace: Workspace, group: Group
    ):
        model = JobModel(
            A, lambda prompt: FUSED if "(0)" in prompt else failed("Day over.", "limit")
        )
        with pytest.raises(QeuError, match=r"Day over\."):
            fuse(workspace, FakeShelf(model), group, A)
        assert list_methods(workspace, "1") == {A: 1}

    def test_one_text_needs_no_model(self, workspace: Workspace):
        group = open_group(workspace, [finished(workspace, LEAKING).id])
        model = JobModel(A, lambda prompt: FUSED)
        fuse(workspace, FakeShelf(model), group, A)
        assert model.asked == []
        assert first(workspace, group).ensembles[A].ensemble.text == SECOND
