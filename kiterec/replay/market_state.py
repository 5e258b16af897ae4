"""The last packet of each instrument at the replay's instant, and which fields each new packet changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kiterec.replay.framing import mode_bit
from kiterec.replay.packet_batch import windows
from kiterec.wire.packets import LAYOUTS, MODE_LENGTH, Mode

if TYPE_CHECKING:
    import numpy.typing as npt

    from kiterec.replay.packet_batch import PacketBatch

PACKET_BYTES: Final = max(LAYOUTS)
_NOWHERE: Final = -1


def _prefix_lengths(mode: Mode) -> npt.NDArray[np.int64]:
    table = np.zeros(PACKET_BYTES + 1, np.int64)
    for length in LAYOUTS:
        table[length] = MODE_LENGTH[length, mode]
    return table


_LTP_BYTES: Final = _prefix_lengths(Mode.LTP)
_QUOTE_BYTES: Final = _prefix_lengths(Mode.QUOTE)
_PREFIX_BYTES: Final = int(_QUOTE_BYTES.max())
_LTP, _QUOTE, _FULL = (mode_bit(mode) for mode in Mode)


class MarketState:
    """The last packet of each instrument.

    Inside a batch only the place of the last packet is noted; the bytes are copied when the next batch comes.
    """

    __slots__ = ("_batch", "_instrument", "_length", "_packets", "_place")

    def __init__(self) -> None:
        self._packets = np.zeros((0, PACKET_BYTES), np.uint8)
        self._length = np.zeros(0, np.int64)
        self._place = np.zeros(0, np.int64)
        self._batch: PacketBatch | None = None
        self._instrument = np.zeros(0, np.int32)

    def enter(self, batch: PacketBatch, instrument: npt.NDArray[np.int32], *, instruments: int) -> None:
        """Begin a batch, at its start.

        Args:
            batch: the packets to come.
            instrument: the position of each packet's instrument.
            instruments: how many instruments there are now.
        """
        self._settle()
        more = max(0, instruments - len(self._length))
        if more:
            self._packets = np.concatenate([self._packets, np.zeros((more, PACKET_BYTES), np.uint8)])
            self._length = np.concatenate([self._length, np.zeros(more, np.int64)])
            self._place = np.concatenate([self._place, np.full(more, _NOWHERE, np.int64)])
        self._batch, self._instrument = batch, instrument

    def advance(self, begin: int, end: int) -> None:
        """Go past the packets `begin` up to, without, `end` of the batch."""
        # Of several values for one place numpy keeps the last, which is the latest packet.
        self._place[self._instrument[begin:end]] = np.arange(begin, end)

    def packets(
        self, instruments: npt.NDArray[np.int32]
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Give each instrument's last packet as (instruments, 184) bytes, and its length; 0: none yet."""
        rows, length = self._packets[instruments], self._length[instruments]
        place = self._place[instruments]
        moved = np.flatnonzero(place != _NOWHERE)
        if self._batch is not None and len(moved):
            rows[moved] = _padded(self._batch, place[moved], PACKET_BYTES)
            length[moved] = self._batch.length[place[moved]]
        return rows, length

    def sendable(self) -> npt.NDArray[np.uint8]:
        """Tell in which modes each packet of the batch is sent, as a sum of mode bits.

        A packet goes out in the mode it was recorded in and in higher ones as it is; in a lower mode only if
        a field of that mode differs from the instrument's packet before. Ask before the next batch.
        """
        batch = self._batch
        if batch is None or not len(batch):
            return np.zeros(0, np.uint8)
        order = np.argsort(self._instrument, kind="stable")
        instrument, length = self._instrument[order], batch.length[order]
        rows = _padded(batch, order, _PREFIX_BYTES)
        first = np.concatenate([[True], instrument[1:] != instrument[:-1]])
        before = np.empty_like(rows)
        before[1:] = rows[:-1]
        before[first] = self._prefixes(instrument[first])
        length_before = np.concatenate([[0], length[:-1]])
        length_before[first] = self._length[instrument[first]]

        differs = rows.view(np.uint32) != before.view(np.uint32)
        ltp_differs = differs[:, : int(_LTP_BYTES.max()) // 4].any(axis=1)
        # The rows are cut to quote mode and padded with zeros, so the longest prefix serves all lengths.
        quote_differs = differs.any(axis=1)
        modes = np.full(len(order), _FULL, np.uint8)
        for bit, differ, needed in ((_LTP, ltp_differs, _LTP_BYTES), (_QUOTE, quote_differs, _QUOTE_BYTES)):
            as_recorded = length <= needed[length]
            modes += bit * (as_recorded | differ | (length_before < needed[length])).astype(np.uint8)
        sendable = np.empty_like(modes)
        sendable[order] = modes
        return sendable

    def _prefixes(self, instruments: npt.NDArray[np.int32]) -> npt.NDArray[np.uint8]:
        rows = self._packets[instruments, :_PREFIX_BYTES]
        rows[np.arange(_PREFIX_BYTES) >= _QUOTE_BYTES[self._length[instruments]][:, None]] = 0
        return rows

    def _settle(self) -> None:
        if self._batch is None:
            return
        moved = np.flatnonzero(self._place != _NOWHERE)
        place = self._place[moved]
        self._packets[moved] = _padded(self._batch, place, PACKET_BYTES)
        self._length[moved] = self._batch.length[place]
        self._place[moved] = _NOWHERE


def _padded(batch: PacketBatch, chosen: npt.NDArray[np.int64], width: int) -> npt.NDArray[np.uint8]:
    """Copy packets as rows of `width` bytes, cut to the quote mode's prefix when that is the width.

    Shape: (chosen, width), zeros after the end of a packet.
    """
    length = batch.length[chosen]
    taken = _QUOTE_BYTES[length] if width == _PREFIX_BYTES else length
    if (taken == width).all():
        return windows(batch.data, batch.offset[chosen], width)
    rows = np.zeros((len(chosen), width), np.uint8)
    for size in np.flatnonzero(np.bincount(taken)):
        these = np.flatnonzero(taken == size)
        rows[these, :size] = windows(batch.data, batch.offset[chosen[these]], int(size))
    return rows
