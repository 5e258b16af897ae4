"""The host of the plugins: takes rows from the recording path, and never makes it wait."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from kiterec.plugins.batches import Recorded, frames_and_events
from kiterec.plugins.file_plugins import options_of
from kiterec.plugins.loading import load_plugin
from kiterec.plugins.runner import PluginStats, Runner

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from kiterec.store.summary import Summary
    from kiterec.wire.transcript import Row

logger = logging.getLogger(__name__)

BACKLOG_BYTES: Final = 64 << 20
BATCH_INTERVAL_S: Final = 0.1
STOP_DEADLINE_S: Final = 10.0

ROW_BYTES: Final = 250
"""What a row costs in memory beside its payload."""


class PluginHost:
    """Hands a recording live to plugins: `start`, then `append` for each row, then `stop`.

    `append` puts the row into a bounded queue and returns. One thread makes batches of what has come and
    puts them into the backlog of each plugin, and each plugin has a thread of its own. What a plugin raises
    is logged once and counted; a slow plugin loses its own oldest batches, counted; the recording loses
    nothing.

    Attributes:
        lost_rows: rows that no plugin saw because the host itself was too slow.

    Raises:
        PluginError: a name is unknown or a plugin cannot be used; nothing was started.
    """

    def __init__(
        self,
        names: Sequence[str],
        options: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        backlog_bytes: int = BACKLOG_BYTES,
        batch_interval_s: float = BATCH_INTERVAL_S,
    ) -> None:
        self.lost_rows = 0
        self._backlog_bytes = backlog_bytes
        self._batch_interval_s = batch_interval_s
        self._runners = [
            Runner(name, load_plugin(name, options_of(name, options or {})), backlog_bytes=backlog_bytes)
            for name in dict.fromkeys(names)
        ]
        self._rows: deque[Recorded] = deque()
        self._bytes = 0
        self._next_seq = 0
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._collector = threading.Thread(target=self._collect, name="kiterec-plugin-host", daemon=True)
        self._started = False

    @property
    def names(self) -> list[str]:
        """The names of the plugins, in the order that they were asked for."""
        return [runner.name for runner in self._runners]

    def start(self, recording_path: Path, connections: Sequence[str]) -> None:
        """Start the threads and tell the plugins that the recording begins."""
        if self._started:
            raise ValueError("the plugin host was started already; make a new one for each recording")
        self._started = True
        arguments = {"recording_path": recording_path, "connections": tuple(connections)}
        for runner in self._runners:
            runner.start()
            runner.call("kiterec_recording_started", arguments)
        self._collector.start()
        if self._runners:
            logger.info("plugins started: plugins=%s", ",".join(self.names))

    def append(self, connection: str, row: Row) -> None:
        """Hand over one row; cheap, from any thread.

        Rows are numbered from 0 in the order that they come, which is their `seq` in the recording when each
        row of it is handed over.
        """
        if not self._runners:
            return
        with self._lock:
            self._rows.append(Recorded(connection, self._next_seq, row))
            self._next_seq += 1
            self._bytes += len(row.payload) + ROW_BYTES
            while self._bytes > self._backlog_bytes and len(self._rows) > 1:
                self._bytes -= len(self._rows.popleft().row.payload) + ROW_BYTES
                self.lost_rows += 1

    def stop(self, summary: Summary | None = None, *, deadline_s: float = STOP_DEADLINE_S) -> None:
        """Hand over the last rows and let the plugins end; returns at the deadline whatever they do."""
        if not self._started or self._stopping.is_set():
            return
        end = time.monotonic() + deadline_s
        self._stopping.set()
        self._collector.join(deadline_s)
        for runner in self._runners:
            runner.finish(summary, timeout_s=max(0.0, end - time.monotonic()))
        if self.lost_rows:
            logger.warning("the plugin host was too slow: lost_rows=%d", self.lost_rows)

    def stats(self) -> dict[str, PluginStats]:
        """Give the counts of each plugin."""
        return {runner.name: runner.stats() for runner in self._runners}

    def _collect(self) -> None:
        last = False
        while not last:
            last = self._stopping.wait(self._batch_interval_s)
            with self._lock:
                rows, self._rows = self._rows, deque()
                self._bytes = 0
            try:
                self._hand_over(rows)
            except Exception:
                self.lost_rows += len(rows)
                logger.exception("rows could not be handed to the plugins: rows=%d", len(rows))

    def _hand_over(self, rows: deque[Recorded]) -> None:
        for item in frames_and_events(rows):
            if isinstance(item, Recorded):
                arguments: dict[str, Any] = {"connection": item.connection, "row": item.row}
                self._call("kiterec_event", arguments, rows=1, size=len(item.row.payload) + ROW_BYTES)
            else:
                self._call("kiterec_frames", {"batch": item}, rows=item.num_rows, size=item.nbytes)

    def _call(self, hook: str, arguments: Mapping[str, Any], *, rows: int, size: int) -> None:
        for runner in self._runners:
            if runner.implements(hook):
                runner.call(hook, arguments, rows=rows, size=size)
