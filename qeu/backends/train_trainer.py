"""TRL's SFTTrainer as a run uses it: every step told, saves renamed into place, stops heard."""

import inspect
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from qeu.backends.train_cpu import BY_RECORD, record_bounds, speed_up
from qeu.backends.train_model import OPTIMIZERS, SCHEDULES, lora_config, widen_adapter
from qeu.backends.train_save import write_adapter
from qeu.core.run_passport import RunPassport
from qeu.core.training_example import NOT_LEARNED

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
    from trl import SFTTrainer

# float16's scaler begins too high on purpose and comes down by gradients that overflow.
MOST_OVERFLOWS = 30
# So long may a process wait for one that evaluates, saves, or waits for its turn.
_PATIENCE_S = 30 * 24 * 3_600


class NotFiniteError(Exception):
    """The loss or its gradient is NaN or infinite: nothing can be learned from here on."""

    def __init__(self, step: int, what: str) -> None:
        super().__init__(f"{what} of step {step} is not a number")
        self.step, self.what = step, what


@dataclass(frozen=True)
class Step:
    """One optimiser step: `tokens` real ones since this process began, `memory` in bytes.

    `learning_rate` is the one that this step used, `grad_norm` the norm before clipping.
    """

    number: int
    loss: float
    learning_rate: float
    grad_norm: float | None
    tokens: int
    tokens_per_s: float
    memory: int
    seconds: float


class Watcher(Protocol):
    """Who follows a run; asked on the main process only."""

    def on_ready(self) -> None:
        """The first step begins now."""
        ...

    def on_step(self, step: Step) -> None:
        """A step was made; may look at the model as it is."""
        ...

    def wanted_stop(self) -> str:
        """The wish to end: "keep", "discard", or "" to go on."""
        ...

    def before_save(self, step: int) -> bool:
        """A checkpoint is about to be written; True to end the training with it."""
        ...

    def on_checkpoint(self, step: int, made: Path) -> None:
        """The checkpoint in this folder is whole."""
        ...


def make_trainer(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: "Dataset",
    passport: RunPassport,
    work: Path,
    watcher: Watcher,
    base: str,
) -> "SFTTrainer":
    """The trainer of a run; `work` is where checkpoints grow, `base` how adapters name their base.

    Its `ended_by` is "keep" or "discard" after a wished stop, "early" where the watcher had enough.
    """
    from transformers import PrinterCallback

    trainer = _trainer_class()(
        model=model,
        args=_make_arguments(passport, work, model.device.type),
        train_dataset=rows,
        processing_class=tokenizer,
        peft_config=lora_config(passport.lora),
    )
    trainer.watcher, trainer.base = watcher, base
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(_callback_class()(trainer))
    widen_adapter(trainer.model)
    if model.device.type == "cpu":
        speed_up(trainer.model)
    return trainer


def _make_arguments(passport: RunPassport, work: Path, device: str) -> Any:
    from trl import SFTConfig

    settings = passport.training
    # on a processor several rows are one, attended record by record: nothing is padded
    end_to_end = device == "cpu" and not settings.packing and settings.batch_size > 1
    return SFTConfig(
        output_dir=str(work),
        max_steps=settings.steps,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=SCHEDULES[settings.schedule],
        warmup_steps=settings.warmup_steps,
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.accumulation,
        # the rows are cut by us; without packing TRL wants to be told so
        max_length=None if end_to_end else settings.max_length,
        packing=settings.packing,
        packing_strategy="bfd",
        padding_free=end_to_end,
        # the rows are made by us, ids and labels, packed over the whole set
        dataset_kwargs={"skip_prepare_dataset": True},
        optim=OPTIMIZERS[settings.optimizer],
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.gradient_clip,
        bf16=settings.compute_dtype == "bfloat16",
        fp16=settings.compute_dtype == "float16",
        activation_checkpointing=settings.checkpointing,
        use_cpu=device == "cpu",
        dataloader_pin_memory=device != "cpu",
        ddp_find_unused_parameters=False,
        ddp_timeout=_PATIENCE_S,
        logging_steps=1,
        # a loss that is not a number must be seen as one
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=settings.save_every,
        disable_tqdm=True,
        report_to=[],
        # numpy takes no greater seed
        seed=passport.seed % 2**32,
    )


def _trainer_class() -> Any:
    from trl import SFTTrainer

    class WatchedTrainer(SFTTrainer):
        """Saves only what a resume and an adapter need, and says so."""

        watcher: Watcher
        base: str
        ended_by = ""

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False,
            num_items_in_batch: Any = None,
        ) -> Any:  # fmt: skip
            if return_outputs or not self._is_lean():
                return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            tokens = inputs.get("attention_mask", inputs.get("position_ids"))
            real = tokens.sum() if "attention_mask" in inputs else (tokens >= 0).sum()
            self._total_train_tokens += int(self.accelerator.gather(real).sum())
            self._metrics["train"]["num_tokens"] = [self._total_train_tokens]
            bounds = record_bounds(inputs)
            if bounds and self.model.config._attn_implementation == BY_RECORD:
                inputs = dict(inputs, record_bounds=bounds)
            loss = lean_loss(model, inputs, num_items_in_batch)
            # the gradients of several processes are averaged, and each divided by all the tokens
            return loss * (1 if num_items_in_batch is None else self.accelerator.num_processes)

        def _is_lean(self) -> bool:
            """On a processor TRL scores every position, learned or not, and their entropy."""
            known = inspect.signature(self.model.get_base_model().forward).parameters
            return self.args.device.type == "cpu" and "logits_to_keep" in known

        def create_model_card(self, *args: Any, **kwargs: Any) -> None:
            """The run's own folder tells what it was."""

        def _save(self, output_dir: str | None = None, state_dict: object = None) -> None:
            if self.args.should_save:
                write_adapter(self.model, Path(output_dir or self.args.output_dir), self.base)

        def _save_checkpoint(self, model: Any, trial: Any) -> None:
            step = self.state.global_step
            enough = self.on_main(lambda: self.watcher.before_save(step), False)
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            made = Path(self.args.output_dir) / f"checkpoint-{step}"
            self.on_main(lambda: self.watcher.on_checkpoint(step, made), None)
            if enough:
                self.control.should_training_stop = True
                self.ended_by = self.ended_by or "early"

        def on_main(self, ask: Callable[[], Any], otherwise: Any) -> Any:
            """What the main process answers, known to all of them."""
            if self.args.world_size == 1:
                return ask()
            import torch.distributed as processes

            told = [ask() if self.is_world_process_zero() else otherwise]
            processes.broadcast_object_list(told, src=0)
            return told[0]

    return WatchedTrainer


def lean_loss(model: Any, inputs: Mapping[str, Any], total: Any = None) -> Any:
    """TRL's loss of a batch, computed for learned positions alone: a fifth faster on a processor.

    The sum over the learned tokens by `total` of them, or by their number.
    """
    import torch

    wanted = inputs["labels"][:, 1:]
    columns = (wanted != NOT_LEARNED).any(0).nonzero()[:, 0]
    others = {name: value for name, value in inputs.items() if name != "labels"}
    logits = model(**others, use_cache=False, logits_to_keep=columns).logits
    wanted = wanted[:, columns]  # (rows, columns)
    losses = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1).float(), wanted.flatten(), ignore_index=NOT_LEARNED, reduction="sum"
    )
    count = (wanted != NOT_LEARNED).sum() if total is None else torch.as_tensor(total)
    return losses / count.clamp(min=1)


def _callback_class() -> Any:
    from transformers import TrainerCallback

    class StepCallback(TrainerCallback):
        """Tells of every step, and ends the training where it is wished or has gone wrong."""

        def __init__(self, trainer: Any) -> None:
            self._trainer = trainer
            self._began, self._tokens, self._overflows = 0.0, 0, 0

        def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            if state.is_world_process_zero:
                self._trainer.watcher.on_ready()
            self._began = time.perf_counter()

        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            way = self._trainer.on_main(self._trainer.watcher.wanted_stop, "")
            if way:
                control.should_training_stop = True
                control.should_save = way == "keep"
                self._trainer.ended_by = way

        def on_log(
            self, args: Any, state: Any, control: Any, logs: dict[str, Any], **more: Any
        ) -> None:
            if "loss" not in logs:  # the trainer's own summary at the end
                return
            self._check(state.global_step, logs, scales=args.fp16)
            seconds = time.perf_counter() - self._began
            tokens = int(logs["num_tokens"])
            if state.is_world_process_zero:
                norm = logs.get("grad_norm")
                step = Step(
                    number=state.global_step,
                    loss=logs["loss"],
                    learning_rate=logs["learning_rate"],
                    grad_norm=norm if norm is not None and math.isfinite(norm) else None,
                    tokens=tokens,
                    tokens_per_s=(tokens - self._tokens) / max(seconds, 1e-9),
                    memory=_memory_bytes(args.device.type),
                    seconds=seconds,
                )
                self._trainer.watcher.on_step(step)
            self._tokens, self._began = tokens, time.perf_counter()

        def on_save(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            # looking and saving are no part of the next step's time
            self._began = time.perf_counter()

        def _check(self, step: int, logs: dict[str, Any], scales: bool) -> None:
            if not math.isfinite(logs["loss"]):
                raise NotFiniteError(step, "loss")
            if math.isfinite(logs.get("grad_norm") or 0.0):
                self._overflows = 0
                return
            self._overflows += 1
            if not scales or self._overflows > MOST_OVERFLOWS:
                raise NotFiniteError(step, "gradient")

    return StepCallback


def _memory_bytes(device: str) -> int:
    """The most that tensors took on the GPU, or what this process takes now."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated()
    import psutil

    return psutil.Process().memory_info().rss
