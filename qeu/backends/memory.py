"""How much memory is free, on the GPU or in the machine, within a container's limits too."""

import shutil
from functools import lru_cache
from pathlib import Path

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
