"""What an adapter's run.json tells of its training: base, layout, target, when."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qeu.core.prompts import LAYOUTS, TARGETS

RUN = "run.json"
_LARGEST_BYTES = 10_000_000


@dataclass(frozen=True)
class TrainedAs:
    """The facts of a training that its adapter is asked by; "" where the file does not tell."""

    base: str = ""
    base_revision: str = ""
    layout: str = ""
    target: str = ""
    role: str = ""
    created: str = ""


def read_run(folder: Path) -> TrainedAs | None:
    """The facts in a folder's run.json; None without a readable one.

    Unlike `RunPassport` it takes files of other versions and other programs: an adapter is no
    worse for what is unknown of it. Layouts and targets that we do not know count as not told.
    """
    try:
        if (folder / RUN).stat().st_size > _LARGEST_BYTES:
            return None
        data = json.loads((folder / RUN).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(data, Mapping):
        return None

    def told(name: str) -> str:
        value = data.get(name)
        return value.strip() if isinstance(value, str) else ""

    layout, target = told("layout"), told("target")
    return TrainedAs(
        base=told("base"),
        base_revision=told("base_revision"),
        layout=layout if layout in LAYOUTS else "",
        target=target if target in TARGETS else "",
        role=told("role"),
        created=told("created"),
    )
