"""The picture of a choice says what the sampler does: by its draws, its steps and its sums."""

import math
import random

import pytest
import torch

from qeu.backends import sampler
from qeu.backends.lens_steps import divergence_bits, draw_picture, surprise_bits
from qeu.core.lens import LensPicture, ShownToken
from qeu.core.sampling import Sampling

VOCABULARY = 300
DRAWS = 20_000
OFF = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0}
CASES = [
    {},
    {"repetition_penalty": 1.4},
    {"repetition_penalty": 0.6},
    {"temperature": 0.4},
    {"temperature": 1.7},
    {"top_k": 9},
    {"top_p": 0.7},
    {"top_p": 0.0},
    {"min_p": 0.15},
    {"temperature": 1.5, "top_k": 20},
    {"top_k": 30, "top_p": 0.8},
    {"top_p": 0.9, "min_p": 0.1},
    {"temperature": 0.3, "top_k": 50, "top_p": 0.9, "repetition_penalty": 1.1},
    {"temperature": 1.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05, "repetition_penalty": 1.3},
]
USED = [3, 5, 5, 8, 120, 3]


def row_of(seed: int = 0, vocabulary: int = VOCABULARY) -> torch.Tensor:
    scores = torch.randn(vocabulary, generator=torch.Generator().manual_seed(seed)) * 3
    scores[USED[0]] = scores.max() + 0.5  # a used token at the top, so that the penalty matters
    return scores


def name(token: int) -> ShownToken:
    return ShownToken(token, f"t{token}")


def picture_of(
    row: torch.Tensor, settings: Sampling, top: int = VOCABULARY, **more: object
) -> LensPicture:
    return draw_picture(row, USED, settings, name, top=top, **more)  # type: ignore[arg-type]


def draw_tokens(row: torch.Tensor, settings: Sampling, draws: int = DRAWS) -> torch.Tensor:
    """How often the engine's own step draws each token, in batches as an engine has them."""
    counts = torch.zeros(len(row), dtype=torch.long)
    source = random.Random(11)
    together = 2_000
    rows = sampler.RowSettings([settings] * together, "cpu")
    used = torch.tensor([USED]).expand(together, -1)
    for _ in range(draws // together):
        logits = row.expand(together, -1)
        tokens, _ = sampler.next_tokens(logits, used, rows, [source] * together)
        counts += torch.bincount(tokens, minlength=len(row))
    return counts


def chi_squared_tail(value: float, freedom: int) -> float:
    """The chance of a chi-square of at least this value: Q(freedom / 2, value / 2)."""
    x = value / 2
    a, total = (0.5, math.erfc(math.sqrt(x))) if freedom % 2 else (1.0, math.exp(-x))
    while a < freedom / 2:
        total += math.exp(a * math.log(x) - x - math.lgamma(a + 1))
        a += 1
    return total


def fits(counts: torch.Tensor, expected: torch.Tensor) -> float:
    """The p-value of the counts; rare tokens share a class of at least five."""
    order = expected.argsort(descending=True)
    classes: list[tuple[float, float]] = []
    seen = wanted = 0.0
    for token in order.tolist():
        if expected[token] == 0:
            break
        seen, wanted = seen + float(counts[token]), wanted + float(expected[token])
        if wanted >= 5:
            classes.append((seen, wanted))
            seen = wanted = 0.0
    if wanted:
        last = classes.pop() if classes else (0.0, 0.0)
        classes.append((last[0] + seen, last[1] + wanted))
    if len(classes) == 1:
        return 1.0 if classes[0][0] == counts.sum() else 0.0
    value = sum((have - want) ** 2 / want for have, want in classes)
    return chi_squared_tail(value, len(classes) - 1)


def test_the_tail_is_that_of_the_tables():
    for value, freedom, expected in ((3.841, 1, 0.05), (5.991, 2, 0.05), (18.307, 10, 0.05)):
        assert chi_squared_tail(value, freedom) == pytest.approx(expected, rel=1e-3)
    assert chi_squared_tail(63.69, 40) == pytest.approx(0.01, rel=2e-3)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_draws_come_as_often_as_the_picture_says(case):
    settings, row = Sampling(**(OFF | case)), row_of()
    picture = picture_of(row, settings)
    shown = torch.zeros(VOCABULARY, dtype=torch.double)
    for one in picture.candidates:
        shown[one.token] = one.after[-1]
    counts = draw_tokens(row, settings)
    removed = [one.token for one in picture.candidates if one.removed_by]
    assert counts[removed].sum() == 0
    assert len(removed) == VOCABULARY - picture.remaining
    assert fits(counts, shown * DRAWS) > 1e-4
    # the test sees what it is for: the same draws do not fit the unfiltered distribution
    if case and picture.remaining > 1:
        raw = torch.zeros(VOCABULARY, dtype=torch.double)
        for one in picture.candidates:
            raw[one.token] = one.before
        assert fits(counts, raw * DRAWS) < 1e-4


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_step_sums_to_one_and_keeps_the_mass_it_says(case):
    settings = Sampling(**(OFF | case))
    picture = picture_of(row_of(), settings)
    assert [step.name for step in picture.steps] == list(case_steps())
    for at, step in enumerate(picture.steps):
        column = [one.after[at] for one in picture.candidates]
        assert sum(column) + picture.rest[at + 1] == pytest.approx(1, abs=1e-5)
        alive = [one for one in picture.candidates if not gone(one.removed_by, at)]
        assert len(alive) == step.kept
        assert step.active == (step.name in case)
        before = {one.token: one.after[at - 1] if at else one.before for one in alive}
        kept = sum(before.values()) if step.removed else 1
        assert step.mass == pytest.approx(kept, abs=1e-5)
        entropy = -sum(p * math.log2(p) for p in column if p)
        assert step.entropy == pytest.approx(entropy, abs=1e-4)


def case_steps() -> tuple[str, ...]:
    return ("repetition_penalty", "temperature", "top_k", "top_p", "min_p")


def gone(removed_by: str, step: int) -> bool:
    return bool(removed_by) and case_steps().index(removed_by) <= step


def test_each_removed_token_names_the_first_step_that_dropped_it():
    row = torch.log(torch.tensor([0.4, 0.3, 0.2, 0.06, 0.04]))
    settings = Sampling(**(OFF | {"top_k": 4, "top_p": 0.85, "min_p": 0.6}))
    picture = draw_picture(row, [], settings, name)
    names = {one.token: one.removed_by for one in picture.candidates}
    assert names == {0: "", 1: "", 2: "min_p", 3: "top_p", 4: "top_k"}
    assert [one.rank for one in picture.candidates] == [1, 2, 3, 4, 5]
    by_step = {step.name: step for step in picture.steps}
    assert by_step["top_k"].mass == pytest.approx(0.96)
    assert by_step["top_p"].mass == pytest.approx(0.9 / 0.96)
    assert by_step["min_p"].mass == pytest.approx(0.7 / 0.9)
    assert [by_step[name].removed for name in ("top_k", "top_p", "min_p")] == [1, 1, 1]
    assert picture.find(0).after == pytest.approx((0.4, 0.4, 0.4 / 0.96, 0.4 / 0.9, 0.4 / 0.7))


def test_penalty_and_temperature_stand_in_columns_of_their_own():
    row = torch.log(torch.tensor([0.5, 0.3, 0.2]))
    settings = Sampling(**(OFF | {"repetition_penalty": 2.0, "temperature": 0.5}))
    picture = draw_picture(row, [0, 0], settings, name)
    # scores below 0 are multiplied by the penalty, so that the share is squared: once, not twice
    weights = {0: 0.25, 1: 0.3, 2: 0.2}
    for token, before in ((0, 0.5), (1, 0.3), (2, 0.2)):
        one = picture.find(token)
        assert one.before == pytest.approx(before)
        assert one.after[0] == pytest.approx(weights[token] / 0.75)
        warm = weights[token] ** 2 / sum(weight**2 for weight in weights.values())
        assert one.after[1:] == pytest.approx((warm,) * 4)
    assert [one.rank for one in picture.candidates] == [1, 2, 3]
    assert picture.candidates[0].token == 1
    assert picture.likeliest == 0


def test_the_drawn_token_is_the_engines_for_the_same_number():
    row = row_of(4)
    for case in CASES:
        settings = Sampling(**(OFF | case))
        rows = sampler.RowSettings([settings], "cpu")
        for seed in range(40):
            tokens, _ = sampler.next_tokens(
                row[None], torch.tensor([USED]), rows, [random.Random(seed)]
            )
            picture = picture_of(row, settings, 5, uniform=random.Random(seed).random())
            assert picture.chosen == int(tokens[0])
    assert picture_of(row, Sampling(), uniform=None).chosen is None


@pytest.mark.parametrize("settings", [Sampling(greedy=True), Sampling(temperature=0.0)], ids=str)
def test_greedy_keeps_one_token_and_names_itself(settings):
    row = row_of()
    picture = picture_of(row, settings, top=4, uniform=0.3)
    rows = sampler.RowSettings([settings], "cpu")
    tokens, _ = sampler.next_tokens(row[None], torch.tensor([USED]), rows, [])
    assert picture.chosen == int(tokens[0]) == picture.candidates[0].token
    assert picture.remaining == 1
    assert picture.entropy_after == 0
    assert picture.uniform is None
    assert [step.name for step in picture.steps] == ["repetition_penalty", "greedy"]
    assert picture.candidates[0].after[-1] == 1
    assert {one.removed_by for one in picture.candidates[1:]} == {"greedy"}
    # the penalty took the model's own favourite down, and it is shown all the same
    assert picture.find(picture.likeliest).used


class TestShapes:
    """Distributions at the edges."""

    def test_flat(self):
        row = torch.zeros(64)
        picture = draw_picture(row, [], Sampling(**OFF), name, top=5, uniform=0.0)
        assert picture.entropy_before == pytest.approx(6)
        assert picture.remaining == 64
        assert picture.rest[-1] == pytest.approx(1 - len(picture.candidates) / 64, abs=1e-6)
        few = draw_picture(row, [], Sampling(**(OFF | {"top_k": 4})), name, top=64, uniform=0.99)
        assert few.remaining == 4
        assert few.entropy_after == pytest.approx(2)
        kept = {one.token for one in few.candidates if not one.removed_by}
        counts = draw_tokens_of(row, Sampling(**(OFF | {"top_k": 4})))
        # which four of equals the sampler takes is the sampler's affair; the picture takes them too
        assert set(counts.nonzero()[:, 0].tolist()) == kept

    def test_flat_with_top_p(self):
        picture = draw_picture(torch.zeros(10), [], Sampling(**(OFF | {"top_p": 0.5})), name)
        assert picture.remaining == 5
        assert picture.steps[3].mass == pytest.approx(0.5)

    def test_one_hot(self):
        row = torch.full((50,), -1e4)
        row[7] = 20.0
        picture = draw_picture(row, [], Sampling(), name, top=3, uniform=0.999)
        assert picture.chosen == picture.likeliest == 7
        assert picture.entropy_before == picture.entropy_after == 0
        assert picture.remaining == 1
        assert picture.candidates[0].before == 1
        wide = draw_picture(row, [], Sampling(**OFF), name, top=3, uniform=0.999)
        assert wide.remaining == 50  # nothing removed them: they are only never drawn
        assert wide.chosen == 7

    def test_masked_vocabulary(self):
        row = torch.full((50,), float("-inf"))
        row[[3, 4]] = torch.tensor([1.0, 1.0])
        picture = draw_picture(row, [3], Sampling(**OFF), name, uniform=0.7)
        assert sum(one.after[-1] for one in picture.candidates) == pytest.approx(1)
        assert picture.entropy_after == pytest.approx(1)

    @pytest.mark.parametrize("top_p", [0.0, 1.0])
    def test_ends_of_top_p(self, top_p):
        picture = picture_of(row_of(), Sampling(**(OFF | {"top_p": top_p})))
        assert picture.remaining == (1 if top_p == 0 else VOCABULARY)
        assert sum(one.after[-1] for one in picture.candidates) == pytest.approx(1, abs=1e-5)

    def test_top_k_beyond_the_vocabulary(self):
        picture = picture_of(row_of(), Sampling(**(OFF | {"top_k": 1_000})))
        assert picture.remaining == VOCABULARY

    def test_one_token(self):
        picture = draw_picture(torch.zeros(1), [0], Sampling(), name, uniform=0.5)
        assert (picture.chosen, picture.remaining, picture.entropy_before) == (0, 1, 0)


def draw_tokens_of(row: torch.Tensor, settings: Sampling) -> torch.Tensor:
    """Counts of draws of one row at a time, as the first token of a single text is drawn."""
    rows = sampler.RowSettings([settings], "cpu")
    source, counts = random.Random(2), torch.zeros(len(row), dtype=torch.long)
    for _ in range(200):
        token, _ = sampler.next_tokens(row[None], torch.zeros(1, 0).long(), rows, [source])
        counts[token] += 1
    return counts


class TestShown:
    def test_the_written_the_chosen_and_the_favourite_are_always_shown(self):
        row = row_of()
        settings = Sampling(**(OFF | {"repetition_penalty": 2.0}))
        last = int(row.argmin())
        picture = picture_of(row, settings, top=3, written=last, uniform=0.9999)
        shown = {one.token for one in picture.candidates}
        assert {last, picture.chosen, picture.likeliest} <= shown
        assert picture.find(last).rank == VOCABULARY
        assert [one.rank for one in picture.candidates] == sorted(
            one.rank for one in picture.candidates
        )
        every = picture_of(row, settings)
        ranks = {one.token: one.rank for one in every.candidates}
        assert all(ranks[one.token] == one.rank for one in picture.candidates)

    def test_tokens_behind_the_largest_top_k_are_shown_as_removed(self):
        picture = picture_of(row_of(), Sampling(**(OFF | {"top_k": 2})), top=6)
        assert [one.removed_by for one in picture.candidates[:6]] == ["", ""] + ["top_k"] * 4

    def test_used_tokens_are_marked(self):
        picture = picture_of(row_of(), Sampling(**OFF))
        assert {one.token for one in picture.candidates if one.used} == set(USED)

    def test_the_row_is_left_alone(self):
        row = row_of()
        before = row.clone()
        picture_of(row, Sampling(repetition_penalty=1.7))
        assert torch.equal(row, before)

    def test_half_precision_rows_are_drawn_as_the_engine_draws_them(self):
        row = row_of(3).to(torch.bfloat16)
        settings = Sampling(temperature=1.2, top_k=12, top_p=0.9)
        rows = sampler.RowSettings([settings], "cpu")
        for seed in range(40):
            tokens, _ = sampler.next_tokens(
                row[None], torch.tensor([USED]), rows, [random.Random(seed)]
            )
            found = picture_of(row, settings, 3, uniform=random.Random(seed).random())
            assert found.chosen == int(tokens[0])


def test_a_vocabulary_of_150_000_is_no_trouble():
    row = row_of(1, 150_000)
    picture = picture_of(row, Sampling(**(OFF | {"top_p": 0.95})), top=20, uniform=0.5)
    assert len(picture.candidates) <= 23
    total = sum(one.after[-1] for one in picture.candidates) + picture.rest[-1]
    assert total == pytest.approx(1, abs=1e-4)


class TestBits:
    def test_surprise(self):
        rows = torch.log(torch.tensor([[0.5, 0.25, 0.25], [1 / 8, 7 / 8, 1e-30]]))
        assert surprise_bits(rows, [0, 0]) == pytest.approx([1, 3], abs=1e-5)
        assert surprise_bits(rows[:0], []) == []
        assert surprise_bits(torch.log(torch.tensor([[1.0, 0.0]])), [0]) == [0.0]
        assert math.isfinite(surprise_bits(torch.log(torch.tensor([[1.0, 0.0]])), [1])[0])

    def test_divergence(self):
        left = torch.log(torch.tensor([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]]))
        right = torch.log(torch.tensor([[0.25, 0.75, 0.0], [0.2, 0.3, 0.5]]))
        expected = 0.5 * math.log2(0.5 / 0.25) + 0.5 * math.log2(0.5 / 0.75)
        assert divergence_bits(left, right) == pytest.approx([expected, 0], abs=1e-6)
        assert divergence_bits(left, left) == [0, 0]
        assert divergence_bits(right, left)[0] != pytest.approx(expected, abs=1e-3)

    def test_many_rows_and_padded_vocabularies(self):
        left, right = torch.randn(50, 40), torch.randn(50, 48)
        found = divergence_bits(left, right)
        ours, other = left.log_softmax(-1), right[:, :40].log_softmax(-1)
        expected = (ours.exp() * (ours - other)).sum(-1) / math.log(2)
        assert found == pytest.approx(expected.tolist(), abs=1e-4)
