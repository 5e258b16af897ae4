"""Sealed parts: immutable Parquet files, written and read a row group at a time."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from kiterec.errors import CorruptPartError, StorageError
from kiterec.store.files import FILES, Files, storage_errors
from kiterec.store.schema import FORMAT, TRANSCRIPT_SCHEMA, with_known_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

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


class _Output:
    """The file under a ParquetWriter: appends through `Files` and keeps the sha256 of what it wrote."""

    closed = False

    def __init__(self, path: Path, files: Files) -> None:
        self._files = files
        self.file = files.create(path, anew=True)
        self.sha256 = hashlib.sha256()
        self.size = 0
        self.failure: StorageError | None = None

    def write(self, chunk: Any) -> int:
        try:
            size = self._files.append(self.file, [chunk])
        except StorageError as error:
            self.failure = error  # Arrow wraps what is raised here; the caller wants the original
            raise
        self.sha256.update(chunk)
        self.size += size
        return size

    def tell(self) -> int:
        return self.size

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
        if table.num_rows:
            with self._arrow_errors():
                self._writer.write_table(table, row_group_size=table.num_rows)

    def close(self, metadata: Mapping[str, str]) -> None:
        """Write the footer with this key-value metadata, and sync the file."""
        with self._arrow_errors():
            self._writer.add_key_value_metadata({"kiterec.format": str(FORMAT), **metadata})
            self._writer.close()
            self._files.sync(self._output.file)
        self.sha256 = self._output.sha256.hexdigest()
        self.abandon()

    def abandon(self) -> None:
        """Close the file as it is."""
        if self._open:
            self._open = False
            self._files.close(self._output.file)


@contextmanager
def open_part(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a part for reading, its page checksums being verified.

    Raises:
        CorruptPartError: it is no Parquet file of a transcript, or a page read inside does not check.
        StorageError: it cannot be opened.
    """
    with storage_errors("open", path):
        source = pa.OSFile(str(path), "rb")
    with source:
        try:
            part = pq.ParquetFile(source, page_checksum_verification=True, pre_buffer=False)
            if not part.schema_arrow.equals(TRANSCRIPT_SCHEMA):
                raise CorruptPartError(f"{path} has other columns than a part of a recording")
            yield part
        except (pa.ArrowException, OSError, ValueError) as error:  # a name in the footer may be no UTF-8
            reason = " ".join(str(error).split())
            raise CorruptPartError(f"{path} does not read as a part: {reason}; run kiterec verify") from error


def read_group(
    part: pq.ParquetFile, group: int, *, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Give a row group's rows with the columns' types of the transcript."""
    table = part.read_row_group(group, columns=columns, use_threads=False)
    for batch in table.to_batches():
        yield with_known_schema(batch)


def group_bounds(part: pq.ParquetFile, group: int, column: str) -> tuple[int, int] | None:
    """Give the least and greatest `seq` or `received_at` (ns) of a row group; None: the part does not say."""
    meta = part.metadata.row_group(group)
    index = part.schema_arrow.get_field_index(column)
    statistics = meta.column(index).statistics
    if statistics is None or not statistics.has_min_max:
        return None
    low, high = statistics.min_raw, statistics.max_raw
    return int(low), int(high)
