"""A sweep's grid, its cells, its measures, what can be told of the best one, its heat map."""

import random
from dataclasses import replace

import pytest

from qeu.core.chrf import chrf
from qeu.core.distinct import distinct_n
from qeu.core.errors import UsageError
from qeu.core.generation import Generation
from qeu.core.intervals import wilson
from qeu.core.paired import mean_interval
from qeu.core.record import Record
from qeu.core.sampling import Sampling
from qeu.core.sweep_cells import make_cells, settle
from qeu.core.sweep_map import make_map, suggest_axes
from qeu.core.sweep_measures import (
    BY_NAME,
    Estimate,
    Sample,
    add_own_agreement,
    estimate,
    measure_sample,
    unit_for,
    values_by_unit,
)
from qeu.core.sweep_spec import MOST_CELLS, SweepPrompt, SweepSpec, read_grid
from qeu.core.sweep_verdict import find_best

PROMPT = SweepPrompt("What is 6 times 7?", reference="42")
SPEC = SweepSpec(("m",), (PROMPT,), grid={"temperature": (0, 0.7, 1.0), "top_p": (0.9, 1)})


def made(text: str, target: str = "answer", finish: str = "stop") -> Generation:
    reasoning, answer = (text, "") if target == "reasoning" else ("", text)
    return Generation(
        text, reasoning, answer, finish, 5, 9, 0.1, 20.0, "m", "r", None, None, "chat", target, 1,
        None,
    )  # fmt: skip


def samples(values: list[float | None], measure: str = "right", prompt: int | None = 0):
    """One sample a value: of one prompt with rising seeds, or (None) of a prompt each."""
    return [
        Sample(at if prompt is None else prompt, 1 if prompt is None else at + 1, f"k{at}",
               values={measure: value})
        for at, value in enumerate(values)
    ]  # fmt: skip


class TestSpec:
    def test_it_comes_back_from_plain_values(self):
        spec = replace(SPEC, roles=("creator", ""), wordings={"creator": "You sing."}).checked()
        assert SweepSpec.from_json(spec.to_json()) == spec
        assert spec.combinations == 12
        assert spec.varied == ("role", "temperature", "top_p")

    def test_a_value_that_is_named_twice_is_one(self):
        spec = replace(SPEC, models=("m", " m "), grid={"temperature": (0.0, 0, 1.0)}).checked()
        assert spec.models == ("m",)
        assert spec.grid == {"temperature": (0, 1)}
        assert [type(value) for value in spec.grid["temperature"]] == [int, int]

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"models": ()}, "needs a model"),
            ({"prompts": ()}, "typed prompts, or the records"),
            ({"dataset": "d"}, "typed prompts, or the records"),
            ({"prompts": (SweepPrompt("  "),)}, "prompt is empty"),
            ({"prompts": (SweepPrompt("a", category="poem"),)}, "category is 'poem'"),
            ({"roles": ("poet",)}, "roles is 'poet'"),
            ({"targets": ()}, "targets has no value"),
            ({"grid": {"temperature": (9,)}}, "temperature is 9; choose 0 to 5"),
            ({"grid": {"top_k": (1.5,)}}, "choose a whole number"),
            ({"grid": {"seed": (1, 2)}}, "'seed' is no axis"),
            ({"grid": {"top_p": ()}}, "no value of top_p"),
            ({"seeds": 0}, "seeds is 0"),
            ({"seeds": True}, "seeds is True"),
            ({"wordings": {"poet": "x"}}, "no role 'poet'"),
            ({"sampling": Sampling(temperature=-1)}, "temperature is -1"),
            ({"grid": {"top_k": tuple(range(2, 600)), "max_new_tokens": tuple(range(1, 600))}},
             f"at most {MOST_CELLS:,}"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_meant_is_refused_with_its_value(self, change, told):
        with pytest.raises(UsageError, match=told):
            replace(SPEC, **change).checked()

    def test_plain_values_of_another_shape_are_refused(self):
        for wrong in ({"speed": 1}, {"models": "m"}, {"grid": [1]}, {"models": [3]}, {}):
            with pytest.raises(UsageError):
                SweepSpec.from_json(wrong)
        with pytest.raises(UsageError, match="object with names"):
            SweepSpec.from_json({"models": ["m"], "prompts": ["hello"]})

    def test_a_grid_is_read_as_it_is_typed(self):
        assert read_grid(["temperature=0, 0.7,1", "top-p=.9"]) == {
            "temperature": (0, 0.7, 1), "top_p": (0.9,),
        }  # fmt: skip
        assert read_grid(["top_k=1", "top_k=5"]) == {"top_k": (1, 5)}
        for wrong in ("temperature", "speed=1", "seed=1", "top_p=high"):
            with pytest.raises(UsageError):
                read_grid([wrong])


class TestCells:
    def test_settings_that_change_nothing_make_no_further_cell(self):
        cells = make_cells(SPEC.checked())
        assert [cell.number for cell in cells] == [1, 2, 3, 4, 5]
        assert [cell.seeds for cell in cells] == [1, 4, 4, 4, 4]
        assert [one[-2:] for one in cells[0].combinations] == [(0, 0.9), (0, 1)]
        assert cells[1].combinations == (("m", "", "", "", 0.7, 0.9),)
        assert [one.seed for one in cells[1].samplings()] == [1, 2, 3, 4]

    def test_one_token_left_is_greedy_where_the_sampler_is_ours(self):
        plain = settle(Sampling(temperature=0, top_p=0.5, seed=9))
        assert plain == settle(Sampling(greedy=True, top_k=7))
        assert plain == settle(Sampling(top_k=1)) == settle(Sampling(top_p=0, min_p=0.3))
        assert plain.is_greedy
        drawn = Sampling(top_k=1)
        assert settle(drawn, ours=False) == drawn
        assert settle(Sampling(temperature=0, top_p=0.5), ours=False) == plain
        # the penalty and the length still count
        assert settle(Sampling(temperature=0, repetition_penalty=1)) != plain
        assert settle(Sampling(temperature=0, max_new_tokens=3)) != plain

    def test_settings_that_ask_the_same_are_one_cell(self):
        spec = replace(SPEC, roles=("", "assistant", "creator"), grid={}).checked()
        assert len(make_cells(spec)) == 3
        cells = make_cells(spec, lambda setting: setting.role == "creator")
        assert [len(cell.combinations) for cell in cells] == [2, 1]


class TestMeasures:
    def test_distinct_n_counts_words_and_characters_of_japanese(self):
        assert distinct_n("The cat, the CAT!", 1) == 2 / 4
        assert distinct_n("The cat, the CAT!", 2) == 2 / 3
        assert distinct_n("猫は猫です", 1) == 4 / 5
        assert distinct_n("word", 2) is None
        assert distinct_n("…", 1) is None

    def test_an_answer_is_measured_as_an_evaluation_does(self):
        record = PROMPT.record()
        values = measure_sample(record, made("It is 42."), "answer")
        assert values["right"] == 1
        assert values["reference"] == chrf("It is 42.", "42")
        assert (values["closed"], values["loop"], values["length"]) == (1, 0, 9)
        assert values["contract"] is None
        assert measure_sample(record, made("It is 41.", finish="length"), "answer") == values | {
            "right": 0, "closed": 0, "reference": chrf("It is 41.", "42"),
        }  # fmt: skip

    def test_a_reasoning_alone_has_no_answer_to_be_right_or_wrong(self):
        record = replace(PROMPT.record(), reasoning="Split one factor.")
        text = "Split one factor first."
        values = measure_sample(record, made(text, "reasoning"), "reasoning")
        assert values["right"] is None
        assert values["language"] is None
        assert values["reference"] == chrf(text, "Split one factor.")
        assert (values["closed"], values["contract"], values["leak_reference"]) == (1, 1, 0)
        leaking = measure_sample(record, made("So the answer is 42.", "reasoning"), "reasoning")
        assert leaking["leak_commit"] == 1
        empty = measure_sample(Record("Sing."), made("", "reasoning"), "reasoning")
        assert (empty["closed"], empty["distinct_1"], empty["reference"]) == (0, None, None)

    def test_own_agreement_is_the_mean_over_pairs_of_a_prompt(self):
        some = [Sample(0, 1, "a"), Sample(0, 2, "b"), Sample(0, 3, "c"), Sample(1, 1, "d")]
        some.append(Sample(1, 2, "e", error="Too long."))
        texts = {"a": "one two", "b": "one two", "c": "xyz", "d": "alone"}
        found = add_own_agreement(some, texts)
        expected = (1 + 2 * chrf("one two", "xyz")) / 3
        assert found[0].values["own_agreement"] == pytest.approx(expected)
        assert found[3].values["own_agreement"] is None
        assert found[4].values == {}
        many = [Sample(0, seed, f"{seed % 2}") for seed in range(1, 201)]
        shown = add_own_agreement(many, {"0": "one two", "1": "xyz"})[0].values["own_agreement"]
        pairs = 20 * 19 / 2
        alike = (pairs - 100) / pairs  # of the first 20 texts, ten of a kind
        assert shown == pytest.approx(alike + (1 - alike) * chrf("one two", "xyz"))
        # three texts, but one value of their prompt
        assert values_by_unit(found, "own_agreement", "text") == {(0, 0): pytest.approx(expected)}

    def test_prompts_are_the_unit_where_there_are_enough(self):
        assert (unit_for(5), unit_for(6)) == ("text", "prompt")
        some = [
            Sample(p, s, "k", values={"right": float(p < 3), "length": 10.0 * p + s})
            for p in range(6) for s in (1, 2)
        ]  # fmt: skip
        by_prompt, by_text = estimate(some, "prompt"), estimate(some, "text")
        assert by_prompt["right"] == Estimate("right", 0.5, *wilson(3, 6), 6, 12, "prompt")
        assert by_text["right"] == Estimate("right", 0.5, *wilson(6, 12), 12, 12, "text")
        low, high = mean_interval([10.0 * p + 1.5 for p in range(6)])  # type: ignore[misc]
        assert by_prompt["length"] == Estimate("length", 26.5, low, high, 6, 12, "prompt")
        assert estimate([], "text") == {}

    def test_one_text_has_no_interval_of_a_mean(self):
        found = estimate(samples([4.0], "length"), "text")["length"]
        assert (found.value, found.low, found.high, found.n) == (4.0, None, None, 1)


class TestBest:
    def test_it_is_told_where_every_pair_differs(self):
        found = find_best({1: samples([0.0] * 8), 2: samples([1.0] * 8)}, "right", "text")
        assert (found.verdict, found.best, found.next_best, found.tied) == ("told", 2, 1, ())
        assert found.comparison is not None
        assert found.comparison.p == 2 / 2**8

    def test_five_pairs_are_too_few_whatever_they_say(self):
        found = find_best({1: samples([0.0] * 5), 2: samples([1.0] * 5)}, "right", "text")
        assert (found.verdict, found.n, found.needed, found.tied) == ("too_few", 5, 6, (1,))

    def test_a_small_difference_cannot_be_told(self):
        cells = {1: samples([1, 1, 1, 0, 0, 1, 0, 1]), 2: samples([1, 1, 0, 1, 1, 1, 0, 1])}
        found = find_best(cells, "right", "text")
        assert (found.verdict, found.best, found.tied) == ("unclear", 2, (1,))

    def test_the_best_must_be_told_from_every_other(self):
        good, same, bad = [1.0] * 8, [1.0] * 7 + [0.0], [0.0] * 8
        found = find_best({7: samples(bad), 8: samples(good), 9: samples(same)}, "right", "text")
        assert (found.verdict, found.best, found.next_best) == ("unclear", 8, 9)
        assert (found.tied, found.tested) == ((9,), 2)

    def test_the_nearest_that_cannot_be_told_is_named(self):
        cells = {
            1: samples([0.9] * 8, "reference"),
            2: samples([0.8] * 8, "reference"),  # told: below in every pair
            3: samples([0.1, 1.0], "reference"),  # two pairs tell nothing
        }
        found = find_best(cells, "reference", "text")
        assert (found.verdict, found.best, found.next_best, found.n) == ("too_few", 1, 3, 2)
        cells[4] = samples([0.7, 1.0] * 4, "reference")
        found = find_best(cells, "reference", "text")
        assert (found.verdict, found.next_best, found.tied) == ("unclear", 4, (4, 3))

    def test_less_is_better_of_loops_and_neither_of_length(self):
        cells = {1: samples([1.0] * 8, "loop"), 2: samples([0.0] * 8, "loop")}
        assert find_best(cells, "loop", "text").best == 2
        assert find_best(cells, "length", "text").verdict == "none"
        lengths = {1: samples([1.0] * 8, "length"), 2: samples([2.0] * 8, "length")}
        assert find_best(lengths, "length", "text").verdict == "none"

    def test_equal_cells_and_a_single_one(self):
        equal = {1: samples([1.0] * 3), 2: samples([1.0] * 3)}
        assert find_best(equal, "right", "text").verdict == "equal"
        assert find_best({1: samples([1.0] * 9)}, "right", "text").verdict == "none"
        assert find_best({}, "right", "text") == find_best({1: []}, "right", "text")
        with_none = {1: samples([1.0] * 3), 2: samples([None] * 3)}
        assert find_best(with_none, "right", "text").verdict == "none"

    def test_what_is_not_drawn_stands_for_every_seed(self):
        cells = {1: samples([1.0]), 2: samples([0.0] * 8)}
        assert find_best(cells, "right", "text").verdict == "too_few"
        found = find_best(cells, "right", "text", steady={1})
        assert (found.verdict, found.best, found.n) == ("told", 1, 8)
        found = find_best(cells, "loop", "text", steady={1})
        assert found.verdict == "none"
        cells = {1: samples([0.0]), 2: samples([1.0] * 8)}
        found = find_best(cells, "right", "text", steady={1})
        assert (found.verdict, found.best, found.n) == ("told", 2, 8)
        prompts = {1: samples([1.0] * 6, prompt=None), 2: samples([0.0] * 6, prompt=None)}
        assert find_best(prompts, "right", "prompt", steady={1, 2}).n == 6

    def test_cells_that_are_alike_are_seldom_told_apart_and_others_are(self):
        draw = random.Random(3)

        def sweep(shares: list[float]):
            return {
                at: samples([float(draw.random() < share) for _ in range(24)])
                for at, share in enumerate(shares, start=1)
            }

        alike = [find_best(sweep([0.5] * 4), "right", "text").verdict for _ in range(400)]
        assert alike.count("told") <= 20  # 5 %
        two_alike = [find_best(sweep([0.7, 0.7, 0.1]), "right", "text") for _ in range(400)]
        assert sum(one.verdict == "told" for one in two_alike) <= 28  # 5 % and two deviations
        apart = [find_best(sweep([0.95, 0.3, 0.2]), "right", "text") for _ in range(100)]
        assert sum(one.verdict == "told" and one.best == 1 for one in apart) >= 90


class TestMap:
    def cells(self, spec):
        cells = make_cells(spec)
        values = {
            cell.number: {"right": Estimate("right", cell.number / 10, 0.0, 1.0, 4, 4, "text")}
            for cell in cells
        }
        return cells, values

    def test_a_cell_stands_wherever_its_settings_stand(self):
        spec = SPEC.checked()
        found = make_map(spec, *self.cells(spec), "right", "temperature", "top_p")
        assert (found.rows, found.columns) == ((0, 0.7, 1), (0.9, 1))
        shown = [[one and one.cells for one in line] for line in found.fields]
        assert shown == [[(1,), (1,)], [(2,), (3,)], [(4,), (5,)]]
        assert (found.low, found.high, found.averaged) == (0.1, 0.5, ())
        assert found.fields[1][0].n == 4

    def test_other_axes_are_averaged_or_fixed(self):
        spec = replace(SPEC, roles=("", "creator")).checked()
        cells, values = self.cells(spec)  # 1–5 and 6–10
        found = make_map(spec, cells, values, "right", "temperature", "")
        assert found.averaged == ("role", "top_p")
        # the one cell of temperature 0 counts once a role, not once a top-p
        assert found.fields[0][0].cells == (1, 6)
        assert found.fields[0][0].value == pytest.approx(0.35)
        assert found.fields[0][0].low is None
        found = make_map(spec, cells, values, "right", "", "top_p", {"role": "creator",
                         "temperature": 1})  # fmt: skip
        assert [one.cells for one in found.fields[0]] == [(9,), (10,)]
        assert (found.rows, found.averaged) == (("",), ())

    def test_what_is_not_there_yet_is_left_open(self):
        spec = SPEC.checked()
        cells, values = self.cells(spec)
        found = make_map(spec, cells, {2: values[2]}, "right", "temperature", "top_p")
        assert [one is None for line in found.fields for one in line].count(False) == 1
        found = make_map(spec, cells, {2: {}}, "right", "temperature", "top_p")
        assert found.fields[1][0].value is None
        assert found.low is None

    def test_axes_are_suggested_by_how_many_values_they_have(self):
        assert suggest_axes(SPEC) == ("temperature", "top_p")
        spec = replace(SPEC, models=("a", "b", "c", "d"))
        assert suggest_axes(spec) == ("model", "temperature")
        assert suggest_axes(replace(SPEC, grid={"top_k": (5, 9)})) == ("", "top_k")
        assert suggest_axes(replace(SPEC, grid={})) == ("", "")

    @pytest.mark.parametrize(
        ("measure", "rows", "columns", "fixed", "told"),
        [
            ("speed", "", "", {}, "Unknown measure"),
            ("right", "speed", "", {}, "no axis 'speed'"),
            ("right", "top_p", "top_p", {}, "both top_p"),
            ("right", "top_p", "", {"top_p": 1}, "cannot be fixed"),
            ("right", "top_p", "", {"temperature": 3}, "no value 3"),
        ],
    )
    def test_what_the_sweep_does_not_have_is_refused(self, measure, rows, columns, fixed, told):
        with pytest.raises(UsageError, match=told):
            make_map(SPEC.checked(), [], {}, measure, rows, columns, fixed)


def test_every_measure_has_words():
    assert all(measure.label and name == measure.name for name, measure in BY_NAME.items())
