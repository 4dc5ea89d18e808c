"""A crash is told by its class, with what happened and the next step to take."""

import errno
from dataclasses import replace

import pytest

from qeu.backends.train_trainer import NotFiniteError
from qeu.core.errors import QeuError
from qeu.core.run_passport import RunPassport, TrainingSettings
from qeu.core.run_status import TROUBLES
from qeu.services.train_failure import BaseError, DataError, MachineError, explain_crash

PASSPORT = RunPassport(
    "poems", "", "smollm2-135m", "f", "bonsai-v2", "both", "assistant", "", "demo", 3, "", 0, "",
    "", "", 0,
)  # fmt: skip
FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("error", "trouble", "words"),
    [
        (MemoryError(), "memory", "Close other programs"),
        (RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory"), "memory", ""),
        (FULL, "disk", "Make room on the disk"),
        (RuntimeError("PytorchStreamWriter: file write failed"), "disk", ""),
        (Exception("I/O error: No space left on device (os error 28)"), "disk", ""),
        (NotFiniteError(7, "loss"), "nan", "learning_rate 0.0001"),
        (DataError("train.jsonl holds 3 records."), "data", "Order a run anew"),
        (BaseError("It is not here."), "base", "Bring the base back"),
        (QeuError("tiny has no layers called x."), "base", "Order a run"),
        (MachineError("No GPU."), "library", "with that changed"),
        (ImportError("No module named 'trl'"), "library", "pip install"),
        (ValueError("Something of theirs"), "library", "end of the log"),
    ],
)  # fmt: skip
def test_every_crash_has_a_class_and_a_next_step(error, trouble, words):
    import torch  # a run has it when it fails

    assert torch
    failure = explain_crash(error, PASSPORT, "checkpoint-20")
    assert (failure.trouble, failure.trouble in TROUBLES) == (trouble, True)
    assert failure.message
    assert words in failure.advice


def test_what_can_go_on_is_told_from_where():
    assert (
        "Then resume it from checkpoint-20."
        in explain_crash(FULL, PASSPORT, "checkpoint-20").advice
    )
    assert "it begins anew" in explain_crash(FULL, PASSPORT).advice
    assert "resume" not in explain_crash(FULL, PASSPORT, begun=False).advice


def test_what_needs_less_memory_depends_on_what_was_chosen():
    plenty = TrainingSettings(batch_size=4, accumulation=2, max_length=1_024)
    advice = explain_crash(MemoryError(), replace(PASSPORT, training=plenty)).advice
    assert "batch_size 1, accumulation 8, checkpointing true, max_length 512." in advice
    least = TrainingSettings(max_length=128, checkpointing=True)
    assert "smaller base" in explain_crash(MemoryError(), replace(PASSPORT, training=least)).advice


def test_a_gradient_that_is_no_number_names_the_settings_that_tame_it():
    wild = replace(PASSPORT, training=TrainingSettings(gradient_clip=0, warmup_steps=0))
    failure = explain_crash(NotFiniteError(1_234, "gradient"), wild, "checkpoint-1200")
    assert failure.message == (
        "At step 1,234 the gradient was no number any more (NaN or infinite)."
    )
    assert failure.advice == (
        "checkpoint-1200 is from before that and can be asked. "
        "Order a run with learning_rate 0.0001, gradient_clip 1, warmup_steps 10."
    )
