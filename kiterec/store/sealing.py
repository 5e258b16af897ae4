"""Seals ended journals beside the recording and keeps the manifest true about them."""

from __future__ import annotations

import logging
import queue
import threading
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from kiterec.errors import StorageError
from kiterec.store.folder import DAMAGED, JOURNAL, RecordingFolder
from kiterec.store.journal_reader import DamagedRange
from kiterec.store.manifest import DamageEntry, Manifest, save_manifest
from kiterec.store.parts import WRITING, WRITING_IN_A_HURRY
from kiterec.store.sealer import Sealed, retire_journal, seal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kiterec.store.files import Files

logger = logging.getLogger(__name__)


class Sealing:
    """Threads that seal, one journal at a time each.

    Attributes:
        manifest: the manifest, changed under `lock` only.
        unsealed: journals that could not be sealed, with the reason; they stay readable.
    """

    def __init__(self, folder: RecordingFolder, manifest: Manifest, *, threads: int, files: Files) -> None:
        self.manifest = manifest
        self.lock = threading.Lock()
        self.unsealed: dict[tuple[str, int], str] = {}
        self._folder = folder
        self._files = files
        self._rows: dict[tuple[str, int], int] = {}
        self._jobs: queue.SimpleQueue[tuple[str, int, Mapping[str, Any]] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"kiterec-seal-{number}", daemon=True)
            for number in range(threads)
        ]

    def start(self) -> None:
        """Begin to seal."""
        for thread in self._threads:
            thread.start()

    def submit(self, connection: str, number: int, *, rows: int, in_a_hurry: bool = False) -> None:
        """Seal this journal, to which so many rows were written, when a thread is free."""
        self._rows[connection, number] = rows
        self._jobs.put((connection, number, WRITING_IN_A_HURRY if in_a_hurry else WRITING))

    def finish(self) -> None:
        """Return when everything is sealed that can be; what failed is tried once more."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        again, self.unsealed = sorted(self.unsealed), {}
        for connection, number in again:
            self._seal(connection, number, WRITING)

    def known_rows(self) -> int:
        """Give how many rows are in parts, or wait in journals that could not be sealed."""
        with self.lock:
            sealed = sum(part.counts.rows for part in self.manifest.parts)
        return sealed + sum(self._rows[journal] for journal in self.unsealed)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._seal(*job)

    def _seal(self, connection: str, number: int, options: Mapping[str, Any]) -> None:
        try:
            sealed = seal(self._folder, connection, number, files=self._files, options=options)
            journal = self._folder.file(connection, number, JOURNAL)
            short = look_for_missing_rows(sealed, journal, self._rows[connection, number])
            with self.lock:
                if short and not sealed.damage:
                    self.manifest.problems.append(f"{connection} part {number}: {short}")
                note_sealed(self.manifest, self._folder, connection, number, sealed)
                save_manifest(self._folder.path, self.manifest, files=self._files)
            damaged = bool(sealed.damage or short)
            retire_journal(self._folder, connection, number, damaged=damaged, files=self._files)
            # Arrow's allocator keeps what a part needed, which is more than all the rest of a recorder.
            pa.default_memory_pool().release_unused()
        except StorageError as error:
            self.unsealed[connection, number] = str(error)
            logger.warning(
                "a journal stays unsealed connection=%s part=%d reason=%s", connection, number, error
            )
        except Exception as error:
            self.unsealed[connection, number] = str(error)
            logger.exception("a journal stays unsealed connection=%s part=%d", connection, number)


def look_for_missing_rows(sealed: Sealed, journal: Path, rows: int) -> str:
    """Say what a journal lacks of the rows that were written to it; empty: nothing.

    No crash came between, so that a torn end which took rows is damage, and becomes that here.
    """
    found = 0 if sealed.entry is None else sealed.entry.counts.rows
    if found >= rows:
        return ""
    if sealed.torn_bytes:
        begin = journal.stat().st_size - sealed.torn_bytes
        last_seq = None if sealed.entry is None else sealed.entry.last_seq
        reason = "a batch that was written whole does not read as one"
        sealed.damage.append(
            DamagedRange(offset=begin, length=sealed.torn_bytes, reason=reason, after_seq=last_seq)
        )
        sealed.torn_bytes = 0
    return f"{rows:,} rows were written to its journal, {found:,} are in it"


def note_sealed(
    manifest: Manifest, folder: RecordingFolder, connection: str, number: int, sealed: Sealed
) -> None:
    """Write into the manifest what became of a journal; twice is the same as once."""
    if sealed.entry is not None:
        manifest.set_part(sealed.entry)
    manifest.torn_bytes += sealed.torn_bytes
    kept_as = folder.file(connection, number, JOURNAL).name + DAMAGED
    for found in sealed.damage:
        entry = DamageEntry(connection=connection, number=number, range=found, kept_as=kept_as)
        if entry not in manifest.damage:
            manifest.damage.append(entry)
