"""Models of the size of Phi-2 and Llama-3 8B in 4 bits on a GPU: speed, memory, adapter switch.

`python -m benchmarks.gpu [phi-2|llama-3-8b]` builds random weights of the real shapes from their
configurations, without any download, and prints one line a figure, each the median over rounds
that are interleaved with what it is compared with. Without a GPU the same runs on tiny shapes on
the processor, and every line says so: such figures tell that the script works, nothing more.
Training on such a card is measured by `python -m benchmarks.gpu_training`.

one     tokens/s of one side, and of a bare `generate` loop of transformers on the same weights
two     tokens/s of base and adapter together in one batch, each side's
memory  bytes of the weights against the estimate made before loading, and the peak on the GPU
switch  time that the first token takes longer when the adapter was another one before
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.shaped import SHAPES, build_4_bit, make_config, make_tokenizer, save_adapter
from qeu.backends.base import Row
from qeu.backends.folders import ResolvedWeights
from qeu.backends.local import LocalModel
from qeu.backends.memory_estimate import estimate
from qeu.backends.model_shape import shape_of_config
from qeu.backends.precision import Placement, place, read_machine
from qeu.core.generation import Generation
from qeu.core.prompts import Prompt, Segment
from qeu.core.sampling import Sampling

ROUNDS = 5
TOKENS = 64
PROMPT = Prompt(
    "bonsai-v2",
    "answer",
    segments=(Segment("instruction", "Say in a few words why the sky is blue. " * 8),),
)
NO_GPU = "NO GPU WAS USED: tiny shapes on the processor, a test of the script alone"


class Bench:
    """One shaped model with two adapters."""

    def __init__(self, name: str, placement: Placement, folder: Path) -> None:
        import torch

        self.name, self.on_gpu = name, placement.device == "cuda"
        self.config = make_config(name, tiny=not self.on_gpu)
        self.dtype = placement.dtype
        self._torch = torch
        model = build_4_bit(self.config, placement.device, getattr(torch, placement.dtype))
        for at, adapter in enumerate(("one", "two")):
            save_adapter(model, name, folder / adapter, at)
        self.model = model
        self.engine = LocalModel(
            name,
            model,
            make_tokenizer(),
            adapters=folder,
            dtype=placement.dtype,
            precision="nf4",
        )
        self.held = self.engine.memory_bytes

    def run(self, adapters: Sequence[str | None], tokens: int = TOKENS) -> list[Generation]:
        """One row for each adapter; drawn, since random weights go round in circles otherwise."""
        sampling = Sampling(temperature=1, max_new_tokens=tokens)
        done = self.engine.generate([Row(PROMPT, sampling, name) for name in adapters])
        if errors := [one.error for one in done if one.error]:
            raise SystemExit(errors[0])
        return done

    def speeds(self) -> tuple[float, float, float]:
        """Tokens/s of one side, of a bare `generate`, and of each of two sides in one batch."""
        import torch

        ids = torch.tensor([self.engine.prepare(PROMPT).token_ids], device=self.model.device)

        def bare() -> int:
            out = self.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=True,
                top_k=50,
                max_new_tokens=TOKENS,
                min_new_tokens=TOKENS,
            )
            return out.shape[1] - ids.shape[1]

        # before any adapter is attached: `generate` is to run the bare layers
        alone, plain = self._interleave(lambda: self.run([None])[0].new_tokens, bare)
        (both,) = self._interleave(
            lambda: max(one.new_tokens for one in self.run([None, "one"])),
        )
        return alone, plain, both

    def switch_s(self) -> float:
        """Seconds that the first token takes longer after another adapter than after the same."""
        self.run(["one"], 1), self.run(["two"], 1)  # both are loaded, "two" speaks
        longer = []
        for _ in range(4 * ROUNDS):
            changed = self._time(lambda: self.run(["one"], 1))
            same = self._time(lambda: self.run(["one"], 1))
            longer.append(changed - same)
            self.run(["two"], 1)
        return statistics.median(longer)

    def expected(self) -> int:
        """The estimate of the weights before loading."""
        shape = shape_of_config(self.config.to_dict())
        assert shape is not None
        weights = ResolvedWeights("", None, None, 0, parameters=shape.parameters, shape=shape)
        # nothing is laid out a second time here: the model is not loaded from files
        return estimate(weights, "nf4", dtype=self.dtype, device="cuda").weights

    def _interleave(self, *sides: Callable[[], int]) -> list[float]:
        """Median tokens/s of each, one after the other in every round; the first is not counted."""
        found: list[list[float]] = [[] for _ in sides]
        for at in range(ROUNDS + 1):
            for side, rates in zip(sides, found, strict=True):
                tokens = 0

                def count(side: Callable[[], int] = side) -> None:
                    nonlocal tokens
                    tokens = side()

                seconds = self._time(count)
                if at:
                    rates.append(tokens / seconds)
        return [statistics.median(rates) for rates in found]

    def _time(self, work: Callable[[], object]) -> float:
        self._wait()
        started = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - started

    def _wait(self) -> None:
        if self.on_gpu:
            self._torch.cuda.synchronize()


def describe(placement: Placement) -> str:
    """The machine in one line."""
    import torch

    if placement.device != "cuda":
        return NO_GPU
    total = torch.cuda.get_device_properties(0).total_memory
    return f"{torch.cuda.get_device_name()}, {total / 1e9:.0f} GB, torch {torch.__version__}"


def main(names: Sequence[str]) -> int:
    """Print the figures of the named shapes, of all without a name."""
    import torch

    placement = place(read_machine(), "nf4", exact=False, four_bit=True)
    on_gpu = placement.device == "cuda"
    print(f"{describe(placement)}; weights in nf4, computed in {placement.dtype}", flush=True)
    mark = "" if on_gpu else "  (tiny, no GPU)"
    for name in names or SHAPES:
        with tempfile.TemporaryDirectory() as folder:
            if on_gpu:
                torch.cuda.reset_peak_memory_stats()
            bench = Bench(name, placement, Path(folder))
            alone, plain, both = bench.speeds()
            switch = bench.switch_s()
            expected = bench.expected()
            lines = [
                f"one     {alone:8.1f} tokens/s, bare generate {plain:.1f} ({alone / plain:.2f} x)",
                f"two     {both:8.1f} tokens/s each side, base and adapter in one batch",
                f"memory  {bench.held / 1e9:8.3f} GB of weights, {expected / 1e9:.3f} estimated",
                f"switch  {1_000 * switch:8.1f} ms more before the next token",
            ]
            if on_gpu:
                peak = torch.cuda.max_memory_allocated() / 1e9
                lines.append(f"peak    {peak:8.3f} GB on the GPU")
            for line in lines:
                print(f"{name:11} {line}{mark}", flush=True)
            del bench
            if on_gpu:
                torch.cuda.empty_cache()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
