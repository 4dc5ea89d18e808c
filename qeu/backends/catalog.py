"""The table of models and what each is fit for, as data."""

import difflib
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from qeu.backends.memory_estimate import weights_bytes
from qeu.backends.model_shape import known_shape
from qeu.core.errors import QeuError

Kind = Literal["local", "groq", "server"]
Task = Literal["answer", "reason", "teach", "translate", "fuse", "judge", "label"]
TASKS: tuple[Task, ...] = ("answer", "reason", "teach", "translate", "fuse", "judge", "label")
LANGUAGES = ("en", "ja", "zh")
_HOSTED = re.compile(r"(?:groq|server(?::[A-Za-z0-9_-]{1,32})?)/\S[^\r\n]*")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


@dataclass(frozen=True)
class ModelCard:
    """One model. `tested` False is a name that a person typed: nobody knows what it can do.

    `memory_bytes` is what the weights need as bfloat16, or in 4 bits where the repository holds
    them so; 0 is unknown, as are 0 `parameters` and a `context` of 0. `layout` is the default
    prompt layout. `hub_repo` "" is not on the Hub; `embedded` takes the copy in our own cache.
    """

    id: str
    label: str
    kind: Kind = "local"
    hub_repo: str = ""
    path: str = ""
    parameters: int = 0
    context: int = 0
    licence: str = "unknown"
    layout: str = "chat"
    four_bit: bool = False
    memory_bytes: int = 0
    embedded: bool = False
    gated: bool = False
    tested: bool = True
    reads: tuple[str, ...] = LANGUAGES
    writes: tuple[str, ...] = LANGUAGES
    fit_for: tuple[Task, ...] = TASKS

    @property
    def needs_bytes(self) -> int:
        """Memory for the weights as loaded by default on a GPU (4 bits where that is default)."""
        shape = known_shape(self.hub_repo)
        if not self.four_bit or shape is None or self.memory_bytes < 2 * self.parameters:
            return self.memory_bytes
        return weights_bytes(shape, "nf4")


@dataclass(frozen=True)
class Unfit:
    """Why a model is not fit: a code for the page to word, the facts for it, and the way out.

    Codes: cannot_do (facts: label, task), cannot_read and cannot_write (facts: label, language).
    `instead` names models of the table that are fit.
    """

    code: Literal["cannot_do", "cannot_read", "cannot_write"]
    facts: dict[str, str]
    instead: tuple[str, ...] = field(default=())


_LLAMA_3 = ModelCard(
    id="llama-3-8b",
    label="Llama-3 8B Instruct",
    hub_repo="unsloth/llama-3-8b-Instruct",
    parameters=8_030_261_248,
    context=8_192,
    licence="llama3",
    four_bit=True,
    memory_bytes=16_060_522_496,
    # reads Japanese and Chinese, but its Japanese is weak when it writes (BONSAI, 22 April)
    writes=("en",),
)

_MODELS = (
    ModelCard(
        id="smollm2-135m",
        label="SmolLM2 135M Instruct (embedded)",
        hub_repo="HuggingFaceTB/SmolLM2-135M-Instruct",
        parameters=134_515_008,
        context=8_192,
        licence="apache-2.0",
        memory_bytes=269_030_016,
        embedded=True,
        reads=("en",),
        writes=("en",),
        fit_for=("answer",),
    ),
    ModelCard(
        id="phi-2",
        label="Phi-2",
        hub_repo="microsoft/phi-2",
        parameters=2_779_683_840,
        context=2_048,
        licence="mit",
        # a base model without a chat template; the tagged layout is what its adapters learn,
        # and a fair comparison asks base and adapter in the same words
        layout="bonsai-v2",
        four_bit=True,
        memory_bytes=5_559_367_680,
        reads=("en", "ja"),
        writes=("en",),
        fit_for=("answer", "reason"),
    ),
    _LLAMA_3,
    replace(
        _LLAMA_3,
        id="llama-3-8b-4bit",
        label="Llama-3 8B Instruct (4-bit download)",
        hub_repo="unsloth/llama-3-8b-Instruct-bnb-4bit",
        memory_bytes=5_702_746_380,
    ),
    replace(
        _LLAMA_3,
        id="llama-3-8b-meta",
        label="Llama-3 8B Instruct (Meta's original, gated)",
        hub_repo="meta-llama/Meta-Llama-3-8B-Instruct",
        gated=True,
    ),
    # fit for what the Llama-3 of the table is not: writing Japanese and Chinese
    ModelCard(
        id="qwen2.5-7b",
        label="Qwen2.5 7B Instruct",
        hub_repo="Qwen/Qwen2.5-7B-Instruct",
        parameters=7_615_616_512,
        context=32_768,
        licence="apache-2.0",
        four_bit=True,
        memory_bytes=15_231_233_024,
    ),
    ModelCard(
        id="qwen2.5-1.5b",
        label="Qwen2.5 1.5B Instruct",
        hub_repo="Qwen/Qwen2.5-1.5B-Instruct",
        parameters=1_543_714_304,
        context=32_768,
        licence="apache-2.0",
        memory_bytes=3_087_428_608,
        fit_for=("answer", "translate"),
    ),
)


def list_models() -> tuple[ModelCard, ...]:
    """The models of the table, the embedded default first."""
    return _MODELS


def find_model(name: str, *, local_paths: bool = True) -> ModelCard:
    """The card of an id, or one made for a typed name.

    A typed name is `groq/NAME`, `server/NAME` or `server:LAB/NAME`, a Hub id `owner/name`, or,
    with `local_paths`, an existing folder or .gguf file. A public page passes False, so that no
    path is ever looked at.
    """
    name = name.strip()
    for card in _MODELS:
        if name == card.id:
            return card
    if is_hosted(name):
        provider, _, hosted = name.partition("/")
        kind: Kind = "groq" if provider == "groq" else "server"
        return ModelCard(id=name, label=hosted, kind=kind, tested=False)
    if local_paths and (found := _find_local(name)):
        return found
    if _HUB_ID.fullmatch(name) and ".." not in name and not name.endswith(".gguf"):
        for card in _MODELS:
            if name.lower() == card.hub_repo.lower():
                # the embedded copy was 4 bits once: who types the Hub id wants the Hub's weights
                return replace(card, id=name, label=name, embedded=False) if card.embedded else card
        return ModelCard(id=name, label=name, hub_repo=name, tested=False)
    raise _unknown(name, local_paths)


def is_hosted(name: str) -> bool:
    """Whether a model's name means one on a server; never looks at the disk."""
    return _HOSTED.fullmatch(name.strip()) is not None


def provider_of(name: str) -> str:
    """Whose server a hosted name means: "groq", "server" or "server:NAME"; "" for a local one."""
    return name.strip().partition("/")[0] if is_hosted(name) else ""


def find_layout(name: str) -> str:
    """The default prompt layout of an id or typed name; never looks at the disk."""
    wanted = name.strip().lower()
    for card in _MODELS:
        if wanted in (card.id.lower(), card.hub_repo.lower()):
            return card.layout
    return ModelCard.layout


def split_ref(ref: str) -> tuple[str, str | None]:
    """Split `MODEL@ADAPTER` at the last "@"; without one the adapter is None."""
    model, at, adapter = ref.strip().rpartition("@")
    if not at:
        model, adapter = adapter, ""
    if not model or (at and not adapter):
        raise QeuError(f"{ref!r} is not a model. Write MODEL or MODEL@ADAPTER, as in phi-2@poems.")
    return model, adapter or None


def fitness_warning(
    card: ModelCard,
    *,
    task: Task | None = None,
    language: str | None = None,
    answer_language: str | None = None,
) -> Unfit | None:
    """Why this model should not be asked this, or None; an untested model counts as fit.

    `language` is what it must read, `answer_language` what it must write; "und" asks nothing.
    """
    if task is not None and task not in card.fit_for:
        return Unfit("cannot_do", {"label": card.label, "task": task}, _fit(task, None, None))
    if language in LANGUAGES and language not in card.reads:
        facts = {"label": card.label, "language": language}
        return Unfit("cannot_read", facts, _fit(task, language, None))
    if answer_language in LANGUAGES and answer_language not in card.writes:
        facts = {"label": card.label, "language": answer_language}
        return Unfit("cannot_write", facts, _fit(task, language, answer_language))
    return None


def _fit(task: Task | None, language: str | None, answer_language: str | None) -> tuple[str, ...]:
    return tuple(
        card.id
        for card in _MODELS
        if (task is None or task in card.fit_for)
        and (language not in LANGUAGES or language in card.reads)
        and (answer_language not in LANGUAGES or answer_language in card.writes)
    )


def _find_local(name: str) -> ModelCard | None:
    path = Path(name).expanduser() if name else None
    try:
        if path is None or not (path.is_dir() or (path.suffix == ".gguf" and path.is_file())):
            return None
    except (OSError, ValueError):  # a name too long for a path, or with a zero byte in it
        return None
    return ModelCard(id=name, label=path.name or name, path=str(path), tested=False)


def _unknown(name: str, local_paths: bool) -> QeuError:
    ids = [card.id for card in _MODELS]
    close = difflib.get_close_matches(name.lower(), ids, n=1, cutoff=0.4)
    hint = f"Did you mean {close[0]}? " if close else ""
    others = "a Hub id such as owner/name" + (
        ", an existing folder or a .gguf file" if local_paths else ""
    )
    return QeuError(
        f"Unknown model {name[:80]!r}. {hint}Choose one of: {', '.join(ids)}; or type {others}, "
        "groq/NAME or server/NAME."
    )
