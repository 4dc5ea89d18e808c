"""What a run would learn from, counted over real data sets; each character is a token."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from qeu.backends.model_shape import ModelShape, known_shape
from qeu.core.roles import BY_CATEGORY
from qeu.core.run_passport import LoraSettings, TrainingSettings, WatchSettings
from qeu.core.settings import Settings
from qeu.core.training_example import LOSSES, make_example
from qeu.core.training_variant import LEFT_OUT, Variant
from qeu.core.twins import parse_twins
from qeu.services.train_order import (
    TrainOrder,
    disk_bytes,
    disk_problems,
    estimate_run,
    name_problems,
)
from qeu.services.train_plan import (
    NOT_IN_TWINS,
    TrainPlan,
    plan_order,
    plan_training,
    with_probe,
)
from qeu.services.train_time import NOT_KNOWN
from qeu.store.datasets import Dataset, Stopped, create_dataset, find_dataset
from qeu.store.filters import ALL, Filter
from qeu.store.imports import add_records, rows_of
from qeu.store.queries import iterate_records
from qeu.store.run_folders import create_run, write_passport
from qeu.store.workspace import Workspace
from tests.core.test_training_example import END, letters
from tests.store.dataset_rows import fill, make_row, tell

ORDER = TrainOrder(
    "poems",
    "smollm2-135m",
    "demo",
    lora=LoraSettings(target_modules=("q_proj",)),
    training=TrainingSettings(max_length=2_000),
)
SMALL = ModelShape(((10, 20),) * 4, 100, layers=2, hidden=10, vocabulary=50, context=4_096)


@pytest.fixture
def workspace() -> Workspace:
    return Workspace(None)


def order(where: Filter = ALL, training=ORDER.training, epochs: float = 0.0, **variant):
    return replace(ORDER, where=where, training=training, epochs=epochs, variant=Variant(**variant))


def full(workspace: Workspace, count: int, **changes: object) -> Dataset:
    """Rows that all have a reasoning of their own."""
    more = range(count)
    return put(workspace, [make_row(n, **{"reasoning": f"Think of {n}."} | changes) for n in more])


def put(workspace: Workspace, rows: list[dict[str, object]]) -> Dataset:
    """The data set with these rows added."""
    add_records(workspace, "demo", rows_of(iter(rows)), tell)
    return find_dataset(workspace, "demo")


def plan(workspace: Workspace, dataset: Dataset, chosen: TrainOrder, folder: Path) -> TrainPlan:
    return plan_training(workspace, dataset, chosen, letters, END, folder, SMALL)


def examples(workspace: Workspace, dataset: Dataset, variant: Variant):
    (batch,) = iterate_records(workspace, _ids(workspace, dataset))
    return [make_example(one.record, variant, letters, END) for one in batch]


def _ids(workspace: Workspace, dataset: Dataset) -> list[int]:
    rows = workspace.read("SELECT id FROM records WHERE dataset = ? ORDER BY id", (dataset.id,))
    return [row[0] for row in rows]


def test_everything_is_counted_as_the_examples_are(workspace, tmp_path):
    dataset = full(workspace, 30)
    found = plan(workspace, dataset, order(), tmp_path)
    made = examples(workspace, dataset, Variant())
    assert (found.matched, found.examples, found.left_out, found.problems) == (30, 30, {}, ())
    assert sum(found.field_tokens.values()) == sum(one.tokens for one in made)
    assert found.field_tokens["reasoning"] == sum(one.field_tokens()["reasoning"] for one in made)
    assert found.learned == sum(one.learned_tokens() for one in made)
    assert found.lengths.longest == max(one.tokens for one in made)
    assert sum(found.lengths.counts) == 30


def test_rows_that_teach_nothing_are_counted_by_reason(workspace, tmp_path):
    rows = [
        make_row(0, reasoning="Think."),
        make_row(1, reasoning=""),
        make_row(2, reasoning=""),
        make_row(3, output="", reasoning="Think."),
        make_row(4, reasoning="Think."),
    ]
    found = plan(workspace, put(workspace, rows), order(), tmp_path)
    assert found.left_out == {"no_reasoning": 2, "no_output": 1}
    assert (found.matched, found.examples) == (5, 2)
    assert set(found.left_out) <= set(LEFT_OUT)


def test_the_filter_says_who_is_counted(workspace, tmp_path):
    dataset = full(workspace, 30)
    found = plan(workspace, dataset, order(Filter(language=("ja",))), tmp_path)
    assert (found.matched, found.examples) == (10, 10)


def test_cuts_are_counted_at_each_length_and_at_the_chosen_one(workspace, tmp_path):
    dataset = full(workspace, 12)
    made = examples(workspace, dataset, Variant())
    chosen = made[0].parts.index("output") + 3
    found = plan(workspace, dataset, order(training=TrainingSettings(max_length=chosen)), tmp_path)
    assert list(found.cuts) == sorted({512, 1024, 2048, chosen})
    for at, losses in found.cuts.items():
        expected = [one.lost_at(at) for one in made]
        assert losses == {name: expected.count(name) for name in LOSSES if name in expected}
    assert found.cuts[chosen]["answer_cut"] > 0
    assert found.learned == sum(one.learned_tokens(chosen) for one in made)


def test_what_has_nothing_left_is_no_example(workspace, tmp_path):
    dataset = full(workspace, 5, input="")
    rows = [make_row(n, reasoning="Think.", input="very long " * 1_000) for n in (10, 11)]
    put(workspace, rows)
    training = TrainingSettings(max_length=600, packing=False)
    found = plan(workspace, dataset, order(training=training), tmp_path)
    assert (found.matched, found.examples, found.rows) == (7, 5, 5)
    assert found.left_out == {"nothing_left": 2}
    assert found.cuts[600] == {"nothing": 5, "nothing_left": 2}
    assert sum(found.lengths.counts) == 7


def test_the_proposed_length_keeps_99_of_100(workspace, tmp_path):
    dataset = full(workspace, 98)
    rows = [make_row(n, reasoning="Think. " * (100 * n)) for n in (2, 3)]
    put(workspace, rows)
    found = plan(workspace, dataset, order(training=TrainingSettings(max_length=600)), tmp_path)
    lengths = sorted(one.tokens for one in examples(workspace, dataset, Variant()))
    assert found.keep_length == lengths[98] > 600
    assert any(f"Set max_length to {lengths[98]:,}" in note for note in found.notes)
    roomy = order(training=TrainingSettings(max_length=lengths[98]))
    notes = plan(workspace, dataset, roomy, tmp_path).notes
    assert not any("max_length" in note for note in notes)


def test_four_examples_are_shown_by_their_record(workspace, tmp_path):
    dataset = full(workspace, 31)
    made = sorted(one.tokens for one in examples(workspace, dataset, Variant()))
    found = plan(workspace, dataset, order(), tmp_path)
    shown = {one.which: one for one in found.shown}
    assert list(shown) == ["shortest", "median", "longest", "random"]
    assert shown["shortest"].tokens == made[0]
    assert shown["median"].tokens == made[15]
    assert shown["longest"].tokens == made[-1]
    assert all(one.seq for one in found.shown)
    assert found.shown == plan(workspace, dataset, order(), tmp_path).shown
    others = {plan(workspace, dataset, order(seed=n), tmp_path).shown[3].id for n in range(5)}
    assert len(others) > 1


def test_steps_follow_from_the_epochs(workspace, tmp_path):
    dataset = full(workspace, 33)
    training = TrainingSettings(batch_size=4, accumulation=2, packing=False, max_length=2_000)
    found = plan(workspace, dataset, order(training=training, epochs=2.5), tmp_path)
    # 9 batches are 5 steps a pass
    assert (found.rows, found.order.training.steps, found.epochs) == (33, 13, 2.6)
    given = plan(workspace, dataset, order(training=replace(training, steps=60)), tmp_path)
    assert (given.order.training.steps, given.epochs) == (60, 12.0)


def test_packed_rows_hold_several_examples(workspace, tmp_path):
    found = plan(workspace, full(workspace, 30), order(epochs=1), tmp_path)
    tokens = sum(found.field_tokens.values())
    assert tokens / 2_000 <= found.rows < 30
    assert found.order.training.steps == found.rows


def test_shuffled_reasonings_come_from_the_same_kind_of_record(workspace, tmp_path):
    dataset = full(workspace, 30)
    own = plan(workspace, dataset, order(), tmp_path)
    placebo = plan(workspace, dataset, order(reasoning="shuffled"), tmp_path)
    assert placebo.examples == 30
    # each reasoning is given once: the sum stays
    assert placebo.field_tokens == own.field_tokens
    alone = plan(workspace, dataset, order(Filter(ids=(own.shown[0].id,))), tmp_path)
    assert alone.examples == 1
    one = order(Filter(ids=(own.shown[0].id,)), reasoning="shuffled")
    assert plan(workspace, dataset, one, tmp_path).left_out == {"no_other": 1}


def test_dropped_reasonings_are_counted(workspace, tmp_path):
    dataset = full(workspace, 30)
    own = plan(workspace, dataset, order(), tmp_path)
    half = plan(workspace, dataset, order(reasoning_dropout=0.5), tmp_path)
    assert 5 < half.dropped < 25
    assert half.examples == 30
    assert half.field_tokens["reasoning"] < own.field_tokens["reasoning"]
    none = plan(workspace, dataset, order(reasoning="none"), tmp_path)
    assert "reasoning" not in none.field_tokens


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        ([make_row(0, output="")], "None of the 1 records"),
        ([make_row(1), make_row(0, output="")], "Only one of the 2 records"),
    ],
)
def test_data_that_cannot_be_learned_from_are_a_problem(workspace, tmp_path, rows, word):
    (problem,) = plan(workspace, put(workspace, rows), order(), tmp_path).problems
    assert word in problem


def test_no_data_are_a_problem_too(workspace, tmp_path):
    empty = create_dataset(workspace, "demo")
    (problem,) = plan(workspace, empty, order(), tmp_path).problems
    assert "No record" in problem
    (problem,) = plan(
        workspace, full(workspace, 2), order(Filter(language=("zh",))), tmp_path
    ).problems
    assert "widen the filter" in problem


def test_all_problems_are_told_at_once(workspace, tmp_path):
    (tmp_path / "Poems").mkdir()
    training = TrainingSettings(max_length=9_000, learning_rate=2.0, batch_size=0)
    chosen = order(training=training, epochs=-1, target="some", loss_on=("all",))
    found = plan(workspace, fill(workspace, 3), chosen, tmp_path)
    text = "\n".join(found.problems)
    words = ("batch_size", "learning_rate", "loss_on", "target", "epochs", "is taken", "4,096")
    assert [word for word in words if word not in text] == []
    assert len(found.problems) == len(words)


def test_a_name_that_cannot_be_is_told(tmp_path):
    (tmp_path / "Poems").mkdir()
    assert "taken" in name_problems(tmp_path, "POEMS")[0]
    assert "101 characters" in name_problems(tmp_path, "a" * 101)[0]
    assert name_problems(tmp_path, "songs") == name_problems(tmp_path / "none", "poems") == []


def test_so_many_passes_that_no_run_has_their_steps(workspace, tmp_path):
    training = TrainingSettings(packing=False, max_length=2_000)
    chosen = order(training=training, epochs=1_000)
    (problem,) = plan(workspace, full(workspace, 1_002), chosen, tmp_path).problems
    assert problem.startswith("steps is 1002000")


def test_records_kept_for_validation_are_noted(workspace, tmp_path):
    dataset = full(workspace, 10)
    with workspace.change() as db:
        db.execute("UPDATE records SET split = 'validation' WHERE id % 5 = 0")
    note, other = plan(workspace, dataset, order(), tmp_path).notes
    assert note.startswith("2 of the records are of split validation")
    assert other.startswith("No record of split validation can be watched")


def split_off(workspace: Workspace, dataset: Dataset, where: str) -> None:
    """Set the records of an SQL condition apart for validation, all others for training."""
    with workspace.change() as db:
        db.execute("UPDATE records SET split = 'train'")
        db.execute(f"UPDATE records SET split = 'validation' WHERE {where}")


TRAIN = Filter(split=("train",))


def test_validation_records_are_counted_up_to_the_limit(workspace, tmp_path):
    dataset = full(workspace, 20)
    split_off(workspace, dataset, "no > 15")
    chosen = order(TRAIN)
    found = plan(workspace, dataset, chosen, tmp_path)
    assert (found.examples, found.validation, found.notes) == (15, 5, ())
    few = replace(chosen, watch=WatchSettings(rows=3))
    assert len(plan(workspace, dataset, few, tmp_path).watched_ids) == 3
    assert set(plan(workspace, dataset, few, tmp_path).watched_ids) <= set(found.watched_ids)
    blind = replace(chosen, watch=WatchSettings(rows=0))
    found = plan(workspace, dataset, blind, tmp_path)
    assert (found.validation, found.notes) == (0, ())


def test_the_filter_but_for_its_split_holds_for_what_is_watched(workspace, tmp_path):
    dataset = full(workspace, 30)
    split_off(workspace, dataset, "no > 15")
    found = plan(workspace, dataset, order(replace(TRAIN, language=("ja",))), tmp_path)
    assert (found.examples, found.validation) == (5, 5)
    some = order(replace(TRAIN, ids=tuple(found.train_ids[:3])))
    assert plan(workspace, dataset, some, tmp_path).validation == 15


def test_what_cannot_be_learned_is_not_watched(workspace, tmp_path):
    dataset = full(workspace, 20)
    split_off(workspace, dataset, "no > 15")
    with workspace.change() as db:
        db.execute("UPDATE records SET output = '' WHERE no > 18")
    assert plan(workspace, dataset, order(TRAIN), tmp_path).validation == 3


def test_a_validation_record_that_was_learned_is_not_watched(workspace, tmp_path):
    dataset = full(workspace, 20)
    with workspace.change() as db:
        db.execute("UPDATE records SET instruction = 'What is it?' WHERE no IN (1, 16, 17)")
    split_off(workspace, dataset, "no > 15")
    found = plan(workspace, dataset, order(TRAIN), tmp_path)
    assert found.validation == 3
    assert any(note.startswith("2 of the 5 validation records ask") for note in found.notes)


def test_a_measure_that_will_never_be_there_is_a_problem(workspace, tmp_path):
    dataset = full(workspace, 10)
    best = replace(order(), watch=WatchSettings(best="loss"))
    (problem,) = plan(workspace, dataset, best, tmp_path).problems
    assert "best is loss, which needs records of split validation" in problem
    split_off(workspace, dataset, "no > 8")
    assert plan(workspace, dataset, replace(best, where=TRAIN), tmp_path).problems == ()
    for measure, variant in (
        ("reasoning_loss", {"target": "answer"}),
        ("reasoning_loss", {"reasoning": "none"}),
        ("answer_loss", {"target": "reasoning"}),
    ):
        watch = WatchSettings(best=measure)
        chosen = replace(order(TRAIN, **variant), watch=watch)
        (problem,) = plan(workspace, dataset, chosen, tmp_path).problems
        assert "does not learn that part" in problem


def test_time_is_not_known_before_anything_ran(workspace, tmp_path):
    dataset = full(workspace, 10)
    found = plan(workspace, dataset, order(), tmp_path)
    assert (found.time_s, found.time_source) == (None, NOT_KNOWN)
    assert found.to_json()["time_s"] is None
    probed = with_probe(found, 100.0)
    tokens = sum(found.field_tokens.values())
    assert probed.time_s == pytest.approx(60 * tokens / found.rows / 100)
    assert "one step just now: 100 tokens" in probed.time_source


def test_time_follows_from_an_earlier_run_of_the_same_base(workspace, tmp_path):
    dataset = full(workspace, 10)
    speeds = {"like": 200.0, "unlike": 10.0, "other": 1.0, "short": 5_000.0}
    for name, speed in speeds.items():
        passport = replace(ORDER.passport(), name=name, created=f"2026-{name}")
        if name == "unlike":
            training = replace(passport.training, packing=False, compute_dtype="float32")
            passport = replace(passport, training=training)
        if name == "other":
            passport = replace(passport, base="phi-2")
        folder = create_run(tmp_path, name)
        write_passport(folder, passport)
        for step in range(2 if name == "short" else 5):
            # the first step is slow: the median does not mind
            folder.add_metric("train", step + 1, {"tokens_per_s": speed if step else 1.0})
    found = plan(workspace, dataset, order(), tmp_path)
    assert found.time_source == "Measured in run 'like': 200 tokens a second."
    tokens = sum(found.field_tokens.values())
    assert found.time_s == pytest.approx(60 * tokens / found.rows / 200)
    (tmp_path / "like" / "run.json").write_text("{")
    assert "'unlike'" in plan(workspace, dataset, order(), tmp_path).time_source


def test_twins_count_only_what_all_of_them_can_learn(workspace, tmp_path):
    rows = [make_row(n, reasoning="" if n < 4 else f"Think of {n}.") for n in range(20)]
    # these two are alone in their group: no other record lends them a reasoning
    rows += [make_row(n, reasoning="Alone.", category="code", language="en") for n in (30, 31)]
    dataset = put(workspace, rows)
    split_off(workspace, dataset, "no > 15")
    own = plan(workspace, dataset, order(), tmp_path)
    assert own.examples == 18
    labels = ("own-s0", "none-s0", "shuffled-s1")
    learned = []
    for label in labels:
        (twin,) = parse_twins([label])
        chosen = replace(order(), variant=twin.variant_of(Variant()), twins=labels)
        found = plan(workspace, dataset, chosen, tmp_path)
        assert found.problems == ()
        learned.append(list(found.train_ids))
        lost = found.left_out.get("no_reasoning", 0) + found.left_out.get("no_other", 0)
        assert lost + found.left_out.get(NOT_IN_TWINS, 0) == 6
    assert len(learned[0]) == 16
    assert learned[0] == learned[1] == learned[2]


def test_who_is_left_without_a_donor_by_another_twin_is_left_out_too(workspace, tmp_path):
    lone = {"category": "code", "language": "en"}
    # with this reasoning given, nothing is left of the answer: it cannot be a twin's record, and so
    # lends its reasoning to nobody
    long = make_row(30, reasoning="Long. " * 1_000, **lone)
    rows = [make_row(n, reasoning=f"Think of {n}.") for n in range(12)]
    dataset = put(workspace, [*rows, make_row(31, reasoning="Short.", **lone), long])
    labels = ("shuffled-s0", "given-s0")
    for twin in parse_twins(labels):
        chosen = replace(order(), variant=twin.variant_of(Variant()), twins=labels)
        assert plan(workspace, dataset, chosen, tmp_path).examples == 12


def test_an_unknown_twin_is_a_problem(workspace, tmp_path):
    chosen = replace(order(), twins=("some",))
    (problem,) = plan(workspace, full(workspace, 3), chosen, tmp_path).problems
    assert "'some' names no twin" in problem


def test_a_role_by_category_is_counted_with_each_role(workspace, tmp_path):
    dataset = full(workspace, 9)
    found = plan(workspace, dataset, order(role=BY_CATEGORY), tmp_path)
    made = examples(workspace, dataset, Variant(role=BY_CATEGORY))
    assert found.problems == ()
    assert found.field_tokens["system"] == sum(one.field_tokens()["system"] for one in made)
    plain = plan(workspace, dataset, order(), tmp_path)
    assert found.field_tokens["system"] != plain.field_tokens["system"]


def test_memory_grows_with_what_a_step_holds():
    shape = known_shape("microsoft/phi-2")
    packed = estimate_run(ORDER, shape, 300)
    apart = estimate_run(order(training=TrainingSettings(packing=False)), shape, 300)
    whole = replace(ORDER, lora=replace(ORDER.lora, quantization="none"))
    assert apart.cache < packed.cache
    assert estimate_run(whole, shape, 300).weights > packed.weights + 3e9
    assert estimate_run(ORDER, None, 300) is None


def test_disk_is_for_the_adapter_and_its_checkpoints():
    # 4 matrices of 10 and 20, rank 16, 60 steps with 3 checkpoints
    assert disk_bytes(ORDER, SMALL) == 16 * 4 * 30 * (4 + 3 * 12)
    assert disk_bytes(ORDER, None) is None
    assert disk_problems(10, 10) == disk_problems(None, 10) == []
    assert "2 MB on disk" in disk_problems(2_000_000, 1_000_000)[0]


def test_a_count_can_be_stopped(workspace, tmp_path):
    stop = threading.Event()
    stop.set()
    dataset = full(workspace, 3)
    with pytest.raises(Stopped):
        plan_training(workspace, dataset, order(), letters, END, tmp_path, stop=stop)


def test_without_the_base_settings_memory_and_disk_are_told(workspace, tmp_path, monkeypatch):
    full(workspace, 3)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "none"))
    settings = Settings(cache=tmp_path / "cache", adapters=tmp_path / "adapters")
    chosen = replace(ORDER, base="phi-2", lora=LoraSettings())
    found = plan_order(workspace, chosen, settings)
    assert found.memory is not None
    assert found.disk_bytes > 0
    assert ["not on this machine" in problem for problem in found.problems] == [True]
    for base, word in (("phi-3", "Unknown model"), ("groq/some", "on a server")):
        found = plan_order(workspace, replace(chosen, base=base), settings)
        assert [word in problem for problem in found.problems] == [True]
