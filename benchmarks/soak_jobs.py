"""Kill a bulk job again and again: it must end with exactly one result a record, none made twice.

`python -m benchmarks.soak_jobs [--kills 20] [--limit 0] [--tokens 48] [--exact]`

Starts `python -m qeu generate` over the shipped validation records on the embedded model in a
process of its own, kills it (SIGKILL) at random moments, goes on with `jobs resume`, until all is
done. With --exact the texts are then held to those of a run that nobody disturbed.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from qeu.services.shipped_data import import_shipped
from qeu.store.job_items import iterate_results
from qeu.store.jobs import Job, count_items, get_job
from qeu.store.workspace import Workspace

MODEL = "smollm2-135m"


def start(home: Path, *words: str) -> "subprocess.Popen[bytes]":
    """A command of the program in a process of its own."""
    environ = {**os.environ, "QEU_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "qeu", *words],
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def order(limit: int, tokens: int, exact: bool) -> list[str]:
    """The command that orders the job."""
    words = ["generate", "shipped", "--model", MODEL, "--split", "validation", "--quiet"]
    words += ["--max-new-tokens", str(tokens), "--seed", "11", "--limit", str(limit)]
    return words + (["--exact"] if exact else [])


def prepare(home: Path) -> Workspace:
    """A workspace with the shipped records."""
    workspace = Workspace(home / "qeu.db")
    import_shipped(workspace)
    return workspace


def disturbed(home: Path, words: list[str], kills: int, draw: random.Random) -> tuple[Job, int]:
    """Run, kill, resume until the job is done; the job and how often it was killed."""
    workspace = prepare(home)
    process = start(home, *words)
    done = 0
    while True:
        wait = draw.uniform(4.0, 40.0)
        try:
            if done < kills:
                process.wait(timeout=wait)
            else:
                process.wait()
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            done += 1
            rows = workspace.read("SELECT max(id) FROM jobs")
            number = rows[0][0]
            if number is None:  # killed before it was ordered
                process = start(home, *words)
                continue
            counts = count_items(workspace, get_job(workspace, number))
            print(f"killed {done} after {wait:.1f} s: {counts.done} done", flush=True)
            process = start(home, "jobs", "resume", str(number), "--quiet")
            continue
        if process.returncode:
            sentence = process.stderr.read().decode() if process.stderr else ""
            raise SystemExit(f"the command failed ({process.returncode}): {sentence}")
        return get_job(workspace, workspace.read("SELECT max(id) FROM jobs")[0][0]), done


def verify(home: Path, job: Job) -> dict[str, str]:
    """Hold the job to its promise; the texts by record."""
    workspace = Workspace(home / "qeu.db")
    counts = count_items(workspace, job)
    assert job.state == "done", job
    assert counts.todo == 0, counts
    results = list(iterate_results(workspace, job))
    assert len({r.item.record for r in results}) == len(results) == counts.done
    made = workspace.read(
        "SELECT json_extract(data, '$.key') AS key, count(*) AS n FROM events "
        "WHERE kind = 'generate' AND json_extract(data, '$.finish_reason') "
        "IN ('stop', 'length', 'loop') GROUP BY key HAVING n > 1"
    )
    assert not made, f"{len(made)} texts were made twice"
    print(json.dumps({"done": counts.done, "broken": counts.broken, "failed": counts.failed}))
    return {str(r.item.record): r.generation.text for r in results if r.generation}


def main() -> None:
    """Read the arguments, disturb, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--exact", action="store_true")
    options = parser.parse_args()
    words = order(options.limit, options.tokens, options.exact)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        began = time.monotonic()
        job, kills = disturbed(Path(one), words, options.kills, random.Random(options.seed))
        texts = verify(Path(one), job)
        print(f"{kills} kills, {time.monotonic() - began:.0f} s")
        if options.exact:
            calm, _ = disturbed(Path(other), words, 0, random.Random(0))
            same = verify(Path(other), calm)
            differing = [number for number, text in texts.items() if same[number] != text]
            assert not differing, f"{len(differing)} texts differ from the undisturbed run"
            print(f"all {len(texts)} texts as in the undisturbed run")


if __name__ == "__main__":
    main()
