"""Makes journals survive a power cut, in a thread of its own, so that no write waits for the disk."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kiterec.clock import NS_PER_S
from kiterec.store.latency import LatencyMeter

if TYPE_CHECKING:
    from collections.abc import Callable

    from kiterec.store.files import Files
    from kiterec.store.journal import Journal


@dataclass(slots=True)
class _State:
    """What is not yet safe of a journal.

    Attributes:
        since_ns: steady clock when the oldest unsafe row came; None: all rows are safe.
        is_named: its name in the folder is safe.
        is_retired: nothing will be appended any more.
    """

    since_ns: int | None = None
    is_named: bool = False
    is_retired: bool = False


class Syncer:
    """Syncs each journal that has unsafe rows once an interval.

    Attributes:
        latency: from the coming of the oldest row to its safety.
    """

    def __init__(
        self,
        interval_s: float | None,
        *,
        flush_interval_s: float,
        files: Files,
        on_failure: Callable[[Exception], None],
    ) -> None:
        self.latency = LatencyMeter()
        self._files = files
        self._at_once = interval_s == 0
        # A row is up to a flush interval old when it is written; the promise counts from its coming.
        self._period_s = None if interval_s is None else max(interval_s - flush_interval_s, interval_s / 4)
        self._on_failure = on_failure
        self._lock = threading.Lock()
        self._states: dict[Journal, _State] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        if self._period_s:
            self._thread = threading.Thread(target=self._run, name="kiterec-fsync", daemon=True)
            self._thread.start()

    def note(self, journal: Journal, since_ns: int) -> None:
        """Be told that rows were written, the oldest of which came at `since_ns` (steady clock)."""
        with self._lock:
            state = self._states.setdefault(journal, _State())
            if state.since_ns is None:
                state.since_ns = since_ns
        if self._at_once:
            self._sync(journal, state)

    def retire(self, journal: Journal) -> None:
        """Be told that nothing will be appended any more; the journal is closed once it is safe."""
        with self._lock:
            state = self._states.setdefault(journal, _State())
            state.is_retired = True
        if self._thread is None:
            self._sync(journal, state)

    def finish(self) -> None:
        """Sync and close everything, and end the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.sync_all()

    def sync_all(self) -> None:
        """Sync everything that is not safe now, and raise the first error when all were tried."""
        with self._lock:
            states = list(self._states.items())
        failures = []
        for journal, state in states:
            try:
                self._sync(journal, state)
            except Exception as error:  # noqa: BLE001 -- the recording ends with it
                failures.append(error)
        if failures:
            raise failures[0]

    def _run(self) -> None:
        started = time.monotonic_ns()
        while not self._stop.wait(
            max(0.0, (self._period_s or 0) - (time.monotonic_ns() - started) / NS_PER_S)
        ):
            started = time.monotonic_ns()
            try:
                self.sync_all()
            except Exception as error:  # noqa: BLE001 -- the recording ends with it
                self._on_failure(error)

    def _sync(self, journal: Journal, state: _State) -> None:
        with self._lock:
            since_ns, state.since_ns = state.since_ns, None
            retired = state.is_retired
        try:
            if since_ns is not None and self._period_s is not None:
                journal.sync()
                if not state.is_named:
                    self._files.sync_folder(journal.path.parent)
                    self._files.sync_folder(journal.path.parent.parent)
                    state.is_named = True
                self.latency.add(time.monotonic_ns() - since_ns)
        finally:
            if retired:
                with self._lock:
                    forgotten = self._states.pop(journal, None)
                if forgotten is not None:
                    journal.close()
