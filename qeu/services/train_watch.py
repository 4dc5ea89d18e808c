"""What is written down while a run learns: steps, validation losses, samples, checkpoints."""

import contextlib
import shutil
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from qeu.backends.torch_loading import free_memory
from qeu.backends.train_data import Learned
from qeu.backends.train_losses import measure_validation
from qeu.backends.train_samples import choose_prompts, count_judgements, write_samples
from qeu.backends.train_save import place_checkpoint
from qeu.backends.train_trainer import Step
from qeu.core.run_metrics import MOST_READ, RunMetrics
from qeu.core.run_passport import RunPassport, WatchSettings
from qeu.services.train_order import TrainOrder
from qeu.services.train_report import RunReport

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase
    from trl import SFTTrainer

# Steps of which the mean says how long the others will take.
_RECENT = 20
# Kinds of metrics that the model is asked for, beside its steps.
LOOKS = ("validation", "samples")


class RunWatch:
    """Follows one run as the trainer's Watcher; `trainer` is set once there is one.

    `learned` are the validation records. `known` is what was measured before, where it resumes.
    """

    trainer: "SFTTrainer"

    def __init__(
        self,
        report: RunReport,
        passport: RunPassport,
        learned: Sequence[Learned],
        tokenizer: "PreTrainedTokenizerBase",
        context: int,
        known: RunMetrics,
    ) -> None:
        self._report, self._folder = report, report.folder
        self._passport = passport
        self._variant = TrainOrder.from_passport(passport).variant
        self._learned, self._tokenizer = learned, tokenizer
        watch = passport.watch
        room = min(context - watch.sample_tokens, passport.training.max_length)
        self._prompts = choose_prompts(learned, watch.samples, room)
        # what is not known of the base yet: a run may have been killed while it looked
        self._base_lacks = {
            kind for kind in LOOKS if not any(line["step"] == 0 for line in known.of(kind))
        }
        train = known.of("train")
        self._tokens = int(train[-1]["tokens"]) if train else 0  # type: ignore[call-overload]
        self._seconds = report.status.seconds
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._look_s = 0.0
        self._began = 0.0

    def on_ready(self) -> None:
        """The first step begins now."""
        self._began = time.monotonic()
        self._report.tell(state="running", phase="")

    def on_step(self, step: Step) -> None:
        """Write a step down; behind the first one of all the base is looked at."""
        self._recent.append(step.seconds)
        values = {
            "loss": step.loss,
            "learning_rate": step.learning_rate,
            "grad_norm": step.grad_norm,
            "tokens": self._tokens + step.tokens,
            "tokens_per_s": round(step.tokens_per_s, 1),
            "memory": step.memory,
        }
        self._folder.add_metric("train", step.number, values)
        self._tell(step=step.number, left_s=self._time_left(step.number))
        if self._base_lacks:
            with self.trainer.model.disable_adapter():
                self._look(0, self._base_lacks)
            self._base_lacks = set()
            self._tell(phase="", left_s=self._time_left(step.number))

    def wanted_stop(self) -> str:
        """The wish of whoever wants it to end."""
        return self._report.wish

    def before_save(self, step: int) -> bool:
        """Look at the model as it is now; True where no better one has come for too long."""
        self._tell(state="saving")
        self._look(step)
        self._tell(phase="checkpoint")
        return waited_enough(self._folder.metrics(MOST_READ), self._passport.watch)

    def on_checkpoint(self, step: int, made: Path) -> None:
        """Rename it into place: from here on it can be resumed from, and asked."""
        # a run that was resumed from an earlier one makes this one anew
        shutil.rmtree(self._folder.path / made.name, ignore_errors=True)
        placed = place_checkpoint(made, self._folder.path)
        self._folder.add_metric("saved", step, {"checkpoint": placed.name})
        self._tell(state="running", phase="", left_s=self._time_left(step))
        print(f"step {step:,} of {self._passport.training.steps:,}: {placed.name}", flush=True)

    def _look(self, step: int, kinds: Collection[str] = LOOKS) -> None:
        """Validation losses and samples; what is not whole when it is to stop is left out."""
        began = time.monotonic()
        with self._evaluating():
            if "validation" in kinds and self._learned and not self._report.is_set():
                self._report.phase("validation")
                examples = [one.example for one in self._learned]
                losses = measure_validation(self.trainer.model, examples, self._report.is_set)
                if losses:
                    self._folder.add_metric("validation", step, asdict(losses))
            if "samples" in kinds and self._prompts and not self._report.is_set():
                self._report.phase("samples")
                self._write_samples(step)
        free_memory()  # of rows of all lengths, which the steps have no use for
        self._look_s = time.monotonic() - began

    def _write_samples(self, step: int) -> None:
        samples = write_samples(
            self.trainer.model, self._tokenizer, self._prompts, self._variant,
            self._passport.watch.sample_tokens, self._report,
        )  # fmt: skip
        if samples:
            self._folder.add_samples(step, [sample.to_json() for sample in samples])
            self._folder.add_metric("samples", step, count_judgements(samples))

    @contextlib.contextmanager
    def _evaluating(self) -> Iterator[None]:
        self.trainer.model.eval()
        try:
            yield
        finally:
            self.trainer.model.train()

    def _time_left(self, step: int) -> float | None:
        settings = self._passport.training
        if not self._recent:
            return None
        steps = settings.steps - step
        looks = -(-settings.steps // settings.save_every) - step // settings.save_every
        mean = sum(self._recent) / len(self._recent)
        return round(steps * mean + looks * self._look_s, 1)

    def _tell(self, **changes: object) -> None:
        seconds = self._seconds + time.monotonic() - self._began
        self._report.tell(seconds=round(seconds, 2), **changes)


def waited_enough(metrics: RunMetrics, watch: WatchSettings) -> bool:
    """Whether as many saves as `patience` have gone by without a better loss; never for 0."""
    losses = [loss for step, loss in metrics.curve("validation", watch.best) if step]
    if not watch.patience or not losses:
        return False
    return len(losses) - 1 - losses.index(min(losses)) >= watch.patience


def best_step(metrics: RunMetrics, steps: Sequence[int], measure: str) -> int:
    """The step of those that is kept: the last, or the one with the least loss by this measure."""
    losses: Mapping[int, float] = (
        {} if measure == "last" else dict(metrics.curve("validation", measure))
    )
    measured = [step for step in steps if step in losses]
    return min(measured, key=lambda step: losses[step]) if measured else max(steps)
