"""Seals ended journals beside the recording and keeps the manifest true about them."""

from __future__ import annotations

import logging
import queue
import threading
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from kiterec.errors import StorageError
from kiterec.store.folder import DAMAGED, JOURNAL, RecordingFolder
from kiterec.store.manifest import DamageEntry, Manifest, save_manifest
from kiterec.store.parts import WRITING, WRITING_IN_A_HURRY
from kiterec.store.sealer import Sealed, retire_journal, seal

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        self._jobs: queue.SimpleQueue[tuple[str, int, Mapping[str, Any]] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"kiterec-seal-{number}", daemon=True)
            for number in range(threads)
        ]

    def start(self) -> None:
        """Begin to seal."""
        for thread in self._threads:
            thread.start()

    def submit(self, connection: str, number: int, *, in_a_hurry: bool = False) -> None:
        """Seal this journal when a thread is free."""
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

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._seal(*job)

    def _seal(self, connection: str, number: int, options: Mapping[str, Any]) -> None:
        try:
            sealed = seal(self._folder, connection, number, files=self._files, options=options)
            with self.lock:
                note_sealed(self.manifest, self._folder, connection, number, sealed)
                save_manifest(self._folder.path, self.manifest, files=self._files)
            retire_journal(self._folder, connection, number, damaged=bool(sealed.damage), files=self._files)
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
