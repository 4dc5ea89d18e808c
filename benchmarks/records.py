"""How fast records are: import, page, sort, facet, search, rule, undo; pandas beside it.

`python -m benchmarks.records [--rows 100000] [--folder FOLDER]`: the folder's JSON lists are merged
and repeated to so many rows; without one, rows are generated. Goals are those of the issue.
"""

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from qeu.core.rules import Rule
from qeu.services.data_import import import_file
from qeu.services.data_rules import run_rules
from qeu.store import matching
from qeu.store.datasets import find_dataset
from qeu.store.filters import Filter
from qeu.store.queries import SORTS, read_facets, read_page
from qeu.store.undo import undo
from qeu.store.workspace import Workspace

TERMS = ("coffee", "学校", "the", "です", "cigarettes", "in the world", "猫", "日本語", "zebra",
         "人気", "how to", "ビジネス", "tion")  # fmt: skip
RULE = Rule({}, "append", "Do not repeat the same answer needlessly.")
CATEGORIES = ("open_qa", "creative", "math", "summarization")


def texts(folder: Path | None) -> list[dict[str, str]]:
    """Rows of the folder's JSON lists by turns, or made up ones in three languages."""
    if folder:
        lists = [json.loads(p.read_text(encoding="utf-8")) for p in sorted(folder.glob("*.json"))]
        # parallel files: row by row
        return [row for group in zip(*lists[-2:], strict=False) for row in group]
    draw, words = random.Random(0), ["coffee", "school", "the", "world", "how", "to", "zebra"]
    kana = "日本語学校猫人気ですますのはがをに、。"
    return [
        {
            "instruction": " ".join(draw.choices(words, k=12)) + f" {n}?"
            if n % 2
            else "".join(draw.choices(kana, k=40)),
            "input": "",
            "output": " ".join(draw.choices(words, k=60)),
        }
        for n in range(2000)
    ]


def write_rows(path: Path, count: int, folder: Path | None) -> None:
    """So many rows as JSONL, with labels by turns."""
    base = texts(folder)
    with path.open("w", encoding="utf-8") as file:
        for n in range(count):
            row = {k: base[n % len(base)].get(k, "") for k in ("instruction", "input", "output")}
            row |= {
                "category": CATEGORIES[n * 7 % 11 % 4],
                "uniqueness": ("simple", "complex")[n % 2],
            }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def p95(run: Callable[[], object], rounds: int) -> float:
    """The 95th percentile of its times in milliseconds; the first is left out."""
    run()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.quantiles(times, n=20)[-1] if len(times) > 1 else times[0]


def looks(workspace: Workspace, count: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """(name, one look at the data set) of each kind; places and terms vary from call to call."""
    dataset, draw = find_dataset(workspace, "bench"), random.Random(1)

    def facets() -> object:
        matching.forget_cells(workspace)
        return read_facets(workspace, dataset)

    def sort() -> object:
        place = draw.randrange(count)
        return read_page(workspace, dataset, Filter(), draw.choice(SORTS), True, place)

    def filtered() -> object:
        where = Filter(language=("ja",), category=("creative", "math"))
        return read_page(workspace, dataset, where, "order", False, draw.randrange(count // 5))

    yield "page", lambda: read_page(workspace, dataset, offset=draw.randrange(count))
    yield "sort", sort
    yield "filtered page", filtered
    yield "facet", facets
    yield "search", lambda: read_page(workspace, dataset, Filter(search=draw.choice(TERMS)))


def measure(count: int, folder: Path | None, rounds: int) -> None:
    """Print the table."""
    goal = 100 if count <= 100_000 else 500
    with tempfile.TemporaryDirectory() as home:
        path = Path(home) / "rows.jsonl"
        write_rows(path, count, folder)
        workspace = Workspace(Path(home) / "qeu.db")
        start = time.perf_counter()
        report = import_file(workspace, path, "bench")
        speed = report.imported / (time.perf_counter() - start)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        size = sum(p.stat().st_size for p in Path(home).glob("qeu.db*")) / 1024**2
        print(f"{count:,} rows of {path.stat().st_size / count:.0f} bytes; database {size:,.0f} MB")
        print(f"{'import':16} {speed:10,.0f} rows/s   goal 8,000", flush=True)
        print(f"{'peak memory':16} {peak:10,.0f} MB       goal 300", flush=True)
        for name, look in looks(workspace, count):
            print(f"{name:16} {p95(look, rounds):10.1f} ms p95   goal {goal}", flush=True)
        dataset = find_dataset(workspace, "bench")
        start = time.perf_counter()
        changed = run_rules(workspace, dataset, [RULE]).changed
        print(
            f"{'rule':16} {time.perf_counter() - start:10.1f} s        goal 10 ({changed:,} rows)"
        )
        start = time.perf_counter()
        undo(workspace, dataset)
        print(f"{'undo':16} {time.perf_counter() - start:10.1f} s        goal 10", flush=True)
        ours = {name: p95(look, 5) for name, look in looks(workspace, count)}
        for name, seconds in beside_pandas(path).items():
            own = {"load": count / speed * 1000}.get(name) or ours[name]
            print(f"{'pandas ' + name:16} {seconds * 1000:10.0f} ms       ours / pandas "
                  f"{own / seconds / 1000:.3f}", flush=True)  # fmt: skip
        workspace.close()


# In a process of its own: its memory is not ours.
PANDAS = """
import json, sys, time
import pandas as pd
def timed(run):
    start = time.perf_counter(); value = run(); return value, time.perf_counter() - start
frame, load = timed(lambda: pd.read_json(sys.argv[1], lines=True))
_, chosen = timed(lambda: frame[frame.category.isin(["creative", "math"])].iloc[1000:1050])
def search():
    found = False
    for name in ("instruction", "input", "output"):
        found |= frame[name].astype(str).str.contains("coffee", case=False, regex=False)
    return frame[found].head(50)
_, searched = timed(search)
_, facet = timed(lambda: [frame[c].value_counts() for c in ("category", "uniqueness")])
print(json.dumps({"load": load, "filtered page": chosen, "search": searched, "facet": facet}))
"""


def beside_pandas(path: Path) -> dict[str, float]:
    """Seconds of the same work in pandas: load, filter, search, count."""
    done = subprocess.run(
        [sys.executable, "-c", PANDAS, str(path)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    measure(options.rows, options.folder, options.rounds)


if __name__ == "__main__":
    main()
