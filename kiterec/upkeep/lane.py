"""One connection of a recording that is being made: rows to row groups, row groups to parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kiterec.errors import CorruptPartError
from kiterec.store.files import FILES
from kiterec.store.folder import DRAFT, PART, RecordingFolder
from kiterec.store.packet_count import payload_lengths
from kiterec.store.parts import ROW_GROUP_BYTES, PartWriter
from kiterec.store.sealer import describe_part

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from kiterec.store.manifest import PartEntry

PART_BYTES: Final = 256 << 20
"""Payload of a part."""


class Lane:
    """Writes the parts of one connection.

    Attributes:
        waiting_bytes: payload that waits for its row group.
    """

    def __init__(self, folder: RecordingFolder, connection: str) -> None:
        self.waiting_bytes = 0
        self._folder = folder
        self._connection = connection
        self._waiting: list[pa.RecordBatch] = []
        self._writer: PartWriter | None = None
        self._part_bytes = self._part_rows = 0
        self._entries: list[PartEntry] = []

    def add(self, rows: pa.RecordBatch) -> None:
        """Take rows, in ascending order of `seq`."""
        self._waiting.append(rows)
        _, lengths = payload_lengths(rows.column("payload"))
        self.waiting_bytes += int(lengths.sum(dtype=np.int64))
        if self.waiting_bytes >= ROW_GROUP_BYTES:
            self.write_waiting()

    def write_waiting(self) -> None:
        """Write what waits as one row group."""
        if not self._waiting:
            return
        if self._writer is None:
            self._writer = PartWriter(self._path(DRAFT))
        self._writer.write(self._waiting)
        self._part_bytes += self.waiting_bytes
        self._part_rows += sum(batch.num_rows for batch in self._waiting)
        self._waiting, self.waiting_bytes = [], 0
        if self._part_bytes >= PART_BYTES:
            self._close_part()

    def finish(self) -> list[PartEntry]:
        """Write all that waits and give the entries of the parts, each read back from the disk.

        Raises:
            CorruptPartError: what was read back is not what was written.
        """
        self.write_waiting()
        self._close_part()
        return self._entries

    def abandon(self) -> None:
        """Close what is open."""
        if self._writer is not None:
            self._writer.abandon()

    def _path(self, suffix: str) -> Path:
        return self._folder.file(self._connection, len(self._entries), suffix)

    def _close_part(self) -> None:
        if self._writer is None:
            return
        draft, part, number = self._path(DRAFT), self._path(PART), len(self._entries)
        self._writer.close({"kiterec.connection": self._connection, "kiterec.part": str(number)})
        entry = describe_part(draft, self._connection, number)
        if (entry.sha256, entry.counts.rows) != (self._writer.sha256, self._part_rows):
            raise CorruptPartError(f"{draft} reads back otherwise than it was written; is the disk failing?")
        FILES.rename(draft, part)
        FILES.sync_folder(part.parent)
        self._entries.append(entry)
        self._writer = None
        self._part_bytes = self._part_rows = 0
