"""What each kind of provider takes, adds and lacks, as data; which hosted models to prefer."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

ProviderKind = Literal["groq", "openai", "vllm", "llama.cpp", "ollama", "transformers"]
LANGUAGES = ("en", "ja", "zh")


@dataclass(frozen=True)
class Provider:
    """One kind of server. `takes` maps our setting's name to the name it has on the wire.

    Names in `in_config` travel inside `generation_config`, a JSON text. `off` are values that
    switch a setting off there: they are sent, because a server's own default may be on.
    `completions`: plain text can be continued, as the tagged layouts want. `prefill`: a trailing
    assistant message is continued, with `prefill_flags`. `thinking_fields`: where a delta carries
    the model's own thinking; anywhere else it comes as <think>…</think> in the text, and where
    the template opened it, with `bare_end`, as all before a </think> on a line of its own.
    """

    kind: ProviderKind
    label: str
    takes: Mapping[str, str]
    in_config: tuple[str, ...] = ()
    off: Mapping[str, float] = field(default_factory=dict)
    max_temperature: float | None = None
    max_seed: int = 2**63 - 1
    max_stops: int = 4
    completions: bool = True
    prefill: bool = False
    prefill_flags: Mapping[str, bool] = field(default_factory=dict)
    thinking_fields: tuple[str, ...] = ("reasoning_content", "reasoning")
    bare_end: bool = True
    usage_option: bool = True
    logprobs: bool = False
    concurrency: int = 8
    lists_all: bool = True  # a model that is not in its list is not there


_STANDARD = {
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "max_new_tokens": "max_tokens",
}

PROVIDERS: Mapping[str, Provider] = {
    # Source: the request types of groq 1.7.0 and the sentences on its rate-limit page
    "groq": Provider(
        "groq",
        "Groq",
        {**_STANDARD, "max_new_tokens": "max_completion_tokens"},
        max_temperature=2.0,
        completions=False,
        prefill=True,
        thinking_fields=("reasoning",),
        bare_end=False,
        concurrency=4,
    ),
    # Nobody knows what an unknown server takes beyond the standard
    "openai": Provider(
        "openai", "OpenAI-compatible server", _STANDARD, max_temperature=2.0, logprobs=True
    ),
    "vllm": Provider(
        "vllm",
        "vLLM",
        {
            **_STANDARD,
            "top_k": "top_k",
            "min_p": "min_p",
            "repetition_penalty": "repetition_penalty",
        },
        off={"top_k": -1},  # older versions refuse 0
        max_stops=64,
        prefill=True,
        prefill_flags={"add_generation_prompt": False, "continue_final_message": True},
        logprobs=True,
        concurrency=16,
    ),
    "llama.cpp": Provider(
        "llama.cpp",
        "llama.cpp",
        {
            **_STANDARD,
            "top_k": "top_k",
            "min_p": "min_p",
            "repetition_penalty": "repeat_penalty",
        },
        max_seed=2**31 - 1,
        max_stops=64,
        prefill=True,
        logprobs=True,
        concurrency=4,
    ),
    # Its /v1/completions puts the model's template around the text, so it is no text completion
    "ollama": Provider(
        "ollama",
        "Ollama",
        _STANDARD,
        max_seed=2**31 - 1,
        max_stops=64,
        completions=False,
        prefill=True,
        concurrency=4,
    ),
    # Source: transformers 5.23, cli/serving; stream_options is refused, usage comes without it
    "transformers": Provider(
        "transformers",
        "transformers serve",
        {
            **_STANDARD,
            "top_k": "top_k",
            "min_p": "min_p",
            "repetition_penalty": "repetition_penalty",
        },
        in_config=("top_k", "min_p", "repetition_penalty"),
        max_seed=2**32 - 1,
        max_stops=64,
        usage_option=False,
        concurrency=1,  # it computes one request after the other
        lists_all=False,  # a local folder is served without being listed
    ),
}

# The Llama-3 family first, strongest first: it is the teacher that the method was made with.
GROQ_PREFERENCE = (
    "llama-3.3-70b-versatile",
    "llama-3.3-70b-specdec",
    "llama-3.1-70b-versatile",
    "llama3-70b-8192",
    "llama-3.1-8b-instant",
    "llama3-8b-8192",
    "openai/gpt-oss-120b",
    "qwen/qwen3-32b",
    "qwen/qwen3.8-27b",
    "qwen/qwen3.6-27b",
    "moonshotai/kimi-k2-instruct-0905",
    "moonshotai/kimi-k2-instruct",
    "meta-llama/llama-4-maverick-17b-128e-instruct",
    "meta-llama/llama-4-scout-17b-16e-instruct",
    "openai/gpt-oss-20b",
    "gemma2-9b-it",
)
# Models that write no text of their own, and agents that browse and run code before they answer.
_NOT_CHAT = re.compile(
    r"whisper|tts|guard|speech|orpheus|playai|embed|rerank|moderation|transcri|audio|realtime"
    r"|dall-e|image|\bocr\b|\bcompound\b",
    re.IGNORECASE,
)
# Groq's models that think and take reasoning_format; gpt-oss thinks apart without being asked to.
_PARSED = re.compile(r"qwen[/-]?(?:qwen)?-?3|qwq|deepseek-r1|thinking", re.IGNORECASE)
_THINKS = re.compile(_PARSED.pattern + r"|gpt-oss", re.IGNORECASE)


def is_chat_model(name: str) -> bool:
    """Whether a hosted model answers in text, as far as its name tells."""
    return _NOT_CHAT.search(name) is None


def thinks(name: str) -> bool:
    """Whether a hosted model is known to think before it answers; then nothing can be prefilled."""
    return _THINKS.search(name) is not None


def takes_reasoning_format(name: str) -> bool:
    """Whether Groq gives this model's thinking apart only where `reasoning_format` asks for it."""
    return _PARSED.search(name) is not None


def pick_default(models: Iterable[str]) -> str | None:
    """The teacher to begin with: the first of the preference list that is offered, else any."""
    offered = [name for name in models if is_chat_model(name)]
    for name in GROQ_PREFERENCE:
        if name in offered:
            return name
    return offered[0] if offered else None


@dataclass(frozen=True)
class HostedFitness:
    """Which languages a family reads, writes and translates into; `known` False is a guess."""

    family: str
    reads: tuple[str, ...] = LANGUAGES
    writes: tuple[str, ...] = LANGUAGES
    translates: tuple[str, ...] = ()
    known: bool = True


_UNKNOWN = HostedFitness("", known=False)
# The first pattern that is found counts. Llama-3 8B is weak when it writes Japanese.
_FITNESS: tuple[tuple[str, HostedFitness], ...] = (
    (
        r"llama-?3(?:\.\d)?[-_: ].*\b[1-9]b\b",
        HostedFitness("llama-3-8b", writes=("en",), translates=("en",)),
    ),
    (r"llama-?3.*\b(?:70|405)b\b", HostedFitness("llama-3-70b", translates=LANGUAGES)),
    (r"llama-?4", HostedFitness("llama-4", translates=LANGUAGES)),
    (r"qwen", HostedFitness("qwen", translates=LANGUAGES)),
    (r"gpt-oss|gpt-[45]|\bo[1345]\b", HostedFitness("gpt", translates=LANGUAGES)),
    (r"kimi", HostedFitness("kimi", translates=LANGUAGES)),
    (r"deepseek", HostedFitness("deepseek", translates=LANGUAGES)),
    (r"gemma-?[2-9]", HostedFitness("gemma", translates=LANGUAGES)),
    (r"smollm", HostedFitness("smollm", reads=("en",), writes=("en",))),
    (r"phi-?2", HostedFitness("phi-2", reads=("en", "ja"), writes=("en",))),
)


def hosted_fitness(name: str) -> HostedFitness:
    """What the family of a hosted model is known to do; an unknown one counts as fit for all."""
    for pattern, fitness in _FITNESS:
        if re.search(pattern, name, re.IGNORECASE):
            return fitness
    return _UNKNOWN
