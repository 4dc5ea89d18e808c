"""How models share the machine."""

import pytest

from qeu.services.plan import Stage, make_plan
from tests.fake_shelf import FakeShelf, ScriptedBackend

GB = 10**9


class Machine:
    """Needs by model, and what is free."""

    def __init__(self, free: float, **needs: float) -> None:
        self.free, self.needs, self.exact = free, needs, set()

    def estimate_bytes(self, model_id: str, *, exact: bool = False) -> int:
        self.exact.add(exact)
        return round(self.needs[model_id] * GB)

    def free_bytes(self) -> int:
        return round(self.free * GB)


def test_the_same_base_is_one_batch_however_often_it_is_asked():
    plan = make_plan(["a", "a", "a", "a"], Machine(0, a=6))
    assert (plan.kind, plan.stages) == ("one_batch", (Stage("a"),))
    assert "one batch" in plan.sentence


def test_models_that_fit_together_take_turns_in_their_order():
    plan = make_plan(["b", "a", "b"], Machine(11, a=6.1, b=4.9))
    assert (plan.kind, plan.stages) == ("in_turn", (Stage("b"), Stage("a")))
    assert plan.sentence == "b then a: 4.9 + 6.1 GB ≤ 11.0 GB free"


def test_models_that_do_not_fit_are_swapped_and_the_sum_is_shown():
    plan = make_plan(["a", "b"], Machine(8, a=6.1, b=4.9))
    assert (plan.kind, plan.stages) == ("swap", (Stage("a"), Stage("b", ("a",))))
    assert plan.sentence == "a then b: 6.1 + 4.9 GB > 8.0 GB free"


def test_what_is_in_memory_already_goes_first_because_it_must_leave():
    plan = make_plan(["a", "b"], Machine(3, a=6, b=0))
    assert plan.stages == (Stage("b"), Stage("a", ("b",)))
    assert plan.needs_bytes == (0, 6 * GB)
    assert plan.sentence.startswith("b then a: 0.0 + 6.0")


def test_three_models_leave_one_after_the_other():
    plan = make_plan(["a", "b", "c"], Machine(3, a=2, b=2, c=2))
    assert plan.stages == (Stage("a"), Stage("b", ("a",)), Stage("c", ("a", "b")))


@pytest.mark.parametrize("exact", [True, False])
def test_the_exact_setting_counts_in_the_estimate(exact):
    machine = Machine(8, a=1, b=1)
    make_plan(["a", "b"], machine, exact)
    assert machine.exact == {exact}


def test_a_loaded_model_needs_nothing_more():
    shelf = FakeShelf(ScriptedBackend("a", []), ScriptedBackend("b", []), free=1, size=1)
    shelf.in_memory.add("a")
    assert make_plan(["a", "b"], shelf).kind == "in_turn"
