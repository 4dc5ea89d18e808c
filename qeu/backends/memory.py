"""How much memory is free, on the GPU or in the machine, and how much a loaded model holds."""

import shutil
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_CGROUP = Path("/sys/fs/cgroup")


def free_memory_bytes(device: str = "auto") -> int:
    """Free bytes of the GPU if there is one and `device` allows it, else of the machine."""
    if device != "cpu" and has_gpu():
        import torch

        return int(torch.cuda.mem_get_info()[0])
    import psutil

    free = int(psutil.virtual_memory().available)
    limit = _container_limit()
    return free if limit is None else min(free, limit)


def memory_of(model: "PreTrainedModel") -> int:
    """Bytes of all weights, adapters included: quantised ones as stored, packed ones twice."""
    from qeu.backends.packed_linear import packed_bytes

    return int(model.get_memory_footprint()) + packed_bytes(model) + _table_bytes(model)


def _table_bytes(model: "PreTrainedModel") -> int:
    """What bitsandbytes keeps beside quantised matrices: neither parameters nor buffers."""
    found = []
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        nested = getattr(state, "state2", None)
        found += [getattr(state, name, None) for name in ("absmax", "code", "offset")]
        found += [getattr(nested, name, None) for name in ("absmax", "code")]
        found.append(getattr(parameter, "SCB", None))
    # the first product with 8 bits moves the scales from the matrix to its layer
    found += [getattr(getattr(m, "state", None), "SCB", None) for m in model.modules()]
    tables = {id(table): table for table in found if table is not None}
    return sum(int(table.nbytes) for table in tables.values())


@lru_cache
def has_gpu() -> bool:
    """Whether torch can use an NVIDIA GPU; imports torch only where a driver is installed."""
    if shutil.which("nvidia-smi") is None and not Path("/dev/nvidia0").exists():
        return False
    import torch

    return torch.cuda.is_available()


def _container_limit(folder: Path = _CGROUP) -> int | None:
    """What a container (a Space, say) may still take; None without a limit.

    File pages count as used there, and are given back when needed: they are taken as free.
    """
    try:
        limit = (folder / "memory.max").read_text().strip()
        used = int((folder / "memory.current").read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None  # not a container of this kind
    if limit == "max":
        return None
    return max(0, int(limit) - used + int(stat.get("inactive_file", 0)))
