"""In which numbers a model is held and computed, chosen from the machine, with the reason.

Importing this loads no torch; reading the machine does only where there is a GPU, or a processor
that tells its abilities in no other way.
"""

import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from qeu.backends.memory import has_gpu
from qeu.core.errors import QeuError

AUTO = "auto"
QUANTISED = ("nf4", "int8")
PRECISIONS = (*QUANTISED, "bfloat16", "float16", "float32")
SYNONYMS = {
    "4bit": "nf4", "8bit": "int8", "bf16": "bfloat16", "fp16": "float16", "fp32": "float32",
}  # fmt: skip
# Older GPUs unpack every bfloat16 number first.
BFLOAT16_CAPABILITY = (8, 0)
_CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Machine:
    """What models run on: "cuda" with its compute capability, or "cpu"."""

    device: str
    capability: tuple[int, int] = (0, 0)
    fast_bfloat16: bool = False


@dataclass(frozen=True)
class Placement:
    """Where a model computes and in which numbers its weights are held.

    `dtype` is what it computes in: the precision itself, or what 4 and 8 bits are unpacked to.
    `reason` says in one sentence why this precision.
    """

    device: str
    dtype: str
    precision: str
    reason: str = ""

    @property
    def numbers(self) -> str:
        """How weights are held, and what they are unpacked to where that is something else."""
        return name_numbers(self.precision, self.dtype)


def name_numbers(precision: str, dtype: str) -> str:
    """Both in one word, as receipts and cache keys tell them: "bfloat16", "nf4/float16"."""
    return dtype if precision == dtype else f"{precision}/{dtype}"


def read_precision(name: str) -> str:
    """The name of a precision, synonyms such as 4bit resolved; QeuError for an unknown one."""
    found = SYNONYMS.get(name.strip().lower(), name.strip().lower())
    if found != AUTO and found not in PRECISIONS:
        choices = ", ".join((AUTO, *PRECISIONS))
        raise QeuError(f"Unknown precision {name[:40]!r}. Choose one of: {choices}.")
    return found


def read_machine(device: str = AUTO) -> Machine:
    """This machine, as the setting QEU_DEVICE allows it to be used."""
    if device == "cuda" and not has_gpu():
        raise QeuError("QEU_DEVICE is cuda, but torch sees no GPU. Set it to auto or cpu.")
    if device == "cpu" or not has_gpu():
        return Machine("cpu", fast_bfloat16=_has_fast_bfloat16())
    import torch

    return Machine("cuda", torch.cuda.get_device_capability())


def place(machine: Machine, wanted: str = AUTO, *, exact: bool, four_bit: bool) -> Placement:
    """Resolve a precision: `exact` is float32, `four_bit` the model's own default on a GPU."""
    fast = _fast_dtype(machine)
    if exact:
        return Placement(
            machine.device, "float32", "float32", "float32: the exact setting needs it."
        )
    if wanted in QUANTISED:
        return Placement(machine.device, fast, wanted, f"{wanted}: it was chosen.")
    if wanted != AUTO:
        return Placement(machine.device, wanted, wanted, f"{wanted}: it was chosen.")
    if four_bit and machine.device == "cuda":
        reason = "nf4: 4 bits are the default of a model of this size on a GPU."
        return Placement(machine.device, fast, "nf4", reason)
    return Placement(machine.device, fast, fast, _why(machine, fast))


def _fast_dtype(machine: Machine) -> str:
    if machine.device == "cuda":
        return "bfloat16" if machine.capability >= BFLOAT16_CAPABILITY else "float16"
    return "bfloat16" if machine.fast_bfloat16 else "float32"


def _why(machine: Machine, dtype: str) -> str:
    if machine.device == "cpu":
        if dtype == "bfloat16":
            return "bfloat16: this processor computes it directly."
        return "float32: this processor would be slower in bfloat16."
    capability = ".".join(map(str, machine.capability))
    if dtype == "bfloat16":
        return f"bfloat16: this GPU computes it directly (compute capability {capability})."
    return f"float16: this GPU's compute capability is {capability}, and bfloat16 needs 8.0."


def check_possible(name: str, wanted: str, stored: str, *, is_gguf: bool) -> None:
    """Refuse a precision that these weights cannot be loaded in; `stored` is their own or ""."""
    if wanted not in QUANTISED:
        return
    if is_gguf:
        raise QeuError(
            f"{name} is a GGUF file, which is unpacked on loading and cannot be loaded in "
            f"{wanted}. Choose bfloat16 or float32, or a folder of safetensors."
        )
    if stored and stored != wanted:
        raise QeuError(
            f"The weights of {name} are stored in {stored} and cannot be loaded in {wanted}. "
            "Choose auto, or a repository that holds them in 16 bits."
        )


def keep_stored(placement: Placement, stored: str) -> Placement:
    """The placement of weights that are quantised in their files, and stay so."""
    if not stored or stored == placement.precision:
        return placement
    reason = f"{stored}: the weights are stored so, and stay so."
    return Placement(placement.device, placement.dtype, stored, reason)


@lru_cache
def _has_fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 directly (AVX512-BF16 or AMX)."""
    if "torch" not in sys.modules:
        try:
            words = set(_CPU_INFO.read_text("utf-8").split())
        except OSError:
            pass  # not Linux: torch knows
        else:
            return bool(words & {"avx512_bf16", "amx_bf16"})
    import torch

    found = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
