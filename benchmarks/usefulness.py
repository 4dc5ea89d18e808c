"""What usefulness costs over the bare forward passes that it needs, on shipped records.

`python -m benchmarks.usefulness [--records 64] [--rounds 16]` measures so many records in so many
rounds on the embedded model, cuts, donors, prompts, tokens and storage included, and puts the same
token batches through transformers' own copy of the weights, each round one after the other. It
prints a line a figure, the median over the rounds and the goal.

passes  time of usefulness / of bare passes with the scores of the same tokens; goal ≤ 1.2
cpu     the same in processor time, which other programs on the machine disturb less
plain   the same / bare passes as `model(ids)` does them, with the scores of all tokens
padding tokens of the batches, padding included / without
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.engine import Figure
from benchmarks.stock import load_stock
from qeu.backends.compute_queue import StopSign
from qeu.backends.engines import Engines, open_engines
from qeu.backends.local import LocalModel
from qeu.backends.losses import LossLine, LossPlan, LossRow, TextLoss
from qeu.core.prompts import render
from qeu.core.roles import ROLES
from qeu.core.settings import Settings
from qeu.services.shipped_data import import_shipped
from qeu.services.usefulness import measure_usefulness
from qeu.services.usefulness_texts import RecordTexts, Subject, Texts
from qeu.store.filters import Filter
from qeu.store.workspace import Workspace

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MODEL = "smollm2-135m"
GOAL = 1.2


class Noting:
    """The engine's model, which notes the batches that it computes."""

    def __init__(self, model: LocalModel) -> None:
        self._model = model
        self.identify = model.identify
        self.batches: list[Sequence[LossLine]] = []

    def plan_losses(self, rows: Sequence[LossRow]) -> LossPlan:
        """As the model does."""
        return self._model.plan_losses(rows)

    def losses(
        self,
        batch: Sequence[LossLine],
        adapter: str | None = None,
        stop: StopSign | None = None,
        adapter_hash: str | None = None,
    ) -> list[TextLoss]:
        """As the model does."""
        self.batches.append(batch)
        return self._model.losses(batch, adapter, stop, adapter_hash)


class NotingEngines(Engines):
    """Engines with one model that notes."""

    def __init__(self, engines: Engines) -> None:
        super().__init__(engines.shelf, engines.pool, engines.keyring, engines.adapters)
        self.model = Noting(engines.load(MODEL))  # type: ignore[arg-type]

    def load(self, model_id: str, **how: object) -> Noting:  # type: ignore[override]
        """That one."""
        return self.model


class Part:
    """Some of the texts, with the donors of all."""

    def __init__(self, texts: Texts, subjects: list[Subject]) -> None:
        self._subjects, self.total = subjects, len(subjects)
        self.pool, self.find = texts.pool, texts.find

    def subjects(self, together: int) -> Iterator[list[Subject]]:
        """All at once."""
        yield self._subjects


class Clock:
    """Seconds by the wall and of the processor since it was made."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def stop(self) -> "Clock":
        """Turn the two times into durations."""
        self.wall, self.cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        return self


def time_bare(
    model: "PreTrainedModel", batches: Sequence[Sequence[LossLine]], keep: bool
) -> "Clock":
    """Time of these batches alone; `keep` computes the scores of the answers' tokens only."""
    import torch

    clock = Clock()
    with torch.inference_mode():
        for batch in batches:
            width = max(line.width for line in batch)
            ids = [[*one.prompt, *one.completion] + [0] * (width - one.width) for one in batch]
            first = min(len(one.prompt) for one in batch) - 1
            more = {"logits_to_keep": width - first} if keep else {}
            model(torch.tensor(ids, device=model.device), use_cache=False, **more)
    return clock.stop()


def measure(records: int, rounds: int) -> None:
    """Print the figures."""
    settings = Settings.from_env(os.environ)
    with tempfile.TemporaryDirectory() as home:
        workspace = Workspace(Path(home) / "qeu.db")
        dataset, _ = import_shipped(workspace)
        # spread over the whole data set, so that all categories and languages take part
        texts = RecordTexts(workspace, dataset, Filter())
        everything = list(chain.from_iterable(texts.subjects(1_000)))
        chosen = everything[:: max(1, len(everything) // records)][:records]
        engines = NotingEngines(open_engines(settings, os.environ))
        stock = load_stock(engines.model._model, settings)
        each = -(-len(chosen) // rounds)
        parts = [chosen[at : at + each] for at in range(0, len(chosen), each)]
        # both sides once for nothing: the first pass sets much up
        question = render(chosen[0].stored.record, "chat", ROLES["assistant"], "answer")
        warm = engines.model.plan_losses([LossRow(question.prompt, "It depends.")]).batches
        engines.model._model.losses(warm[0])
        time_bare(stock, warm, keep=True)
        passes, cpu, plain, padded, real, ours = [], [], [], 0, 0, 0.0
        for part in parts:
            engines.model.batches.clear()
            clock = Clock()
            rows = list(chain.from_iterable(
                measure_usefulness(engines, workspace, Part(texts, part), MODEL)
            ))  # fmt: skip
            clock.stop()
            assert len(rows) == len(part)
            batches = list(engines.model.batches)
            # the better of two: a shape that is new to torch costs more at its first time
            first = time_bare(stock, batches, keep=True)
            plain.append(clock.wall / time_bare(stock, batches, keep=False).wall)
            second = time_bare(stock, batches, keep=True)
            passes.append(clock.wall / min(first.wall, second.wall))
            cpu.append(clock.cpu / min(first.cpu, second.cpu))
            padded += sum(len(batch) * max(one.width for one in batch) for batch in batches)
            real += sum(one.width for batch in batches for one in batch)
            ours += clock.wall
        workspace.close()
    print(Figure("passes", passes, GOAL))
    print(Figure("cpu", cpu, GOAL))
    print(f"plain   {statistics.median(plain):6.2f}")
    print(f"padding {padded / real:6.2f}")
    print(f"{len(chosen)} records, {real:,} tokens, {ours:.1f} s, {real / ours:,.0f} tokens/s")


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=16)
    options = parser.parse_args()
    measure(options.records, options.rounds)


if __name__ == "__main__":
    main()
