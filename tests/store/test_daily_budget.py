"""Tokens of the owner's that visitors may spend in a day."""

import threading

import pytest

from qeu.core.errors import QeuError
from qeu.store.daily_budget import DailyBudget


def test_what_is_reserved_is_gone_until_it_is_settled(tmp_path):
    budget = DailyBudget(tmp_path / "b.db", 1_000)
    day = budget.reserve(600)
    assert day
    assert budget.left() == 400
    assert budget.reserve(401) is None
    budget.settle(day, 600, 150)
    assert budget.left() == 850


def test_more_spent_than_reserved_counts_and_leaves_nothing_negative(tmp_path):
    budget = DailyBudget(tmp_path / "b.db", 1_000)
    day = budget.reserve(900)
    budget.settle(day, 900, 1_500)
    assert budget.left() == 0
    assert budget.reserve(1) is None


def test_a_restart_hands_out_nothing_twice(tmp_path):
    DailyBudget(tmp_path / "b.db", 1_000).reserve(700)
    assert DailyBudget(tmp_path / "b.db", 1_000).left() == 300


def test_the_next_day_begins_full_and_a_late_settlement_belongs_to_its_own_day(tmp_path):
    today = ["2030-01-01"]
    budget = DailyBudget(tmp_path / "b.db", 1_000, today=lambda: today[0])
    day = budget.reserve(800)
    today[0] = "2030-01-02"
    assert budget.left() == 1_000
    budget.settle(day, 800, 0)
    assert budget.left() == 1_000
    today[0] = "2030-01-01"
    assert budget.left() == 1_000


def test_nobody_reserves_where_there_is_no_budget_and_no_file_is_made(tmp_path):
    budget = DailyBudget(tmp_path / "sub" / "b.db", 0)
    assert budget.reserve(1) is None
    assert budget.left() == 0
    assert list(tmp_path.iterdir()) == []


def test_visitors_at_once_never_get_more_than_there_is(tmp_path):
    """Sixteen threads over two connections' worth of objects, as two processes would be."""
    budgets = [DailyBudget(tmp_path / "b.db", 1_000) for _ in range(2)]
    got: list[str | None] = []
    start = threading.Barrier(16)

    def ask(number: int) -> None:
        start.wait()
        for _ in range(3):
            got.append(budgets[number % 2].reserve(30))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 48
    assert sum(day is not None for day in got) == 1_000 // 30
    assert budgets[0].left() == 1_000 - 30 * (1_000 // 30)


def test_a_folder_that_cannot_be_written_stops_spending_with_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(QeuError, match="QEU_HOME"):
        DailyBudget(tmp_path / "file" / "b.db", 1_000).reserve(1)
