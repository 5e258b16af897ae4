"""Arrow arrays of Python's and numpy's values and back, without `pyarrow.array` and `to_numpy`.

The first call of either imports pandas where that is installed, only to ask whether what it got is a Series:
that took a third of the time of a short command, and of a recorder's start.
"""

from __future__ import annotations

from array import array
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_SIGNED: Final = {8: "b", 16: "h", 32: "i", 64: "q"}
"""Codes of the module `array` by width; capital letters are unsigned."""


def integers(values: Sequence[int], kind: pa.DataType) -> pa.Array:
    """Give integers as an array of this type, which may be of instants.

    Raises:
        OverflowError: a value that the type cannot hold.
    """
    code = _SIGNED[kind.bit_width]
    data = array(code.upper() if pa.types.is_unsigned_integer(kind) else code, values)
    return pa.Array.from_buffers(kind, len(data), [None, pa.py_buffer(data)])


def blobs(values: Sequence[bytes], kind: pa.DataType | None = None) -> pa.Array:
    """Give bytes as an array of type `binary`, or of another type that is laid out like it.

    Raises:
        OverflowError: they are 2 GiB or more.
    """
    ends = array("i", accumulate(map(len, values), initial=0))
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(values))]
    return pa.Array.from_buffers(kind or pa.binary(), len(values), buffers)


def words(values: Sequence[str]) -> pa.StringArray:
    """Give strings as an array."""
    return blobs([value.encode() for value in values], pa.string())


def vector(values: NDArray[Any]) -> pa.Array:
    """Give a vector of numbers or truths as an array, numbers without a copy."""
    kind = pa.from_numpy_dtype(values.dtype)
    data = np.packbits(values, bitorder="little") if values.dtype == np.bool_ else values
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(data))])


def numbers_in(column: pa.Array | pa.ChunkedArray) -> NDArray[Any]:
    """Give the numbers of a column without nulls as a vector, without a copy where they are in one piece."""
    pieces = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    if len(pieces) == 1:
        return np.from_dlpack(pieces[0])
    empty = np.empty(0, column.type.to_pandas_dtype())
    return np.concatenate([empty, *map(np.from_dlpack, pieces)])
