"""The training itself, in the process that has its turn: base, records, trainer, adapter."""

import os
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qeu.backends.catalog import ModelCard, find_model
from qeu.backends.folders import ResolvedWeights
from qeu.backends.precision import read_machine
from qeu.backends.quiet import hush_imports, quiet_libraries
from qeu.backends.torch_loading import fingerprint, read_context
from qeu.backends.train_data import Learned, make_rows, read_examples
from qeu.backends.train_model import (
    base_name,
    check_targets,
    load_base,
    load_tokenizer,
    machine_problems,
)
from qeu.backends.train_save import place_adapter
from qeu.backends.train_trainer import make_trainer
from qeu.backends.training_encoder import TrainingEncoder, find_base
from qeu.core.errors import QeuError
from qeu.core.run_metrics import RunMetrics
from qeu.core.run_passport import RunPassport
from qeu.core.settings import Settings
from qeu.services.train_data import hash_frozen
from qeu.services.train_failure import BaseError, DataError, MachineError
from qeu.services.train_order import TrainOrder
from qeu.services.train_report import RunReport
from qeu.services.train_turn import WORK
from qeu.services.train_watch import RunWatch, best_step
from qeu.store.run_folders import TRAIN, VALIDATION, RunFolder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Outcome:
    """How a training ended: "finished" or "stopped"; `kept_step` 0 where there is no adapter."""

    state: str
    kept_step: int = 0
    message: str = ""


def train(folder: RunFolder, passport: RunPassport, resume: str, report: RunReport) -> Outcome:
    """Train in this process and write the adapter; `resume` is a checkpoint's name or "".

    Raises what explain_crash explains.
    """
    hush_imports()
    settings = Settings.from_env(os.environ)
    card, weights = open_base(passport, settings)
    device = choose_device(passport, settings)
    tokenizer = load_tokenizer(weights)
    report.phase("records")
    learned = read_frozen(folder, TRAIN, passport, tokenizer, report)
    watched = read_frozen(folder, VALIDATION, passport, tokenizer, report)
    if report.is_set():
        return Outcome("stopped")
    examples = (one.example for one in learned)
    rows = make_rows(examples, passport.training.max_length, passport.training.packing)
    report.phase("base")
    model = load_base(passport.base, weights, passport.lora, passport.training, device)
    check_targets(model, passport.lora, passport.base)
    if report.is_set():
        return Outcome("stopped")
    known = _known_at(folder, resume, report)
    watch = RunWatch(report, passport, watched, tokenizer, read_context(model, tokenizer), known)
    named = base_name(card.hub_repo, passport.base)
    work = folder.path / WORK
    trainer = make_trainer(model, tokenizer, rows, passport, work, watch, named)
    watch.trainer = trainer
    with quiet_libraries():
        trainer.train(resume_from_checkpoint=str(folder.path / resume) if resume else None)
    return _finish(folder, passport, trainer.ended_by) if report.writes else Outcome("finished")


def open_base(passport: RunPassport, settings: Settings) -> tuple[ModelCard, ResolvedWeights]:
    """The base as it was when the run was ordered; BaseError where it is another one, or gone."""
    try:
        card = find_model(passport.base)
        weights = find_base(card, settings.cache_dir)
    except QeuError as e:
        raise BaseError(str(e)) from e
    revision = fingerprint(weights)
    if revision != passport.base_revision:
        raise BaseError(
            f"The files of {passport.base} are not those of the run's start "
            f"({revision[:12]} now, {passport.base_revision[:12]} then)."
        )
    return card, weights


def choose_device(passport: RunPassport, settings: Settings) -> str:
    """Where it trains, "cpu" or "cuda:N"; MachineError for settings that it cannot have."""
    machine = read_machine(settings.device)
    is_gpu = machine.device == "cuda"
    if problems := machine_problems(passport.lora, passport.training, is_gpu):
        raise MachineError(" ".join(problems))
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if is_gpu else "cpu"


def read_frozen(
    folder: RunFolder,
    file: str,
    passport: RunPassport,
    tokenizer: "PreTrainedTokenizerBase",
    report: RunReport,
) -> list[Learned]:
    """The examples of TRAIN or VALIDATION; DataError where they are not those of the passport."""
    wanted = passport.data_hash if file == TRAIN else passport.validation_hash
    try:
        found, count = hash_frozen(folder.frozen(file))
    except (OSError, ValueError, KeyError, TypeError, QeuError) as e:
        raise DataError(f"{file} of the run cannot be read ({e}).") from e
    if found != wanted:
        raise DataError(f"{file} holds {count:,} records, and they are not those of the run.")
    variant = TrainOrder.from_passport(passport).variant
    if file == VALIDATION:
        # only what is learned loses reasonings by chance; what is watched is the same for all runs
        variant = replace(variant, reasoning_dropout=0.0)
    encoder = TrainingEncoder(tokenizer)
    pairs = ((one.record, one.other) for one in folder.frozen(file))
    limit = passport.training.max_length
    return list(read_examples(pairs, variant, encoder, encoder.end_id, limit, report.is_set))


def _known_at(folder: RunFolder, resume: str, report: RunReport) -> RunMetrics:
    """What is known at the step that it goes on from; what came after it is void from now on."""
    step = int(resume.rpartition("-")[2]) if resume else 0
    if not report.writes:
        return RunMetrics()
    if folder.metrics().last_step or resume:
        folder.add_metric("resumed", step, {})
    known = folder.metrics()
    if resume and not any(line["step"] == step for line in known.of("saved")):
        folder.add_metric("saved", step, {"checkpoint": resume})  # it was killed just before
    for number, path in folder.checkpoints():
        if number > step:
            away = path.with_name(f".{path.name}.void")
            path.rename(away)
            shutil.rmtree(away)
    return folder.metrics()


def _finish(folder: RunFolder, passport: RunPassport, ended_by: str) -> Outcome:
    """Choose the step that is kept and make its adapter the run's."""
    work = folder.path / WORK
    if ended_by == "discard":
        shutil.rmtree(work, ignore_errors=True)
        return Outcome("stopped")
    steps = [step for step, _ in folder.checkpoints()]
    stopped = ended_by == "keep"
    kept = max(steps) if stopped else best_step(folder.metrics(), steps, passport.watch.best)
    checkpoint = folder.path / f"checkpoint-{kept}"
    place_adapter(checkpoint, folder.path, work, passport.training.compute_dtype)
    shutil.rmtree(work, ignore_errors=True)
    if stopped:
        return Outcome("stopped", kept)
    early = f"It ended at step {max(steps):,}, since {passport.watch.best} got no better."
    return Outcome("finished", kept, early if ended_by == "early" else "")
