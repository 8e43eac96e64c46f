"""How much memory the process has taken, and how much is left."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

_GROUP = Path("/sys/fs/cgroup")  # of a container


class NotEnoughMemoryError(MemoryError, ValueError):
    """Something larger than the memory that is left was asked for; nothing has been allocated."""


def size_of(n_bytes: float) -> str:
    """Return a number of bytes as people say it."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:,.3g} TB"


def peak_memory() -> float | None:
    """Return the most memory that this process has had at once, in GB (10⁹ bytes); None where it is not known.

    It is the peak since the process began, whoever asked for the memory; that of other processes is not in it.
    """
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9  # bytes on macOS, KiB elsewhere


def available_memory() -> int | None:
    """Return how many bytes of memory are left for new things, also in a container; None where that is not known."""
    left = []
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        left.append(1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]))
    with suppress(OSError, ValueError):
        limit, used = ((_GROUP / f"memory.{name}").read_text(encoding="ascii") for name in ("max", "current"))
        # Of what counts as used, files that were read make room for whoever asks.
        lines = (_GROUP / "memory.stat").read_text(encoding="ascii").splitlines()
        files = sum(int(line.split()[1]) for line in lines if line.startswith(("active_file ", "inactive_file ")))
        left.append(max(0, int(limit) - int(used) + files))  # "max" where there is no limit
    return min(left, default=None)
