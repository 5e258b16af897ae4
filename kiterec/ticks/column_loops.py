"""Writes the columns of packets that were found: imported only where `kiterec.compiled.available()`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kiterec.compiled import compiled, reads, writes
from kiterec.ticks.block_loops import BLOCK, write_block
from kiterec.ticks.byte_loops import LINE, prefetch

if TYPE_CHECKING:
    from numpy.typing import NDArray


@compiled(
    reads("u1"), reads("i8"), reads("i8"), reads("i8"), reads("i8"), reads("u8"), reads("i8"), reads("i2"),
    reads("i8"), writes("u1"), reads("i8", 2), "i8", reads("f8"),
)  # fmt: skip
def write_columns(
    data: NDArray[np.uint8],
    offset: NDArray[np.int64],
    length: NDArray[np.int64],
    frame: NDArray[np.int64],
    packet: NDArray[np.int64],
    seq: NDArray[np.uint64],
    received_at: NDArray[np.int64],
    connection: NDArray[np.int16],
    shift: NDArray[np.int64],
    arena: NDArray[np.uint8],
    jobs: NDArray[np.int64],
    lacking: int,
    divisors: NDArray[np.float64],
) -> None:
    """Decode packets of known length into the arrays of a plan.

    Args:
        data: the bytes that all packets are in.
        offset: of each packet.
        length: of each packet.
        frame: of each packet.
        packet: position in its frame.
        seq: of each frame; empty: the frame is it.
        received_at: of each frame; empty where it is not asked.
        connection: of each frame; empty where it is not asked.
        shift: of each frame: its packets move by so many rows from their place here; or one number for all.
        arena: the memory of all arrays.
        jobs: (jobs, 5): as `kiterec.ticks.plan.Job`, with the bytes of a row of the array and its first byte.
        lacking: the first byte of the array of net changes without a value; -1 for none.
        divisors: by exchange segment.
    """
    row = np.empty(BLOCK, np.uint64)
    source, target = np.empty(BLOCK, np.uint64), np.empty(BLOCK, np.uint64)
    own, divisor = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.float64)
    alike = shift.size == 1
    for begin in range(0, offset.size, BLOCK):
        end = min(begin + BLOCK, offset.size)
        for each in range(begin, end):
            row[each - begin] = np.uint64(each + shift[0 if alike else frame[each]])
            # The next block is fetched while this one is decoded.
            later = each + BLOCK
            if later < offset.size and length[later] > LINE:
                for line in range(0, length[later], LINE):
                    prefetch(data, offset[later] + line)
        write_block(
            data, offset[begin:end], length[begin:end], frame[begin:end], packet[begin:end],
            seq, received_at, connection, row, arena, jobs, lacking, divisors, source, target, own, divisor,
        )  # fmt: skip
