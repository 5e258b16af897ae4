"""Is a sealed part what the manifest says, byte for byte and row for row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from kiterec.errors import CorruptPartError, StorageError
from kiterec.store.packet_count import Counts, count_batch, time_span
from kiterec.store.part_guard import UnreadablePartError
from kiterec.store.parts import open_part, read_group
from kiterec.store.sealer import sha256_of

if TYPE_CHECKING:
    from pathlib import Path

    from kiterec.store.folder import StoredFile
    from kiterec.store.manifest import PartEntry
    from kiterec.upkeep.findings import FileNotes
    from kiterec.upkeep.rows_check import RowsCheck

BRING_BACK: Final = "bring the file back from a copy; the other files are not concerned"
REBUILD: Final = "kiterec recover lists parts that check and are not listed"


@dataclass(slots=True)
class _Tally:
    counts: Counts = field(default_factory=Counts)
    seqs: tuple[int, int] | None = None
    times: tuple[int, int] | None = None

    def add(self, batch: pa.RecordBatch) -> None:
        if not batch.num_rows:
            return
        self.counts.add(count_batch(batch))
        seqs = batch.column("seq")
        self.seqs = _wider(self.seqs, (seqs[0].as_py(), seqs[-1].as_py()))
        self.times = _wider(self.times, time_span(batch))


def check_part(file: StoredFile, entry: PartEntry | None, rows: RowsCheck, notes: FileNotes) -> None:
    """Check one part against its entry in the manifest; None: there is none, or none that can be trusted."""
    try:
        if entry is not None:
            _check_bytes(file.path, entry, notes)
        tally = _read(file, rows, notes)
    except StorageError as error:
        notes.error(f"it cannot be read: {_reason(error)}", BRING_BACK)
        return
    if entry is not None and not notes.errors:
        _check_counts(tally, entry, notes)


def _check_bytes(path: Path, entry: PartEntry, notes: FileNotes) -> None:
    size = path.stat().st_size
    if size != entry.bytes:
        notes.error(f"it has {size:,} bytes where the manifest says {entry.bytes:,}", BRING_BACK)
    elif (found := sha256_of(path)) != entry.sha256:
        notes.error(f"its sha256 is {found} where the manifest says {entry.sha256}", BRING_BACK)


def _read(file: StoredFile, rows: RowsCheck, notes: FileNotes) -> _Tally:
    tally = _Tally()
    with open_part(file.path) as part:
        _check_label(file, part.metadata, notes)
        for group, found in enumerate(part.groups):
            try:
                for batch in read_group(part, group):
                    batch.validate(full=True)
                    tally.add(batch)
                    rows.add(batch, notes)
            except (pa.ArrowException, OSError, CorruptPartError) as error:
                first, last = found.seq
                notes.error(
                    f"row group {group} cannot be read: {_reason(error)}",
                    BRING_BACK,
                    first_seq=first,
                    last_seq=last,
                )
    return tally


def _reason(error: Exception) -> str:
    """Give what is wrong; the finding itself names the file and the next step."""
    return error.reason if isinstance(error, UnreadablePartError) else str(error)


def _check_label(file: StoredFile, metadata: dict[str, str], notes: FileNotes) -> None:
    """A part carries its own connection and number, so one in a wrong place is known."""
    connection = metadata.get("kiterec.connection")
    number = metadata.get("kiterec.part")
    if connection and (connection, number) != (file.connection, str(file.number)):
        notes.error(
            f"it is part {number} of connection {connection} by its own metadata, "
            f"not part {file.number} of {file.connection}",
            "move it back to its place",
        )


def _check_counts(tally: _Tally, entry: PartEntry, notes: FileNotes) -> None:
    differing = [
        name
        for name in Counts.__struct_fields__
        if getattr(tally.counts, name) != getattr(entry.counts, name)
    ]
    if tally.seqs is not None and tally.seqs != (entry.first_seq, entry.last_seq):
        differing.append("first_seq or last_seq")
    if tally.times is not None and tally.times != (entry.begin_ns, entry.end_ns):
        differing.append("begin_ns or end_ns")
    if differing:
        notes.error(
            f"the manifest's {', '.join(differing)} of it are not what it holds",
            "the file is whole, the manifest was altered: delete recording.json and run kiterec recover",
        )


def _wider(one: tuple[int, int] | None, other: tuple[int, int]) -> tuple[int, int]:
    return other if one is None else (min(one[0], other[0]), max(one[1], other[1]))
