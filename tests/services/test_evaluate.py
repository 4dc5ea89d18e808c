"""Did it help: ways of asking, their measures, the verdicts, and going on after a stop."""

import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qeu.core.errors import QeuError, UsageError
from qeu.core.eval_prompts import ExamplePool
from qeu.core.eval_spec import EvalSpec, Way, default_pairs, default_ways
from qeu.core.generation import Generation
from qeu.core.record import Record
from qeu.core.sampling import Sampling
from qeu.services.evaluate import Progress, evaluate
from qeu.services.evaluate_pool import pool_groups
from qeu.services.evaluate_report import html_report, markdown_report, write_report
from qeu.services.evaluate_result import Evaluation
from qeu.services.evaluate_setup import suggest_ways
from qeu.services.evaluate_table import measure_rows, pair_rows
from qeu.store.changes import change_records
from qeu.store.datasets import find_dataset
from qeu.store.imports import add_records, rows_of
from qeu.store.queries import read_page
from qeu.store.run_folders import FrozenRecord, RunFolder
from qeu.store.workspace import Workspace
from tests.services.job_engine import failed
from tests.services.test_usefulness import STUDENT, Engines, LossModel
from tests.store.dataset_rows import tell

ADAPTER = f"{STUDENT}@poems"
PLAN = "Split the larger factor first."


def rows(count: int, split: str = "validation") -> list[dict[str, object]]:
    start = 0 if split == "validation" else 500
    return [
        {
            "instruction": f"What is {at + start + 20} times 13?",
            "reasoning": f"Multiply the tens, then the ones. Plan {'abcdefghijklmnopqrst'[at]}.",
            "output": f"{(at + start + 20) * 13}",
            "seq": f"{at + start + 1}EN", "category": "math", "language": "en", "input": "",
            "no": None, "field": "other", "uniqueness": "simple", "split": split,
            "extra": {
                "accepted_answers": [str((at + start + 20) * 13)], "answer_type": "number",
            },
        }
        for at in range(count)
    ]  # fmt: skip


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "qeu.db")


def add(workspace: Workspace, some: list[dict[str, object]], name: str = "demo") -> None:
    splits = [str(row.pop("split", "")) for row in some]
    add_records(workspace, name, rows_of(some), tell)
    by_seq = dict(zip((row["seq"] for row in some), splits, strict=True))
    dataset = find_dataset(workspace, name)
    change_records(
        workspace, dataset, lambda stored: {"split": by_seq[stored.record.seq]},
        what="The split", data={"rules": [{"do": "split"}]},
    )  # fmt: skip


@pytest.fixture
def adapters(tmp_path: Path) -> Path:
    folder = tmp_path / "adapters" / "poems"
    folder.mkdir(parents=True)
    contract = Path(__file__).parents[1] / "contract" / "run.json"
    run = json.loads(contract.read_text("utf-8")) | {
        "name": "poems", "layout": "bonsai-v2", "target": "both", "role": "assistant",
        "role_text": "You think first.",
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(run), "utf-8")
    config = {"base_model_name_or_path": STUDENT, "r": 4, "peft_type": "LORA"}
    (folder / "adapter_config.json").write_text(json.dumps(config), "utf-8")
    (folder / "adapter_model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    return tmp_path / "adapters"


class Model(LossModel):
    """Answers by `write`; its losses are 1 behind the record's reasoning, 2 behind any other."""

    def __init__(self, write: Callable[[str], str | Generation]) -> None:
        super().__init__(lambda prompt, completion: 1.0 if "Multiply" in prompt else 2.0)
        self.write = write  # type: ignore[assignment]
        self.adapters_asked: list[str | None] = []

    def _one(self, row, exact, batch):
        self.adapters_asked.append(row.adapter)
        return super()._one(row, exact, batch)


def product(prompt: str) -> str:
    """The right answer to the last question of a prompt."""
    number = prompt.rpartition("What is ")[2].partition(" ")[0]
    return str(int(number) * 13)


def thinking(prompt: str) -> str:
    """Right where it may think, in the layout that the adapter has learned; else wrong."""
    if prompt.endswith("<|reasoning|>"):
        return f"{PLAN}\n<|response|>{product(prompt)}"
    return "I do not know."


def run(
    workspace: Workspace, model: Model, adapters: Path | None, ways: list[Way], **how: object
) -> Evaluation | None:
    engines = Engines(model)
    if adapters:
        engines.adapters = adapters
    settings = {"seeds": 1} | {k: how.pop(k) for k in list(how) if k in EvalSpec.__annotations__}
    return evaluate(engines, workspace, EvalSpec("demo", tuple(ways), **settings), **how)  # type: ignore[arg-type]


AT_BEST, AS_USED = Way(STUDENT, "none", title="base"), Way(ADAPTER, title="adapter")


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


def test_each_way_is_asked_with_its_reasoning(workspace, adapters):
    add(workspace, rows(6))
    model = Model(lambda prompt: "five")
    ways = [Way(ADAPTER, reasoning) for reasoning in ("given", "shuffled", "none")]
    run(workspace, model, adapters, ways, losses=False)
    plans = [
        [prompt.partition("Plan ")[2][:1] for prompt in model.asked if f"is {n} times" in prompt]
        for n in range(20, 26)
    ]
    for own, (given, shuffled, none) in zip("abcdef", plans, strict=True):
        assert given == own
        assert shuffled not in (own, "")
        assert none == ""
    assert all("You think first." in prompt for prompt in model.asked)
    assert len(set(model.asked)) == 18
    assert set(model.adapters_asked) == {"poems"}


def test_worked_examples_come_from_the_training_split_and_never_tell_the_answer(workspace):
    unsplit = [row | {"split": "", "seq": f"{at + 900}EN", "instruction": "What is 9 times 13?"}
               for at, row in enumerate(rows(3))]  # fmt: skip
    # the very question of a validation record, and with it its answer
    same = [row | {"split": "train", "seq": f"{at + 800}EN"} for at, row in enumerate(rows(4))]
    add(workspace, rows(4) + rows(3, "train") + same + unsplit)
    model = Model(lambda prompt: "five")
    ways = [Way(STUDENT, "none", examples=2), Way(STUDENT, "own", examples=1)]
    found = run(workspace, model, None, ways, losses=False)
    direct = [prompt for prompt in model.asked if "First write your reasoning" not in prompt]
    assert len(direct) == 4
    for prompt in direct:
        asked = [int(part.split()[0]) for part in prompt.split("What is ")[1:]]
        assert len(asked) == 3
        assert asked[2] not in asked[:2]
        assert 9 not in asked
        assert f"{asked[0] * 13}" in prompt
        assert f"{asked[2] * 13}" not in prompt
        assert "Plan" not in prompt
    thought = [prompt for prompt in model.asked if "First write your reasoning" in prompt]
    assert all("Reasoning:\nMultiply the tens" in prompt for prompt in thought)
    assert found.ways[0].facts.examples == 2


def test_who_learned_only_reasonings_is_asked_again_for_the_answer(workspace, adapters):
    add(workspace, rows(3))

    def write(prompt: str) -> str:
        if prompt.endswith("<|response|>"):
            assert PLAN in prompt
            return product(prompt)
        return PLAN

    model = Model(write)
    found = run(workspace, model, adapters, [Way(ADAPTER, target="reasoning")])
    assert [text.answer for text in found.texts] == ["260", "273", "286"]
    assert {text.reasoning for text in found.texts} == {PLAN}
    words = len(PLAN.split()) + 1
    assert all(text.values["length"] == words for text in found.texts)
    assert len(model.asked) == 6


def test_losses_are_those_of_answer_and_reasoning_behind_what_stood_there(workspace, adapters):
    add(workspace, rows(6))
    ways = [Way(ADAPTER, "given"), Way(ADAPTER, "none"), Way(ADAPTER)]
    model = Model(thinking)
    found = run(workspace, model, adapters, ways)
    given, none, own = (way.averages for way in found.ways)
    assert (given["answer_loss"].value, none["answer_loss"].value) == (1.0, 2.0)
    assert own["answer_loss"].value == 2.0  # behind its own reasoning, which is another
    assert own["reasoning_loss"].value == 2.0
    assert "reasoning_loss" not in given
    asked = [(prompt, completion) for prompt, completion in model.measured]
    reasonings = [pair for pair in asked if pair[1].startswith("Multiply")]
    assert len(reasonings) == 6
    assert all(prompt.endswith("<|reasoning|>") for prompt, _ in reasonings)
    assert all(completion.endswith("\n<|response|>") for _, completion in reasonings)
    behind = [prompt for prompt, completion in asked if not completion.startswith("Multiply")]
    assert sum(PLAN in prompt for prompt in behind) == 6


def test_a_reasoning_that_an_answer_follows_does_not_end_the_text(workspace, adapters):
    add(workspace, rows(1))
    model = Model(thinking)
    lengths = []
    taken = model.losses

    def losses(batch, *rest):
        lengths.extend((model.rows[line.row].completion, len(line.completion)) for line in batch)
        return taken(batch, *rest)

    model.losses = losses  # type: ignore[method-assign]
    run(workspace, model, adapters, [Way(ADAPTER)])
    assert sorted(count for _, count in lengths) == [9, 10]
    assert next(count for text, count in lengths if text.startswith("Multiply")) == 9


def test_in_a_chat_the_answer_stands_behind_the_heads_that_it_would_write(workspace):
    add(workspace, rows(1))
    model = Model(lambda prompt: f"{PLAN}\nAnswer:\n5")
    found = run(workspace, model, None, [Way(STUDENT, "own")])
    assert found.texts[0].reasoning == PLAN
    prefills = {row.prompt.prefill for row in model.rows}
    assert prefills == {"Reasoning:\n", f"Reasoning:\n{PLAN}\nAnswer:\n"}


def test_seeds_are_averaged_within_a_record(workspace, adapters):
    add(workspace, rows(8))
    counted: dict[str, int] = {}

    def write(prompt: str) -> str:
        counted[prompt] = counted.get(prompt, 0) + 1
        return product(prompt) if counted[prompt] == 1 else "no"

    found = run(workspace, Model(write), adapters, [AT_BEST, AS_USED], seeds=2, losses=False)
    right = found.ways[0].averages["right"]
    assert (right.records, right.texts, right.value) == (8, 16, 0.5)
    assert found.pairs[0].comparisons["right"].n == 8
    assert found.pairs[0].comparisons["right"].test == "sign_flip"


def test_nothing_is_made_twice_and_a_further_way_makes_only_its_own(workspace, adapters):
    add(workspace, rows(5))
    first = Model(thinking)
    one = run(workspace, first, adapters, [AT_BEST, AS_USED])
    again = Model(thinking)
    two = run(workspace, again, adapters, [AT_BEST, AS_USED])
    assert (again.asked, again.measured) == ([], [])
    assert two.to_json(with_texts=True) == one.to_json(with_texts=True)
    more = Model(thinking)
    run(workspace, more, adapters, [AT_BEST, AS_USED, Way(ADAPTER, "none")])
    assert (len(more.asked), len(more.measured)) == (5, 5)
    other = Model(thinking)
    other.revision = "r2"
    run(workspace, other, adapters, [AT_BEST, AS_USED])
    assert len(other.asked) == 10


def test_a_stop_keeps_what_was_written_and_the_next_run_goes_on(workspace, adapters):
    add(workspace, rows(10))
    stop, told = threading.Event(), list[Progress]()

    def write(prompt: str) -> str:
        if len(model.asked) == 7:
            stop.set()
        return thinking(prompt)

    model = Model(write)
    ways = [AT_BEST, AS_USED]
    assert run(workspace, model, adapters, ways, stop=stop, progress=told.append) is None
    assert told[0] == Progress("texts", 0, 20)
    assert [one.done for one in told] == sorted(one.done for one in told)
    later = Model(thinking)
    found = run(workspace, later, adapters, ways)
    assert len(later.asked) == 20 - 7
    assert found.pairs[0].verdict == "helps"


def test_a_stop_among_the_losses_keeps_those_that_were_taken(workspace, adapters):
    add(workspace, rows(6))
    stop, model = threading.Event(), Model(thinking)
    model.room = 1
    model.before_batch = lambda: stop.set() if len(model.measured) == 4 else None
    assert run(workspace, model, adapters, [AT_BEST], stop=stop) is None
    later = Model(thinking)
    run(workspace, later, adapters, [AT_BEST])
    assert len(later.measured) == 2
    assert later.asked == []


def test_rows_that_fail_are_counted_and_left_out_of_the_pair(workspace, adapters):
    add(workspace, rows(9))

    def write(prompt: str) -> str | Generation:
        if prompt.endswith("<|reasoning|>") and " 22 times" in prompt:
            return failed("The prompt is too long.")
        return thinking(prompt)

    found = run(workspace, Model(write), adapters, [AT_BEST, AS_USED])
    assert found.ways[1].failed == {"The prompt is too long.": 1}
    assert found.pairs[0].comparisons["right"].n == 8
    assert "1 texts are missing of adapter. The prompt is too long." in found.notes
    again = Model(thinking)  # a failure is no value: it is asked for again
    assert run(workspace, again, adapters, [AT_BEST, AS_USED]).ways[1].failed == {}
    assert len(again.asked) == 1


def test_an_engine_in_trouble_ends_it_with_its_sentence(workspace):
    add(workspace, rows(3))
    model = Model(lambda prompt: failed("The key was refused.", trouble="key"))
    with pytest.raises(QeuError, match=r"The key was refused\. Texts that were written are kept"):
        run(workspace, model, None, [AT_BEST])


def test_a_hosted_model_has_no_losses_and_that_is_said(workspace):
    add(workspace, rows(8))
    hosted = Model(lambda prompt: product(prompt))
    hosted.name = "groq/big"
    engines = Engines(hosted, Model(lambda prompt: "no"))
    ways = (Way(STUDENT, "none", title="small"), Way("groq/big", "none", title="big"))
    found = evaluate(engines, workspace, EvalSpec("demo", ways, seeds=1))
    assert "answer_loss" in found.ways[0].averages
    assert "answer_loss" not in found.ways[1].averages
    assert "big runs on a server, which does not tell losses." in found.notes
    assert found.pairs[0].verdict == "helps"
    assert hosted.measured == []


def test_losses_of_two_bases_are_not_held_against_each_other(workspace):
    add(workspace, rows(8))
    other = Model(lambda prompt: "no")
    other.name = "phi-2"
    engines = Engines(other, Model(lambda prompt: "no"))
    found = evaluate(
        engines, workspace, EvalSpec("demo", (Way(STUDENT, "none"), Way("phi-2", "none")), seeds=1)
    )
    assert "answer_loss" in found.ways[1].averages
    assert "answer_loss" not in found.pairs[0].comparisons
    assert "Losses of models with other tokens are not held against each other." in found.notes


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


def test_no_record_at_all_is_an_error_that_says_what_to_do(workspace):
    add(workspace, rows(2, "train"))
    with pytest.raises(QeuError, match=r"matches the filter.*split the data set"):
        run(workspace, Model(thinking), None, [AT_BEST])
    with pytest.raises(QeuError, match="nowhere"):
        evaluate(Engines(Model(thinking)), workspace, EvalSpec("nowhere", (AT_BEST,)))


def test_records_without_reference_or_reasoning_are_left_out_where_it_is_needed(
    workspace, adapters
):
    some = rows(8)
    some[0]["output"], some[0]["extra"] = "", {}
    some[1]["reasoning"] = ""
    add(workspace, some)
    found = run(workspace, Model(thinking), adapters, [AT_BEST, Way(ADAPTER, "given"), AS_USED])
    base, given, own = found.ways
    assert (base.averages["right"].records, base.averages["closed"].records) == (7, 8)
    assert base.averages["answer_loss"].records == 7
    assert given.failed == {"The record has no reasoning to give.": 1}
    assert own.averages["reasoning_loss"].records == 7
    assert base.averages["reference"].records == 7


def test_mixed_languages_are_told_and_others_reasonings_keep_to_their_own(workspace, adapters):
    some = rows(5)
    some[4] |= {"language": "ja", "instruction": "What is 24 times 13? 日本語で。"}
    add(workspace, some)
    found = run(workspace, Model(thinking), adapters, [Way(ADAPTER, "shuffled")], losses=False)
    assert "The records are of several languages: en 4, ja 1." in found.notes
    assert found.ways[0].failed == {
        "No other record of this category and language has a reasoning to give.": 1
    }


def test_several_verdicts_are_corrected_for_their_number(workspace, adapters):
    add(workspace, rows(6))
    one = run(workspace, Model(thinking), adapters, [AT_BEST, AS_USED], losses=False)
    assert one.pairs[0].p == pytest.approx(2 / 2**6)
    ways = [AT_BEST, AS_USED, Way(ADAPTER, "none")]
    two = run(workspace, Model(thinking), adapters, ways, losses=False)
    assert [pair.p for pair in two.pairs] == [pytest.approx(4 / 2**6)] * 2
    assert [pair.verdict for pair in two.pairs] == ["unclear", "unclear"]
    assert "p and interval are corrected for 2 comparisons." in two.pairs[0].sentence


def test_records_that_the_adapter_learned_from_are_told(workspace, adapters):
    some = rows(4)
    add(workspace, some)
    page = read_page(workspace, find_dataset(workspace, "demo"))
    learned = [FrozenRecord(stored.record) for stored in page.rows[:3]]
    RunFolder(adapters / "poems").freeze("train.jsonl", learned)
    found = run(workspace, Model(thinking), adapters, [AT_BEST, AS_USED], losses=False)
    assert found.ways[1].facts.learned == 3
    assert any("adapter has learned from 3 of these records" in note for note in found.notes)


def test_a_limit_draws_the_same_records_for_all(workspace, adapters):
    add(workspace, rows(12))
    found = run(workspace, Model(thinking), adapters, [AT_BEST], limit=5, losses=False)
    again = run(workspace, Model(thinking), adapters, [AS_USED], limit=5, losses=False)
    assert found.records == again.records
    assert len(found.records) == 5
    assert "5 of 12 matching records were drawn." in found.notes


def test_the_shipped_data_come_in_by_their_name(workspace):
    model = Model(lambda prompt: "no")
    spec = EvalSpec("shipped", (AT_BEST,), limit=3, seeds=1, losses=False)
    found = evaluate(Engines(model), workspace, spec)
    assert found.matching == 178
    assert len(model.asked) == 3


def test_an_order_that_makes_no_sense_says_all_that_is_wrong():
    wrong = EvalSpec(
        "d",
        (
            Way("m", "mine"),
            Way("m", layout="bonsai-v2", examples=2),
            Way("m", "none", target="both"),
        ),
        seeds=3, sampling=Sampling(greedy=True), pairs=((0, 7),),
    )  # fmt: skip
    told = " ".join(wrong.problems())
    for part in ("'mine'", "turns of a chat", "target both", "same text", "pair 0, 7"):
        assert part in told
    with pytest.raises(UsageError):
        wrong.checked()
    twice = EvalSpec("d", (Way("m"), Way("m")))
    assert "Two ways are called" in twice.problems()[0]
    spec = EvalSpec("d", default_ways("m", ["a"], ("own", "none")), limit=4).checked()
    assert EvalSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


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


def test_tables_and_plot_data_hold_every_measure_of_the_pair(workspace, adapters):
    add(workspace, rows(7))
    found = run(workspace, Model(thinking), adapters, [AT_BEST, AS_USED])
    table = {row[0]: row[1:] for row in measure_rows(found)}
    assert table["answers that are right (checkable ones)"] == ["0% (0–35)", "100% (65–100)"]
    assert table["reasonings that keep the contract"][0] == "–"
    named = [row[0] for row in pair_rows(found, found.pairs[0])]
    assert named[0] == "answers that are right (checkable ones)"
    points = found.plot_data()
    assert {point["measure"] for point in points} == set(found.pairs[0].comparisons)
    assert "tokens_per_s" not in {point["measure"] for point in points}
    json.dumps(found.to_json(with_texts=True))


def test_creative_reasonings_have_a_contract_of_their_own(workspace, adapters):
    some = rows(7)
    for at, row in enumerate(some[:3]):
        row |= {
            "category": "creative",
            "instruction": f"Write a slogan for shop {at}.",
            "extra": {},
        }
    add(workspace, some)

    def write(prompt: str) -> str:
        plan = "Creator should name the shop." if "shop 0" in prompt else "Name the shop."
        return f"{plan}\n<|response|>Come in."

    found = run(workspace, Model(write), adapters, [AS_USED], losses=False)
    averages = found.ways[0].averages
    assert (averages["contract_creative"].records, averages["contract"].records) == (3, 7)
    assert averages["contract_creative"].value == pytest.approx(1 / 3)
    assert averages["contract"].value == pytest.approx(5 / 7)
    assert averages["right"].records == 4


def test_leaks_loops_and_ends_are_measured(workspace, adapters):
    add(workspace, rows(4))
    texts = {
        "20": "The answer is 260.\n<|response|>260",  # states the reference, and commits
        "21": "The answer is 999.\n<|response|>999",  # commits to another one
        "22": f"{PLAN}\n<|response|>" + "again and again " * 40,
        "23": PLAN,  # never answers
    }
    model = Model(lambda prompt: texts[prompt.partition("What is ")[2][:2]])
    found = run(workspace, model, adapters, [AS_USED], losses=False)
    values = [text.values for text in found.texts]
    assert [one["leak_reference"] for one in values] == [1.0, 0.0, 0.0, 0.0]
    assert [one["leak_commit"] for one in values] == [1.0, 1.0, 0.0, 0.0]
    assert [one["loop"] for one in values] == [0.0, 0.0, 1.0, 0.0]
    assert [one["closed"] for one in values] == [1.0, 1.0, 1.0, 0.0]
    assert [one["right"] for one in values] == [1.0, 0.0, 0.0, 0.0]


def twin(adapters: Path, name: str, **changes: object) -> None:
    """Another run's folder like that of the test's adapter."""
    shutil.copytree(adapters / "poems", adapters / name)
    run = json.loads((adapters / name / "run.json").read_text("utf-8")) | {"name": name} | changes
    (adapters / name / "run.json").write_text(json.dumps(run), "utf-8")


def test_adapters_are_asked_as_each_has_learned_to_be_used(adapters):
    twin(adapters, "x-none-s0", target="answer", reasoning="none")
    twin(adapters, "x-none-s1", target="answer", reasoning="none")
    twin(adapters, "x-given-s0", target="answer")
    names = ["x-none-s0", "x-none-s1", "poems", "x-given-s0"]
    ways = suggest_ways(adapters, STUDENT, names, ("own", "none"), examples=0)
    assert [(way.model.partition("@")[2], way.reasoning, way.group) for way in ways[2:]] == [
        ("x-none-s0", "none", "x-none, none"), ("x-none-s1", "none", "x-none, none"),
        ("poems", "own", ""), ("poems", "none", ""),
        ("x-given-s0", "given", ""), ("x-given-s0", "none", ""),
    ]  # fmt: skip
    base = suggest_ways(adapters, STUDENT, ["poems"], examples=0)[1]
    assert (base.layout, base.target, base.role) == ("bonsai-v2", "both", "assistant")
    assert suggest_ways(adapters, STUDENT, ["not-here"], examples=0)[1].reasoning == "own"


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


def test_an_example_is_never_the_question_itself():
    asked = Record("What is 1 + 1?", output="2", language="en")
    others = [replace(asked, seq=f"{at}EN") for at in range(3)]
    assert ExamplePool(others).choose(asked, 2) == ()
    near = replace(asked, instruction="What is 2 + 2?", output="4")
    far = replace(near, language="ja", category="math")
    assert ExamplePool([far, *others, near]).choose(asked, 1) == (near,)
    assert ExamplePool([far, near]).choose(asked, 5) == (near, far)


def test_a_role_and_a_layout_that_are_named_win_over_the_learned_ones(workspace, adapters):
    add(workspace, rows(1))
    model = Model(lambda prompt: "no")
    way = Way(ADAPTER, "none", layout="bonsai-v1", role="logician")
    found = run(workspace, model, adapters, [way], losses=False)
    assert model.asked[0].startswith("<|system|>You are a logician.")
    assert "<|prompt|>" in model.asked[0]
    assert found.ways[0].facts.layout == "bonsai-v1"
    with pytest.raises(QeuError, match="worked examples are turns of a chat"):
        run(workspace, model, adapters, [replace(way, layout="", examples=1)], losses=False)
