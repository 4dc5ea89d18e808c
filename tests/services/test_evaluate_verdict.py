"""Did it help: verdicts, what decides them, and the report that tells them."""

import json

import pytest

from qeu.core.errors import QeuError
from qeu.core.eval_spec import Way, default_pairs, default_ways
from qeu.services.evaluate_pool import pool_groups
from qeu.services.evaluate_report import html_report, markdown_report, write_report
from qeu.services.evaluate_setup import suggest_ways
from qeu.services.evaluate_stored import evaluation_from_json, evaluation_to_json
from qeu.services.evaluate_table import measure_rows
from tests.services.evaluate_home import (
    ADAPTER,
    AS_USED,
    AT_BEST,
    PLAN,
    Model,
    adapters,
    add,
    product,
    rows,
    run,
    thinking,
    twin,
    workspace,
)
from tests.services.test_usefulness import STUDENT

__all__ = ["adapters", "workspace"]  # fixtures


def test_who_thinks_first_and_is_right_helps(workspace, adapters):
    add(workspace, rows(12))
    found = run(workspace, Model(thinking), adapters, [AT_BEST, AS_USED])
    (pair,) = found.pairs
    assert (pair.verdict, pair.decided_by) == ("helps", "right")
    right = pair.comparisons["right"]
    assert (right.n, right.left, right.right, right.test) == (12, 0.0, 1.0, "mcnemar")
    assert pair.sentence.startswith("adapter helps against base: right answers 0% → 100% (+100.0")
    assert "n = 12" in pair.sentence
    assert "corrected" not in pair.sentence
    base, adapter = found.ways
    assert (base.facts.layout, adapter.facts.layout, adapter.facts.target) == (
        "chat", "bonsai-v2", "both",
    )  # fmt: skip
    assert adapter.facts.adapter_hash == "hash of poems"
    assert adapter.averages["contract"].value == 1.0
    assert adapter.averages["closed"].value == 1.0
    assert "contract" not in base.averages
    swapped = run(workspace, Model(thinking), adapters, [AT_BEST, AS_USED], pairs=((1, 0),))
    assert swapped.pairs[0].verdict == "hurts"
    assert "base hurts against adapter" in swapped.pairs[0].sentence


def test_without_checkable_answers_the_answer_loss_decides(workspace, adapters):
    some = rows(12)
    for row in some:
        row["extra"], row["category"] = {"accepted_answers": []}, "brainstorming"
    add(workspace, some)
    found = run(workspace, Model(thinking), adapters, [Way(ADAPTER, "none"), Way(ADAPTER, "given")])
    (pair,) = found.pairs
    assert (pair.decided_by, pair.verdict, pair.decided.difference) == ("answer_loss", "hurts", 1.0)
    assert "answer loss 1.000 → 2.000 (+1.000 nats a token" in pair.sentence


def test_ways_that_are_alike_cannot_be_told_apart(workspace, adapters):
    add(workspace, rows(12))
    found = run(workspace, Model(product), adapters, [AT_BEST, Way(ADAPTER, "none")])
    (pair,) = found.pairs
    assert (pair.verdict, pair.p) == ("unclear", 1.0)
    assert pair.sentence.startswith("Cannot tell at this n whether")
    assert pair.sentence.endswith("show a difference from about 50 points on.")
    low, high = pair.decided.low, pair.decided.high
    assert low < 0 < high


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_records_tell_nothing_and_say_so(workspace, adapters, count):
    add(workspace, rows(count))
    found = run(workspace, Model(thinking), adapters, [AT_BEST, AS_USED])
    assert found.pairs[0].verdict == "unclear"
    assert found.pairs[0].sentence.endswith("So few records show no difference whatever.")
    assert measure_rows(found)
    assert "helps" not in found.pairs[0].verdict


def test_several_verdicts_are_corrected_for_their_number(workspace, adapters):
    add(workspace, rows(6))
    one = run(workspace, Model(thinking), adapters, [AT_BEST, AS_USED], losses=False)
    assert one.pairs[0].p == pytest.approx(2 / 2**6)
    ways = [AT_BEST, AS_USED, Way(ADAPTER, "none")]
    two = run(workspace, Model(thinking), adapters, ways, losses=False)
    assert [pair.p for pair in two.pairs] == [pytest.approx(4 / 2**6)] * 2
    assert [pair.verdict for pair in two.pairs] == ["unclear", "unclear"]
    assert "p and interval are corrected for 2 comparisons." in two.pairs[0].sentence


def test_pairs_are_what_is_worth_holding_against_each_other():
    ways = default_ways("m", ["a", "b"], ("none", "own"))
    names = [way.name for way in ways]
    assert names[:2] == ["m, as it is", "m, 2 examples"]
    assert [way.reasoning for way in ways[2:]] == ["own", "none", "own", "none"]
    assert default_pairs(ways) == (
        (0, 2), (1, 2), (0, 4), (1, 4), (2, 4), (3, 2), (5, 4),
    )  # fmt: skip
    assert default_pairs(ways[:2]) == ((0, 1),)
    assert default_pairs((Way("m@a"), Way("m@b"), Way("m@b", "none"))) == ((0, 1), (2, 1))


def test_the_report_holds_verdict_tables_and_pictures_and_fetches_nothing(
    workspace, adapters, tmp_path
):
    some = rows(7)
    some[0]["instruction"] = "What is 20 times 13? <script>alert(1)</script> | ```"
    add(workspace, some)
    found = run(workspace, Model(thinking), adapters, [AT_BEST, AS_USED])
    page = html_report(found)
    assert "<script>" not in page
    assert "adapter helps against base" in page
    assert "<svg" in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page
    table = markdown_report(found)
    assert "data:image/svg+xml;base64," in table
    assert "| answers that are right" in table
    for name in ("a.html", "a.md"):
        write_report(found, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 2_000
    with pytest.raises(QeuError, match="neither"):
        write_report(found, tmp_path / "a.pdf")
    with pytest.raises(QeuError, match="cannot be written"):
        write_report(found, tmp_path / "nowhere" / "a.md")


def test_trainings_that_differ_in_their_seed_are_put_together(workspace, adapters):
    for name in ("x-own-s0", "x-own-s1", "x-none-s0", "x-none-s1"):
        kind = {"target": "answer", "reasoning": "none"} if "none" in name else {}
        twin(adapters, name, **kind)
    add(workspace, rows(8))
    names = ["x-none-s0", "x-none-s1", "x-own-s0", "x-own-s1"]
    ways = suggest_ways(adapters, STUDENT, names, examples=0)
    model = Model(thinking)
    found = run(workspace, model, adapters, list(ways), losses=False)
    pooled = pool_groups(found)
    assert [way.facts.name for way in pooled.ways][2:] == [
        "x-none, none (2 trainings)", "x-own, own (2 trainings)",
    ]  # fmt: skip
    right = pooled.ways[3].averages["right"]
    assert (right.value, right.records, right.texts) == (1.0, 8, 16)
    pair = next(pair for pair in pooled.pairs if (pair.left, pair.right) == (2, 3))
    assert (pair.verdict, pair.trainings) == ("helps", (1.0, 1.0))
    assert pair.sentence.endswith("Training by training the difference was +100.0, +100.0.")
    assert next(p for p in pooled.pairs if p.left == 0).trainings
    json.dumps(pooled.to_json())
    alone = run(workspace, model, adapters, [AT_BEST, AS_USED], losses=False)
    assert pool_groups(alone) is None


@pytest.mark.parametrize(("spoilt", "certain"), [(0, True), (2, False)])
def test_over_three_trainings_there_is_an_interval_of_its_own(workspace, adapters, spoilt, certain):
    names = [f"x-s{at}" for at in range(3)]
    for name in names:
        twin(adapters, name)
    add(workspace, rows(20))
    ways = [AT_BEST, *(Way(f"{STUDENT}@{name}", group="x") for name in names)]
    model = Model(thinking)
    one = model._one

    def by_training(row, exact, batch):
        # some trainings know nothing of every other record
        model.write = (
            (lambda prompt: f"{PLAN}\n<|response|>5") if row.adapter in names[:spoilt] else thinking
        )
        return one(row, exact, batch)

    model._one = by_training  # type: ignore[method-assign]
    pooled = pool_groups(run(workspace, model, adapters, ways, losses=False))
    (pair,) = pooled.pairs
    assert pair.verdict == "helps"  # on these records, of these trainings
    assert pair.trainings == tuple(0.0 if at < spoilt else 1.0 for at in range(3))
    low, high = pair.over_trainings
    assert (low > 0) == certain
    if certain:
        assert pair.sentence.endswith("Over these 3 trainings that is 95% [+100.0, +100.0].")
    else:
        # Student's t of 0, 0, 1 with 2 degrees of freedom
        assert (low, high) == (pytest.approx(-1.1009, abs=1e-3), pytest.approx(1.7676, abs=1e-3))
        assert pair.sentence.endswith("For other trainings of this kind it is not certain.")
    kept = evaluation_from_json(json.loads(json.dumps(evaluation_to_json(pooled))))
    assert kept.pairs == pooled.pairs
