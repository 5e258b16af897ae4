"""A plugin as a stranger would write it: it writes down what it gets."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from kiterec.plugins import hookimpl

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from kiterec.wire import Row


class Diary:
    """Keeps every call."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.threads: set[str] = set()

    def note(self, *call: Any) -> None:
        self.calls.append(call)
        self.threads.add(threading.current_thread().name)

    @hookimpl
    def kiterec_recording_started(self, recording_path: Path, connections: tuple[str, ...]) -> None:
        self.note("started", recording_path, connections)

    @hookimpl
    def kiterec_frames(self, batch: pa.RecordBatch) -> None:
        self.note("frames", batch)

    @hookimpl
    def kiterec_event(self, connection: str, row: Row) -> None:
        self.note("event", connection, row)

    @hookimpl
    def kiterec_recording_stopped(self, summary: object) -> None:
        self.note("stopped", summary)


diary = Diary()


class Failing:
    """Raises in each hook."""

    def __init__(self, *, error: type[BaseException] = ValueError) -> None:
        self.error = error

    @hookimpl
    def kiterec_frames(self) -> None:
        raise self.error("the plugin is broken")


class Stuck(Diary):
    """Waits in its first batch until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.let_go = threading.Event()

    @hookimpl
    def kiterec_frames(self, batch: pa.RecordBatch) -> None:
        self.entered.set()
        if not self.let_go.wait(60):
            raise TimeoutError("nobody let the plugin go")
        self.note("frames", batch)


class WrongArguments:
    @hookimpl
    def kiterec_frames(self, frames: object) -> None: ...


class UnknownHook:
    @hookimpl
    def kiterec_dance(self) -> None: ...


class NoHook:
    def kiterec_frames(self, batch: object) -> None:
        """Look like a hook without being marked."""


class BadSetup:
    def __init__(self) -> None:
        raise RuntimeError("no weather today")
