"""How much memory this process took since a moment, at its peak."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Peak:
    """The growth of the resident memory since this was made."""

    def __init__(self) -> None:
        if CLEAR.exists():
            CLEAR.write_text("5")  # the peak counts from now on
        self._begin = self._now()

    def grown_bytes(self) -> int:
        """Give the peak since then."""
        return self._now() - self._begin

    def _now(self) -> int:
        if STATUS.exists():
            line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
            return int(line.split()[1]) * 1024
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
