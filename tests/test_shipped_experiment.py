"""The experiment's design: its twins differ in the reasoning alone, and are held against fairly."""

import pytest

from benchmarks.shipped_experiment import (
    BASE,
    KINDS,
    NAME,
    RECORDS_A_STEP,
    checkable,
    make_order,
    make_spec,
)
from qeu.core.exact_match import expected_of
from qeu.services.train_start import twin_orders
from qeu.store.queries import load_records
from qeu.store.workspace import Workspace


@pytest.mark.parametrize("base", [BASE, "phi-2"])
def test_every_twin_sees_as_many_answers_in_as_many_steps(base):
    orders = twin_orders(make_order(base, tuple(range(121)), 1.0), KINDS, range(3))
    assert len(orders) == 9
    assert {one.training.batch_size * one.training.accumulation for one in orders} == {
        RECORDS_A_STEP
    }
    # rows that are packed would hold more answers where reasonings are short
    assert not any(one.training.packing for one in orders)
    assert len({one.where for one in orders}) == 1
    assert {one.resolve_steps(121).training.steps for one in orders} == {31}
    assert {one.base for one in orders} == {base}


def test_the_twins_are_tested_as_they_are_used_and_in_pairs_of_one_seed():
    spec = make_spec(BASE, 3, (1, 2, 3), 1, one_text=True).checked()
    asked = {way.model.rpartition("@")[2]: way.reasoning for way in spec.ways if way.has_adapter}
    assert asked[f"{NAME}-none-s0"] == "none"
    assert asked[f"{NAME}-shuffled-s2"] == "own"
    own = [way for way in spec.ways if "-own-" in way.model]
    assert [way.reasoning for way in own] == ["own"] * 3 + ["given"] * 3 + ["own"] * 3
    assert [way.target for way in own] == ["reasoning"] * 3 + [""] * 3 + ["both"] * 3
    assert len({way.group for way in spec.ways if way.group}) == 5
    quick = make_spec(BASE, 3, (1, 2, 3), 1).checked()
    assert quick.ways == spec.ways[:-3]
    assert quick.pairs == spec.pairs
    ways = [spec.ways[at] for pair in spec.pairs for at in pair]
    for left, right in zip(ways[::2], ways[1::2], strict=True):
        assert right.has_adapter
        if left.has_adapter:
            assert left.model[-3:] == right.model[-3:]  # the same seed
    first = spec.ways[spec.pairs[0][0]], spec.ways[spec.pairs[0][1]]
    assert [way.model for way in first] == [f"{BASE}@{NAME}-none-s0", f"{BASE}@{NAME}-own-s0"]


def test_only_records_that_a_program_can_check_take_part(tmp_path):
    workspace = Workspace(tmp_path / "qeu.db")
    train, tested = (set(checkable(workspace, split, 0)) for split in ("train", "validation"))
    assert len(train) > 100
    assert len(tested) > 60
    assert not train & tested
    for stored in load_records(workspace, [*train, *tested]):
        assert expected_of(stored.record)
        assert stored.record.language == "en"
    workspace.close()
