"""Child process of `benchmarks.training`: train by one plain TRL recipe and tell its steps' times.

`python -m benchmarks.training_recipes JSON`; the last line of its output is [[tokens, time], …].
"""

import json
import sys
import time
from pathlib import Path
from typing import Any


def main(told: dict[str, Any]) -> None:
    """Train for so many seconds behind the first steps."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
    from trl import SFTConfig, SFTTrainer, pack_dataset

    recipe, lora = told["recipe"], told["lora"]
    rows = [json.loads(line) for line in Path(told["rows"]).read_text("utf-8").splitlines()]
    dataset = Dataset.from_list(rows)
    length = told["training"]["max_length"]
    packing = recipe in ("bare", "lean")
    if packing:
        dataset = pack_dataset(dataset, length, "bfd", {"batch_size": len(dataset)})
    model = AutoModelForCausalLM.from_pretrained(
        told["base"],
        dtype=torch.bfloat16,
        device_map={"": "cpu"},
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        ),
    )
    # what TRL chooses by itself is left to it in the recipe "padded"
    own = {} if recipe == "padded" else same_as_ours(told["training"], packing)
    trainer = trainer_class(SFTTrainer, recipe)(
        model=model,
        args=SFTConfig(
            output_dir=str(Path(told["rows"]).parent / "plain"),
            max_steps=told["training"]["steps"],
            max_length=length,
            dataset_kwargs={"skip_prepare_dataset": True},
            use_cpu=True,
            logging_steps=1,
            save_strategy="no",
            disable_tqdm=True,
            report_to=[],
            seed=0,
            **own,
        ),
        train_dataset=dataset,
        processing_class=AutoTokenizer.from_pretrained(told["base"]),
        peft_config=LoraConfig(
            r=lora["rank"],
            lora_alpha=lora["alpha"],
            lora_dropout=lora["dropout"],
            target_modules=list(lora["target_modules"]),
            task_type="CAUSAL_LM",
        ),
    )
    clock = clock_class()(told["seconds"])
    trainer.add_callback(clock)
    trainer.train()
    print(json.dumps(clock.points), flush=True)


def same_as_ours(training: dict[str, Any], packing: bool) -> dict[str, Any]:
    """Our launcher's settings in TRL's names."""
    return {
        "learning_rate": training["learning_rate"],
        "lr_scheduler_type": training["schedule"],
        "warmup_steps": training["warmup_steps"],
        "per_device_train_batch_size": training["batch_size"],
        "gradient_accumulation_steps": training["accumulation"],
        "max_grad_norm": training["gradient_clip"],
        "weight_decay": training["weight_decay"],
        "packing": packing,
        "packing_strategy": "bfd",
        "bf16": True,
        "activation_checkpointing": False,
        "dataloader_pin_memory": False,
    }


def trainer_class(plain: Any, recipe: str) -> Any:
    """TRL's trainer; for "lean" with the loss of our launcher, and nothing else of it."""
    if recipe != "lean":
        return plain
    from qeu.backends.train_trainer import lean_loss

    class LeanTrainer(plain):
        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False,
            num_items_in_batch: Any = None,
        ) -> Any:  # fmt: skip
            real = inputs.get("attention_mask", inputs.get("position_ids"))
            self._total_train_tokens += int(real.numel())
            self._metrics["train"]["num_tokens"] = [self._total_train_tokens]
            return lean_loss(model, inputs, num_items_in_batch)

    return LeanTrainer


def clock_class() -> Any:
    """A callback that notes (real tokens so far, time) of every step, and ends in time."""
    from transformers import TrainerCallback

    from benchmarks.training import WARM_UP

    class Clock(TrainerCallback):
        def __init__(self, seconds: float) -> None:
            self.points: list[tuple[int, float]] = []
            self._seconds = seconds

        def on_log(self, args: Any, state: Any, control: Any, logs: Any, **more: Any) -> None:
            if "loss" not in logs:  # the trainer's own summary at the end
                return
            self.points.append((int(logs["num_tokens"]), time.perf_counter()))
            enough = len(self.points) > WARM_UP + 1
            if enough and self.points[-1][1] - self.points[WARM_UP - 1][1] >= self._seconds:
                control.should_training_stop = True

    return Clock


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
