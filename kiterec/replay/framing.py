"""Frames built from packets that lie anywhere in a buffer, each cut to a length, all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kiterec.replay.packet_batch import windows
from kiterec.wire.frames import HEADER_BYTES
from kiterec.wire.packets import MODE_LENGTH, Mode

if TYPE_CHECKING:
    import numpy.typing as npt


def mode_bit(mode: Mode) -> int:
    """Give a mode as a bit: 1 ltp, 2 quote, 4 full; 0 means not subscribed."""
    return 1 << mode.rank


def _cut_lengths() -> npt.NDArray[np.uint8]:
    table = np.zeros((1 << len(Mode), 256), np.uint8)
    for (length, mode), cut in MODE_LENGTH.items():
        table[mode_bit(mode), length] = cut
    return table


CUT_LENGTH: Final = _cut_lengths()
"""The length of a packet by the client's mode bit and the packet's recorded length."""


def join_packets(
    data: npt.NDArray[np.uint8],
    offset: npt.NDArray[np.int64],
    length: npt.NDArray[np.uint8],
    frame: npt.NDArray[np.int64],
) -> list[bytes]:
    """Give a frame for each run of equal numbers in `frame`.

    Args:
        data: the buffer.
        offset: of each packet in `data`.
        length: how many bytes of each packet to take: an even number, as all layouts have.
        frame: which frame each packet goes to; never goes down.
    """
    if not len(offset):
        return []
    first = np.flatnonzero(np.concatenate([[True], frame[1:] != frame[:-1]]))
    counts = np.diff(np.concatenate([first, [len(frame)]]))
    # In uint16 words, for all parts of a frame are even numbers of bytes: count, then (length, packet).
    words = 1 + length.astype(np.int64) // 2
    ordinal = np.repeat(np.arange(1, len(first) + 1), counts)
    place = np.cumsum(words) - words + ordinal
    out = np.empty(int(words.sum()) + len(first), ">u2")
    starts = place[first] - 1
    out[starts] = counts
    out[place] = length
    for width in np.flatnonzero(np.bincount(length)):
        chosen = np.flatnonzero(length == width)
        target = np.lib.stride_tricks.sliding_window_view(out, int(width) // 2, writeable=True)
        target[place[chosen] + 1] = windows(data, offset[chosen], int(width)).view(">u2")
    whole = memoryview(out.view(np.uint8))  # type: ignore[arg-type]
    ends = [*(starts[1:] * HEADER_BYTES).tolist(), len(whole)]
    return [bytes(whole[a:b]) for a, b in zip((starts * HEADER_BYTES).tolist(), ends, strict=True)]
