"""How much memory the process has taken."""

from __future__ import annotations

import sys


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
