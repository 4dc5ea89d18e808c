"""Data on providers and hosted models: what is preferred, left out, and fit for which language."""

import json

import pytest

from qeu.backends.providers import (
    GROQ_PREFERENCE,
    PROVIDERS,
    hosted_fitness,
    is_chat_model,
    pick_default,
    takes_reasoning_format,
    thinks,
)
from qeu.core.sampling import Sampling

OTHERS = ["whisper-large-v3", "playai-tts", "meta-llama/llama-guard-4-12b", "groq/compound-mini"]


def test_the_strongest_llama_3_comes_first_where_the_account_has_it():
    offered = [*OTHERS, "openai/gpt-oss-120b", "llama-3.1-8b-instant", "llama-3.3-70b-versatile"]
    assert pick_default(offered) == "llama-3.3-70b-versatile"


def test_without_any_llama_another_family_steps_in():
    assert pick_default([*OTHERS, "qwen/qwen3-32b", "openai/gpt-oss-120b"]) == "openai/gpt-oss-120b"


def test_a_model_that_nobody_listed_is_better_than_none():
    assert pick_default([*OTHERS, "acme/brand-new-9b"]) == "acme/brand-new-9b"


@pytest.mark.parametrize("offered", [[], OTHERS])
def test_no_chat_model_means_no_default(offered):
    assert pick_default(offered) is None


@pytest.mark.parametrize("name", [*OTHERS, "distil-whisper-large-v3-en", "text-embedding-3-small",
                                  "openai/gpt-oss-safeguard-20b", "llama-prompt-guard-2-86m",
                                  "canopylabs/orpheus-v1-english", "compound-beta"])  # fmt: skip
def test_speech_guard_and_embedding_models_are_left_out(name):
    assert not is_chat_model(name)


@pytest.mark.parametrize("name", GROQ_PREFERENCE)
def test_every_preferred_model_is_a_chat_model(name):
    assert is_chat_model(name)


@pytest.mark.parametrize(
    ("name", "writes"),
    [
        ("llama-3.1-8b-instant", ("en",)),
        ("llama3-8b-8192", ("en",)),
        ("meta-llama/Meta-Llama-3-8B-Instruct", ("en",)),
        ("llama-3.2-3b-preview", ("en",)),
        ("llama-3.3-70b-versatile", ("en", "ja", "zh")),
        ("llama3-70b-8192", ("en", "ja", "zh")),
        ("qwen/qwen3-32b", ("en", "ja", "zh")),
        ("openai/gpt-oss-120b", ("en", "ja", "zh")),
        ("SmolLM2-135M-Instruct.Q4_1.gguf", ("en",)),
    ],
)
def test_a_family_is_known_by_what_it_writes(name, writes):
    fitness = hosted_fitness(name)
    assert fitness.known
    assert fitness.writes == writes
    assert set(fitness.translates) <= set(writes)
    assert len(writes) < 3 or fitness.translates == writes


def test_an_unknown_model_counts_as_fit_and_says_that_it_is_a_guess():
    fitness = hosted_fitness("acme/brand-new-9b")
    assert (fitness.known, fitness.writes, fitness.translates) == (False, ("en", "ja", "zh"), ())


def test_only_groq_models_that_need_it_are_asked_for_parsed_thinking():
    assert takes_reasoning_format("qwen/qwen3-32b")
    assert not takes_reasoning_format("openai/gpt-oss-120b")
    assert not takes_reasoning_format("llama-3.3-70b-versatile")
    assert thinks("openai/gpt-oss-120b")
    assert not thinks("llama-3.3-70b-versatile")


@pytest.mark.parametrize("kind", PROVIDERS)
def test_every_provider_names_our_settings_only(kind):
    provider = PROVIDERS[kind]
    settings = set(Sampling().to_json())
    assert provider.kind == kind
    assert set(provider.takes) | set(provider.off) | set(provider.in_config) <= settings
    assert {"temperature", "max_new_tokens", "top_p", "seed"} <= set(provider.takes)
    json.dumps([dict(provider.takes), dict(provider.off), dict(provider.prefill_flags)])
