"""Finds and decodes packets in one go, by machine code: imported only where `kiterec.compiled.available()`.

As `kiterec.ticks.walk_loops`, with the columns written while the bytes are at hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kiterec.compiled import compiled, reads, writes
from kiterec.ticks.block_loops import BLOCK, write_block
from kiterec.ticks.byte_loops import AHEAD, prefetch, u16

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HEADER: Final = np.uint64(2)
_U1: Final = np.uint64(1)


@compiled(
    reads("u1"), reads("i8"), reads("i8"), reads("?"), reads("u8"), reads("i8"), reads("i2"), writes("i8"),
    writes("u1"), reads("i8", 2), "i8", reads("f8"),
)  # fmt: skip
def decode_frames(
    data: NDArray[np.uint8],
    start: NDArray[np.int64],
    size: NDArray[np.int64],
    known: NDArray[np.bool_],
    seq: NDArray[np.uint64],
    received_at: NDArray[np.int64],
    connection: NDArray[np.int16],
    first: NDArray[np.int64],
    arena: NDArray[np.uint8],
    jobs: NDArray[np.int64],
    lacking: int,
    divisors: NDArray[np.float64],
) -> None:
    """Decode every whole packet of known length of every frame, into rows behind each other.

    Args:
        data: the bytes that all frames are in.
        start: of each frame.
        size: of each frame, in bytes.
        known: truths by length: the plan is for these.
        seq: as for `write_columns`, as are the next two.
        received_at: likewise.
        connection: likewise.
        first: gets how many rows precede those of each frame, and at last how many there are.
        arena: as for `write_columns`, as are the next three; it has room for all packets.
        jobs: likewise.
        lacking: likewise.
        divisors: likewise.
    """
    offset, length = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64)
    frame, packet = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64)
    row = np.empty(BLOCK, np.uint64)
    source, target = np.empty(BLOCK, np.uint64), np.empty(BLOCK, np.uint64)
    own, divisor = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.float64)
    found, held = np.uint64(0), np.uint64(0)
    for number in range(start.size):
        first[number] = found
        if size[number] < 2:
            continue
        at = np.uint64(start[number])
        end = at + np.uint64(size[number])
        count = u16(data, at)
        at += _HEADER
        place = np.uint64(0)
        # Most packets are as long as the one before. The processor guesses so and reads ahead, since where
        # the next one is does not depend then on what it has to wait for.
        width, stride = np.uint64(0), _HEADER
        wanted = known[0]
        while place < count and at + _HEADER <= end:
            here = u16(data, at)
            if here != width:
                width, stride = here, here + _HEADER
                wanted = known[width]
            if at + stride > end:
                break
            prefetch(data, at + AHEAD)
            if wanted:
                offset[held] = at + _HEADER
                length[held] = width
                frame[held] = number
                packet[held] = place
                row[held] = found
                found += _U1
                held += _U1
                if held == BLOCK:
                    write_block(
                        data, offset, length, frame, packet, seq, received_at, connection, row, arena,
                        jobs, lacking, divisors, source, target, own, divisor,
                    )  # fmt: skip
                    held = np.uint64(0)
            place += _U1
            at += stride
    first[start.size] = found
    write_block(
        data, offset[:held], length[:held], frame[:held], packet[:held], seq, received_at, connection, row,
        arena, jobs, lacking, divisors, source, target, own, divisor,
    )  # fmt: skip
