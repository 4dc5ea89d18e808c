"""The experiment: does learning to write reasoning make the small model's answers better?

`python -m benchmarks.shipped_experiment [--base smollm2-135m] [--folder F] [--report F.html]`
trains three adapters a seed on the very same shipped English records, those with an answer that a
program can check: one learns the answer alone (`none`), one its reasoning and the answer (`own`),
one another record's reasoning and the answer (`shuffled`, the placebo). All see every answer as
often, in the same order and in as many steps: a step is four records, whatever their lengths.
They are tested as they are really used, on the checkable validation records, with the base at its
best beside them, and behind a teacher's reasoning as well. About 25 minutes on 2
cores that do nothing else (beside other work set GOMP_SPINCOUNT=0). With `--folder`, what was
stopped goes on where it was; `--base phi-2` does the same on a GPU.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from qeu.backends.cpu_threads import quiet_waiting
from qeu.backends.engines import open_engines
from qeu.backends.shelf import Shelf
from qeu.core.errors import QeuError
from qeu.core.eval_spec import EvalSpec, Way
from qeu.core.exact_match import expected_of
from qeu.core.roles import BY_CATEGORY
from qeu.core.run_passport import LoraSettings, TrainingSettings, WatchSettings
from qeu.core.run_status import RESUMABLE
from qeu.core.sampling import Sampling
from qeu.core.settings import Settings
from qeu.core.train_presets import PRESETS
from qeu.core.training_variant import Variant
from qeu.services.evaluate import Progress, evaluate
from qeu.services.evaluate_pool import pool_groups
from qeu.services.evaluate_report import write_report
from qeu.services.evaluate_result import Evaluation
from qeu.services.shipped_data import open_dataset
from qeu.services.train_order import TrainOrder
from qeu.services.train_resume import resume_run
from qeu.services.train_start import start_twins
from qeu.store.filters import Filter
from qeu.store.matching import matching_ids
from qeu.store.queries import iterate_records
from qeu.store.run_folders import RunFolder, find_run
from qeu.store.workspace import Workspace

BASE, NAME, KINDS, LANGUAGE = "smollm2-135m", "experiment", ("none", "own", "shuffled"), "en"
RECORDS_A_STEP, EPOCHS, RATE = 4, 1.5, 1e-3
# As one way for each kind, held against each other in this order; the base is asked without
# reasoning and with two worked examples, whichever is better for it.
_PAIRS = (("none", "own"), ("shuffled", "own"), ("base", "own"), ("examples", "own"))
_MEASURES = (
    "right",
    "closed",
    "answer_loss",
    "contract",
    "leak_reference",
    "leak_commit",
    "loop",
    "length",
)
_LOOK_S = 1.0
# Threads that wait for each other look so often before they sleep: training is faster for it on a
# machine that does nothing else, and much slower beside other work.
_SPIN = "20000"


def main(argv: Sequence[str]) -> int:
    """Train, test, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--base", default=BASE)
    parser.add_argument("--trainings", type=int, default=3, help="seeds of each kind (3)")
    parser.add_argument("--epochs", type=float, default=EPOCHS)
    parser.add_argument("--texts", type=int, default=1, help="texts a record and training (1)")
    parser.add_argument(
        "--one-text", action="store_true",
        help="ask those who learned reasoning for reasoning and answer in one text, too",
    )  # fmt: skip
    parser.add_argument("--records", type=int, default=0, help="so many of each split only (all)")
    parser.add_argument("--folder", type=Path, help="keep runs and texts, and go on from them")
    parser.add_argument("--report", type=Path, help=".html or .md to send on")
    parser.add_argument("--json", type=Path, help="all figures")
    args = parser.parse_args(argv)
    os.environ.setdefault("GOMP_SPINCOUNT", _SPIN)
    quiet_waiting()
    with tempfile.TemporaryDirectory(prefix="qeu-experiment-") as place:
        folder = args.folder or Path(place)
        real = Settings.from_env(os.environ)
        settings = replace(real, home=folder / "workspace", adapters=folder / "adapters")
        settings.home.mkdir(parents=True, exist_ok=True)
        workspace = Workspace(settings.home / "qeu.db")
        began = time.monotonic()
        train_all(workspace, settings, args)
        trained = time.monotonic()
        found = test_all(workspace, settings, args)
        ended = time.monotonic()
        workspace.close()
    print(markdown(found))
    print(
        f"trained in {(trained - began) / 60:.1f} minutes, tested in {(ended - trained) / 60:.1f}"
    )
    if args.report:
        write_report(found, args.report)
    if args.json:
        args.json.write_text(json.dumps(found.to_json(), indent=1) + "\n", "utf-8")
    return 0


def checkable(workspace: Workspace, split: str, limit: int) -> tuple[int, ...]:
    """Numbers of the split's records whose answers a program can check."""
    dataset = open_dataset(workspace, "shipped")
    ids = matching_ids(workspace, dataset, Filter(language=(LANGUAGE,), split=(split,)))
    found = [
        stored.id
        for batch in iterate_records(workspace, ids)
        for stored in batch
        if expected_of(stored.record)
    ]
    return tuple(found[: limit or None])


def make_order(base: str, ids: tuple[int, ...], epochs: float) -> TrainOrder:
    """What all twins share; on a GPU the base's preset tells its numbers."""
    preset = next((one for one in PRESETS if one.base == base and base != BASE), None)
    training = TrainingSettings(learning_rate=RATE, max_length=640, batch_size=RECORDS_A_STEP)
    lora = LoraSettings(rank=16, alpha=32)
    if preset:
        training, lora = preset.training, preset.lora
    # one step is so many records in every twin, however long their reasonings are
    rows = min(training.batch_size, RECORDS_A_STEP)
    training = replace(
        training,
        packing=False,
        batch_size=rows,
        accumulation=RECORDS_A_STEP // rows,
        warmup_steps=5,
        save_every=10_000,
    )
    return TrainOrder(
        name=NAME,
        base=base,
        dataset="shipped",
        where=Filter(ids=ids),
        variant=Variant("bonsai-v2", "both", BY_CATEGORY),
        lora=lora,
        training=training,
        epochs=epochs,
        watch=WatchSettings(rows=0, samples=0),
    )


def train_all(workspace: Workspace, settings: Settings, args: argparse.Namespace) -> None:
    """Every kind with every seed; those that are there already are not trained again."""
    names = [f"{NAME}-{kind}-s{seed}" for seed in range(args.trainings) for kind in KINDS]
    if not (settings.adapters / names[0]).exists():
        ids = checkable(workspace, "train", args.records)
        order = make_order(args.base, ids, args.epochs)
        print(f"{len(ids)} records, {args.epochs:g} passes, {len(names)} trainings", flush=True)
        start_twins(workspace, order, KINDS, range(args.trainings), settings)
    for name in names:
        folder = find_run(settings.adapters, name)
        if folder.status().state in RESUMABLE:
            folder = resume_run(settings.adapters, name, settings)
        wait_for(folder)


def wait_for(folder: RunFolder) -> None:
    """Until the run has ended; raises SystemExit where it did not finish."""
    began = time.monotonic()
    while folder.status().is_open:
        time.sleep(_LOOK_S)
    status, passport = folder.status(), folder.passport()
    if status.state != "finished":
        raise SystemExit(f"{folder.name} is {status.state}: {status.message} {status.advice}")
    print(
        f"{folder.name}: {passport.records} records, {status.steps} steps, "
        f"{time.monotonic() - began:.0f} s",
        flush=True,
    )


def make_spec(
    base: str, trainings: int, ids: tuple[int, ...], texts: int, one_text: bool = False
) -> EvalSpec:
    """Each adapter as it is used, the own ones behind the teacher's reasoning too, the base.

    Who learned reasoning writes it first and is then asked for the answer behind it; so little
    training does not teach to go on by itself in one text, which `one_text` shows beside.
    """
    # whose reasoning, what is written first, and whose adapter
    asked = {
        "none": ("none", "", "none"),
        "own": ("own", "reasoning", "own"),
        "shuffled": ("own", "reasoning", "shuffled"),
        "given": ("given", "", "own"),
    }
    if one_text:
        asked["one"] = ("own", "both", "own")
    titles = {
        "none": "learned answers alone",
        "own": "learned reasoning and answers",
        "shuffled": "learned others' reasoning and answers (placebo)",
        "given": "learned reasoning and answers, a teacher's reasoning given",
        "one": "learned reasoning and answers, both in one text",
    }
    ways = [
        Way(base, "none", title="base, as it is"),
        Way(base, "none", "chat", examples=2, title="base, two worked examples"),
    ]
    places = {"base": [0] * trainings, "examples": [1] * trainings}
    for key, (reasoning, target, kind) in asked.items():
        places[key] = list(range(len(ways), len(ways) + trainings))
        for seed in range(trainings):
            model = f"{base}@{NAME}-{kind}-s{seed}"
            title = f"{titles[key]}, seed {seed}"
            ways.append(Way(model, reasoning, target=target, title=title, group=titles[key]))
    pairs = [
        (places[left][seed], places[right][seed])
        for left, right in (*_PAIRS, ("none", "given"))
        for seed in range(trainings)
    ]
    return EvalSpec(
        "shipped", tuple(ways), {"ids": list(ids)}, seeds=texts, pairs=tuple(dict.fromkeys(pairs)),
        sampling=Sampling(max_new_tokens=200), usefulness=False,
    )  # fmt: skip


def test_all(workspace: Workspace, settings: Settings, args: argparse.Namespace) -> Evaluation:
    """Every way on every checkable validation record, trainings of a kind put together."""
    ids = checkable(workspace, "validation", args.records)
    spec = make_spec(args.base, args.trainings, ids, args.texts, args.one_text)
    engines = open_engines(settings, os.environ, Shelf(settings))
    last = [""]

    def tell(progress: Progress) -> None:
        line = f"{progress.step}: {progress.done * 10 // max(progress.total, 1) * 10} %"
        if line != last[0]:
            print(line, flush=True)
            last[0] = line

    found = evaluate(engines, workspace, spec, progress=tell, stop=threading.Event())
    if found is None:
        raise QeuError("The evaluation was stopped.")
    return pool_groups(found) or found


def markdown(found: Evaluation) -> str:
    """The table of the README, and the sentences."""
    return "\n".join(_lines(found))


def _lines(found: Evaluation) -> Iterator[str]:
    names = [name for name in _MEASURES if any(name in way.averages for way in found.ways)]
    yield "| " + " | ".join(["", *(name.replace("_", " ") for name in names)]) + " |"
    yield "|---" * (len(names) + 1) + "|"
    for way in found.ways:
        cells = [_cell(way.averages.get(name), name) for name in names]
        yield "| " + " | ".join([way.facts.name, *cells]) + " |"
    yield ""
    for pair in found.pairs:
        yield f"- {pair.sentence}"
    for note in found.notes:
        yield f"- {note}"


def _cell(average: object, name: str) -> str:
    if average is None:
        return "–"
    value, low, high = (getattr(average, one) for one in ("value", "low", "high"))
    if name == "length":
        return f"{value:.0f}"
    if name.endswith("loss"):
        return f"{value:.2f}"
    told = f"{value:.0%}"
    return told if low is None or name != "right" else f"{told} [{low:.0%}, {high:.0%}]"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
