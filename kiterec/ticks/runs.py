"""Finds runs of packets of one length: all frames at once, a run of each in a round."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kiterec.ticks.walks import KNOWN_LENGTHS, Found, read_words
from kiterec.wire.frames import HEADER_BYTES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kiterec.ticks.walks import Walk

MAX_RUNS: Final = 32
SHORT_RUN: Final = 16
"""A frame with fewer packets a run than this, on average, is not walked run by run."""


def walk_runs(data: NDArray[np.uint8], walk: Walk) -> tuple[list[Found], Walk]:
    """Find the packets of frames that are made of few runs of one length: most frames.

    Each round takes the next run of every frame. A frame whose runs are short is left where it is.

    Returns:
        The packets, and how far each frame was walked.
    """
    found: list[Found] = []
    open_ = np.flatnonzero(walk.packet < walk.count)
    for number in range(1, MAX_RUNS + 1):
        open_ = open_[walk.cursor[open_] + HEADER_BYTES <= walk.end[open_]]
        if not open_.size:
            break
        found.append(_one_run(data, walk, open_))
        some_left = walk.packet[open_] < walk.count[open_]
        open_ = open_[some_left & (walk.packet[open_] >= number * SHORT_RUN)]
    return found, walk


def _one_run(data: NDArray[np.uint8], walk: Walk, which: NDArray[np.intp]) -> Found:
    """Take the packets at the cursors that have the length of the first; moves the cursors."""
    cursor = walk.cursor[which]
    first = read_words(data, cursor)
    stride = HEADER_BYTES + first
    likely = np.minimum(walk.count[which] - walk.packet[which], (walk.end[which] - cursor) // stride)
    # An unknown length is probably garbage: it must not make a frame of 64 kB look like 32,000 packets.
    np.minimum(likely, 1, out=likely, where=~KNOWN_LENGTHS[first])
    before = np.cumsum(likely) - likely
    step = np.arange(int(likely.sum())) - np.repeat(before, likely)
    at = np.repeat(cursor, likely) + step * np.repeat(stride, likely)
    length = np.repeat(first, likely)
    differs = np.flatnonzero(read_words(data, at) != length)
    held = likely
    if differs.size:
        # The first that differs in each frame ends its run.
        owner = np.searchsorted(before, differs, side="right") - 1
        held = likely.copy()
        np.minimum.at(held, owner, differs - before[owner])
        kept = step < np.repeat(held, likely)
        step, at, length = step[kept], at[kept], length[kept]
    number = np.repeat(walk.packet[which], held) + step
    walk.packet[which] += held
    walk.cursor[which] += held * stride
    return Found(np.repeat(walk.frame[which], held), number, at + HEADER_BYTES, length)
