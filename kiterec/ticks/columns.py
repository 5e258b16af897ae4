"""Puts decoded arrays into Polars columns: no copy of values, nulls by the length of the packet."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import polars as pl
import pyarrow as pa

from kiterec.ticks.plan import LACKING, LENGTH
from kiterec.ticks.schema import COLUMNS, INSTANT
from kiterec.wire.packets import DEPTH_LEVELS, LAYOUTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kiterec.ticks.plan import TickArrays

_CARRIERS: Final = {column.name: column.lengths() for column in COLUMNS}
_MAX_LENGTH: Final = max(LAYOUTS)

_ARROW: Final[dict[pl.DataType, pa.DataType]] = {
    pl.Float64(): pa.float64(),
    pl.Int64(): pa.int64(),
    pl.Int32(): pa.int32(),
    pl.UInt64(): pa.uint64(),
    pl.UInt32(): pa.uint32(),
    pl.UInt16(): pa.uint16(),
    INSTANT: pa.timestamp("ns", "UTC"),
}

NULLS_KEPT: Final = 1 << 15
"""Rows of nulls that are kept for each type: an ltp packet has no value for two thirds of the columns."""


class Nulls:
    """Which rows of each column are null.

    Shape:
        One truth a row. Columns that the same packets carry share one bitmap.
    """

    def __init__(self, length: NDArray[np.integer[Any]]) -> None:
        self._length = length
        self._present = lengths_in(length)
        self._bitmaps: dict[frozenset[int], pa.Buffer] = {}

    def absent(self, name: str) -> bool:
        """Tell whether no packet carries the column."""
        return not self._present & _CARRIERS[name]

    def whole(self, name: str) -> bool:
        """Tell whether every packet carries the column."""
        return self._present <= _CARRIERS[name]

    def bitmap(self, name: str) -> pa.Buffer | None:
        """Give the validity of a column from the packet lengths alone; None when all rows have it."""
        if self.whole(name):
            return None
        carriers = _CARRIERS[name] & self._present
        if carriers not in self._bitmaps:
            self._bitmaps[carriers] = pack(self.carried(name))
        return self._bitmaps[carriers]

    def carried(self, name: str) -> NDArray[np.bool_]:
        """Tell for each row whether its packet carries the column."""
        carrying = np.zeros(_MAX_LENGTH + 1, np.bool_)
        carrying[list(_CARRIERS[name])] = True
        carried: NDArray[np.bool_] = carrying[self._length]
        return carried


def lengths_in(length: NDArray[np.integer[Any]]) -> frozenset[int]:
    """Give the known lengths that occur."""
    if length.size and (length == length[0]).all():
        return frozenset((int(length[0]),))
    return frozenset(known for known in LAYOUTS if (length == known).any())


def pack(truths: NDArray[np.bool_]) -> pa.Buffer:
    """Give truths as an Arrow bitmap."""
    return pa.py_buffer(np.packbits(truths, bitorder="little"))


def numbers(dtype: pl.DataType, values: Any, bitmap: pa.Buffer | None = None) -> pa.Array:
    """Give an Arrow array over the memory of a numpy array (two-dimensional for depth)."""
    return _array(dtype, len(values), pa.py_buffer(np.ascontiguousarray(values)), bitmap)


def truths(values: NDArray[np.bool_]) -> pa.Array:
    """Give an Arrow array of truths."""
    return pa.Array.from_buffers(pa.bool_(), values.size, [None, pack(values)])


def field_column(name: str, dtype: pl.DataType, arrays: TickArrays, nulls: Nulls) -> pa.Array | pl.Series:
    """Give the column of a decoded field."""
    if nulls.absent(name):
        return nothing(dtype, arrays.values[LENGTH].size)
    values = arrays.values[name]
    if dtype == INSTANT:
        # A row without the field holds 0 as well.
        return numbers(dtype, values, pack(values != 0))
    lacking = arrays.values.get(LACKING) if name == "net_change" else None
    if lacking is not None and lacking.any():
        return numbers(dtype, values, pack(nulls.carried(name) & ~lacking))
    return numbers(dtype, values, nulls.bitmap(name))


def nothing(dtype: pl.DataType, size: int) -> pl.Series:
    """Give a column of nulls; up to `NULLS_KEPT` rows are a view of ones that are made once."""
    if size <= NULLS_KEPT:
        return _kept_nulls(dtype).head(size)
    return pl.Series([None], dtype=dtype).new_from_index(0, size)


@lru_cache(maxsize=32)
def _kept_nulls(dtype: pl.DataType) -> pl.Series:
    return pl.Series([None], dtype=dtype).new_from_index(0, NULLS_KEPT)


def _array(dtype: pl.DataType, size: int, values: pa.Buffer, bitmap: pa.Buffer | None) -> pa.Array:
    arrow, inner = _arrow_type(dtype)
    if inner is None:
        return pa.Array.from_buffers(arrow, size, [bitmap, values])
    child = pa.Array.from_buffers(inner, size * DEPTH_LEVELS, [None, values])
    return pa.Array.from_buffers(arrow, size, [bitmap], children=[child])


@lru_cache(maxsize=64)
def _arrow_type(dtype: pl.DataType) -> tuple[pa.DataType, pa.DataType | None]:
    """Give the Arrow type of a column, and of its elements if it is a depth."""
    if isinstance(dtype, pl.Array):
        inner = _ARROW[cast("pl.DataType", dtype.inner)]
        return pa.list_(inner, DEPTH_LEVELS), inner
    return _ARROW[dtype], None


def pick(words: pl.Series, codes: NDArray[Any]) -> pl.Series:
    """Give the word of each code; one word for all is not looked up row by row."""
    if not codes.size:
        return words.clear()
    if (codes == codes[0]).all():
        return words.new_from_index(int(codes[0]), codes.size)
    return words.gather(pl.Series(codes.astype(np.uint32)))
