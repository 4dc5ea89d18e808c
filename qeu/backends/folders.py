"""Check that a local folder, GGUF file or Hub snapshot can be loaded, and what it needs."""

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qeu.backends.headers import Header, read_gguf, read_safetensors
from qeu.backends.model_shape import ModelShape, shape_of_tensors
from qeu.core.errors import QeuError

COMMIT = re.compile(r"[0-9a-f]{40}")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".msgpack", ".h5")


@dataclass(frozen=True)
class ResolvedWeights:
    """Where weights are and what they need; `bytes` sums up the tensors as they are stored.

    `local` False: nothing is here yet, `path` is the Hub id, and `fetch_hub` brings
    `download_bytes`. A GGUF's bytes are those of its tensors unpacked to bfloat16. `quantised`
    names the precision that the files themselves hold ("nf4", "int8" or another method's name).
    """

    path: str
    revision: str | None
    gguf_file: str | None
    bytes: int
    dtype: str = ""
    parameters: int = 0
    local: bool = True
    download_bytes: int = 0
    shape: ModelShape | None = None
    quantised: str = ""


def find_snapshot(repo: str, revision: str | None, hub_cache: Path) -> ResolvedWeights | None:
    """The complete snapshot of a Hub id in a Hub cache folder, without asking the Hub."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo) or ".." in repo:
        raise QeuError(f"{repo!r} is not a Hub id. Write it as owner/name, as in microsoft/phi-2.")
    folder = hub_cache / f"models--{repo.replace('/', '--')}"
    commit = revision or "main"
    if not COMMIT.fullmatch(commit):
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*", commit) or ".." in commit:
            raise QeuError(f"{commit!r} is not a revision. Write a branch, a tag or a commit.")
        try:
            commit = (folder / "refs" / commit).read_text("utf-8").strip()
        except OSError:
            return None
    snapshot = folder / "snapshots" / commit
    if not COMMIT.fullmatch(commit) or not snapshot.is_dir():
        return None
    try:
        return replace(inspect_local(snapshot), revision=commit)
    except QeuError:
        # half fetched, or not loadable: the Hub's own answer says which
        return None


def inspect_local(path: Path) -> ResolvedWeights:
    """Check that a folder or .gguf file can be loaded, and say what it needs; QeuError if not."""
    path = path.expanduser()
    if path.is_file() and path.suffix == ".gguf":
        return _as_gguf(path)
    if not path.is_dir():
        raise QeuError(f"There is no folder {path}. Check the path.")
    names = sorted(p.name for p in path.iterdir() if p.exists())  # a dead link is a file missing
    if "config.json" not in names:
        if "adapter_config.json" in names:
            raise QeuError(f"{path} is an adapter, not a model. Choose its base as BASE@ADAPTER.")
        if gguf := choose_weights(str(path), names)[1]:
            return _as_gguf(path / gguf)
        raise QeuError(f"{path} has no config.json. Choose a folder written by save_pretrained.")
    config = _read_json(path / "config.json")
    check_config(str(path), config)
    shards, gguf = choose_weights(str(path), names)
    if gguf:
        return _as_gguf(path / gguf)
    if "model.safetensors.index.json" in names:
        shards = _indexed_shards(path)
        if missing := [name for name in shards if name not in names]:
            raise QeuError(
                f"{path} lacks {len(missing)} of its {len(shards)} weights files, such as "
                f"{missing[0]}. Copy or download them again."
            )
    if not any(name in names for name in _TOKENIZERS):
        raise QeuError(f"{path} has no tokenizer (tokenizer.json). Save the tokenizer there too.")
    headers = [read_safetensors(path / name) for name in shards]
    main = max(headers, key=lambda header: header.bytes)
    quantised = read_quantised(config)
    shape = shape_of_tensors((one for h in headers for one in h.shapes), config)
    return ResolvedWeights(
        str(path),
        None,
        None,
        sum(h.bytes for h in headers),
        main.dtype,
        _parameters(headers),
        shape=None if quantised else shape,
        quantised=quantised,
    )


def read_quantised(config: Mapping[str, Any]) -> str:
    """How a repository's own files are quantised, by its config.json; "" where they are not."""
    found = config.get("quantization_config")
    if not isinstance(found, dict):
        return ""
    if found.get("load_in_4bit") or found.get("_load_in_4bit"):
        return str(found.get("bnb_4bit_quant_type") or "fp4")
    if found.get("load_in_8bit") or found.get("_load_in_8bit"):
        return "int8"
    return str(found.get("quant_method") or "unknown")


def _parameters(headers: list[Header]) -> int:
    # 4-bit files hold two weights a byte, so a count of numbers would mislead
    return (
        0 if any(h.dtype in ("U8", "I8") for h in headers) else sum(h.parameters for h in headers)
    )


def _as_gguf(path: Path) -> ResolvedWeights:
    header = read_gguf(path)
    return ResolvedWeights(
        str(path.parent), None, path.name, header.bytes, header.dtype, header.parameters
    )


def choose_weights(where: str, names: Iterable[str]) -> tuple[list[str], str | None]:
    """(safetensors files, GGUF file) of a listing: exactly one of the two is chosen."""
    top = [name for name in names if "/" not in name]
    if "model.safetensors" in top:
        return ["model.safetensors"], None
    if shards := [n for n in top if re.fullmatch(r"model[\w.-]*\.safetensors", n)]:
        return shards, None
    ggufs = [n for n in top if n.endswith(".gguf")]
    if len(ggufs) == 1:
        return [], ggufs[0]
    if ggufs:
        raise QeuError(
            f"{where} holds {len(ggufs)} GGUF files ({', '.join(ggufs[:4])}, …). "
            "Download the one you want and type its path."
        )
    if any(name.endswith(_PICKLES) for name in names):
        raise QeuError(
            f"{where} has only pickled weights, which can run code when opened. "
            "Only safetensors and GGUF are loaded: choose a copy that has them."
        )
    raise QeuError(f"{where} has no weights (model.safetensors or a .gguf). Choose another one.")


def _indexed_shards(path: Path) -> list[str]:
    index = _read_json(path / "model.safetensors.index.json")
    try:
        names = sorted(set(index["weight_map"].values()))
        if any(not isinstance(n, str) or not re.fullmatch(r"[\w.-]+", n) for n in names):
            raise ValueError("a shard's name is not a plain file name")
    except (KeyError, AttributeError, TypeError, ValueError) as e:
        raise QeuError(
            f"The list of weights files in {path} is broken ({e}). Fetch it again."
        ) from e
    return names


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
        if not isinstance(value, dict):
            raise ValueError("it is not an object")
    except (OSError, ValueError) as e:
        raise QeuError(f"{path} cannot be read ({e}). Fetch or write it again.") from e
    return value


def check_config(name: str, config: Mapping[str, Any]) -> None:
    """Refuse what is not a causal language model, or what only its own code could load."""
    architectures = config.get("architectures") or []
    plain = any(str(a).endswith(("ForCausalLM", "LMHeadModel")) for a in architectures)
    if plain and not config.get("auto_map"):
        return
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as KNOWN

    known = any(a in KNOWN.values() for a in architectures)
    if known or (not architectures and config.get("model_type") in KNOWN):
        return
    if config.get("auto_map"):
        raise QeuError(
            f"{name} can only be loaded by running code of its own, which is never done here. "
            "Choose a model that transformers knows."
        )
    kind = architectures[0] if architectures else config.get("model_type", "unknown")
    raise QeuError(
        f"{name} is not a text-generating model ({kind}). Choose one of the kind …ForCausalLM."
    )


def small_files(names: Iterable[str]) -> list[str]:
    """The files beside the weights that loading needs: configuration, tokenizer, template."""
    endings = (".json", ".txt", ".jinja", ".model")
    return [n for n in names if os.path.dirname(n) == "" and n.endswith(endings)]
