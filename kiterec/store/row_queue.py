"""Rows on their way to the disk: numbered as they come, grouped by connection, within a budget of memory."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final

from kiterec.clock import NS_PER_S
from kiterec.store.folder import check_connection_name
from kiterec.store.schema import MAX_PAYLOAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from kiterec.wire.transcript import Row

logger = logging.getLogger(__name__)

ROW_BYTES: Final = 250
"""What a row costs in memory beside its payload."""

EARLY_FLUSH_BYTES: Final = 8 << 20
"""So much waiting is written at once, before the flush interval is over."""

BRISK_BYTES: Final = 16 << 20
"""So much may wait while the disk answers: more would only wait longer than the flush interval promises."""

STALL_NS: Final = NS_PER_S
"""A disk that has let rows wait for so long stalls; then the whole budget may fill before reading stops."""


class Group:
    """Rows of one connection that are written together.

    Attributes:
        connection: whose rows.
        since_ns: steady clock when the first of them came.
        seqs: their places in the recording.
        rows: the rows.
        size: what they cost in memory.
        written: how many of them are in a journal.
    """

    __slots__ = ("connection", "rows", "seqs", "since_ns", "size", "written")

    def __init__(self, connection: str, since_ns: int) -> None:
        self.connection = connection
        self.since_ns = since_ns
        self.seqs: list[int] = []
        self.rows: list[Row] = []
        self.size = 0
        self.written = 0


class RowQueue:
    """What was appended and is not yet written.

    Attributes:
        wake: set when the writer should not wait for the flush interval.
        rows: rows appended so far.
        payload_bytes: bytes of their payloads.
        lost_rows: rows that came after the disk had failed, or were waiting then.
        refused_rows: those that came after; they have no `seq` and are not among `rows`.
    """

    def __init__(self, budget: int) -> None:
        self.wake = threading.Event()
        self.rows = 0
        self.payload_bytes = 0
        self.lost_rows = 0
        self.refused_rows = 0
        self._budget = budget
        self._brisk = min(BRISK_BYTES, budget)
        self._answered_ns = time.monotonic_ns()
        self._lock = threading.Lock()
        self._groups: dict[str, Group] = {}
        self._known: set[str] = set()
        self._unwritten = 0
        self._waiting = 0
        self._paused = False
        self._failed = False
        self._closed = False
        self._callbacks: list[Callable[[bool], None]] = []

    def append(self, connection: str, row: Row) -> None:
        """Take a row, from any thread; its `seq` is its turn.

        Raises:
            ValueError: the queue is closed, or the payload is longer than 32 MiB.
            SetupError: the connection's name cannot name a folder.
        """
        length = len(row[3])
        with self._lock:
            group = self._groups.get(connection)
            if group is None or length > MAX_PAYLOAD_BYTES or self._closed or self._failed:
                group = self._open_group(connection, length)
                if group is None:
                    return
            group.seqs.append(self.rows)
            group.rows.append(row)
            size = length + ROW_BYTES
            group.size += size
            self.rows += 1
            self.payload_bytes += length
            self._unwritten += size
            self._waiting += size
            early = self._waiting >= EARLY_FLUSH_BYTES
            pressed = self._unwritten > self._brisk and not self._paused and self._is_pressed()
            if pressed:
                self._paused = True
        if early:
            self.wake.set()
        if pressed:
            self._tell(paused=True)

    def _is_pressed(self) -> bool:
        stalls = time.monotonic_ns() - self._answered_ns > STALL_NS
        return not stalls or self._unwritten > self._budget

    def _open_group(self, connection: str, length: int) -> Group | None:
        if self._closed:
            raise ValueError("the recording is closed; nothing can be appended to it")
        if length > MAX_PAYLOAD_BYTES:
            raise ValueError(f"a payload of {length:,} bytes; a row holds {MAX_PAYLOAD_BYTES:,} at most")
        if self._failed:
            self.lost_rows += 1
            self.refused_rows += 1
            return None
        if connection not in self._known:
            check_connection_name(connection)
            self._known.add(connection)
        group = self._groups[connection] = Group(connection, time.monotonic_ns())
        if not self._unwritten:
            self._answered_ns = group.since_ns  # a disk that was asked nothing owes no answer
        return group

    def take(self) -> list[Group]:
        """Give all that waits; call `written` for each group, or `fail`."""
        with self._lock:
            groups, self._groups = self._groups, {}
            self._waiting = 0
            self.wake.clear()
        return list(groups.values())

    def written(self, group: Group) -> None:
        """Give back the memory of a group that is on its way to the disk."""
        with self._lock:
            self._unwritten -= group.size
            self._answered_ns = time.monotonic_ns()
            eased = self._paused and self._unwritten <= self._brisk // 2
            if eased:
                self._paused = False
        if eased:
            self._tell(paused=False)

    def fail(self, lost_rows: int) -> None:
        """Count all rows that wait, these, and all that are still to come as lost: the disk takes no more."""
        with self._lock:
            self._failed = True
            self.lost_rows += lost_rows + sum(len(group.rows) for group in self._groups.values())
            self._groups.clear()
            self._unwritten = self._waiting = 0
            eased, self._paused = self._paused, False
        if eased:
            self._tell(paused=False)

    def close(self) -> None:
        """Refuse further rows."""
        with self._lock:
            self._closed = True
        self.wake.set()

    @property
    def unwritten_bytes(self) -> int:
        """Memory of rows that are not yet written."""
        return self._unwritten

    @property
    def paused(self) -> bool:
        """Whether the senders have been told to stop."""
        return self._paused

    def on_pressure(self, callback: Callable[[bool], None]) -> None:
        """Call back with True when reading should stop, with False when most of what waited is written.

        The call comes from the thread that appended, or from the writer's.
        """
        self._callbacks.append(callback)

    def _tell(self, *, paused: bool) -> None:
        for callback in self._callbacks:
            try:
                callback(paused)
            except Exception:
                logger.exception("a back-pressure callback failed paused=%s", paused)
