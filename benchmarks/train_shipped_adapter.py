"""Train the adapter that comes with the program, on the shipped English training records.

`python -m benchmarks.train_shipped_adapter [--folder adapters] [--name thinks-first]` writes the
adapter with its run.json; half an hour on two cores, about 4 GB. The validation records are not
learned from: `--evaluate` asks base and adapter about them and writes the card beside the adapter.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import file_digest
from importlib.metadata import version
from pathlib import Path

import qeu
from qeu.backends.catalog import find_model
from qeu.backends.folders import inspect_local
from qeu.backends.torch_loading import fingerprint
from qeu.backends.training_encoder import TrainingEncoder
from qeu.backends.weights import fetch_embedded
from qeu.core.record import Record
from qeu.core.request import hash_json
from qeu.core.roles import find_role
from qeu.core.run_passport import LoraSettings, RunPassport, TrainingSettings, hash_layout
from qeu.core.settings import Settings
from qeu.core.training_example import make_example
from qeu.core.training_variant import Variant

ROOT = Path(__file__).resolve().parent.parent
NAME, BASE, LAYOUT, TARGET, ROLE = "thinks-first", "smollm2-135m", "bonsai-v2", "both", "assistant"
VARIANT = Variant(LAYOUT, TARGET, find_role(ROLE))
EPOCHS = 3
# Heard only at the start of a process: fresh pages for every step cost a third of the speed, and
# threads that wait by spinning stand in each other's way on a machine that is shared.
MEMORY_AND_THREADS = {
    "GOMP_SPINCOUNT": "0",
    "MALLOC_MMAP_THRESHOLD_": "8589934592",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456",
}
LORA = LoraSettings(
    rank=8,
    alpha=16,
    # of the seven kinds of layers those five keep the file under 3 MB
    target_modules=("q_proj", "k_proj", "v_proj", "o_proj", "down_proj"),
    quantization="none",
    double_quantization=False,
)


def read_records(split: str) -> list[tuple[Record, Mapping[str, object]]]:
    """The English records of one shipped file, each with its whole row."""
    lines = (ROOT / "data" / f"{split}.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    extra = ("accepted_answers", "answer_type")
    return [
        (Record(**{k: v for k, v in row.items() if k not in extra}), row)
        for row in rows
        if row["language"] == "en"
    ]


def make_row(encode: TrainingEncoder, record: Record) -> dict[str, list[int]]:
    """What the trainer gets of one record: reasoning and answer are learned."""
    example = make_example(record, VARIANT, encode, encode.end_id)
    return {"input_ids": list(example.input_ids), "labels": list(example.labels)}


def train(folder: Path, name: str) -> None:
    """Train in this process and write the adapter; the weights are renamed into place last."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    base = fetch_embedded(Settings.from_env(os.environ).cache_dir)
    tokenizer = AutoTokenizer.from_pretrained(base)
    records = [record for record, _ in read_records("train")]
    encode = TrainingEncoder(tokenizer)
    examples = [make_row(encode, record) for record in records]
    tokens = sum(len(example["input_ids"]) for example in examples)
    settings = TrainingSettings(
        learning_rate=1e-3, warmup_steps=10, max_length=640, save_every=1_000
    )
    assert max(len(e["input_ids"]) for e in examples) <= settings.max_length
    print(f"{len(examples)} records, {tokens:,} tokens", flush=True)
    work = folder / f".{name}.training"
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16),
        args=SFTConfig(
            output_dir=str(work),
            num_train_epochs=EPOCHS,
            per_device_train_batch_size=settings.batch_size,
            gradient_accumulation_steps=settings.accumulation,
            learning_rate=settings.learning_rate,
            lr_scheduler_type=settings.schedule,
            warmup_steps=settings.warmup_steps,
            max_length=settings.max_length,
            packing=True,
            packing_strategy="bfd",
            bf16=True,
            # on by default, which is slower; memory is not short here
            activation_checkpointing=False,
            use_cpu=not torch.cuda.is_available(),
            logging_steps=5,
            save_strategy="no",
            report_to=[],
            seed=0,
        ),
        train_dataset=Dataset.from_list(examples),
        processing_class=tokenizer,
        peft_config=LoraConfig(
            r=LORA.rank,
            lora_alpha=LORA.alpha,
            lora_dropout=LORA.dropout,
            target_modules=list(LORA.target_modules),
            task_type="CAUSAL_LM",
        ),
    )
    trainer.train()
    passport = _make_passport(name, records, base, settings, trainer.state.global_step)
    assert not passport.problems(), passport.problems()
    _save(trainer.model, passport, folder / name, work)


def _make_passport(
    name: str, records: Sequence[Record], base: Path, settings: TrainingSettings, steps: int
) -> RunPassport:
    from dataclasses import replace

    kept_apart = [record for record, _ in read_records("validation")]
    tokenizer = {path.name: _sha256(path) for path in sorted(base.glob("tokenizer*.json"))}
    packages = ("torch", "transformers", "trl", "peft")
    return RunPassport(
        name=name,
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        base=BASE,
        base_revision=fingerprint(inspect_local(base)),
        layout=LAYOUT,
        target=TARGET,
        role=ROLE,
        role_text=find_role(ROLE).text,
        dataset="shipped",
        records=len(records),
        data_hash=hash_json({"records": [record.identity for record in records]}),
        validation_records=len(kept_apart),
        validation_hash=hash_json({"records": [record.identity for record in kept_apart]}),
        tokenizer_hash=hash_json(tokenizer),
        layout_hash=hash_layout(LAYOUT, TARGET),
        seed=0,
        lora=LORA,
        training=replace(settings, steps=steps),
        # without the build ("+cpu"), which differs between machines
        versions={"qeu": qeu.__version__}
        | {package: version(package).partition("+")[0] for package in packages},
    )


def _save(model: object, passport: RunPassport, folder: Path, work: Path) -> None:
    import shutil

    import torch

    config = model.peft_config["default"]  # type: ignore[attr-defined]
    config.base_model_name_or_path = find_model(BASE).hub_repo  # a path would be of this machine
    for parameter_name, parameter in model.named_parameters():  # type: ignore[attr-defined]
        if "lora_" in parameter_name:
            parameter.data = parameter.data.to(torch.bfloat16)
    work.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(work, save_embedding_layers=False)  # type: ignore[attr-defined]
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(passport.to_json(), indent=2, ensure_ascii=False) + "\n"
    (folder / "run.json").write_text(text, "utf-8")
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        (work / file).replace(folder / file)
        (folder / file).chmod(0o644)  # safetensors keeps its files to their owner
    shutil.rmtree(work)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def main(argv: Sequence[str]) -> int:
    """Train in a child process that starts with the memory settings of training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "adapters")
    parser.add_argument("--name", default=NAME)
    parser.add_argument("--here", action="store_true", help="train in this very process")
    parser.add_argument("--evaluate", action="store_true", help="measure and write the card")
    parser.add_argument("--seeds", type=int, default=3, help="texts a record in the evaluation")
    args = parser.parse_args(argv)
    if args.evaluate:
        from benchmarks.shipped_adapter_report import write_card

        write_card(read_records("validation"), args.folder, args.name, range(args.seeds))
        return 0
    if args.here:
        train(args.folder, args.name)
        return 0
    command = [sys.executable, "-m", "benchmarks.train_shipped_adapter", *argv, "--here"]
    return subprocess.run(command, env=os.environ | MEMORY_AND_THREADS, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
