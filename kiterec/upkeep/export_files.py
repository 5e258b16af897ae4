"""Files of ticks: each takes an iterator of blocks and writes them as they come."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any, Final, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from kiterec.errors import SetupError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import polars as pl

    from kiterec.upkeep.export_columns import ExportColumns

ROWS_AT_ONCE: Final = 1 << 18
"""Rows of a Parquet row group: about 60 MB with all columns."""

DUCKDB_MEMORY: Final = "512MB"


class TickFile(Protocol):
    """A file that is written once."""

    def write(self, blocks: Iterable[pl.DataFrame]) -> int:
        """Write all blocks, close the file, and give the number of rows."""
        ...


class CsvFile:
    """CSV with a header; times are UTC as in ISO 8601, what is not there is empty."""

    def __init__(self, target: Path | IO[bytes], columns: ExportColumns) -> None:
        self._target = target
        self._columns = columns

    def write(self, blocks: Iterable[pl.DataFrame]) -> int:
        """Write all blocks."""
        if not hasattr(self._target, "open"):
            return self._write(self._target, blocks)
        with self._target.open("wb") as file:
            return self._write(file, blocks)

    def _write(self, file: Any, blocks: Iterable[pl.DataFrame]) -> int:
        rows = 0
        # Polars would turn the closed pipe of a reader that has seen enough into an error without a number.
        file.write(self._columns.flat(self._columns.schema.to_frame()).write_csv().encode())
        for block in blocks:
            rows += block.height
            lines = self._columns.flat(block).write_csv(
                include_header=False, datetime_format="%Y-%m-%dT%H:%M:%S%.fZ"
            )
            file.write(lines.encode())
        return rows


class ParquetFile:
    """Parquet, zstd."""

    def __init__(self, path: Path, columns: ExportColumns) -> None:
        self._path = path
        self._schema = _arrow_schema(columns)

    def write(self, blocks: Iterable[pl.DataFrame]) -> int:
        """Write all blocks, several as one row group."""
        rows = 0
        with pq.ParquetWriter(self._path, self._schema, compression="zstd") as writer:
            for table in _gathered(blocks, self._schema):
                rows += table.num_rows
                writer.write_table(table, row_group_size=ROWS_AT_ONCE)
        return rows


class ArrowFile:
    """Arrow IPC: the file format, or the stream format where the reader cannot go back."""

    def __init__(self, target: Path | IO[bytes], columns: ExportColumns, *, is_stream: bool = False) -> None:
        self._target = target
        self._schema = _arrow_schema(columns)
        self._new = pa.ipc.new_stream if is_stream else pa.ipc.new_file

    def write(self, blocks: Iterable[pl.DataFrame]) -> int:
        """Write all blocks, a batch each."""
        rows = 0
        sink = self._target if not hasattr(self._target, "open") else str(self._target)
        with self._new(sink, self._schema) as writer:
            for block in blocks:
                rows += block.height
                writer.write_table(block.to_arrow().cast(self._schema))
        return rows


class DuckdbFile:
    """A DuckDB database with one table, `ticks`."""

    def __init__(self, path: Path, columns: ExportColumns) -> None:
        """Take the file.

        Raises:
            SetupError: DuckDB is not installed.
        """
        try:
            import duckdb
        except ImportError:
            raise SetupError("a .duckdb file needs DuckDB: pip install 'kiterec[duckdb]'") from None
        self._duckdb = duckdb
        self._path = path
        self._schema = _arrow_schema(columns)

    def write(self, blocks: Iterable[pl.DataFrame]) -> int:
        """Write all blocks into the table.

        Raises:
            StorageError: DuckDB cannot write the file.
        """
        rows = 0
        try:
            with self._duckdb.connect(str(self._path), config={"memory_limit": DUCKDB_MEMORY}) as database:
                database.register("block", self._schema.empty_table())
                database.execute("CREATE TABLE ticks AS SELECT * FROM block")
                for table in _gathered(blocks, self._schema):
                    database.register("block", table)
                    database.execute("INSERT INTO ticks SELECT * FROM block")
                    rows += table.num_rows
        except self._duckdb.Error as error:
            raise StorageError(f"DuckDB cannot write {self._path}: {error}") from error
        return rows


def _arrow_schema(columns: ExportColumns) -> pa.Schema:
    schema: pa.Schema = columns.schema.to_frame().to_arrow().schema
    # Plain strings: not every reader knows string views.
    return pa.schema([field.with_type(pa.string()) if _is_text(field.type) else field for field in schema])


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string_view(kind) or pa.types.is_large_string(kind))


def _gathered(blocks: Iterable[pl.DataFrame], schema: pa.Schema) -> Iterator[pa.Table]:
    """Give neighbouring blocks together, about `ROWS_AT_ONCE` rows."""
    waiting: list[pa.Table] = []
    rows = 0
    for block in blocks:
        waiting.append(block.to_arrow().cast(schema))
        rows += block.height
        if rows >= ROWS_AT_ONCE:
            yield pa.concat_tables(waiting)
            waiting, rows = [], 0
    if waiting:
        yield pa.concat_tables(waiting)
