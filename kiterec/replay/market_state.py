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
_SETTLED: Final = -1
"""The source of an instrument whose last packet is not in a batch that is kept, but copied."""

_KEPT_BYTES: Final = 16 << 20
_KEPT_BATCHES: Final = 64


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

    Of the latest batches only the places of the last packets are noted; the bytes are copied when the batches
    have become too many to keep.
    """

    __slots__ = ("_before", "_instrument", "_kept", "_kept_bytes", "_length", "_packets", "_place", "_source")

    def __init__(self) -> None:
        self._packets = np.zeros((0, PACKET_BYTES), np.uint8)
        self._length = np.zeros(0, np.int64)
        self._place = np.zeros(0, np.int64)
        self._source = np.zeros(0, np.int64)
        self._kept: list[PacketBatch] = []
        self._kept_bytes = 0
        self._before = (self._place, self._source)
        self._instrument = np.zeros(0, np.int32)

    def enter(self, batch: PacketBatch, instrument: npt.NDArray[np.int32], *, instruments: int) -> None:
        """Begin a batch, at its start.

        Args:
            batch: the packets to come.
            instrument: the position of each packet's instrument.
            instruments: how many instruments there are now.
        """
        if self._kept_bytes > _KEPT_BYTES or len(self._kept) >= _KEPT_BATCHES:
            self._settle()
        more = max(0, instruments - len(self._length))
        if more:
            self._packets = np.concatenate([self._packets, np.zeros((more, PACKET_BYTES), np.uint8)])
            self._length = np.concatenate([self._length, np.zeros(more, np.int64)])
            self._place = np.concatenate([self._place, np.zeros(more, np.int64)])
            self._source = np.concatenate([self._source, np.full(more, _SETTLED, np.int64)])
        self._before = (self._place.copy(), self._source.copy())
        self._kept.append(batch)
        self._kept_bytes += int(batch.length.sum())
        self._instrument = instrument

    def advance(self, begin: int, end: int) -> None:
        """Go past the packets `begin` up to, without, `end` of the batch."""
        about = self._instrument[begin:end]
        # Of several values for one place numpy keeps the last, which is the latest packet.
        self._place[about] = np.arange(begin, end)
        self._source[about] = len(self._kept) - 1

    def packets(
        self, instruments: npt.NDArray[np.int32]
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Give each instrument's last packet as (instruments, 184) bytes, and its length; 0: none yet."""
        return self._rows(instruments, self._place[instruments], self._source[instruments], PACKET_BYTES)

    def sendable(self) -> npt.NDArray[np.uint8]:
        """Tell in which modes each packet of the batch is sent, as a sum of mode bits.

        A packet goes out in the mode it was recorded in and in higher ones as it is; in a lower mode only if
        a field of that mode differs from the instrument's packet before. Ask before the next batch.
        """
        batch = self._kept[-1] if self._kept else None
        if batch is None or not len(batch):
            return np.zeros(0, np.uint8)
        order = np.argsort(self._instrument, kind="stable")
        instrument, length = self._instrument[order], batch.length[order]
        rows = _padded(batch, order, _PREFIX_BYTES)
        first = np.concatenate([[True], instrument[1:] != instrument[:-1]])
        before = np.empty_like(rows)
        before[1:] = rows[:-1]
        length_before = np.concatenate([[0], length[:-1]])
        place, source = (known[instrument[first]] for known in self._before)
        before[first], length_before[first] = self._rows(instrument[first], place, source, _PREFIX_BYTES)

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

    def _rows(
        self,
        instruments: npt.NDArray[np.int32],
        place: npt.NDArray[np.int64],
        source: npt.NDArray[np.int64],
        width: int,
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Copy the packets at places as rows of `width` bytes, zeros after their end; give their lengths."""
        rows, length = self._packets[instruments, :width], self._length[instruments]
        if width == _PREFIX_BYTES:
            rows[np.arange(width) >= _QUOTE_BYTES[length][:, None]] = 0
        for number in np.unique(source[source != _SETTLED]).tolist():
            these = np.flatnonzero(source == number)
            batch, places = self._kept[number], place[these]
            rows[these] = _padded(batch, places, width)
            length[these] = batch.length[places]
        return rows, length

    def _settle(self) -> None:
        moved = np.flatnonzero(self._source != _SETTLED).astype(np.int32)
        self._packets[moved], self._length[moved] = self.packets(moved)
        self._source[moved] = _SETTLED
        self._kept, self._kept_bytes = [], 0


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
