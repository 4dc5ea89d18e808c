"""Thousands of damaged and hostile files through the import: a report each, never a traceback.

`python -m benchmarks.soak_files [--files 10000] [--seed 0]`. Every file is a good one of some
format and encoding that was cut, flipped, doubled, nested or mislabelled; what could be imported
is exported to some format and imported again. Prints what it found; exits 1 where anything but a
QeuError was raised, a row came back otherwise, it took over 20 s, or memory passed 1 GB.
"""

import argparse
import json
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from qeu.core.errors import QeuError
from qeu.services.data_export import export_file
from qeu.services.data_import import import_file
from qeu.store.datasets import find_dataset
from qeu.store.workspace import Workspace
from qeu.store.writers import Columns, write_rows

MOST_SECONDS = 20
MOST_MEMORY_MB = 1024
ENDINGS = ("json", "jsonl", "csv", "parquet", "xlsx", "txt", "")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp932", "gb18030")
TEXTS = (
    *("Where does coffee grow?", "日本の首都はどこですか。", "中国的首都在哪里？", "=1+1"),
    *("\ud800", "\x00\x01", "a" * 5000, "", '"', "],[", "\\", "1e999", "<|system|>"),
)
OTHERS = (["14", "fourteen"], [], {"a": [1, None]}, 5, 1.5, 1e300, 2**70, True, None, "json:", "",
          'json:{"a":', "json:" + "[" * 5000, "plain")  # fmt: skip
PIECES = (
    *(b"NaN", b"[" * 10_000, b'{"a":' * 10_000, b'"a":1,"a":2,', b"\x00" * 50, b"\xff\xfe"),
    *(b"9" * 5000, b'"', b"\n", b"\r", b",,,,", b"null", b"true", b"\\u12", b"]", b"}"),
    *(b"PK\x03\x04", b"PAR1", b"json:", b"json:" + b"[" * 5000, b"json:NaN", b"json:1e999"),
)


def good_file(draw: random.Random, folder: Path) -> bytes:
    """The bytes of a file that can be imported."""
    rows = [
        {
            "instruction": draw.choice(TEXTS),
            "output": draw.choice((draw.choice(TEXTS), "x")),
            "no": draw.choice((1, None)),
            "other": draw.choice(OTHERS),
        }
        for _ in range(draw.randrange(1, 30))
    ]
    kind = draw.choice(ENDINGS[:5])
    path = folder / f"good.{kind}"
    if kind in ("json", "jsonl"):
        mixed = [draw.choice((row, row, row, [1], 5, None, {"instruction": 5.5})) for row in rows]
        text = json.dumps(mixed) if kind == "json" else "\n".join(map(json.dumps, mixed))
        return text.encode(draw.choice(ENCODINGS), "replace")
    clean = [
        {name: "".join(c for c in v if c >= " " and not "\ud800" <= c <= "\udfff")
         if isinstance(v, str) else v for name, v in row.items()}
        for row in rows
    ]  # fmt: skip
    columns = Columns(("instruction", "output", "no", "other"), frozenset({"other"}))
    write_rows(path, kind, columns, clean)
    return path.read_bytes()


def damage(draw: random.Random, data: bytes) -> bytes:
    """The same with none to four faults."""
    for _ in range(draw.randrange(5)):
        at = draw.randrange(len(data) + 1)
        fault = draw.randrange(5)
        if fault == 0:
            data = data[:at]
        elif fault == 1:
            data = data[:at] + bytes(draw.randrange(256) for _ in range(3)) + data[at + 3 :]
        elif fault == 2:
            data = data[:at] + draw.choice(PIECES) + data[at:]
        elif fault == 3:
            data += data
        else:
            end = draw.randrange(at, len(data) + 1)
            data = data[:at] + data[end:]
    return data


def check_way_back(workspace: Workspace, draw: random.Random, folder: Path) -> None:
    """Export what came in, in some format, and import it again: nothing may have changed."""
    out = folder / f"back.{draw.choice(ENDINGS[:5])}"
    dataset = find_dataset(workspace, "d")
    try:
        rows = export_file(workspace, dataset, out).rows
    except QeuError as error:
        if "a cell of Excel" in str(error):
            return
        raise AssertionError(f"{out.suffix}: {error}") from error
    again = import_file(workspace, out, "d")
    if (again.imported, again.unchanged, again.rejected_count) != (0, rows, 0):
        raise AssertionError(f"{out.suffix} came back otherwise: {again.to_json()}")


def main() -> int:
    """Run the soak; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    outcomes: Counter[str] = Counter()
    slowest, failures = 0.0, 0
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        for number in range(options.files):
            draw = random.Random(options.seed * 1_000_003 + number)
            ending = draw.choice(ENDINGS)
            path = folder / (f"rows.{ending}" if ending else "rows")
            path.write_bytes(damage(draw, good_file(draw, folder)))
            workspace, start = Workspace(None), time.perf_counter()
            try:
                report = import_file(workspace, path, "d")
                if report.imported:
                    check_way_back(workspace, draw, folder)
                kind = "partly" if report.rejected else "whole"
                outcomes[kind if report.imported else "no good row"] += 1
            except QeuError:
                outcomes["refused in a sentence"] += 1
            except Exception as error:
                failures += 1
                print(f"file {number}: {type(error).__name__}: {error}"[:300], file=sys.stderr)
            finally:
                workspace.close()
            slowest = max(slowest, time.perf_counter() - start)
            path.unlink()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{options.files:,} files: {dict(outcomes)}, {failures} tracebacks")
    print(f"slowest {slowest:.2f} s, peak memory {memory:,.0f} MB")
    return int(failures > 0 or slowest > MOST_SECONDS or memory > MOST_MEMORY_MB)


if __name__ == "__main__":
    sys.exit(main())
