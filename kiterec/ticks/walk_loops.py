"""Finds packets by machine code: imported only where `kiterec.compiled.available()`.

Every place that the bytes of a frame lead to is checked, since machine code has nobody who does it; where
frames begin and end was checked by `binary_buffers`. Unsigned numbers index arrays: for signed ones Numba
would ask each time whether they count from the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kiterec.compiled import compiled, reads, writes
from kiterec.ticks.byte_loops import AHEAD, prefetch, u16

if TYPE_CHECKING:
    from numpy.typing import NDArray

_U1: Final = np.uint64(1)
_HEADER: Final = np.uint64(2)


@compiled(
    reads("u1"), reads("i8"), reads("i8"), reads("?"),
    writes("i8"), writes("i8"), writes("i8"), writes("i8"), writes("?"),
)  # fmt: skip
def walk_packets(
    data: NDArray[np.uint8],
    start: NDArray[np.int64],
    size: NDArray[np.int64],
    known: NDArray[np.bool_],
    frame: NDArray[np.int64],
    packet: NDArray[np.int64],
    offset: NDArray[np.int64],
    length: NDArray[np.int64],
    bad: NDArray[np.bool_],
) -> int:
    """Find every whole packet of every frame; give how many.

    Args:
        data: the bytes that all frames are in.
        start: of each frame.
        size: of each frame, in bytes.
        known: truths by length.
        frame: gets the row of the frame of each packet.
        packet: gets its position there.
        offset: gets its first byte in the data.
        length: gets its bytes.
        bad: gets which frames hold anything but whole packets of known length.
    """
    found = np.uint64(0)
    for row in range(start.size):
        bad[row] = False
        if size[row] < 2:
            continue
        at = np.uint64(start[row])
        end = at + np.uint64(size[row])
        count = u16(data, at)
        at += _HEADER
        number = np.uint64(0)
        while number < count and at + _HEADER <= end:
            high, low = data[at], data[at + _U1]
            width = u16(data, at)
            stride = _HEADER + width
            first = number
            # While lengths are the same, to know where the next packet is needs nothing of this one's bytes.
            while number < count and at + stride <= end and data[at] == high and data[at + _U1] == low:
                prefetch(data, at + AHEAD)
                frame[found] = row
                packet[found] = number
                offset[found] = at + _HEADER
                length[found] = width
                found += _U1
                number += _U1
                at += stride
            if number == first:
                break
            if not known[width]:
                bad[row] = True
        if number < count or at != end:
            bad[row] = True
    return int(found)
