"""Train the adapter that comes with the program, with the launcher, and measure what it does.

`python -m benchmarks.train_shipped_adapter [--folder adapters] [--name thinks-first]` does what a
person would: `train` on the shipped English training records with the preset, `evaluate` on the
validation records, which are not learned from, and the files that are shipped are copied; an hour
on two cores, 4 GB. `--evaluate` only measures the adapter of the folder again and writes its card.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from qeu.backends.training_encoder import TrainingEncoder
from qeu.core.record import Record
from qeu.core.roles import BY_CATEGORY
from qeu.core.training_example import make_example
from qeu.core.training_variant import Variant

ROOT = Path(__file__).resolve().parent.parent
NAME, BASE, LAYOUT, TARGET, ROLE = (
    "thinks-first",
    "smollm2-135m",
    "bonsai-v2",
    "both",
    "by_category",
)
VARIANT = Variant(LAYOUT, TARGET, BY_CATEGORY)
TRAIN = (
    "train", "--preset", "smollm2-135m-shipped", "--dataset", "shipped", "--language", "en",
    "--split", "train", "--role", ROLE,
)  # fmt: skip
EVALUATE = (
    "evaluate", "--dataset", "shipped", "--language", "en", "--base", BASE, "--examples", "2",
    "--max-new-tokens", "320", "--card",
)  # fmt: skip
# Of a run's folder: without the records, which are in data/, and without checkpoints.
SHIPPED_FILES = (
    "adapter_config.json", "adapter_model.safetensors", "run.json", "status.json",
    "metrics.jsonl", "samples.jsonl", "README.md", "curves.svg", "evaluation.json",
)  # fmt: skip


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


def run_qeu(arguments: Sequence[str], home: Path, adapters: Path) -> None:
    """One command of the program, over a workspace of its own; its failure ends this one."""
    environ = {**os.environ, "QEU_HOME": str(home), "QEU_ADAPTERS": str(adapters)}
    print("+ python -m qeu", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "qeu", *arguments], env=environ, cwd=ROOT, check=True)


def ship(run: Path, target: Path) -> None:
    """Copy the files that are shipped; the run's process is nobody's business elsewhere."""
    status = json.loads((run / "status.json").read_text("utf-8"))
    target.mkdir(parents=True, exist_ok=True)
    for name in SHIPPED_FILES:
        shutil.copyfile(run / name, target / name)
    text = json.dumps(status | {"owner": ""}, indent=2)
    (target / "status.json").write_text(text + "\n", "utf-8")


def main(argv: Sequence[str]) -> int:
    """Train, measure, copy; or measure alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "adapters")
    parser.add_argument("--name", default=NAME)
    parser.add_argument("--evaluate", action="store_true", help="only measure, and write the card")
    parser.add_argument("--seeds", type=int, default=3, help="texts a record in the evaluation")
    args = parser.parse_args(argv)
    evaluate = (*EVALUATE, "--adapter", args.name, "--seeds", str(args.seeds))
    with tempfile.TemporaryDirectory() as place:
        home = Path(place, "workspace")
        if args.evaluate:
            run_qeu(evaluate, home, args.folder.resolve())
            return 0
        adapters = Path(place, "adapters")
        run_qeu((*TRAIN, "--name", args.name), home, adapters)
        run_qeu(evaluate, home, adapters)
        ship(adapters / args.name, args.folder / args.name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
