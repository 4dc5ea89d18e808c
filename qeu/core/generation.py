"""What a run of a model leaves behind: the text, how it ended, and the receipt of what was sent."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields

from qeu.core.errors import QeuError

FINISH_REASONS = ("stop", "length", "loop", "cancelled", "error")


@dataclass(frozen=True)
class Parameter:
    """One setting on its way: asked → sent; `sent` None and a reason means it was dropped."""

    name: str
    asked: float | int | bool | None
    sent: float | int | bool | None
    why: str = ""


@dataclass(frozen=True)
class Receipt:
    """What reached the engine, and where it ran; nothing in it is secret.

    `batch` is the number of rows computed together. `exact` promises the same text again after a
    restart on the same machine. `notes` say in words what a reader would not expect.
    """

    parameters: tuple[Parameter, ...]
    engine: str
    dtype: str
    device: str
    batch: int
    exact: bool
    versions: Mapping[str, str]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Plain values, for files and the command line."""
        data = asdict(self)
        data["parameters"] = list(data["parameters"])
        data["notes"] = list(self.notes)
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "Receipt":
        """The receipt again; an unknown field is refused."""
        values = dict(_checked(cls, data))
        parameters = data["parameters"]
        values["parameters"] = tuple(Parameter(**_checked(Parameter, p)) for p in parameters)  # type: ignore
        values["notes"] = tuple(data.get("notes", ()))  # type: ignore[arg-type]
        return cls(**values)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Generation:
    """One finished (or stopped, or failed) text.

    `text` is all the model wrote, special tokens removed; `reasoning` and `answer` are its parts.
    Times in seconds; `ttft_s` counts from the start of computation to the first token, `wait_s`
    is the time in the queue before it. `error` holds a sentence where `finish_reason` is "error".
    `thinking` is what a hosted model thought in a channel of its own: never our `reasoning`; its
    tokens are among `new_tokens`. `trouble` tells programs what kind of failure it was: "" is of
    this request alone, "engine" (unreachable, silent), "key" (refused), "limit" (of a day or so,
    which ends at `again_at`, UTC) will meet the next request too.
    """

    text: str
    reasoning: str
    answer: str
    finish_reason: str
    prompt_tokens: int
    new_tokens: int
    ttft_s: float
    tokens_per_s: float
    model: str
    revision: str
    adapter: str | None
    adapter_hash: str | None
    layout: str
    target: str
    seed: int
    receipt: Receipt | None
    error: str = ""
    wait_s: float = 0.0
    # The prompt exactly as the model read it, special tokens included.
    prompt_text: str = ""
    thinking: str = ""
    thinking_tokens: int = 0
    trouble: str = ""
    again_at: str = ""
    token_ids: tuple[int, ...] = field(default=(), repr=False)

    def to_json(self) -> dict[str, object]:
        """Plain values; token ids are left out, they mean nothing without the tokenizer."""
        data = asdict(self)
        del data["token_ids"]
        data["receipt"] = self.receipt.to_json() if self.receipt else None
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "Generation":
        """The generation again, without token ids; an unknown field is refused."""
        values = dict(_checked(cls, data))
        if values.get("receipt") is not None:
            values["receipt"] = Receipt.from_json(values["receipt"])  # type: ignore[arg-type]
        return cls(**values)  # type: ignore[arg-type]


def _checked(cls: type, data: Mapping[str, object]) -> Mapping[str, object]:
    """The data, if its names are those of the class; optional ones may be missing."""
    names = {f.name for f in fields(cls)}
    needed = {f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING}
    for wrong, what in ((set(data) - names, "has no"), (needed - set(data), "lacks its")):
        if wrong:
            raise QeuError(
                f"{cls.__name__} {what} field {min(wrong)!r}; it was written by another version."
            )
    return data
