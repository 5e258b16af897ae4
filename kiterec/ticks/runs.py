"""Finds runs of packets of one length: all frames at once, a run of each in a round."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kiterec.ticks.walks import KNOWN_LENGTHS, Found, read_words
from kiterec.wire.frames import HEADER_BYTES
from kiterec.wire.packets import LAYOUTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kiterec.ticks.walks import Walk

LONGEST_STRIDE: Final = HEADER_BYTES + max(LAYOUTS)
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
    likely = _likely(walk.count[which] - walk.packet[which], walk.end[which] - cursor, stride)
    # An unknown length is probably garbage: it must not make a frame of 64 kB look like 32,000 packets.
    np.minimum(likely, 1, out=likely, where=~KNOWN_LENGTHS[first])
    at = _places(cursor, stride, likely)
    # As in `read_words`, but nothing is made of the bytes.
    differs = np.flatnonzero(
        (data[1:][at] != _repeated((first & 0xFF).astype(np.uint8), likely))
        | (data[at] != _repeated((first >> 8).astype(np.uint8), likely))
    )
    held = likely
    if differs.size:
        # The first that differs in each frame ends its run.
        before = np.cumsum(likely) - likely
        owner = np.searchsorted(before, differs, side="right") - 1
        held = likely.copy()
        np.minimum.at(held, owner, differs - before[owner])
        at = _places(cursor, stride, held)
    number = _places(walk.packet[which], np.ones_like(held), held)
    walk.packet[which] += held
    walk.cursor[which] += held * stride
    at += HEADER_BYTES
    return Found(np.repeat(walk.frame[which], held), number, at, np.repeat(first, held))


def _likely(left: NDArray[np.int64], room: NDArray[np.int64], stride: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give how many packets of this stride can come next in each frame, to look at no more words than that.

    A frame with room for longer ones on the whole has only so many short ones.
    """
    likely: NDArray[np.int64] = np.minimum(left, room // stride)
    spare = LONGEST_STRIDE * left - room
    short = (stride < LONGEST_STRIDE) & (spare >= 0)
    most = spare // np.maximum(LONGEST_STRIDE - stride, 1)
    np.minimum(likely, np.maximum(most, 1), out=likely, where=short)
    return likely


def _places(
    start: NDArray[np.int64], stride: NDArray[np.int64], times: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Give for each start as many places as `times` says, a stride apart."""
    before = np.cumsum(times) - times
    places = np.arange(int(times.sum()))
    if (stride == stride[0]).all():
        places *= stride[0]
        places += np.repeat(start - before * stride[0], times)
        return places
    places -= np.repeat(before, times)
    places *= np.repeat(stride, times)
    places += np.repeat(start, times)
    return places


def _repeated(each: NDArray[np.uint8], times: NDArray[np.int64]) -> NDArray[np.uint8] | np.uint8:
    """Give each as often as `times` says, or the one number that all are."""
    return each[0] if (each == each[0]).all() else np.repeat(each, times)
