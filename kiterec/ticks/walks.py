"""How far the frames of a batch are understood, and the packets found so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from kiterec.wire.frames import HEADER_BYTES
from kiterec.wire.packets import LAYOUTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

KNOWN_LENGTHS: Final = np.isin(np.arange(1 << 16), list(LAYOUTS))
"""Truths by length."""


@dataclass(frozen=True, slots=True)
class Found:
    """Packets found, ordered within each frame.

    Attributes:
        frame: row of the frame.
        packet: position in the frame.
        offset: first byte of the packet in the data.
        length: bytes of the packet.
    """

    frame: NDArray[np.int64]
    packet: NDArray[np.int64]
    offset: NDArray[np.int64]
    length: NDArray[np.int64]

    def first(self, packets: int) -> Found:
        """Give so many of the first."""
        return Found(
            self.frame[:packets], self.packet[:packets], self.offset[:packets], self.length[:packets]
        )


@dataclass(slots=True)
class Walk:
    """How far each frame of a set is understood.

    Attributes:
        frame: row of the frame, ascending.
        end: where it ends in the data.
        count: packets that it declares.
        cursor: where its next length word is.
        packet: the number of the next packet.
    """

    frame: NDArray[np.int64]
    end: NDArray[np.int64]
    count: NDArray[np.int64]
    cursor: NDArray[np.int64]
    packet: NDArray[np.int64]

    def take(self, which: NDArray[np.bool_] | NDArray[np.intp] | slice) -> Walk:
        """Give the same of some of the frames."""
        return Walk(
            self.frame[which], self.end[which], self.count[which], self.cursor[which], self.packet[which]
        )

    def unfinished(self) -> NDArray[np.bool_]:
        """Tell which frames have packets left, or bytes behind the last one."""
        unfinished: NDArray[np.bool_] = (self.packet < self.count) | (self.cursor != self.end)
        return unfinished


def read_words(data: NDArray[np.uint8], offset: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give the big-endian uint16 at each offset."""
    # Two gathers of bytes are faster than one of words that are not aligned.
    return (data[offset].astype(np.int64) << 8) | data[offset + 1]


def most_packets(data: NDArray[np.uint8], start: NDArray[np.int64], size: NDArray[np.int64]) -> int:
    """Give how many packets frames can hold: as many as they declare, and have room for.

    Arrays may be as long: memory that nothing is written to is never touched.
    """
    framed = np.flatnonzero(size >= HEADER_BYTES)
    return int(np.minimum(read_words(data, start[framed]), size[framed] // HEADER_BYTES - 1).sum())


def gather_numbers(data: NDArray[np.uint8], offset: NDArray[np.int64], dtype: str) -> NDArray[Any]:
    """Give the number at each offset as a host integer of the same width; `dtype` is such as `>u4`."""
    kind = np.dtype(dtype)
    if not offset.size:
        return np.empty(0, kind.newbyteorder("="))
    everywhere: NDArray[Any] = np.ndarray((data.size - kind.itemsize + 1,), kind, data, strides=(1,))
    return everywhere[offset].astype(kind.newbyteorder("="))
