"""Makes Polars columns of the numbers that were decoded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from kiterec.ticks import columns as build
from kiterec.ticks.plan import FIELDS, LENGTH, OF_TOKEN
from kiterec.ticks.schema import INSTANT, MODE, column_types, segment_enum
from kiterec.wire.packets import LAYOUTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from kiterec.ticks.context import Context
    from kiterec.ticks.plan import TickArrays
    from kiterec.ticks.schema import Prices
    from kiterec.wire.segments import SegmentTable

_MODES: Final = pl.Series(MODE.categories.to_list(), dtype=MODE)
_RANK_OF: Final = np.zeros(1 + max(LAYOUTS), np.uint8)
_RANK_OF[list(LAYOUTS)] = [layout.mode.rank for layout in LAYOUTS.values()]

_OF_FRAME: Final[dict[str, pl.DataType]] = {
    "seq": pl.UInt64(), "packet": pl.UInt16(), "received_at": INSTANT
}  # fmt: skip

_NO_TOKENS: Final = np.empty(0, np.uint32)

LONG_RUN: Final = 128
"""Rows that stay together: from here on they are given as a slice, not copied."""


@dataclass(frozen=True, slots=True)
class SegmentArrays:
    """A segment table as arrays over the 256 ids."""

    divisors: NDArray[np.float64]
    tradables: NDArray[np.bool_]
    names: pl.Series


@lru_cache(maxsize=8)
def segment_arrays(segments: SegmentTable) -> SegmentArrays:
    """Give a segment table as arrays."""
    return SegmentArrays(
        np.array(segments.divisors(), np.float64),
        np.array(segments.tradables(), np.bool_),
        pl.Series(segments.names(), dtype=segment_enum(segments)),
    )


def build_table(
    columns: Sequence[str], arrays: TickArrays, context: Context, *, prices: Prices, segments: SegmentTable
) -> pl.DataFrame:
    """Make columns of arrays."""
    wanted, schema = frozenset(columns), column_types(prices, segments)
    length = arrays.values[LENGTH]
    ready = _frame_columns(arrays, context, wanted, length.size)
    if wanted & OF_TOKEN:
        ready |= _token_columns(
            arrays.values.get("instrument_token", _NO_TOKENS), segment_arrays(segments), wanted
        )
    if "mode" in wanted:
        ready["mode"] = build.pick(_MODES, _RANK_OF[length])
    nulls = build.Nulls(length)
    for name in wanted & FIELDS:
        ready[name] = build.field_column(name, schema[name], arrays, nulls)
    return _frame(columns, ready)


def in_places(table: pl.DataFrame, place: NDArray[np.int64]) -> pl.DataFrame:
    """Give the rows of a table in other places: `place` is that of each row."""
    if not place.size:
        return table
    begin = np.concatenate([[0], np.flatnonzero(np.diff(place) != 1) + 1])
    order = np.argsort(place[begin])
    return in_runs(table, begin[order], np.diff(begin, append=place.size)[order])


def in_runs(table: pl.DataFrame, begin: NDArray[np.int64], held: NDArray[np.int64]) -> pl.DataFrame:
    """Give runs of rows of a table behind each other, as slices of it unless they are short.

    Args:
        table: of whose rows each is in one run.
        begin: the first row of each run, in the order that they get.
        held: how many rows it has.
    """
    if table.height < LONG_RUN * begin.size:
        source = np.repeat(begin - (np.cumsum(held) - held), held) + np.arange(table.height)
        return table.select(pl.all().gather(pl.Series(source)))
    ordered = table.clear()
    for first, rows in zip(begin.tolist(), held.tolist(), strict=True):
        ordered.vstack(table.slice(first, rows), in_place=True)
    return ordered


def _codes(tokens: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Give the exchange segments: the low byte of each instrument_token."""
    return tokens.astype(np.uint8)


def _token_columns(
    tokens: NDArray[np.uint32], table: SegmentArrays, wanted: frozenset[str]
) -> dict[str, pa.Array | pl.Series]:
    """Give the columns that the instrument_token decides."""
    made: dict[str, pa.Array | pl.Series] = {}
    if "instrument_token" in wanted:
        made["instrument_token"] = build.numbers(pl.UInt32(), tokens)
    if "segment" in wanted:
        made["segment"] = build.pick(table.names, _codes(tokens))
    if "tradable" in wanted:
        made["tradable"] = build.truths(table.tradables[_codes(tokens)])
    if "price_divisor" in wanted:
        made["price_divisor"] = build.numbers(pl.UInt32(), table.divisors[_codes(tokens)].astype(np.uint32))
    return made


def _frame_columns(
    arrays: TickArrays, context: Context, wanted: frozenset[str], size: int
) -> dict[str, pa.Array | pl.Series]:
    """Give the columns that the frame decides."""
    made: dict[str, pa.Array | pl.Series] = {}
    for name, kind in _OF_FRAME.items():
        if name in wanted:
            array = arrays.values.get(name)
            made[name] = build.nothing(kind, size) if array is None else build.numbers(kind, array)
    if "connection" in wanted:
        codes = arrays.values.get("connection")
        made["connection"] = (
            build.nothing(pl.Categorical(), size)
            if context.names is None
            else context.names.new_from_index(0, size)
            if codes is None
            else build.pick(context.names, codes)
        )
    return made


def _frame(columns: Sequence[str], ready: dict[str, pa.Array | pl.Series]) -> pl.DataFrame:
    """Put the columns together in the asked order."""
    # One by one: a depth with nulls that comes as a column of a whole batch is copied.
    return pl.DataFrame(
        [
            made.alias(name) if isinstance(made := ready[name], pl.Series) else pl.Series(name, made)
            for name in columns
        ]
    )
