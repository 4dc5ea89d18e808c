"""The data set that comes with the program: whether it is there, and its import."""

from collections.abc import Callable
from pathlib import Path

import qeu
from qeu.services.data_import import ImportOptions, ImportReport, import_file
from qeu.store.changes import change_records
from qeu.store.datasets import Dataset, find_dataset, list_datasets
from qeu.store.filters import Filter
from qeu.store.workspace import Workspace

NAME = "shipped"
LICENCE = "MIT"
# The name of a file is the split of its rows.
SPLITS = ("train", "validation")
FOLDER = Path(qeu.__file__).resolve().parent.parent / "data"


def find_shipped(folder: Path = FOLDER) -> dict[str, Path]:
    """The files by split; empty unless all are there."""
    files = {split: folder / f"{split}.jsonl" for split in SPLITS}
    return files if all(path.is_file() for path in files.values()) else {}


def import_shipped(
    workspace: Workspace,
    name: str = NAME,
    folder: Path = FOLDER,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[Dataset, list[ImportReport]]:
    """Bring the shipped files into a data set; doing it again brings nothing twice.

    Raises QeuError as any import does.
    """
    reports, done = [], 0
    for split, path in find_shipped(folder).items():
        so_far = done
        report = import_file(
            workspace,
            path,
            name,
            ImportOptions(licence=LICENCE),
            lambda rows, so_far=so_far: progress(so_far + rows),
        )
        reports.append(report)
        done += report.imported + report.unchanged
        _name_split(workspace, find_dataset(workspace, name), split)
    return find_dataset(workspace, name), reports


def open_dataset(workspace: Workspace, name: str) -> Dataset:
    """The data set; the one that comes with the program is brought in where it is not there yet."""
    there = name in {dataset.name for dataset in list_datasets(workspace)}
    if name == NAME and not there and find_shipped():
        return import_shipped(workspace)[0]
    return find_dataset(workspace, name)


def _name_split(workspace: Workspace, dataset: Dataset, split: str) -> None:
    """Give the rows that have no split yet, those just imported, the one of their file."""
    change_records(
        workspace, dataset, lambda stored: {"split": split}, Filter(split=("",)),
        what="The import", data={"rules": [{"do": "split", "by": "file"}]},
    )  # fmt: skip
