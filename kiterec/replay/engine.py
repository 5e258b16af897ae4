"""What goes over packets: machine code if the process has loaded it, numpy's calls otherwise."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from kiterec import compiled
from kiterec.replay.timeline import Weighed

if TYPE_CHECKING:
    from types import ModuleType

    from kiterec.replay.timeline import Timeline


class _Engine:
    """The loops of this process, once they are loaded."""

    loops: ModuleType | None = None
    loading = threading.Lock()


def load_for(timeline: Timeline) -> None:
    """Load the loops if there is enough to serve. Takes a second: call it in a thread."""
    load(timeline.payload_bytes if isinstance(timeline, Weighed) else 0)


def load(payload_bytes: int) -> None:
    """Load the loops if so many bytes of frames are worth it, half a second with Numba's import.

    Called before anything is due, never while the replay runs: whoever asks for `loops` does not wait.
    """
    if not compiled.chosen(payload_bytes):
        return
    with _Engine.loading:
        if _Engine.loops is None:
            from kiterec.replay import loops

            _Engine.loops = loops


def loops() -> ModuleType | None:
    """Give `kiterec.replay.loops`; None: go by numpy."""
    return _Engine.loops if _Engine.loops is not None and compiled.available() else None
