"""What a process that serves in real time asks of its interpreter."""

from __future__ import annotations

import gc
import sys
from typing import Final

_SWITCH_S: Final = 0.0005


def favour_deadlines() -> None:
    """Keep the interpreter's pauses short, for the whole process: call it once, when all is imported.

    What is alive stays out of garbage collections, which would take tens of milliseconds with Arrow and
    Polars loaded, and a thread that reads ahead gives the interpreter up after half a millisecond instead of
    five.
    """
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(_SWITCH_S)
