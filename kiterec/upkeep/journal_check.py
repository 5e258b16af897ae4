"""What of a journal checks; an unfinished end is no damage, that is how a crash looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kiterec.errors import StorageError
from kiterec.store.journal_reader import JournalReader

if TYPE_CHECKING:
    from kiterec.store.folder import StoredFile
    from kiterec.upkeep.findings import FileNotes
    from kiterec.upkeep.rows_check import RowsCheck


def check_journal(file: StoredFile, rows: RowsCheck, notes: FileNotes, *, is_growing: bool) -> bool:
    """Check a journal batch by batch.

    Args:
        file: the journal.
        rows: the check of its connection's rows.
        notes: takes what is found.
        is_growing: a recorder is writing it, so that its end says nothing.

    Returns:
        False when it is gone, because it has been sealed since it was listed.
    """
    try:
        with JournalReader(file.path) as reader:
            for window in reader.windows():
                for batch in window.batches:
                    rows.add(batch, notes)
            damage, torn_bytes, size = reader.damage, reader.torn_bytes, reader.size
    except FileNotFoundError:
        return False
    except StorageError as error:
        notes.error(str(error), "bring the file back from a copy")
        return True
    for found in damage:
        notes.error(
            f"{found.length:,} bytes do not check: {found.reason}",
            "kiterec recover keeps all other rows, and these bytes beside them",
            offset=found.offset,
            first_seq=None if found.after_seq is None else found.after_seq + 1,
            last_seq=None if found.before_seq is None else found.before_seq - 1,
        )
    if torn_bytes and not is_growing:
        notes.warn(
            f"it ends within a batch: {torn_bytes:,} bytes that no fsync had promised",
            "kiterec recover seals the whole batches before them",
            offset=size - torn_bytes,
        )
    return True
