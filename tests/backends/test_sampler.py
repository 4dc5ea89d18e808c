"""The sampler's steps agree with transformers' own, and its draws with what it shows."""

import random

import pytest
import torch
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from qeu.backends import sampler
from qeu.core.sampling import Sampling

VOCABULARY = 500
OFF = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0}
CASES = [
    {},
    {"temperature": 0.3},
    {"top_k": 7},
    {"top_p": 0.6},
    {"top_p": 0.0},
    {"min_p": 0.2},
    {"repetition_penalty": 1.4},
    {"repetition_penalty": 0.7},
    {"temperature": 0.7, "top_k": 40, "top_p": 0.8},
    {"temperature": 1.5, "top_k": 40, "min_p": 0.1},
    {"temperature": 1.2, "top_p": 0.9, "min_p": 0.05},
    {"temperature": 0.3, "top_k": 50, "top_p": 0.9, "repetition_penalty": 1.1},
    {"temperature": 2.0, "top_k": 3, "top_p": 0.99, "min_p": 0.3, "repetition_penalty": 1.2},
    {"top_k": 1_000},
]


def logits_of(rows: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, VOCABULARY, generator=torch.Generator().manual_seed(seed)) * 3


def used_ids(rows: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    # ids twice over: a token that stands in a row twice is penalised once
    return torch.randint(0, VOCABULARY, (rows, 60), generator=generator).repeat(1, 2)


def ours(logits: torch.Tensor, used: torch.Tensor, rows: list[Sampling]) -> torch.Tensor:
    """Probabilities over the whole vocabulary, as the draw sees them."""
    settings = sampler.RowSettings(rows, "cpu")
    scores = sampler.penalise(logits.clone(), used, settings.penalty)
    ranked, ids = sampler.rank(scores, settings, settings.columns(VOCABULARY))
    found = sampler.filter_candidates(ids, ranked, settings)
    return torch.zeros_like(logits).scatter(1, found.ids, found.probabilities)


def theirs(logits: torch.Tensor, used: torch.Tensor, settings: Sampling) -> torch.Tensor:
    steps = LogitsProcessorList()
    if settings.repetition_penalty != 1:
        steps.append(RepetitionPenaltyLogitsProcessor(settings.repetition_penalty))
    steps.append(TemperatureLogitsWarper(settings.temperature))
    if settings.top_k:
        steps.append(TopKLogitsWarper(settings.top_k))
    if settings.top_p < 1:
        steps.append(TopPLogitsWarper(settings.top_p))
    if settings.min_p:
        steps.append(MinPLogitsWarper(settings.min_p))
    return steps(used, logits.clone()).softmax(-1)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_filter_equals_that_of_transformers(case):
    settings = Sampling(**(OFF | case))
    logits, used = logits_of(4), used_ids(4)
    found = ours(logits, used, [settings] * 4)
    expected = theirs(logits, used, settings)
    assert torch.equal(found > 0, expected > 0)
    torch.testing.assert_close(found, expected)


def test_rows_keep_their_own_settings_in_one_batch():
    rows = [Sampling(**(OFF | case)) for case in CASES]
    logits, used = logits_of(len(rows)), used_ids(len(rows))
    found = ours(logits, used, rows)
    for at, settings in enumerate(rows):
        alone = theirs(logits[at : at + 1], used[at : at + 1], settings)
        torch.testing.assert_close(found[at : at + 1], alone)


def test_draws_come_as_often_as_the_shown_probabilities_say():
    settings = Sampling(temperature=1.3, top_k=12, top_p=0.95, repetition_penalty=1.2)
    logits, used = logits_of(1, seed=3), used_ids(1)
    shown = ours(logits, used, [settings])[0]
    draws = 20_000
    rows = sampler.RowSettings([settings] * draws, "cpu")
    randoms = [random.Random(seed) for seed in range(draws)]
    tokens, _ = sampler.next_tokens(logits.expand(draws, -1), used.expand(draws, -1), rows, randoms)
    counts = torch.bincount(tokens, minlength=VOCABULARY)
    kept = shown > 0
    assert counts[~kept].sum() == 0
    expected = shown[kept] * draws
    chi_squared = ((counts[kept] - expected) ** 2 / expected).sum()
    # 99.99 % of fair draws lie below this for at most 11 degrees of freedom
    assert 4 <= kept.sum() <= 12
    assert chi_squared < 37.4


def test_a_number_picks_the_token_whose_share_it_falls_into():
    ids = torch.tensor([[30, 10, 20]])
    probabilities = torch.tensor([[0.5, 0.3, 0.2]])
    found = sampler.Candidates(ids, probabilities, torch.zeros_like(ids), probabilities)
    drawn = {u: int(sampler.draw(found, [u])[0]) for u in (0.0, 0.49, 0.51, 0.79, 0.81, 0.9999)}
    assert drawn == {0.0: 30, 0.49: 30, 0.51: 10, 0.79: 10, 0.81: 20, 0.9999: 20}
    none_left = torch.tensor([[1.0, 0.0, 0.0]])
    found = sampler.Candidates(ids, none_left, torch.zeros_like(ids), none_left)
    assert int(sampler.draw(found, [1 - 2**-53])[0]) == 30


def test_each_removed_token_names_the_first_step_that_dropped_it():
    logits = torch.log(torch.tensor([[0.4, 0.3, 0.2, 0.06, 0.04]]))
    settings = sampler.RowSettings(
        [Sampling(**(OFF | {"top_k": 4, "top_p": 0.85, "min_p": 0.6}))], "cpu"
    )
    ranked, ids = sampler.rank(logits, settings, 5)
    found = sampler.filter_candidates(ids, ranked, settings)
    names = [sampler.KEPT, sampler.KEPT, sampler.MIN_P, sampler.TOP_P, sampler.TOP_K]
    assert found.ids.tolist() == [[0, 1, 2, 3, 4]]
    assert found.removed_by.tolist() == [names]


def test_greedy_takes_the_best_and_draws_no_number():
    logits, used = logits_of(3), used_ids(3)
    rows = [Sampling(greedy=True), Sampling(temperature=0), Sampling(temperature=1.0)]
    randoms = [random.Random(seed) for seed in range(3)]
    tokens, _ = sampler.next_tokens(logits, used, sampler.RowSettings(rows, "cpu"), randoms)
    penalised = theirs(logits, used, Sampling(**(OFF | {"repetition_penalty": 1.1})))
    assert tokens[:2].tolist() == penalised.argmax(-1)[:2].tolist()
    assert randoms[0].getstate() == random.Random(0).getstate()
    assert randoms[2].getstate() != random.Random(2).getstate()


def test_a_draw_depends_on_its_own_seed_and_row_only():
    logits, used = logits_of(6), used_ids(6)
    rows = [Sampling(temperature=2.0, top_k=(5, 0, 50)[at % 3], seed=at) for at in range(6)]

    def tokens(places: list[int]) -> list[int]:
        settings = sampler.RowSettings([rows[at] for at in places], "cpu")
        randoms = [random.Random(rows[at].seed) for at in places]
        return sampler.next_tokens(logits[places], used[places], settings, randoms)[0].tolist()

    together = tokens(list(range(6)))
    assert together == [tokens([at])[0] for at in range(6)]
    assert list(reversed(together)) == tokens([5, 4, 3, 2, 1, 0])


def test_the_models_own_scores_are_left_alone():
    logits, used = logits_of(2), used_ids(2)
    before = logits.clone()
    settings = sampler.RowSettings([Sampling(repetition_penalty=1.5)] * 2, "cpu")
    sampler.next_tokens(logits, used, settings, [random.Random(0), random.Random(1)])
    assert torch.equal(logits, before)
