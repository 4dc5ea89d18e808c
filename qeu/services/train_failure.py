"""Why a run failed: its class, what happened, and the next step to take."""

import errno
import sys
from dataclasses import dataclass

from qeu.backends.failures import is_out_of_memory
from qeu.backends.train_trainer import NotFiniteError
from qeu.core.errors import QeuError
from qeu.core.run_passport import RunPassport

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
# Safetensors and torch tell of a full disk in words of their own.
_DISK_WORDS = (
    "no space left", "file too large", "disk quota", "read-only file system",
    "file write failed", "unexpected pos", "os error 28", "os error 27",
)  # fmt: skip


class DataError(QeuError):
    """The run's frozen records cannot be learned from."""


class BaseError(QeuError):
    """The base is not here, or not what it was when the run was ordered."""


class MachineError(QeuError):
    """This machine cannot train with these settings."""


@dataclass(frozen=True)
class Failure:
    """`trouble` is one of core/run_status.TROUBLES."""

    trouble: str
    message: str
    advice: str


def explain_crash(
    error: BaseException,
    passport: RunPassport | None,
    checkpoint: str = "",
    begun: bool = True,
) -> Failure:
    """The failure that an exception means; `checkpoint` names the last one that is whole.

    `begun` False: it was a probe, and there is no run that could be resumed.
    """
    resume = _from_where(checkpoint) if begun else ""
    if isinstance(error, DataError):
        return Failure("data", str(error), "Order a run anew; its records are frozen anew.")
    if isinstance(error, BaseError):
        return Failure("base", str(error), "Bring the base back as it was, or order a run anew.")
    if isinstance(error, MachineError):
        return Failure("library", str(error), "Order a run with that changed.")
    if isinstance(error, NotFiniteError):
        return Failure("nan", _say_not_finite(error), _mend_not_finite(passport, checkpoint))
    text = " ".join(str(error).split())[:300]
    if _is_disk(error):
        message = f"The disk took no more while the run was saved ({text})."
        advice = "Make room on the disk; checkpoints of old runs take most."
        return Failure("disk", message, _join(advice, resume))
    if _is_memory(error):
        advice = "Close other programs and unload models."
        return Failure("memory", "The memory is full.", _join(advice, resume, _spare(passport)))
    if isinstance(error, QeuError):
        return Failure("base", str(error), "Order a run with that changed.")
    if isinstance(error, ImportError):
        message = f"A library that training needs cannot be imported ({text})."
        advice = "Run `pip install -r requirements.txt` in this environment."
        return Failure("library", message, _join(advice, resume))
    message = f"A library failed ({type(error).__name__}: {text})."
    advice = "Read the end of the log for the cause."
    return Failure("library", message, _join(advice, resume))


def _say_not_finite(error: NotFiniteError) -> str:
    if error.what == "loss":
        return f"At step {error.step:,} the loss was no number any more (NaN or infinite)."
    return f"At step {error.step:,} the gradient was no number any more (NaN or infinite)."


def _mend_not_finite(passport: RunPassport | None, checkpoint: str) -> str:
    kept = f"{checkpoint} is from before that and can be asked." if checkpoint else ""
    if passport is None:
        return _join(kept, "Order a run with a lower learning_rate.")
    settings = passport.training
    changes = [f"learning_rate {settings.learning_rate / 2:g}"]
    if not settings.gradient_clip:
        changes.append("gradient_clip 1")
    if not settings.warmup_steps:
        changes.append("warmup_steps 10")
    if settings.compute_dtype == "float16":
        changes.append("compute_dtype bfloat16")
    return _join(kept, f"Order a run with {', '.join(changes)}.")


def _spare(passport: RunPassport | None) -> str:
    """What a new run would need less memory with."""
    if passport is None:
        return ""
    settings, changes = passport.training, []
    if settings.batch_size > 1:
        rows = settings.batch_size * settings.accumulation
        changes.append(f"batch_size 1, accumulation {rows}")
    if not settings.checkpointing:
        changes.append("checkpointing true")
    if settings.max_length > 256:
        changes.append(f"max_length {settings.max_length // 2}")
    if passport.lora.quantization == "none":
        changes.append("quantization nf4")
    if not changes:
        return "If it happens again, choose a smaller base."
    return f"If it happens again, order a run with {', '.join(changes)}."


def _from_where(checkpoint: str) -> str:
    if checkpoint:
        return f"Then resume it from {checkpoint}."
    return "Then resume it; without a checkpoint it begins anew."


def _join(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


def _is_disk(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
        return True
    # both say it with an error of their own kind, and its text tells
    text = str(error).lower()
    return not isinstance(error, QeuError) and any(words in text for words in _DISK_WORDS)


def _is_memory(error: BaseException) -> bool:
    # torch may be the very library that cannot be imported
    return isinstance(error, MemoryError) or ("torch" in sys.modules and is_out_of_memory(error))
