"""Find out which kind of server answers, from its list of models and its own paths."""

from collections.abc import Mapping, Sequence
from typing import Any

from qeu.backends.hosted_client import HostedClient
from qeu.backends.providers import ProviderKind

# Who a server says its models belong to.
_OWNERS: Mapping[str, ProviderKind] = {
    "vllm": "vllm",
    "llamacpp": "llama.cpp",
    "library": "ollama",
}


def detect_kind(client: HostedClient, models: Sequence[Mapping[str, Any]]) -> ProviderKind:
    """The kind of server; "openai" where nothing tells. Each question waits two seconds at most."""
    for entry in models:
        if kind := _OWNERS.get(str(entry.get("owned_by", "")).lower()):
            return kind
    props = client.probe("/props")
    if isinstance(props, dict) and "default_generation_settings" in props:
        return "llama.cpp"
    # vLLM and Ollama both tell a version, at paths of their own
    if _has_version(client.probe("/api/version")):
        return "ollama"
    if _has_version(client.probe("/version")):
        return "vllm"
    described = client.probe("/openapi.json")
    paths = described.get("paths") if isinstance(described, dict) else None
    if isinstance(paths, dict) and "/load_model" in paths and "/v1/responses" in paths:
        return "transformers"
    return "openai"


def read_context(entry: Mapping[str, Any]) -> int:
    """Tokens that a model of a list can read; 0 where the list does not tell."""
    meta = entry.get("meta")
    inner = meta if isinstance(meta, Mapping) else {}
    for value in (
        entry.get("context_window"),  # Groq
        entry.get("max_model_len"),  # vLLM
        entry.get("context_length"),
        inner.get("n_ctx"),  # llama.cpp
        inner.get("n_ctx_train"),
    ):
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return 0


def read_server_context(client: HostedClient) -> int:
    """Tokens that llama.cpp was started with, which may be fewer than its model could read."""
    props = client.probe("/props")
    settings = props.get("default_generation_settings") if isinstance(props, dict) else None
    found = settings.get("n_ctx") if isinstance(settings, dict) else None
    return found if isinstance(found, int) and found > 0 else 0


def _has_version(told: Any) -> bool:
    return isinstance(told, dict) and isinstance(told.get("version"), str)
