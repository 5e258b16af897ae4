"""What a process that serves in real time asks of its interpreter."""

from __future__ import annotations

import gc
import sys
from typing import Final

_SWITCH_S: Final = 0.0005

_COLLECT_AFTER: Final = 20_000
"""So many new containers, instead of some hundreds, are a reason to collect garbage: a frame's are none."""


def favour_deadlines() -> None:
    """Keep the interpreter's pauses short, for the whole process: call it once, when all is imported.

    What is alive stays out of garbage collections, which would take tens of milliseconds with Arrow and
    Polars loaded; those that remain, of a millisecond, are rare. A thread that reads ahead gives the
    interpreter up after half a millisecond instead of five.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, *gc.get_threshold()[1:])
    sys.setswitchinterval(_SWITCH_S)
