"""The transcript as lazy tables: received frames as bytes, everything else as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from kiterec.store.arrays import vector
from kiterec.ticks.bounds import find_bounds, joined, split_predicate
from kiterec.ticks.lazy import first_rows, lazy_table
from kiterec.ticks.schema import INSTANT, check_columns
from kiterec.wire.transcript import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from kiterec.store.folder import RecordingFolder
    from kiterec.ticks.bounds import Bounds

KIND: Final = pl.Enum([kind.value for kind in Kind])

FRAME_SCHEMA: Final = pl.Schema(
    {
        "seq": pl.UInt64(),
        "connection": pl.Categorical(),
        "received_at": INSTANT,
        "monotonic_ns": pl.Int64(),
        "payload": pl.Binary(),
    }
)
"""One row a binary message, heartbeats included."""

EVENT_SCHEMA: Final = pl.Schema(
    {
        "seq": pl.UInt64(),
        "connection": pl.Categorical(),
        "received_at": INSTANT,
        "monotonic_ns": pl.Int64(),
        "kind": KIND,
        "payload": pl.String(),
    }
)
"""One row a text message, a request that was sent, or a lifecycle event (a JSON object)."""


def scan_frames(folder: RecordingFolder, bounds: Bounds) -> pl.LazyFrame:
    """Give the binary messages of a recording, in order of `seq`, as `FRAME_SCHEMA`."""
    return _scan(folder, bounds, FRAME_SCHEMA, name="KITEREC FRAMES")


def scan_events(folder: RecordingFolder, bounds: Bounds) -> pl.LazyFrame:
    """Give all other rows of a recording, in order of `seq`, as `EVENT_SCHEMA`."""
    return _scan(folder, bounds, EVENT_SCHEMA, name="KITEREC EVENTS")


def _scan(folder: RecordingFolder, asked: Bounds, schema: pl.Schema, *, name: str) -> pl.LazyFrame:
    def source(
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,  # noqa: ARG001 - a batch is a row group, which is in memory already
    ) -> Iterator[pl.DataFrame]:
        conditions = split_predicate(predicate)
        bounds = asked.narrowed(find_bounds(conditions, folder.connections()))
        columns = check_columns(with_columns, schema)
        roots = [root for one in conditions for root in one.meta.root_names()]
        needed = list(dict.fromkeys([*columns, *roots]))
        condition = joined(conditions) if conditions else None
        frames = (
            _table(batch, needed, schema).filter(True if condition is None else condition).select(columns)
            for batch in bounds.read(folder, columns=list({*needed, "kind", "seq"}))
        )
        yield from first_rows((frame for frame in frames if frame.height), n_rows)

    return lazy_table(source, schema, name=name, detail=str(folder.path))


def _table(batch: pa.RecordBatch, columns: list[str], schema: pl.Schema) -> pl.DataFrame:
    """Give the rows of a batch that belong to a schema: binary ones, or all others if it has a `kind`."""
    kind = batch.column("kind")
    words = np.array(kind.dictionary.to_pylist(), object)
    binary = (words == Kind.BINARY.value)[np.from_dlpack(kind.indices)]
    wanted = ~binary if "kind" in schema else binary
    if not wanted.all():
        batch = batch.filter(vector(wanted))
    return pl.DataFrame([_column(batch, name, schema[name]) for name in columns])


def _column(batch: pa.RecordBatch, name: str, dtype: pl.DataType) -> pl.Series:
    column = batch.column(name)
    if name == "payload" and dtype == pl.String:
        # The server's text may be anything; one bad byte must not hide the event.
        texts = [payload.decode("utf-8", "replace") for payload in column.to_pylist()]
        return pl.Series(name, texts, pl.String())
    if name in {"connection", "kind"}:
        words = pl.Series(column.dictionary.to_pylist(), dtype=dtype)
        codes = pl.Series(np.from_dlpack(column.indices).astype(np.uint32))
        return words.gather(codes).rename(name)
    series = pl.Series(name, column)
    return series if series.dtype == dtype else series.cast(dtype)
