"""The writer's thread: group commit of what came, one batch a connection, and the rotation of journals."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final, Protocol

from kiterec.clock import IST, NS_PER_S
from kiterec.errors import DiskFullError, StorageError
from kiterec.store.folder import JOURNAL, RecordingFolder
from kiterec.store.journal import Journal
from kiterec.store.latency import LatencyMeter

if TYPE_CHECKING:
    from collections.abc import Callable

    from kiterec.store.files import Files
    from kiterec.store.options import StoreOptions
    from kiterec.store.row_queue import Group, RowQueue
    from kiterec.store.syncer import Syncer

logger = logging.getLogger(__name__)

_IST_OFFSET_NS: Final = int(IST.utcoffset(None).total_seconds()) * NS_PER_S
_PERIOD_SHARE: Final = 0.25
"""Of the flush interval: the rest is for waking up, encoding and writing when all threads are busy."""
_MUCH_BYTES: Final = 32 << 20
_FAST_BYTES_PER_S: Final = 10e6
"""Ten times what 3,000 instruments in full mode send on one connection."""
_DAY_NS: Final = 86_400 * NS_PER_S


def ist_day(ns: int) -> int:
    """Give the number of the day, counted from the epoch, that it is in India at this instant."""
    return (ns + _IST_OFFSET_NS) // _DAY_NS


class _Open:
    """A journal that is being written, with what decides when it ends."""

    __slots__ = ("day", "journal", "number", "opened_ns")

    def __init__(self, journal: Journal, number: int, day: int) -> None:
        self.journal = journal
        self.number = number
        self.day = day
        self.opened_ns = time.monotonic_ns()

    def is_fast(self) -> bool:
        """Say whether it grew so much and so fast that the best compression could not keep up."""
        size = self.journal.payload_bytes
        seconds = max(1, time.monotonic_ns() - self.opened_ns) / NS_PER_S
        return size > _MUCH_BYTES and size / seconds > _FAST_BYTES_PER_S


class _OnRetired(Protocol):
    def __call__(self, connection: str, number: int, *, rows: int, in_a_hurry: bool) -> None: ...


class Committer:
    """Writes what the queue holds, until it is stopped or the disk refuses.

    Attributes:
        latency: from the coming of a group's oldest row to its write(2).
        last_flush_ns: steady clock of the last write; 0 before the first.
        journal_bytes: bytes of the journals that are open now.
        written_rows: rows that reached a journal.
        failure: what the disk refused; None: nothing.
    """

    def __init__(
        self,
        folder: RecordingFolder,
        queue: RowQueue,
        syncer: Syncer,
        *,
        options: StoreOptions,
        files: Files,
        on_retired: _OnRetired,
        on_failure: Callable[[StorageError], None],
    ) -> None:
        self.latency = LatencyMeter()
        self.last_flush_ns = 0
        self.written_rows = 0
        self.failure: StorageError | None = None
        self._folder = folder
        self._queue = queue
        self._syncer = syncer
        self._options = options
        self._files = files
        self._on_retired = on_retired
        self._on_failure = on_failure
        self._open: dict[str, _Open] = {}
        self._next_number: dict[str, int] = {}
        self._stopping = False
        self._space_asked_ns = 0
        self._is_low = False
        self._failing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="kiterec-writer", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, end all journals, and return when that is done."""
        self._stopping = True
        self._queue.wake.set()
        self._thread.join()
        if left := sum(len(group.rows) for group in self._queue.take()):
            self._queue.fail(left)

    @property
    def journal_bytes(self) -> int:
        """Bytes of the journals that are open now."""
        return sum(is_open.journal.size for is_open in list(self._open.values()))

    def fail(self, error: Exception) -> None:
        """Stop taking rows, because the disk refused or a thread failed; only the first error counts."""
        if not isinstance(error, StorageError):
            logger.error("a thread of the writer failed", exc_info=error)
            error = StorageError(f"the writer of {self._folder.path} failed: {error!r}")
        with self._failing:
            if self.failure is not None:
                return
            self.failure = error
        logger.error("recording stopped: %s", error)
        self._queue.fail(0)
        self._on_failure(error)

    def _run(self) -> None:
        interval = self._options.flush_interval_s * _PERIOD_SHARE
        begun = time.monotonic()
        while not self._stopping:
            self._queue.wake.wait(max(0.0, begun + interval - time.monotonic()))
            begun = time.monotonic()
            self._flush()
        self._flush()
        for connection in list(self._open):
            self._retire(connection)

    def _flush(self) -> None:
        groups = self._queue.take()
        for at, group in enumerate(groups):
            try:
                if self.failure is None:
                    self._commit(group)
            except StorageError as error:
                self.fail(error)
            except Exception as error:
                logger.exception("the writer failed connection=%s", group.connection)
                self.fail(StorageError(f"the writer failed on rows of {group.connection}: {error!r}"))
            if self.failure is not None:
                self._queue.fail(sum(len(left.rows) for left in groups[at:]) - group.written)
                break
            self._queue.written(group)
        try:
            self._rotate_old()
            self._watch_space()
        except Exception as error:  # noqa: BLE001 -- the recording ends with it
            self.fail(error)

    def _commit(self, group: Group) -> None:
        rows = group.rows
        begin = 0
        while begin < len(rows):
            is_open = self._open.get(group.connection) or self._open_journal(group.connection, rows[begin][0])
            end = len(rows)
            if ist_day(rows[-1][0]) > is_open.day:
                end = next(at for at in range(begin, end) if ist_day(rows[at][0]) > is_open.day)
            if end > begin:
                self._append(is_open.journal, group, begin, end)
            if end < len(rows) or is_open.journal.payload_bytes >= self._options.part_bytes:
                self._retire(group.connection)
            begin = end
        self.last_flush_ns = time.monotonic_ns()
        self.latency.add(self.last_flush_ns - group.since_ns)

    def _append(self, journal: Journal, group: Group, begin: int, end: int) -> None:
        before = journal.rows
        try:
            journal.append(group.seqs[begin:end], group.rows[begin:end])
        finally:
            group.written += journal.rows - before
            self.written_rows += journal.rows - before
        self._syncer.note(journal, group.since_ns)

    def _open_journal(self, connection: str, received_at: int) -> _Open:
        number = self._next_number.get(connection, 0)
        path = self._folder.file(connection, number, JOURNAL)
        if number == 0 and not path.parent.exists():
            self._files.make_folder(path.parent)
        journal = Journal(path, files=self._files)
        self._next_number[connection] = number + 1
        is_open = self._open[connection] = _Open(journal, number, ist_day(received_at))
        return is_open

    def _retire(self, connection: str) -> None:
        is_open = self._open.pop(connection)
        try:
            self._syncer.retire(is_open.journal)
        except Exception as error:  # noqa: BLE001 -- the recording ends with it
            self.fail(error)
        rows = is_open.journal.rows
        self._on_retired(connection, is_open.number, rows=rows, in_a_hurry=is_open.is_fast())

    def _rotate_old(self) -> None:
        oldest = time.monotonic_ns() - int(self._options.part_duration_s * NS_PER_S)
        for connection, is_open in list(self._open.items()):
            if is_open.opened_ns <= oldest:
                self._retire(connection)

    def _watch_space(self) -> None:
        now = time.monotonic_ns()
        if now - self._space_asked_ns < NS_PER_S or self.failure is not None:
            return
        self._space_asked_ns = now
        free = self._files.free_bytes(self._folder.path)
        if free < self._options.min_free_bytes:
            raise DiskFullError(
                f"{self._folder.path}: {free:,} bytes are free, {self._options.min_free_bytes:,} are needed "
                "to seal what is there; the recording stops, free some space"
            )
        if free < self._options.warn_free_bytes and not self._is_low:
            logger.warning("disk is low path=%s free_bytes=%d", self._folder.path, free)
            for connection in list(self._open):
                self._retire(connection)
        self._is_low = free < self._options.warn_free_bytes
