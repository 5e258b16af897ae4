"""Frames as callers have them, as one Arrow array."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pyarrow as pa

from kiterec.store.arrays import blobs

if TYPE_CHECKING:
    from collections.abc import Iterable

_CASTABLE: Final = (pa.types.is_binary_view, pa.types.is_fixed_size_binary, pa.types.is_null)

_FEW: Final = 1_000
"""So many frames are waiting in a live feed, where `pyarrow.array` shall not load pandas. It is faster for
many."""


def as_arrow(frames: Any) -> pa.Array:
    """Give frames as one Arrow array of binary, without copying one that is binary already.

    Raises:
        TypeError: they are not binary.
    """
    if isinstance(frames, pl.Series):
        if frames.dtype not in {pl.Binary, pl.Null}:
            raise TypeError(f"frames are a series of {frames.dtype}; give one of Binary")
        frames = frames.to_arrow()
    if isinstance(frames, pa.ChunkedArray):
        frames = frames.chunk(0) if frames.num_chunks == 1 else frames.combine_chunks()
        if isinstance(frames, pa.ChunkedArray):
            frames = frames.cast(pa.large_binary()).combine_chunks()
    if not isinstance(frames, pa.Array):
        return _from_python(frames)
    if pa.types.is_binary(frames.type) or pa.types.is_large_binary(frames.type):
        return frames
    if any(is_type(frames.type) for is_type in _CASTABLE):
        return frames.cast(pa.large_binary())
    raise TypeError(f"frames are an array of {frames.type}; give one of binary")


def _from_python(frames: Iterable[bytes]) -> pa.Array:
    if isinstance(frames, (bytes, bytearray, memoryview, str)):
        raise TypeError(f"frames are one {type(frames).__name__}; give a list of frames, such as [frame]")
    given = list(frames)
    if len(given) <= _FEW and all(type(frame) is bytes for frame in given):
        with suppress(OverflowError):  # of 2 GiB or more
            return blobs(given)
    try:
        return pa.array(given, pa.large_binary())
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise TypeError(f"frames are no list of bytes: {error}") from None
