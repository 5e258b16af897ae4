"""Packs rows of the market's state into frames as they are on the wire, without a loop over packets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from kiterec.simulate.words import INDEX, ROW_WORDS, TRADABLE
from kiterec.wire.frames import HEADER_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]

MAX_PACKETS: Final = 0xFFFF
"""The packet count of a frame is a uint16; a larger market takes several frames."""


class FramePacker:
    """Packs the rows of one market.

    Rows that follow each other with packets of one length are packed in one go, so a frame of a market whose
    indices stand among its stocks has mixed lengths.
    """

    def __init__(self, index: NDArray[np.bool_]) -> None:
        """Take the truth for each row whether it is an index."""
        self._ends = np.append(np.flatnonzero(np.diff(index)) + 1, len(index))
        self._lengths = np.where(index[self._ends - 1], INDEX.length, TRADABLE.length).tolist()

    def pack(self, words: NDArray[np.int32], rows: NDArray[np.int64]) -> list[Bytes]:
        """Give the frames that hold the packets of these rows, which ascend."""
        return [
            self._frame(words, rows[first : first + MAX_PACKETS])
            for first in range(0, len(rows), MAX_PACKETS)
        ]

    def _frame(self, words: NDArray[np.int32], rows: NDArray[np.int64]) -> Bytes:
        counts = np.diff(np.searchsorted(rows, self._ends), prepend=0).tolist()
        size = sum(
            count * (HEADER_BYTES + length) for count, length in zip(counts, self._lengths, strict=True)
        )
        frame = np.empty(HEADER_BYTES + size, dtype=np.uint8)
        frame[:HEADER_BYTES] = _uint16(len(rows))
        packets = words[rows].byteswap().view(np.uint8).reshape(len(rows), 4 * ROW_WORDS)
        row, at = 0, HEADER_BYTES
        for count, length in zip(counts, self._lengths, strict=True):
            end = at + count * (HEADER_BYTES + length)
            records = frame[at:end].reshape(count, HEADER_BYTES + length)
            records[:, :HEADER_BYTES] = _uint16(length)
            records[:, HEADER_BYTES:] = packets[row : row + count, :length]
            row, at = row + count, end
        return frame


def _uint16(number: int) -> Bytes:
    return np.array([number >> 8, number & 0xFF], dtype=np.uint8)


def payloads(messages: Sequence[Bytes]) -> pa.LargeBinaryArray:
    """Give the messages as one Arrow array. Shape: one value a message."""
    offsets = np.zeros(len(messages) + 1, dtype=np.int64)
    np.cumsum([len(message) for message in messages], out=offsets[1:])
    data = np.concatenate(messages) if messages else np.empty(0, dtype=np.uint8)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(messages), buffers)
