"""The whole request of one generation in canonical form, and the cache key made from it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from qeu.core.prompts import Prompt
from qeu.core.sampling import Sampling

# Raise it when the same request would be answered otherwise (renderer, sampler, decode loop).
REQUEST_VERSION = 1


@dataclass(frozen=True)
class Request:
    """Everything that a generation's text depends on.

    `base_url` is None for local models; `revision` is the Hub commit or the hash of local weights.
    `sample` numbers repeated draws of the same request.
    """

    model: str
    revision: str
    prompt: Prompt
    sampling: Sampling
    adapter: str | None = None
    adapter_hash: str | None = None
    base_url: str | None = None
    dtype: str = "bfloat16"
    exact: bool = False
    sample: int = 0

    def canonical(self) -> dict[str, object]:
        """Plain values in the shape that the key is made from (tests/contract/request.json)."""
        return {
            "version": REQUEST_VERSION,
            "model": self.model,
            "revision": self.revision,
            # A name is only a name: the same weights under another name are the same adapter.
            "adapter_hash": self.adapter_hash,
            "base_url": self.base_url,
            "dtype": self.dtype,
            "exact": self.exact,
            "layout": self.prompt.layout,
            "target": self.prompt.target,
            "text": self.prompt.text,
            "messages": [{"role": m.role, "content": m.content} for m in self.prompt.messages],
            "prefill": self.prompt.prefill,
            "stop": list(self.prompt.stop),
            "sampling": dict(vars(self.sampling)),  # asdict takes most of a key's time
            "sample": self.sample,
        }

    def key(self) -> str:
        """SHA-256 of the canonical JSON, as 64 hex digits."""
        return hash_json(self.canonical())


def hash_json(data: Mapping[str, object]) -> str:
    """SHA-256 of JSON with sorted keys, no blanks, UTF-8; lone surrogates are kept apart."""
    text = json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def hash_adapter(digests: Mapping[str, str]) -> str:
    """One hash for an adapter folder from its files' SHA-256 by name.

    Only what changes the output counts: `adapter_config.json` and the weight files; cards and
    logs do not (callers leave them out).
    """
    return hash_json(dict(digests))
