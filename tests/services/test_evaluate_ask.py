"""Evaluations: which records are asked in which ways, nothing twice, and on after a stop."""

import json
import threading
from dataclasses import replace

import pytest

from qeu.core.errors import QeuError, UsageError
from qeu.core.eval_prompts import ExamplePool
from qeu.core.eval_spec import EvalSpec, Way, default_ways
from qeu.core.generation import Generation
from qeu.core.record import Record
from qeu.core.sampling import Sampling
from qeu.services.evaluate import Progress, evaluate
from qeu.services.evaluate_setup import suggest_ways
from qeu.store.datasets import find_dataset
from qeu.store.queries import read_page
from qeu.store.run_folders import FrozenRecord, RunFolder
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
from tests.services.job_engine import failed
from tests.services.test_usefulness import STUDENT, Engines

__all__ = ["adapters", "workspace"]  # fixtures


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
    # its losses without a reasoning are known: they are what its reasonings were held against
    assert (len(more.asked), len(more.measured)) == (5, 0)
    given = Model(thinking)
    run(workspace, given, adapters, [AT_BEST, AS_USED, Way(ADAPTER, "given")])
    assert (len(given.asked), len(given.measured)) == (5, 10)
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


def test_no_record_at_all_is_an_error_that_says_what_to_do(workspace):
    add(workspace, rows(2, "train"))
    with pytest.raises(QeuError, match=r"matches the filter.*split the data set"):
        run(workspace, Model(thinking), None, [AT_BEST])
    with pytest.raises(QeuError, match="nowhere"):
        evaluate(Engines(Model(thinking)), workspace, EvalSpec("nowhere", (AT_BEST,)))


def test_mixed_languages_are_told_and_others_reasonings_keep_to_their_own(workspace, adapters):
    some = rows(5)
    some[4] |= {"language": "ja", "instruction": "What is 24 times 13? 日本語で。"}
    add(workspace, some)
    found = run(workspace, Model(thinking), adapters, [Way(ADAPTER, "shuffled")], losses=False)
    assert "The records are of several languages: en 4, ja 1." in found.notes
    assert found.ways[0].failed == {
        "No other record of this category and language has a reasoning to give.": 1
    }


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


@pytest.mark.parametrize(("count", "named"), [(1, ", 1 example"), (2, ", 2 examples")])
def test_a_way_with_examples_says_how_many(count, named):
    assert default_ways("m", [], examples=count)[1].name == f"m{named}"
    assert Way("m", examples=count).name.endswith(f"{named})")


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
