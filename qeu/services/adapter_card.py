"""The card of a trained adapter: README.md and curves.svg, from what its run's folder holds."""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from qeu.backends.adapter_files import CONFIG, WEIGHTS, open_adapter
from qeu.backends.catalog import find_model, split_ref
from qeu.core.errors import QeuError
from qeu.core.run_metrics import Line, RunMetrics
from qeu.core.run_passport import RunPassport
from qeu.services.data_export import count_licences
from qeu.services.evaluate_report import markdown_table
from qeu.services.evaluate_result import Evaluation
from qeu.services.evaluate_table import measure_rows
from qeu.services.run_curves import draw_curves
from qeu.services.shipped_data import LICENCE as SHIPPED_LICENCE
from qeu.services.shipped_data import NAME as SHIPPED
from qeu.store.datasets import find_dataset
from qeu.store.run_folders import TRAIN, RunFolder
from qeu.store.workspace import Workspace

CARD, CURVES, EVALUATION = "README.md", "curves.svg", "evaluation.json"
_LEARNS = {
    "both": "to write a reasoning first, and then an answer",
    "reasoning": "to write a reasoning",
    "reasoning_task": "to write a reasoning when it is asked for one",
    "answer": "to answer",
}
_WHOSE = {
    "own": "the records' own",
    "none": "none",
    "shuffled": "another record's (a placebo)",
}
_MEASURED = {
    "loss": "validation loss, nats a token",
    "reasoning_loss": "… on the reasoning",
    "answer_loss": "… on the answer",
}
_SAMPLED = {
    "contract": "samples whose reasoning keeps the contract",
    "leak": "samples whose reasoning gives an answer away",
    "closed": "samples that come to an end with an answer",
    "loop": "samples that run into a loop",
}


def write_card(
    folder: RunFolder,
    evaluation: Evaluation | None,
    licences: Mapping[str, int] | None = None,
) -> Path:
    """Write README.md, curves.svg, and evaluation.json where there is an evaluation; the card.

    Without one, the figures of an earlier evaluation of these very weights stay. `licences` counts
    the data's records by licence, None where they are not known. Raises QeuError where run.json
    cannot be read or the disk is full.
    """
    passport, metrics = folder.passport(), folder.metrics()
    try:
        if evaluation is not None:
            text = json.dumps(_kept_figures(evaluation, folder), indent=1)
            for way in evaluation.ways:
                model = split_ref(way.facts.ref)[0]
                text = text.replace(json.dumps(model)[1:-1], _public(model))
            _write(folder.path / EVALUATION, text + "\n")
        curves = draw_curves(metrics)
        if curves:
            _write(folder.path / CURVES, curves)
        text = make_card(folder, passport, metrics, licences, has_curves=bool(curves))
        _write(folder.path / CARD, text)
    except OSError as e:
        raise QeuError(
            f"The card of {folder.name} cannot be written ({e.strerror}). Free some space."
        ) from e
    return folder.path / CARD


def write_cards(adapters: Path, workspace: Workspace, evaluation: Evaluation) -> list[Path]:
    """The card of every adapter of this evaluation that has a run's folder here."""
    names = dict.fromkeys(split_ref(way.facts.ref)[1] for way in evaluation.ways)
    written = []
    for name in names:
        folder = RunFolder(adapters / name) if name else None
        if folder is None or not (folder.path / "run.json").is_file():
            continue
        licences = _licences(workspace, folder.passport().dataset)
        written.append(write_card(folder, evaluation, licences))
    return written


def make_card(
    folder: RunFolder,
    passport: RunPassport,
    metrics: RunMetrics,
    licences: Mapping[str, int] | None,
    *,
    has_curves: bool,
) -> str:
    """The card's text."""
    if licences is None and passport.dataset == SHIPPED:
        licences = {SHIPPED_LICENCE: passport.records}
    named = sorted(name for name in licences or {} if name)
    is_known = bool(licences) and set(licences or {}) == set(named)
    parts = [_head(folder, passport, named[0] if is_known and len(named) == 1 else "other")]
    parts += [f"# {folder.name}", _intro(folder, passport), _command(passport)]
    kept = _kept_step(folder)
    parts += _effect(folder, passport, metrics, kept)
    parts += _training(folder, passport, has_curves, kept)
    parts += _data(folder, passport, licences)
    parts += ["## Limits", _limits(passport)]
    return "\n\n".join(parts) + "\n"


def _head(folder: RunFolder, passport: RunPassport, licence: str) -> str:
    languages = sorted(code for code in _languages(folder) if code != "und")
    lines = ["---", f"license: {licence.lower()}"]
    if languages:
        lines += ["language:", *(f"- {code}" for code in languages)]
    lines += [f"base_model: {_base(folder, passport)}", "library_name: peft"]
    lines += ["pipeline_tag: text-generation", "tags:", "- lora"]
    lines += ["- qlora"] if passport.lora.quantization == "nf4" else []
    return "\n".join([*lines, "---"])


def _intro(folder: RunFolder, passport: RunPassport) -> str:
    size = _size(folder)
    return (
        f"A LoRA adapter{f' ({size})' if size else ''} for {_base(folder, passport)} that learned "
        f"{_LEARNS[passport.target]}, from {passport.records:,} records."
    )


def _command(passport: RunPassport) -> str:
    base = _public(passport.base)
    return (
        f"`python -m qeu compare --left {base} --right {base}@{passport.name} "
        '--instruction "Write a slogan for a tea shop."`'
    )


def _effect(folder: RunFolder, passport: RunPassport, metrics: RunMetrics, kept: int) -> list[str]:
    """Before and after: of an evaluation of these weights, and of the run's own validation."""
    parts = ["## What it does"]
    found = _read_figures(folder)
    if found:
        parts += [f"- {sentence}" for sentence in found["verdicts"]]  # type: ignore[attr-defined]
        ways = [f"{at}. {name}" for at, name in enumerate(found["ways"], start=1)]  # type: ignore[arg-type]
        head = ["", *(f"[{at}]" for at in range(1, len(ways) + 1))]
        parts += [str(found["about"]), "\n".join(ways), markdown_table(head, found["rows"])]  # type: ignore[arg-type]
        parts += [str(note) for note in found["notes"]]  # type: ignore[attr-defined]
    rows = _before_after(metrics, kept)
    if rows:
        first, last = rows[0]
        parts.append(
            f"While it learned, on {passport.validation_records:,} records that it did not learn "
            "from:"
        )
        head = ["", f"step {first:,}", f"step {last:,}"]
        parts.append(markdown_table(head, rows[1:]))  # type: ignore[arg-type]
    if len(parts) == 1:
        parts.append("Nothing was measured on records that it did not learn from.")
    return parts


def _before_after(metrics: RunMetrics, kept: int) -> list[tuple[object, ...]]:
    """(first step, kept step), then (label, before, after); empty with fewer than two steps.

    `kept` 0 stands for the last one.
    """
    validations, samples = (
        [line for line in metrics.of(kind) if not kept or line["step"] <= kept]  # type: ignore[operator]
        for kind in ("validation", "samples")
    )
    if not validations and not samples:
        return []
    rows: list[tuple[object, ...]] = []
    if validations:
        for name, label in _MEASURED.items():
            pair = validations[0].get(name), validations[-1].get(name)
            if all(isinstance(one, int | float) for one in pair):
                rows.append((label, *(f"{one:.3f}" for one in pair)))
    if samples:
        for name, label in _SAMPLED.items():
            first, last = _rate(samples[0], name), _rate(samples[-1], name)
            if first and last:
                rows.append((label, first, last))
    lines = validations or samples
    if lines[0]["step"] == lines[-1]["step"]:
        return []  # nothing to hold the start against yet
    return [(lines[0]["step"], lines[-1]["step"]), *rows]


def _rate(line: Line, name: str) -> str:
    rate = line.get(name)
    return f"{rate['count']} of {rate['of']}" if isinstance(rate, Mapping) else ""


def _kept_step(folder: RunFolder) -> int:
    try:
        return folder.written_status().kept_step
    except QeuError:  # of another program: it does not tell
        return 0


def _steps(passport: RunPassport, kept: int) -> str:
    rows = passport.training.batch_size * passport.training.accumulation
    told = f"{passport.training.steps:,} steps of {rows:,} {'row' if rows == 1 else 'rows'}"
    if kept and kept < passport.training.steps:
        told += f", of which step {kept:,} is kept"
        told += "" if passport.watch.best == "last" else f" (best {passport.watch.best})"
    return told


def _training(folder: RunFolder, passport: RunPassport, has_curves: bool, kept: int) -> list[str]:
    lora, training = passport.lora, passport.training
    rows = [
        ("base", f"{_base(folder, passport)}, revision {passport.base_revision[:16]}"),
        ("weights of the base", lora.quantization if lora.quantization != "none" else "16 bits"),
        ("rank, alpha, dropout", f"{lora.rank}, {lora.alpha}, {lora.dropout:g}"),
        ("layers", ", ".join(lora.target_modules)),
        ("layout, target, role", f"{passport.layout}, {passport.target}, {passport.role}"),
        ("the loss looks at", ", ".join(passport.loss_on)),
        ("reasoning in the records", _WHOSE[passport.reasoning]),
        ("steps", _steps(passport, kept)),
        ("length", f"{training.max_length:,} tokens{', packed' if training.packing else ''}"),
        ("learning rate", f"{training.learning_rate:g}, {training.schedule}"),
        ("optimiser", training.optimizer),
        ("seed", str(passport.seed)),
        ("versions", ", ".join(f"{name} {version}" for name, version in passport.versions.items())),
    ]
    if passport.reasoning_dropout:
        rows.append(("records without reasoning", f"{passport.reasoning_dropout:.0%}"))
    parts = ["## How it was trained", markdown_table(["setting", "value"], rows)]
    if has_curves:
        parts.append(f"![Curves of the run]({CURVES})")
    hash_ = _hash(folder)
    told = f" SHA-256 of the adapter (configuration and weights): `{hash_}`" if hash_ else ""
    return [*parts, f"`run.json` holds everything that is needed to repeat it.{told}"]


def _data(
    folder: RunFolder, passport: RunPassport, licences: Mapping[str, int] | None
) -> list[str]:
    where = "; ".join(
        f"{name} {', '.join(map(str, value)) if isinstance(value, Sequence) else value}"
        for name, value in passport.where.items()
    )
    languages = ", ".join(f"{code} {count:,}" for code, count in _languages(folder).most_common())
    facts = [
        f"{passport.records:,} records of the data set {passport.dataset}",
        f"chosen by: {where or 'all'}",
    ]
    facts += [f"languages: {languages}"] if languages else []
    facts.append(f"SHA-256 of the records in order: {passport.data_hash}")
    parts = ["## Data and licences", "\n".join(f"- {fact}" for fact in facts)]
    if licences:
        told = [f"- {name or 'not stated'}: {count:,} records" for name, count in licences.items()]
        parts.append("\n".join(["Licences of the data:", "", *told]))
    else:
        parts.append("The licences of the texts were not at hand when this card was written.")
    try:
        licence = find_model(passport.base).licence
    except QeuError:  # a folder of another machine
        licence = ""
    if licence:
        parts.append(f"The base is under {licence}.")
    parts.append("A teacher's licence may forbid training other models on its output.")
    return parts


def _limits(passport: RunPassport) -> str:
    return (
        "A lower loss and a kept form do not make answers better: only the comparison of right "
        "answers above says whether they are. Reasonings can be beside the question and answers "
        f"wrong. It was trained in layout {passport.layout}; asked in another, it may not show "
        "what it learned."
    )


def _kept_figures(evaluation: Evaluation, folder: RunFolder) -> dict[str, object]:
    """What the card tells of an evaluation, beside its full figures."""
    spec = evaluation.spec
    mine = [
        pair
        for pair in evaluation.pairs
        if split_ref(evaluation.ways[pair.right].facts.ref)[1] == folder.name
    ]
    about = (
        f"Measured on {len(evaluation.records):,} records of {spec.dataset}, {spec.seeds} texts "
        f"each, at most {spec.sampling.max_new_tokens:,} new tokens; in brackets and behind ± "
        "intervals of 95%:"
    )
    return {
        "adapter_hash": _hash(folder),
        "about": about,
        "verdicts": [pair.sentence for pair in mine],
        "ways": [way.facts.name for way in evaluation.ways],
        "rows": measure_rows(evaluation),
        "notes": list(evaluation.notes),
        "evaluation": evaluation.to_json(),
    }


def _read_figures(folder: RunFolder) -> Mapping[str, object] | None:
    """An evaluation's figures, if they are of the weights that are there now."""
    try:
        found = json.loads((folder.path / EVALUATION).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    names = {"adapter_hash", "about", "verdicts", "ways", "rows", "notes"}
    if not isinstance(found, dict) or not names <= found.keys():
        return None
    return found if found["adapter_hash"] == _hash(folder) else None


def _licences(workspace: Workspace, dataset: str) -> dict[str, int] | None:
    try:
        return count_licences(workspace, find_dataset(workspace, dataset))
    except QeuError:  # it is not in this workspace any more
        return None


def _languages(folder: RunFolder) -> Counter[str]:
    return Counter(one.record.language for one in folder.frozen(TRAIN))


def _base(folder: RunFolder, passport: RunPassport) -> str:
    """The base by the name that others know it by: never a path of this machine."""
    try:
        name = str(json.loads((folder.path / CONFIG).read_text("utf-8"))["base_model_name_or_path"])
    except (OSError, ValueError, KeyError, TypeError):
        name = ""
    told = next((one for one in (name, passport.base) if one and _public(one) == one), "")
    return told or _public(name or passport.base)


def _public(model: str) -> str:
    """A model's name; of a folder only the last part, which tells nothing of a person's machine."""
    is_path = model.startswith(("/", "~", ".", "\\")) or ":\\" in model
    return model.replace("\\", "/").rstrip("/").rpartition("/")[2] if is_path else model


def _hash(folder: RunFolder) -> str:
    try:
        return open_adapter(folder.path, folder.name).hash
    except QeuError:  # not complete yet
        return ""


def _size(folder: RunFolder) -> str:
    path = folder.path / WEIGHTS
    return f"{path.stat().st_size / 1e6:.1f} MB" if path.is_file() else ""


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, "utf-8", "replace")
    temporary.replace(path)
