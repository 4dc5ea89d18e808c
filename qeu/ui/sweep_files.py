"""A sweep as files to take away: every cell as a table, and all of it as JSON."""

import json
import tempfile
from pathlib import Path

from qeu.services.sweep_result import Sweep
from qeu.services.sweep_table import csv_text


class SweepFiles:
    """Files of sweeps as they stood, each written once."""

    def __init__(self) -> None:
        self._written: dict[tuple[int, str, int], tuple[str, str]] = {}

    def of(self, sweep: Sweep) -> tuple[str, str]:
        """The paths of (CSV, JSON)."""
        key = (sweep.number, sweep.state, len(sweep.cells))
        if key not in self._written:
            folder = Path(tempfile.mkdtemp(prefix="qeu-"))
            table = folder / f"sweep-{sweep.number}.csv"
            table.write_text(csv_text(sweep), "utf-8", "replace", newline="")
            data = folder / f"sweep-{sweep.number}.json"
            data.write_text(json.dumps(sweep.to_json(), indent=1) + "\n", "utf-8")
            self._written[key] = (str(table), str(data))
        return self._written[key]
