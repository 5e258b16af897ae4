"""Sealed parts: immutable Parquet files, written and read a row group at a time."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kiterec.errors import StorageError
from kiterec.store.checksum import crc32
from kiterec.store.files import FILES, Files, storage_errors
from kiterec.store.handing_over import handed_over
from kiterec.store.part_guard import RowGroup, UnreadablePartError, check_bytes, guard, read_guard
from kiterec.store.remote import is_remote, open_source
from kiterec.store.schema import FORMAT, TRANSCRIPT_SCHEMA, with_known_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from kiterec.store.ranged_file import RangedFile

ROW_GROUP_BYTES: Final = 16 << 20
"""Payload of a row group: what a reader holds at a time (a journal window becomes one)."""

WRITING: Final[dict[str, Any]] = {
    "version": "2.6",
    "compression": "zstd",
    "compression_level": 5,
    "use_dictionary": ["kind"],
    "column_encoding": {
        "seq": "DELTA_BINARY_PACKED",
        "received_at": "DELTA_BINARY_PACKED",
        "monotonic_ns": "DELTA_BINARY_PACKED",
        "payload": "PLAIN",
    },
    "write_statistics": ["seq", "received_at", "monotonic_ns", "kind"],
    "write_page_checksum": True,
    "data_page_size": 4 << 20,
    "write_batch_size": 256,
}
"""How parts are written; benchmarks/sealing.py prints the table that led to it."""

WRITING_IN_A_HURRY: Final = WRITING | {"compression_level": 2}
"""Two and a half times as fast, for a third more bytes: when frames come faster than an exchange sends."""


@dataclass(frozen=True, slots=True)
class Part:
    """An open part, whose end was checked.

    Attributes:
        path: the file.
        source: the open file.
        file: as Arrow reads it.
        groups: its row groups.
    """

    path: Path
    source: RangedFile
    file: pq.ParquetFile
    groups: list[RowGroup]

    @property
    def num_row_groups(self) -> int:
        """How many row groups there are."""
        return len(self.groups)

    @property
    def metadata(self) -> dict[str, str]:
        """The key-value metadata."""
        pairs = self.file.metadata.metadata or {}
        return {
            key.decode("utf-8", "replace"): value.decode("utf-8", "replace") for key, value in pairs.items()
        }


class _Output:
    """The file under a ParquetWriter: appends through `Files` and keeps the sha256 of what it wrote."""

    closed = False

    def __init__(self, path: Path, files: Files) -> None:
        self._files = files
        self.file = files.create(path, anew=True)
        self.sha256 = hashlib.sha256()
        self.size = 0
        self.crc32 = 0
        self.held: bytearray | None = None
        self.failure: StorageError | None = None

    def write(self, chunk: Any) -> int:
        if self.held is not None:
            self.held += chunk
            return len(chunk)
        try:
            size = self._files.append(self.file, [chunk])
        except StorageError as error:
            self.failure = error  # Arrow wraps what is raised here; the caller wants the original
            raise
        self.sha256.update(chunk)
        self.crc32 = crc32(chunk, self.crc32)
        self.size += size
        return size

    def tell(self) -> int:
        return self.size + len(self.held or b"")

    def flush(self) -> None:
        """Do nothing: every write has gone to the operating system."""


class PartWriter:
    """Writes one part under a preliminary name.

    Attributes:
        size: bytes written so far.
        sha256: of the whole file, as hexadecimal digits, once closed.
    """

    def __init__(self, path: Path, *, files: Files = FILES, options: Mapping[str, Any] = WRITING) -> None:
        self._files = files
        self._output = _Output(path, files)
        self.sha256 = ""
        self._groups: list[RowGroup] = []
        self._rows = 0
        self._open = True
        with self._arrow_errors():
            self._writer = pq.ParquetWriter(
                pa.PythonFile(self._output, mode="w"), TRANSCRIPT_SCHEMA, **options
            )

    @contextmanager
    def _arrow_errors(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError, StorageError) as error:
            self.abandon()
            raise (self._output.failure or error) from error

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._output.size

    def write(self, batches: Sequence[pa.RecordBatch]) -> None:
        """Write batches as one row group, without copying them first."""
        table = pa.Table.from_batches(batches, schema=TRANSCRIPT_SCHEMA)
        if not table.num_rows:
            return
        begin, self._output.crc32 = self._output.size, 0
        with self._arrow_errors():
            self._writer.write_table(table, row_group_size=table.num_rows)
        spans = (_least_and_greatest(table, "seq"), _least_and_greatest(table, "received_at"))
        self._groups.append(RowGroup(*spans, begin, self._output.size, self._output.crc32))
        self._rows += table.num_rows

    def close(self, metadata: Mapping[str, str]) -> None:
        """Write the footer with this key-value metadata and what the rows say, and sync the file."""
        found = {
            "kiterec.format": str(FORMAT),
            "kiterec.rows": str(self._rows),
            "kiterec.first_seq": str(self._groups[0].seq[0] if self._groups else ""),
            "kiterec.last_seq": str(self._groups[-1].seq[1] if self._groups else ""),
        }
        with self._arrow_errors():
            self._writer.add_key_value_metadata({**metadata, **found})
            self._output.held = footer = bytearray()
            self._writer.close()
            self._output.held = None
            self._output.write(guard(self._groups, bytes(footer)))
            self._output.write(footer)
            self._files.sync(self._output.file)
        self.sha256 = self._output.sha256.hexdigest()
        self.abandon()

    def abandon(self) -> None:
        """Close the file as it is."""
        if self._open:
            self._open = False
            self._files.close(self._output.file)


@contextmanager
def open_part(path: Path) -> Iterator[Part]:
    """Open a part for reading; the bytes of a row group are checked when they are read.

    Raises:
        UnreadablePartError: it is no Parquet file of a transcript, or a page read inside does not check.
        StorageError: it cannot be opened.
    """
    with storage_errors("open", path):
        source = open_source(path)
    with source:
        try:
            groups = read_guard(source, where=path)
            # What is on a disk is checked a row group at a time, which holds for its pages too.
            file = pq.ParquetFile(
                pa.PythonFile(source, mode="r"), page_checksum_verification=is_remote(path), pre_buffer=False
            )
            if not file.schema_arrow.equals(TRANSCRIPT_SCHEMA) or file.num_row_groups != len(groups):
                raise UnreadablePartError(path, "it has other columns or row groups than one")
            yield Part(path, source, file, groups)
        except (pa.ArrowException, OSError, ValueError) as error:  # a name in the footer may be no UTF-8
            reason = " ".join(str(error).split())
            raise UnreadablePartError(path, reason) from error


def read_group(part: Part, group: int, *, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Give a row group's rows with the columns' types of the transcript."""
    _check(part, group, columns)
    table = part.file.read_row_group(group, columns=columns, use_threads=False)
    for batch in table.to_batches():
        yield with_known_schema(batch)


def read_pieces(
    part: Part, group: int, *, columns: Sequence[str] | None = None, piece_bytes: int
) -> Iterator[pa.RecordBatch]:
    """Give a row group's rows about `piece_bytes` at a time, a page or two more of them being in memory.

    Rows of very unequal size may make a piece larger, up to the whole group. A group that is no larger than a
    piece is not kept here: when its reader has dropped it, the next one gets its memory.
    """
    _check(part, group, columns)
    size = part.file.metadata.row_group(group)
    if size.total_byte_size <= piece_bytes:
        batches = part.file.read_row_group(group, columns=columns, use_threads=False).to_batches()
        part.source.release()
        yield from map(with_known_schema, handed_over(batches))
        return
    rows = max(1, size.num_rows * piece_bytes // size.total_byte_size)
    batches = part.file.iter_batches(rows, row_groups=[group], columns=columns, use_threads=False)
    yield from map(with_known_schema, batches)


def _check(part: Part, group: int, columns: Sequence[str] | None) -> None:
    """Refuse a row group whose bytes are not those that were written.

    They are read once, and what was checked is what is decoded. Of a part elsewhere, what the columns take is
    fetched. Where that is not the whole row group, only the checksums of its pages guard it: fetching the
    payloads to check them would cost more than the answer.
    """
    found = part.groups[group]
    some = columns is not None and is_remote(part.path)
    begin, end = _span(part, group, columns or ()) if some else (found.begin, found.end)
    part.source.fetch(begin, end)
    if (begin, end) == (found.begin, found.end):
        check_bytes(part.source, found, where=part.path)


def _span(part: Part, group: int, columns: Sequence[str]) -> tuple[int, int]:
    """Give the bytes from the first to the last of some columns of a row group."""
    if "payload" in columns:
        return part.groups[group].begin, part.groups[group].end
    size = part.file.metadata.row_group(group)
    begins, ends = [], []
    for place in range(size.num_columns):
        column = size.column(place)
        if column.path_in_schema in columns:
            first = column.dictionary_page_offset if column.has_dictionary_page else column.data_page_offset
            begins.append(first)
            ends.append(first + column.total_compressed_size)
    return min(begins), max(ends)


def _least_and_greatest(table: pa.Table, column: str) -> tuple[int, int]:
    bounds = pc.min_max(table.column(column).cast(pa.int64()))
    return bounds["min"].as_py(), bounds["max"].as_py()
