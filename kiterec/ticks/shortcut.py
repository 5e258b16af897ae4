"""The ticks of few instruments: from the recording's own cache where it is valid, else from the frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from kiterec.store.arrays import numbers_in
from kiterec.store.folder import CACHE_NAME, open_folder
from kiterec.ticks.bounds import joined, split_predicate, time_bounds
from kiterec.ticks.carry import in_batches
from kiterec.ticks.current_cache import ask_cache, groups_of
from kiterec.ticks.lazy import first_rows, lazy_table
from kiterec.ticks.scan import scan_ticks
from kiterec.ticks.schema import check_columns, tick_schema
from kiterec.ticks.symbols import tokens_of
from kiterec.wire.segments import SEGMENTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

    import pyarrow.parquet as pq
    from numpy.typing import NDArray

    from kiterec.store.folder import RecordingFolder
    from kiterec.ticks.schema import Prices
    from kiterec.wire.segments import SegmentTable

MAX_ROWS: Final = 1 << 19
"""What is sorted in memory, 150 MB with all columns; for more ticks the frames are read, in their order."""

_ORDER: Final = ["seq", "packet"]


def find_ticks(
    recording: RecordingFolder | Path | str,
    *,
    symbols: Iterable[str | int] | None = None,
    prices: Prices = "float",
    begin: datetime | None = None,
    end: datetime | None = None,
    segments: SegmentTable = SEGMENTS,
) -> pl.LazyFrame:
    """Give what `scan_ticks` gives, row by row, and sooner where instruments are chosen and there is a cache.

    Each collect looks whether the cache is of these parts and of this decoder; one that is not, that is of
    other prices, or that does not read back is as none.

    Arguments and errors as for `scan_ticks`.
    """
    folder = open_folder(recording)
    if symbols is not None and not isinstance(symbols, (str, int)):
        symbols = list(symbols)  # they are read twice
    frames = scan_ticks(folder, symbols=symbols, prices=prices, begin=begin, end=end, segments=segments)
    if symbols is None or segments != SEGMENTS or not (folder.path / CACHE_NAME).is_file():
        return frames
    tokens = np.unique(tokens_of(symbols, folder.instruments_path))
    schema = tick_schema(prices)
    bounds = time_bounds(begin, end)
    time = pl.col("received_at").cast(pl.Int64)
    asked = [time >= bounds.begin_ns] if bounds.begin_ns is not None else []
    asked += [time < bounds.end_ns] if bounds.end_ns is not None else []

    def source(
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,  # noqa: ARG001 - few rows, or as large as the scan likes them
    ) -> Iterator[pl.DataFrame]:
        columns = check_columns(with_columns, schema)
        conditions = split_predicate(predicate)
        found = _cached(folder, tokens, prices, columns, [*asked, *conditions])
        if found is None:
            wanted = frames.filter(joined(conditions)) if conditions else frames
            wanted = wanted.select(columns)
            yield from in_batches(wanted if n_rows is None else wanted.head(n_rows))
        else:
            yield from first_rows([found], n_rows)

    return lazy_table(source, schema, name="KITEREC TICKS", detail=f"{folder.path}, with its cache")


def _cached(
    folder: RecordingFolder,
    tokens: NDArray[np.uint32],
    prices: Prices,
    columns: list[str],
    conditions: list[pl.Expr],
) -> pl.DataFrame | None:
    """Give the ticks in their order; None where the cache cannot say, or has too many."""
    schema = tick_schema(prices)
    return ask_cache(folder, lambda cache: _read(cache, tokens, schema, columns, conditions), prices=prices)


def _read(
    cache: pq.ParquetFile,
    tokens: NDArray[np.uint32],
    schema: pl.Schema,
    columns: list[str],
    conditions: list[pl.Expr],
) -> pl.DataFrame | None:
    roots = [root for one in conditions for root in one.meta.root_names()]
    needed = list(dict.fromkeys(["instrument_token", *_ORDER, *columns, *roots]))
    groups = groups_of(cache.metadata, tokens)
    if sum(int(mask.sum()) for _, mask in _rows(cache, groups, tokens)) > MAX_ROWS:
        return None
    parts = [pl.DataFrame(schema=schema).select(needed)]
    for group, mask in _rows(cache, groups, tokens):
        first, last = np.flatnonzero(mask)[[0, -1]]
        table = cache.read_row_group(group, columns=needed, use_threads=False)
        rows = pl.DataFrame(table)[first : last + 1].filter(mask[first : last + 1])
        typed = rows.select(pl.col(name).cast(schema[name]) for name in needed)
        parts.append(typed.filter(joined(conditions)) if conditions else typed)
    return pl.concat(parts).sort(_ORDER).select(columns)


def _rows(
    cache: pq.ParquetFile, groups: list[int], tokens: NDArray[np.uint32]
) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Give the row groups that have a token, and which of their rows."""
    for group in groups:
        there = cache.read_row_group(group, columns=["instrument_token"], use_threads=False)
        mask = np.isin(numbers_in(there.column(0)), tokens)
        if mask.any():
            yield group, mask
