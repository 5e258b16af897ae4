"""Packets of large frames found run by run: most neighbours are equally long, so few steps go far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kiterec.ticks.find import binary_buffers
from kiterec.wire.frames import HEADER_BYTES
from kiterec.wire.packets import LAYOUTS

if TYPE_CHECKING:
    import numpy.typing as npt

    from kiterec.replay.timeline import Payloads

Found = tuple["npt.NDArray[np.int64]", "npt.NDArray[np.int64]", "npt.NDArray[np.int64]"]

MIN_FRAME_BYTES: Final = 4_096
"""Frames this large on average are worth a look one by one."""

_MIN_RUN: Final = 8
"""Shorter runs on average are left to the search that looks at all lengths at once."""

_LOOK: Final = 256
"""So many packets are looked at in one step."""


def find_runs(payloads: Payloads, *, binary: npt.NDArray[np.bool_]) -> Found | None:
    """Give message, offset and length of each packet; None where this is not the way to find them.

    That is so when frames are small, runs are short, or any frame is not exactly its packets of known length.

    Args:
        payloads: the messages.
        binary: which of them are frames; those of less than two bytes are heartbeats.
    """
    data, start, size = binary_buffers(payloads)
    view = data.data
    frames = np.flatnonzero(binary & (size >= HEADER_BYTES)).tolist()
    if not frames or int(size[frames].sum()) < MIN_FRAME_BYTES * len(frames):
        return None
    runs: list[tuple[int, int, int, int]] = []
    packets = 0
    for message in frames:
        begin = int(start[message])
        end = begin + int(size[message])
        left = view[begin] << 8 | view[begin + 1]
        packets += left
        at = begin + HEADER_BYTES
        while left:
            run = _run(view, at, end, left)
            if run is None or len(runs) * _MIN_RUN > packets + _MIN_RUN:
                return None
            length, count = run
            runs.append((message, at + HEADER_BYTES, length, count))
            at += (length + HEADER_BYTES) * count
            left -= count
        if at != end:
            return None
    return _spread(runs)


def _run(data: memoryview, at: int, end: int, most: int) -> tuple[int, int] | None:
    """Give the length of the packet here, and how many of that length follow each other."""
    if at + HEADER_BYTES > end:
        return None
    length = data[at] << 8 | data[at + 1]
    stride = length + HEADER_BYTES
    most = min(most, (end - at) // stride)
    if length not in LAYOUTS or not most:
        return None
    here = np.ndarray(1, np.uint16, data, at)[0]
    count = 0
    while count < most:
        look = min(most - count, _LOOK)
        others = np.ndarray(look, np.uint16, data, at + count * stride, (stride,)) != here
        first = int(others.argmax())
        if others[first]:
            return length, count + first
        count += look
    return length, most


def _spread(runs: list[tuple[int, int, int, int]]) -> Found:
    """Give each packet of the runs its place."""
    message, first, length, count = np.array(runs, np.int64).reshape(-1, 4).T
    before = np.cumsum(count) - count
    number = np.arange(int(count.sum())) - np.repeat(before, count)
    every = np.repeat(length, count)
    return np.repeat(message, count), np.repeat(first, count) + number * (every + HEADER_BYTES), every
