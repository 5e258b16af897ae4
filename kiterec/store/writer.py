"""RecordingWriter: what the feed gives its rows to."""

from __future__ import annotations

import hashlib
import logging
import shutil
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kiterec.clock import SYSTEM_CLOCK, Clock, utc
from kiterec.errors import SetupError, StorageError
from kiterec.store.committer import Committer
from kiterec.store.files import FILES, Files
from kiterec.store.folder import JOURNAL, RecordingFolder, check_connection_name
from kiterec.store.instrument_file import instruments_as_parquet
from kiterec.store.lock import FolderLock
from kiterec.store.manifest import Manifest, Status, save_manifest
from kiterec.store.options import StoreOptions
from kiterec.store.row_queue import RowQueue
from kiterec.store.sealing import Sealing
from kiterec.store.start import make_folders, new_folder, new_manifest
from kiterec.store.summary import Summary, summarize
from kiterec.store.syncer import Syncer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from kiterec.store.latency import Latency
    from kiterec.wire.transcript import Row

__all__ = ["RecordingWriter", "StoreOptions", "WriterStats"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterStats:
    """How the writing goes.

    Attributes:
        rows: rows appended.
        bytes: bytes of their payloads.
        written_rows: rows that reached the operating system.
        lost_rows: rows that the disk refused.
        unwritten_bytes: memory of rows that wait to be written.
        parts: sealed parts.
        unsealed: ended journals that could not be sealed; they stay readable.
        disk_bytes: bytes of the sealed parts and of the journals being written.
        flush: from the coming of a row to write(2).
        fsync: from the coming of a row to its safety from a power cut.
        last_flush_ns: steady clock of the last write; 0 before the first.
        failure: why the recording stopped; None: it goes on.
    """

    rows: int
    bytes: int
    written_rows: int
    lost_rows: int
    unwritten_bytes: int
    parts: int
    unsealed: int
    disk_bytes: int
    flush: Latency
    fsync: Latency
    last_flush_ns: int
    failure: str | None


class RecordingWriter:
    """Writes one recording. `append` is cheap and may be called from any thread; the rest runs beside it.

    Attributes:
        path: the folder of the recording.
    """

    def __init__(
        self,
        folder: RecordingFolder,
        manifest: Manifest,
        locks: Sequence[FolderLock],
        *,
        options: StoreOptions,
        clock: Clock,
        files: Files,
    ) -> None:
        """Use `create`."""
        self.path = folder.path
        self._folder = folder
        self._locks = locks
        self._clock = clock
        self._files = files
        self._failure_callbacks: list[Callable[[StorageError], None]] = []
        self._closing = threading.Lock()
        self._summary: Summary | None = None
        self._queue = RowQueue(options.memory_budget)
        self._sealing = Sealing(folder, manifest, threads=options.sealing_threads, files=files)
        self._syncer = Syncer(
            options.fsync_interval_s,
            flush_interval_s=options.flush_interval_s,
            files=files,
            on_failure=lambda error: self._committer.fail(error),  # noqa: PLW0108 -- it is made below
        )
        self._committer = Committer(
            folder,
            self._queue,
            self._syncer,
            options=options,
            files=files,
            on_retired=self._sealing.submit,
            on_failure=self._tell_failure,
        )
        self._sealing.start()
        self._committer.start()

    @classmethod
    def create(
        cls,
        out: Path,
        *,
        label: str,
        accounts: Sequence[str],
        connections: Sequence[str] = (),
        details: Mapping[str, Any] | None = None,
        options: StoreOptions | None = None,
        clock: Clock = SYSTEM_CLOCK,
        files: Files = FILES,
    ) -> RecordingWriter:
        """Begin a recording in a new folder below `out`.

        Args:
            out: the folder of all recordings; made if it is not there.
            label: a word for this recorder; one recorder at a time may use it in `out`.
            accounts: names of accounts; no secrets.
            connections: names of connections that are planned.
            details: whatever else should be kept in the manifest, as JSON.
            options: intervals, sizes and limits.
            clock: whose wall clock names the folder.
            files: the file operations; tests give their own.

        Raises:
            SetupError: another recorder uses the label, or the folder cannot be written.
        """
        options = options or StoreOptions()
        check_connection_name(label, what="label")
        for name in connections:
            check_connection_name(name)
        locks: list[FolderLock] = []
        folder: RecordingFolder | None = None
        try:
            make_folders(out, files)
            locks.append(FolderLock(out, label=label).acquire())
            folder = new_folder(out, label, clock, files)
            locks.append(FolderLock(folder.path).acquire())
            manifest = new_manifest(
                label=label,
                accounts=accounts,
                connections=connections,
                details=details or {},
                options=options,
                clock=clock,
            )
            for name in connections:
                files.make_folder(folder.connection_folder(name))
            save_manifest(folder.path, manifest, files=files)
            files.sync_folder(folder.path.parent)
        except BaseException as error:
            if folder is not None:
                shutil.rmtree(folder.path, ignore_errors=True)
            for lock in locks:
                lock.release()
            if isinstance(error, (OSError, StorageError)):
                raise SetupError(f"cannot record into {out}: {error}") from error
            raise
        return cls(folder, manifest, locks, options=options, clock=clock, files=files)

    def append(self, connection: str, row: Row) -> None:
        """Record a row; its `seq` is its turn.

        Raises:
            ValueError: the recording is closed, or the payload is longer than 32 MiB.
            SetupError: the connection's name cannot name a folder.
        """
        self._queue.append(connection, row)

    def paused(self) -> bool:
        """Say whether the budget of memory is used up, so that nothing should be read from the sockets."""
        return self._queue.paused

    def on_pressure(self, callback: Callable[[bool], None]) -> None:
        """Call back with True when reading should stop and with False when it may go on.

        The call comes from the thread that appends or from the writer's; it should only pass the news on.
        """
        self._queue.on_pressure(callback)

    def on_failure(self, callback: Callable[[StorageError], None]) -> None:
        """Call back once, from a writer's thread, when the disk refuses; later rows are lost and counted."""
        self._failure_callbacks.append(callback)
        if self._committer.failure is not None:
            callback(self._committer.failure)

    def set_instruments(self, csv: bytes) -> None:
        """Keep the day's instrument dump with the recording.

        Raises:
            SetupError: it is no dump of instruments.
            StorageError: it cannot be written.
        """
        content = instruments_as_parquet(csv)
        self._note_instruments(None)
        self._files.save(self._folder.instruments_path, content)
        self._note_instruments(hashlib.sha256(content).hexdigest())

    def _note_instruments(self, sha256: str | None) -> None:
        manifest = self._sealing.manifest
        with self._sealing.lock:
            if manifest.instruments_sha256 != sha256:
                manifest.instruments_sha256 = sha256
                save_manifest(self.path, manifest, files=self._files)

    def stats(self) -> WriterStats:
        """Say how the writing goes."""
        with self._sealing.lock:
            sealed = list(self._sealing.manifest.parts)
        failure = self._committer.failure
        return WriterStats(
            rows=self._queue.rows,
            bytes=self._queue.payload_bytes,
            written_rows=self._committer.written_rows,
            lost_rows=self._queue.lost_rows,
            unwritten_bytes=self._queue.unwritten_bytes,
            parts=len(sealed),
            unsealed=len(self._sealing.unsealed),
            disk_bytes=sum(part.bytes for part in sealed) + self._committer.journal_bytes,
            flush=self._committer.latency.summary(),
            fsync=self._syncer.latency.summary(),
            last_flush_ns=self._committer.last_flush_ns,
            failure=None if failure is None else str(failure),
        )

    def close(self) -> Summary:
        """Write and seal everything, make the manifest final, and give the summary; again gives the same.

        This blocks: call it in a thread. What cannot be sealed, because the disk is full, stays in journals
        and the status stays `recording`, so that `recover` goes on from there.
        """
        with self._closing:
            if self._summary is None:
                self._queue.close()
                self._committer.stop()
                try:
                    self._syncer.finish()
                except Exception as error:  # noqa: BLE001 -- the recording ends with it
                    self._committer.fail(error)
                self._sealing.finish()
                self._save_final_manifest()
                for lock in self._locks:
                    lock.release()
                self._summary = summarize(self.path)
                ended = (self.path, self._summary.status, self._summary.rows)
                logger.debug("recording ended path=%s status=%s rows=%d", *ended)
            return self._summary

    def _save_final_manifest(self) -> None:
        manifest, failure = self._sealing.manifest, self._committer.failure
        manifest.latencies = {
            "flush": self._committer.latency.summary().fields(),
            "fsync": self._syncer.latency.summary().fields(),
        }
        lost_rows = self._queue.lost_rows
        missing = self._queue.rows - self._sealing.known_rows() - (lost_rows - self._queue.refused_rows)
        manifest.lost_rows = lost_rows + max(0, missing)
        if missing > 0:
            manifest.problems.append(f"{missing:,} rows that were appended are in no part")
        manifest.notes += [str(failure)] if failure is not None else []
        manifest.notes += sorted(self._sealing.unsealed.values())
        if not self._sealing.unsealed and not self._has_journals():
            is_wrong = bool(manifest.damage or manifest.problems)
            manifest.status = Status.QUARANTINED if is_wrong else Status.COMPLETE
            manifest.ended_at = utc(self._clock.now_ns())
        try:
            save_manifest(self.path, manifest, files=self._files)
        except StorageError as error:
            logger.error("the manifest stays as it was path=%s reason=%s", self.path, error)  # noqa: TRY400 no trace
            self._committer.fail(error)

    def _has_journals(self) -> bool:
        names = self._folder.connections()
        return any(file.suffix == JOURNAL for name in names for file in self._folder.files(name))

    def _tell_failure(self, error: StorageError) -> None:
        for callback in self._failure_callbacks:
            try:
                callback(error)
            except Exception:
                logger.exception("a failure callback failed path=%s", self.path)
