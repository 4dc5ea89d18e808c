"""What a bulk job costs beside the models: store, checks, progress; and a re-run from the store.

`python -m benchmarks.jobs [book|cached] [--rows N]`

book    share of a job's time that is not the engine's, over 64 shipped records on the embedded
        model; goal ≤ 3 %
cached  seconds to run a job of 100,000 texts again that are all stored, and how much memory the
        first and the second run take on top; goal ≤ 20 s, memory flat
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from qeu.backends.base import EchoBackend, EngineIdentity, Row
from qeu.backends.engines import Engines, open_engines
from qeu.core.generation import Generation
from qeu.core.job_spec import JobSpec
from qeu.core.prompts import split_completion
from qeu.core.sampling import Sampling
from qeu.core.settings import Settings
from qeu.services.job_runner import JobWorker
from qeu.services.shipped_data import import_shipped
from qeu.store.imports import Added, add_records, rows_of
from qeu.store.jobs import Job, claim_job, count_items, create_job
from qeu.store.workspace import Workspace

MODEL = "smollm2-135m"
ROUNDS = 3
OWNER = "benchmark"
TEXT = "List what is known. Name what is asked. Choose a rule that links the two."


class Timed(Engines):
    """Real engines that count the seconds spent in `generate`."""

    seconds = 0.0

    def load(self, model_id: str, **how: object) -> object:  # type: ignore[override]
        """The model, its `generate` timed."""
        model = super().load(model_id, **how)  # type: ignore[arg-type]
        generate = model.generate

        def timed(rows: Sequence[Row], emit: object = None, **more: object) -> list[Generation]:
            told = more.get("on_done")

            def on_done(index: int, generation: Generation) -> None:
                began = time.perf_counter()
                told(index, generation)  # type: ignore[operator]
                self.seconds -= time.perf_counter() - began  # that is bookkeeping

            started = time.perf_counter()
            try:
                return generate(rows, emit, **{**more, "on_done": on_done})  # type: ignore[arg-type]
            finally:
                self.seconds += time.perf_counter() - started

        model.generate = timed  # type: ignore[method-assign]
        return model


class Instant(EchoBackend):
    """An engine that takes no time."""

    revision, dtype = "1", "none"

    def identify(self, adapter: str | None) -> EngineIdentity:
        """Itself."""
        return EngineIdentity(MODEL, "1", "none")

    def generate(
        self,
        rows: Sequence[Row],
        emit: object = None,
        *,
        exact: bool = False,
        on_done: Callable[[int, Generation], None] | None = None,
        turn: object = None,
    ) -> list[Generation]:
        """The same text to all."""
        made = self._echo(0, rows[0], None, exact, 1)
        found = []
        for index, row in enumerate(rows):
            parts = split_completion(TEXT, row.prompt.layout, row.prompt.target)
            one = replace(made, text=TEXT, reasoning=parts[0], answer=parts[1], new_tokens=18)
            found.append(replace(one, finish_reason="stop", model=MODEL))
            if on_done:
                on_done(index, found[-1])
        return found


class InstantEngines:
    """Has nothing but the instant engine."""

    queue = None
    adapters, local_paths = Path("no-adapters-here"), False

    def load(self, model_id: str, **how: object) -> Instant:
        """The engine."""
        return Instant()


class _Turn:
    def turn(self, stop: object, tell: object) -> "_Turn":
        return self

    def __enter__(self) -> bool:
        return True

    def __exit__(self, *error: object) -> None:
        return None


def run_job(workspace: Workspace, engines: object, spec: JobSpec) -> tuple[Job, float]:
    """One job to its end, and the seconds it took."""
    job = create_job(workspace, spec)
    assert claim_job(workspace, job, OWNER, lambda owner: False)
    started = time.perf_counter()
    ended = JobWorker(workspace, engines, job, OWNER).run()  # type: ignore[arg-type]
    seconds = time.perf_counter() - started
    if ended.state != "done":
        raise SystemExit(f"the job ended {ended.state}: {ended.note}")
    return ended, seconds


def book() -> None:
    """The share of a job that is not the engine's."""
    settings = Settings.from_env(os.environ)
    plain = open_engines(settings, os.environ)
    plain.load(MODEL)  # reading the weights is no bookkeeping
    for at in range(ROUNDS):
        with tempfile.TemporaryDirectory() as home:
            workspace = Workspace(Path(home) / "qeu.db")
            import_shipped(workspace)
            engines = Timed(plain.shelf, plain.pool, plain.keyring, plain.adapters)
            sampling = Sampling(max_new_tokens=96, seed=at)
            where = {"language": ["en"]}
            spec = JobSpec("shipped", (MODEL,), where=where, limit=64, retries=0, sampling=sampling)
            job, seconds = run_job(workspace, engines, spec)
            tokens = sum(
                row[0]
                for row in workspace.read(
                    "SELECT json_extract(data, '$.new_tokens') FROM generations"
                )
            )
            share = 1 - engines.seconds / seconds
            print(
                f"book    {share:6.2%}  goal ≤ 3 %  ({seconds:.1f} s, "
                f"{tokens / seconds:.0f} tokens/s, {count_items(workspace, job).done} texts)",
                flush=True,
            )
            workspace.close()


def cached(count: int) -> None:
    """A job over many records, and once more."""
    with tempfile.TemporaryDirectory() as home:
        workspace = Workspace(Path(home) / "qeu.db")
        row = {
            "input": "", "reasoning": "", "category": "open_qa", "field": "other",
            "uniqueness": "complex", "language": "en", "extra": {},
        }  # fmt: skip
        rows = (
            row | {"instruction": f"What is number {n} good for?", "output": f"It is {n}.",
                   "seq": f"{n}EN", "no": n}
            for n in range(count)
        )  # fmt: skip
        add_records(workspace, "many", rows_of(rows), _tell)
        engines = InstantEngines()
        engines.queue = _Turn()  # type: ignore[assignment]
        spec = JobSpec("many", (MODEL,), layout="bonsai-v2")
        for name in ("first", "again"):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            job, seconds = run_job(workspace, engines, spec)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            counts = count_items(workspace, job)
            goal = "  goal ≤ 20 s" if name == "again" else ""
            print(
                f"cached  {name:6} {seconds:6.1f} s{goal}  {counts.done:,} done, {counts.cached:,} "
                f"of them stored before; peak {peak:.0f} MB (+{peak - before:.0f})",
                flush=True,
            )
        workspace.close()


def _tell(added: Added) -> dict[str, object]:
    return {
        "file": "rows", "sha256": "0" * 64, "licence": "MIT", "imported": added.imported,
        "unchanged": added.unchanged, "rejected": [],
    }  # fmt: skip


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=("book", "cached"))
    parser.add_argument("--rows", type=int, default=100_000)
    options = parser.parse_args()
    if options.what in (None, "book"):
        book()
    if options.what in (None, "cached"):
        cached(options.rows)


if __name__ == "__main__":
    main()
