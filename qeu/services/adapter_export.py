"""An adapter as a zip file: what PEFT and this program read of it, and nothing of anybody's texts.

A run's folder also holds its training records, its samples and its log: those stay at home.
"""

import json
import os
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from qeu.backends.adapter_files import CONFIG, WEIGHTS, AdapterFolder
from qeu.backends.catalog import find_model
from qeu.core.errors import QeuError
from qeu.services import adapter_card
from qeu.services.adapter_card import CARD as README
from qeu.services.adapter_card import CURVES
from qeu.services.adapters import find_base, without_folder
from qeu.store.run_folders import METRICS, RUN, RunFolder

# All that ever leaves this machine of an adapter.
FILES = (CONFIG, WEIGHTS, README, RUN, METRICS, CURVES)
_OF_THE_RUN = (RUN, METRICS, CURVES)
# Licences by the names that the Hub knows them by.
_HUB_LICENCES = ("apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "llama3")
# The earliest time that a zip file can tell: when it was made must not change its bytes.
_NO_TIME = (1980, 1, 1, 0, 0, 0)
_READS = 3
# By this a card that the program wrote tells the licences already.
_TOLD = "Licences of the data:"
Content = Path | bytes


@dataclass(frozen=True)
class AdapterExport:
    """What was written where; `bytes` are those of the zip file."""

    file: str
    adapter: str
    hash: str
    bytes: int
    files: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "file": self.file,
            "adapter": self.adapter,
            "hash": self.hash,
            "bytes": self.bytes,
            "files": list(self.files),
        }


def export_adapter(adapter: AdapterFolder, path: Path) -> AdapterExport:
    """Write the adapter as a zip file that unpacks to its folder; equal adapters, equal bytes.

    The file is there whole or not at all; one of that name is replaced. Raises QeuError.
    """
    if path.suffix.lower() != ".zip":
        raise QeuError(f"{path} is no name of a zip file. Let it end with .zip.")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        hash_, names = _write_settled(adapter, temporary)
        temporary.replace(path)
        size = path.stat().st_size
    except OSError as e:
        raise QeuError(
            f"Adapter {adapter.name!r} could not be written to {path} ({e.strerror or e}). "
            "Choose another place, or free some space."
        ) from e
    finally:
        with suppress(OSError):  # not there, or its folder never was
            temporary.unlink()
    return AdapterExport(str(path), adapter.name, hash_, size, names)


def portable_files(
    adapter: AdapterFolder, licences: Mapping[str, int] | None = None
) -> dict[str, Content]:
    """{name: file or content} of what may leave this machine, without a folder's name in it.

    A checkpoint takes passport and curves of its run. Where there is no card, one is made.
    """
    found: dict[str, Content] = {}
    for name in FILES:
        places = [adapter.path / name]
        if adapter.path.name.startswith("checkpoint-") and name in _OF_THE_RUN:
            places.append(adapter.path.parent / name)
        if (place := next((one for one in places if one.is_file()), None)) is not None:
            found[name] = place
    if CONFIG not in found or WEIGHTS not in found:
        raise QeuError(
            f"The files of adapter {adapter.name!r} are not all there any more. "
            "Was it deleted? Choose another one."
        )
    found[CONFIG] = _portable(adapter.path / CONFIG, "base_model_name_or_path")
    if RUN in found:
        found[RUN] = _portable(found[RUN], "base")  # type: ignore[arg-type]
    if README not in found or licences is not None:
        own = found.get(README)
        text = own.read_text("utf-8", "replace") if isinstance(own, Path) else ""
        found[README] = make_card(adapter, text, licences).encode()
    return {name: found[name] for name in FILES if name in found}


def make_card(adapter: AdapterFolder, own: str, licences: Mapping[str, int] | None = None) -> str:
    """The README.md that goes out: the folder's `own` text or one that is made, and the licences.

    `licences` counts the records by licence; None says nothing about them.
    """
    text = own if own.strip() else _make_own(adapter, licences)
    if not text.startswith("---\n"):
        text = "\n".join(_front_matter(adapter, licences or {})) + "\n\n" + text
    if licences is None or _TOLD in text:
        return text
    lines = ["", "## Licences of the training texts", ""]
    lines += [f"- {name or 'not stated'}: {count:,} records" for name, count in licences.items()]
    lines += [] if licences else ["- not known: the data set is not in the workspace any more"]
    lines += ["", "A teacher's licence may forbid training other models on its output."]
    return text.rstrip("\n") + "\n" + "\n".join(lines) + "\n"


def licence_of_base(adapter: AdapterFolder) -> str:
    """The licence of the base's weights as the table of models has it; "unknown" if it does not."""
    base = find_base(adapter)
    return find_model(base).licence if base else "unknown"


def folder_name(adapter: AdapterFolder) -> str:
    """The adapter's name as one folder: a checkpoint's says its run, a path's only its end."""
    if adapter.path.name.startswith("checkpoint-"):
        return f"{adapter.path.parent.name}-{adapter.path.name}"
    return without_folder(adapter.name).rpartition("/")[2] or "adapter"


def _write_settled(adapter: AdapterFolder, file: Path) -> tuple[str, tuple[str, ...]]:
    """Write files that do not change meanwhile; (hash, names in the zip)."""
    for _ in range(_READS):
        hash_ = adapter.hash
        names = _write_zip(file, folder_name(adapter), portable_files(adapter))
        if adapter.hash == hash_:
            return hash_, names
    raise QeuError(
        f"Adapter {adapter.name!r} is being written at this moment. "
        "Export it when its training has saved it."
    )


def _write_zip(file: Path, folder: str, files: Mapping[str, Content]) -> tuple[str, ...]:
    names = tuple(f"{folder}/{name}" for name in files)
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in zip(names, files.values(), strict=True):
            # stored, not squeezed: weights hardly shrink, and every zlib squeezes differently
            info = zipfile.ZipInfo(name, _NO_TIME)
            info.create_system, info.external_attr = 3, 0o644 << 16
            data = content if isinstance(content, bytes) else content.read_bytes()
            archive.writestr(info, data)
    return names


def _portable(file: Path, field: str) -> Content:
    """The file as it is, or its content without the folder that stands for the base in it."""
    try:
        values = json.loads(file.read_text("utf-8"))
        base = values.get(field) if isinstance(values, dict) else None
    except (OSError, ValueError):
        return file
    if not isinstance(base, str) or without_folder(base) == base:
        return file
    values[field] = without_folder(base)
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode()


def _front_matter(adapter: AdapterFolder, licences: Mapping[str, int]) -> list[str]:
    named = [name.lower() for name in licences]
    licence = named[0] if len(named) == 1 and named[0] in _HUB_LICENCES else "other"
    lines = ["---", f"license: {licence}"]
    if repo := _hub_repo(adapter):
        lines.append(f"base_model: {repo}")
    tags = ["- lora", "- reasoning"]
    return [*lines, "library_name: peft", "pipeline_tag: text-generation", "tags:", *tags, "---"]


def _make_own(adapter: AdapterFolder, licences: Mapping[str, int] | None) -> str:
    """The card of its run where the passport is ours and readable, else what is known."""
    folder, drawn = RunFolder(adapter.path), (adapter.path / CURVES).is_file()
    try:
        passport, metrics = folder.passport(), folder.metrics()
        return adapter_card.make_card(folder, passport, metrics, licences, has_curves=drawn)
    except (QeuError, OSError, ValueError, KeyError):
        # of another program, or with records or figures that are damaged: less can be said
        return _body(adapter)


def _body(adapter: AdapterFolder) -> str:
    run = adapter.run
    base = _hub_repo(adapter) or without_folder(adapter.bases[0] if adapter.bases else "")
    lines = [f"# {folder_name(adapter)}", ""]
    lines.append(f"A LoRA adapter of rank {adapter.rank} for {base or 'a base that is not told'}.")
    if run and run.layout and run.target:
        model = find_base(adapter) or base
        ref = f"{model}@{folder_name(adapter)}"
        lines += ["", f"It learned the layout `{run.layout}` and to write: {run.target}. Ask it:"]
        lines += ["", f"`python -m qeu compare --left {model} --right {ref} --layout {run.layout} "]
        lines[-1] += f'--target {run.target} --instruction "…"`'
    lines += ["", "`run.json` tells the training, `metrics.jsonl` its curves. "]
    lines[-1] += "Trained with QEU Playground."
    return "\n".join(lines) + "\n"


def _hub_repo(adapter: AdapterFolder) -> str:
    base = find_base(adapter)
    return find_model(base).hub_repo if base else ""
