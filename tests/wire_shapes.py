"""The bodies and headers that Groq and OpenAI-like servers send, each kind with its marks."""

import json
from collections.abc import Mapping, Sequence
from typing import Literal

Kind = Literal["groq", "openai", "vllm", "llama.cpp", "ollama", "transformers"]
KINDS: tuple[Kind, ...] = ("groq", "openai", "vllm", "llama.cpp", "ollama", "transformers")
CREATED = 1_760_000_000
CONTEXT = 8_192

MODELS: dict[Kind, tuple[str, ...]] = {
    "groq": ("llama-3.3-70b-versatile", "llama-3.1-8b-instant", "openai/gpt-oss-20b"),
    "openai": ("some-model",),
    "vllm": ("meta-llama/Llama-3.1-8B-Instruct",),
    "llama.cpp": ("SmolLM2-135M-Instruct.Q4_1.gguf",),
    "ollama": ("llama3:latest",),
    "transformers": ("some-owner/some-model",),
}
OWNERS: dict[Kind, str] = {
    "groq": "Meta",
    "openai": "somebody",
    "vllm": "vllm",
    "llama.cpp": "llamacpp",
    "ollama": "library",
    "transformers": "some-owner",
}
# Where a delta carries the model's own thinking.
THINKING_FIELDS: dict[Kind, str] = {
    "groq": "reasoning",
    "openai": "reasoning_content",
    "vllm": "reasoning_content",
    "llama.cpp": "reasoning_content",
    "ollama": "reasoning",
    "transformers": "reasoning_content",
}
REJECTED: dict[Kind, tuple[str, ...]] = {
    "groq": ("top_k", "min_p", "repetition_penalty", "logprobs", "top_logprobs", "logit_bias"),
    "openai": ("top_k", "min_p", "repetition_penalty"),
    "vllm": (),
    "llama.cpp": (),
    "ollama": (),
    "transformers": ("top_k", "min_p", "repetition_penalty"),
}
# 30 of a day's requests and 2,298 of a minute's tokens are used up
GROQ_RATES = {
    "x-ratelimit-limit-requests": "14400",
    "x-ratelimit-limit-tokens": "18000",
    "x-ratelimit-remaining-requests": "14370",
    "x-ratelimit-remaining-tokens": "15702",
    "x-ratelimit-reset-requests": "2m59.56s",
    "x-ratelimit-reset-tokens": "7.66s",
}


def encode(data: object) -> bytes:
    """JSON with its characters as UTF-8, as these servers write it."""
    return json.dumps(data, ensure_ascii=False).encode()


def model_card(kind: Kind, model: str | Mapping[str, object]) -> dict[str, object]:
    """One entry of the model list; a mapping adds to it or replaces its fields."""
    given = {"id": model} if isinstance(model, str) else dict(model)
    card: dict[str, object] = {
        "object": "model",
        "created": CREATED,
        "owned_by": OWNERS[kind],
    }
    if kind == "groq":
        card |= {"active": True, "context_window": 131_072, "max_completion_tokens": 32_768}
        card |= {"public_apps": None}
    elif kind == "vllm":
        card |= {"root": given["id"], "parent": None, "max_model_len": CONTEXT, "permission": []}
    elif kind == "llama.cpp":
        card |= {"meta": {"n_ctx_train": CONTEXT, "n_vocab": 49_152, "n_params": 134_515_008}}
    return card | given


def about(kind: Kind, path: str) -> dict[str, object] | None:
    """What a kind of server tells of itself at its own paths; None where it has no such path."""
    if kind == "vllm" and path == "/version":
        return {"version": "0.11.0"}
    if kind == "llama.cpp" and path == "/props":
        return {
            "default_generation_settings": {"n_ctx": CONTEXT, "params": {"top_k": 40}},
            "total_slots": 1,
            "model_path": "models/some.gguf",
            "build_info": "b6000-0000000",
        }
    if kind == "ollama" and path == "/api/version":
        return {"version": "0.12.0"}
    if kind in ("vllm", "llama.cpp", "transformers") and path == "/health":
        return {"status": "ok"}
    if kind == "transformers" and path == "/openapi.json":
        paths = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/models")
        return {"openapi": "3.1.0", "paths": {path: {} for path in (*paths, "/load_model")}}
    return None


def error_body(
    kind: Kind, status: int, message: str, *, type_: str = "", code: str = "", param: str = ""
) -> dict[str, object]:
    """An error in the form of its kind of server."""
    error: dict[str, object] = {"message": message, "type": type_ or "invalid_request_error"}
    if kind == "groq":
        return {"error": error | ({"code": code} if code else {})}
    if kind == "transformers":
        return {"detail": message}
    if kind == "llama.cpp":
        return {"error": {"code": status, **error}}
    if kind == "vllm":
        return {"error": error | {"param": param or None, "code": status}}
    return {"error": error | {"param": param or None, "code": code or None}}


def rejection(kind: Kind, status: int, name: str) -> dict[str, object]:
    """The refusal of a parameter; 422 comes in the form of FastAPI's own validation."""
    if kind == "transformers":
        return error_body(kind, status, f"Unexpected fields in the request: {{{name!r}}}")
    if status == 422:
        text = "Extra inputs are not permitted"
        return {"detail": [{"type": "extra_forbidden", "loc": ["body", name], "msg": text}]}
    if kind == "groq":
        return error_body(kind, status, f"property '{name}' is unsupported")
    text = f"Unknown parameter: '{name}'."
    return error_body(kind, status, text, code="unknown_parameter", param=name)


def rate_limit(model: str, per: Literal["minute", "day"], wait: str) -> dict[str, object]:
    """Groq's body of a 429, for its tokens a minute or its tokens a day."""
    short, limit = ("TPM", 12_000) if per == "minute" else ("TPD", 100_000)
    message = (
        f"Rate limit reached for model `{model}` in organization `org_0` service tier `on_demand` "
        f"on tokens per {per} ({short}): Limit {limit}, Used {limit - 50}, Requested 900. "
        f"Please try again in {wait}. Need more tokens? Upgrade to Dev Tier today at "
        "https://console.groq.com/settings/billing"
    )
    return error_body("groq", 429, message, type_="tokens", code="rate_limit_exceeded")


def usage(kind: Kind, prompt: int, words: int, thinking: int) -> dict[str, object]:
    """Token counts of one completion; thinking is among the completion's tokens."""
    new = words + thinking
    counts: dict[str, object] = {
        "prompt_tokens": prompt,
        "completion_tokens": new,
        "total_tokens": prompt + new,
    }
    if kind == "groq":
        counts |= {"queue_time": 0.09, "prompt_time": 0.01, "completion_time": 0.03}
        counts |= {"total_time": 0.04}
    if thinking and kind in ("groq", "openai"):
        counts["completion_tokens_details"] = {"reasoning_tokens": thinking}
    return counts


def chunk(model: str, choices: Sequence[object], **more: object) -> dict[str, object]:
    """One piece of a streamed chat completion."""
    return {
        "id": "chatcmpl-0",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": model,
        "system_fingerprint": "fp_0",
        "choices": list(choices),
        **more,
    }


def choice(
    delta: Mapping[str, object], finish: str | None = None, logprobs: object = None
) -> dict[str, object]:
    """The one choice of a chunk."""
    return {"index": 0, "delta": dict(delta), "logprobs": logprobs, "finish_reason": finish}


def logprobs_of(word: str) -> dict[str, object]:
    """Log probabilities of one token, as chat completions carry them."""
    token = {"token": word, "logprob": -0.5, "bytes": list(word.encode())}
    return {"content": [{**token, "top_logprobs": [token]}]}
