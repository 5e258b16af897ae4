"""Makes a journal a sealed part: written, read back and compared, and only then named."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow.compute as pc

from kiterec.errors import CorruptPartError
from kiterec.store.files import FILES, Files, storage_errors
from kiterec.store.folder import DAMAGED, DRAFT, JOURNAL, PART, RecordingFolder
from kiterec.store.journal_reader import DamagedRange, JournalReader
from kiterec.store.manifest import PartEntry
from kiterec.store.packet_count import Counts, count_batch, time_span
from kiterec.store.parts import WRITING, PartWriter, open_part, read_group

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import pyarrow as pa


@dataclass(slots=True)
class Sealed:
    """What became of a journal.

    Attributes:
        entry: the part; None: the journal has no whole batch.
        damage: what in the journal did not check.
        torn_bytes: bytes of an unfinished batch at its end.
    """

    entry: PartEntry | None = None
    damage: list[DamagedRange] = field(default_factory=list)
    torn_bytes: int = 0


@dataclass(slots=True)
class _Tally:
    """What the rows seen so far hold, for the part's entry."""

    counts: Counts = field(default_factory=Counts)
    first_seq: int = -1
    last_seq: int = -1
    begin_ns: int = 2**63 - 1
    end_ns: int = -(2**63)

    def add(self, batch: pa.RecordBatch) -> None:
        begin, end = time_span(batch)
        seqs = batch.column("seq")
        self.begin_ns, self.end_ns = min(self.begin_ns, begin), max(self.end_ns, end)
        if not self.counts.rows:
            self.first_seq = seqs[0].as_py()
        self.last_seq = seqs[-1].as_py()
        self.counts.add(count_batch(batch))

    def entry(self, connection: str, number: int, *, size: int, sha256: str) -> PartEntry:
        return PartEntry(
            connection=connection,
            number=number,
            first_seq=self.first_seq,
            last_seq=self.last_seq,
            begin_ns=self.begin_ns,
            end_ns=self.end_ns,
            bytes=size,
            sha256=sha256,
            counts=self.counts,
        )


def seal(
    folder: RecordingFolder,
    connection: str,
    number: int,
    *,
    files: Files = FILES,
    options: Mapping[str, Any] = WRITING,
) -> Sealed:
    """Write the journal's valid rows as a part that has been read back; the journal stays.

    List the part in the manifest next, then call `retire_journal`: at any instant each row is in a readable
    place. Sealing again after a crash in between gives the same part.

    Raises:
        CorruptPartError: what was read back differs from the journal; nothing was renamed.
        DiskFullError: no room for the part; the draft was deleted again.
    """
    draft = folder.file(connection, number, DRAFT)
    part = folder.file(connection, number, PART)
    journal = folder.file(connection, number, JOURNAL)
    try:
        sealed = _write_draft(draft, journal, _Writing(connection, number, files, options))
        if sealed.entry is None:
            return sealed
        check_against_journal(draft, journal)
    except Exception:
        files.delete(draft)
        raise
    _forget_pages(draft)
    files.rename(draft, part)
    files.sync_folder(part.parent)
    return sealed


def check_against_journal(part: Path, journal: Path, *, may_have_more: bool = False) -> None:
    """Refuse a part that does not read back as the valid rows of its journal.

    Args:
        part: the part, or its draft.
        journal: what it was made from.
        may_have_more: rows that the journal lacks are fine: a part is safe when it is named, and a power cut
            may have taken the end of its journal, which was not.

    Raises:
        CorruptPartError: it does not, or it cannot be read to its end.
    """
    if difference := compare(part, journal, may_have_more=may_have_more):
        raise CorruptPartError(
            f"{part} reads back otherwise than {journal}: {difference}; the journal is kept"
        )


def retire_journal(
    folder: RecordingFolder, connection: str, number: int, *, damaged: bool, files: Files = FILES
) -> None:
    """Delete a journal whose part is listed; a damaged one is kept under another name instead."""
    journal = folder.file(connection, number, JOURNAL)
    if damaged:
        files.rename(journal, journal.with_name(journal.name + DAMAGED))
        files.sync_folder(journal.parent)
    else:
        files.delete(journal)


def copy_end(journal: Path, target: Path, begin: int, *, files: Files = FILES) -> None:
    """Copy a journal's bytes from `begin` on into a file of their own, and sync it."""
    with storage_errors("read", journal), journal.open("rb") as source:
        source.seek(begin)
        file = files.create(target, anew=True)
        try:
            while chunk := source.read(1 << 20):
                files.append(file, [chunk])
            files.sync(file)
        finally:
            files.close(file)
    files.sync_folder(target.parent)


def compare(part: Path, journal: Path, *, may_have_more: bool = False) -> str:
    """Say how a part differs from the valid rows of its journal; empty: not at all.

    Raises:
        CorruptPartError: the part cannot be read to its end.
    """
    with open_part(part) as file, JournalReader(journal) as reader:
        theirs = (b for group in range(file.num_row_groups) for b in read_group(file, group))
        mine = (batch for window in reader.windows() for batch in window.batches)
        return _difference(mine, theirs, may_have_more=may_have_more)


def examine_journal(journal: Path, connection: str, number: int) -> Sealed:
    """Read a whole journal and give what sealing it would give; the entry has no size and no sha256."""
    tally = _Tally()
    with JournalReader(journal) as reader:
        for window in reader.windows():
            for batch in window.batches:
                tally.add(batch)
        entry = tally.entry(connection, number, size=0, sha256="") if tally.counts.rows else None
        return Sealed(entry, reader.damage, reader.torn_bytes)


def describe_part(path: Path, connection: str, number: int) -> PartEntry:
    """Read a whole part and give its entry for the manifest.

    Raises:
        CorruptPartError: it cannot be read to its end, or its `seq` does not rise.
    """
    tally = _Tally()
    with open_part(path) as file:
        for group in range(file.num_row_groups):
            for batch in read_group(file, group):
                if batch.num_rows:
                    tally.add(batch)
    if not tally.counts.rows or tally.last_seq - tally.first_seq + 1 < tally.counts.rows:
        raise CorruptPartError(f"{path} has {tally.counts.rows} rows that are no ascending seq")
    return tally.entry(connection, number, size=path.stat().st_size, sha256=sha256_of(path))


def sha256_of(path: Path) -> str:
    """Give the sha256 of a file, hexadecimal."""
    with storage_errors("read", path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(part: Path, expected: str) -> None:
    """Refuse a part that is not, byte for byte, what the manifest lists.

    Raises:
        CorruptPartError: its sha256 is another one.
    """
    if sha256_of(part) != expected:
        raise CorruptPartError(f"{part} has another sha256 than the manifest says")


class _Writing(NamedTuple):
    connection: str
    number: int
    files: Files
    options: Mapping[str, Any]


def _write_draft(draft: Path, journal: Path, how: _Writing) -> Sealed:
    tally = _Tally()
    writer: PartWriter | None = None
    with JournalReader(journal) as reader:
        try:
            for window in reader.windows():
                if writer is None:
                    writer = PartWriter(draft, files=how.files, options=how.options)
                for batch in window.batches:
                    tally.add(batch)
                writer.write(window.batches)
            sealed = Sealed(damage=reader.damage, torn_bytes=reader.torn_bytes)
            if writer is None:
                return sealed
            writer.close({"kiterec.connection": how.connection, "kiterec.part": str(how.number)})
        finally:
            if writer is not None:
                writer.abandon()
    sealed.entry = tally.entry(how.connection, how.number, size=writer.size, sha256=writer.sha256)
    return sealed


def _difference(
    mine: Iterator[pa.RecordBatch], theirs: Iterator[pa.RecordBatch], *, may_have_more: bool
) -> str:
    """Compare two runs of rows that are cut into batches differently."""
    left = right = None
    row = 0
    while True:
        left = left if left is not None and left.num_rows else _next_rows(mine)
        right = right if right is not None and right.num_rows else _next_rows(theirs)
        if left is None or right is None:
            break
        if may_have_more and (extra := _rows_before(right, left.column("seq")[0])):
            right = right.slice(extra)
            continue
        rows = min(left.num_rows, right.num_rows)
        if not left.slice(0, rows).equals(right.slice(0, rows)):
            return f"a difference within {rows} rows from row {row}"
        row += rows
        left, right = left.slice(rows), right.slice(rows)
    if left is None and (right is None or may_have_more):
        return ""
    return f"{'the part' if left is None else 'the journal'} has more than {row} rows"


def _rows_before(batch: pa.RecordBatch, seq: pa.Scalar) -> int:
    return int(pc.sum(pc.less(batch.column("seq"), seq)).as_py())


def _next_rows(batches: Iterator[pa.RecordBatch]) -> pa.RecordBatch | None:
    return next((batch for batch in batches if batch.num_rows), None)


def _forget_pages(path: Path) -> None:
    """Give back the memory in which the system keeps a file that will hardly be read again soon."""
    if hasattr(os, "posix_fadvise"):
        with storage_errors("open", path), path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
