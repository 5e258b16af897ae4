"""The last packet of each instrument at the replay's instant, and which fields each new packet changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kiterec.replay import engine
from kiterec.replay.framing import mode_bit
from kiterec.replay.packet_batch import windows
from kiterec.wire.packets import LAYOUTS, MODE_LENGTH, Mode

if TYPE_CHECKING:
    import numpy.typing as npt

    from kiterec.replay.packet_batch import PacketBatch

PACKET_BYTES: Final = max(LAYOUTS)
_SETTLED: Final = -1
"""The number of a last packet that is not in a batch that is kept, but copied."""

_KEPT_BYTES: Final = 32 << 20
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

    Packets are numbered. Of the latest batches only the numbers of the last packets are noted, a batch at a
    time; the bytes are copied when the batches have become too many to keep.
    """

    __slots__ = (
        "_before", "_begin", "_end", "_firsts", "_instrument", "_kept", "_kept_bytes", "_last", "_length",
        "_next", "_packets",
    )  # fmt: skip

    def __init__(self) -> None:
        self._packets = np.zeros((0, PACKET_BYTES), np.uint8)
        self._length = np.zeros(0, np.int64)
        self._last = np.zeros(0, np.int64)
        self._kept: list[PacketBatch] = []
        self._kept_bytes = 0
        self._firsts: list[int] = []
        self._next = 0
        self._before = self._last
        self._instrument = np.zeros(0, np.int32)
        self._begin = self._end = 0

    @classmethod
    def of(cls, packets: npt.NDArray[np.uint8], length: npt.NDArray[np.int64]) -> MarketState:
        """Give the state with these last packets, as `packets` gave them for all instruments in order."""
        state = cls()
        state._packets, state._length = packets.copy(), length.copy()
        state._last = np.full(len(length), _SETTLED, np.int64)
        return state

    @property
    def instruments(self) -> int:
        """Give how many instruments there is room for."""
        return len(self._length)

    def enter(self, batch: PacketBatch, instrument: npt.NDArray[np.int32], *, instruments: int) -> None:
        """Begin a batch, at its start.

        Args:
            batch: the packets to come.
            instrument: the position of each packet's instrument.
            instruments: how many instruments there are now.
        """
        self._note()
        if self._kept_bytes > _KEPT_BYTES or len(self._kept) >= _KEPT_BATCHES:
            self._settle()
        more = max(0, instruments - len(self._length))
        if more:
            self._packets = np.concatenate([self._packets, np.zeros((more, PACKET_BYTES), np.uint8)])
            self._length = np.concatenate([self._length, np.zeros(more, np.int64)])
            self._last = np.concatenate([self._last, np.full(more, _SETTLED, np.int64)])
        self._before = self._last.copy()
        self._kept.append(batch)
        self._kept_bytes += batch.payload_bytes()
        self._firsts.append(self._next)
        self._next += len(batch)
        self._instrument = instrument
        self._begin = self._end = 0

    def advance(self, end: int) -> None:
        """Go past the packets up to, without, `end` of the batch."""
        self._end = end

    def packets(
        self, instruments: npt.NDArray[np.int32]
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Give each instrument's last packet as (instruments, 184) bytes, and its length; 0: none yet."""
        self._note()
        return self._rows(instruments, self._last[instruments], PACKET_BYTES)

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
        number = self._before[instrument[first]]
        before[first], length_before[first] = self._rows(instrument[first], number, _PREFIX_BYTES)

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

    def _note(self) -> None:
        """Note the last packet of each instrument among those that were passed since the last call."""
        if self._end > self._begin:
            first = self._firsts[-1] + self._begin
            passed = self._instrument[self._begin : self._end]
            if (loops := engine.loops()) is not None:
                loops.note_last(self._last, passed, first)
            else:
                # Of several values for one place numpy keeps the last, which is the latest packet.
                self._last[passed] = np.arange(first, first + len(passed))
            self._begin = self._end

    def _rows(
        self, instruments: npt.NDArray[np.int32], number: npt.NDArray[np.int64], width: int
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Copy packets by number as rows of `width` bytes, zeros after their end; give their lengths.

        Where the number is `_SETTLED`, it is the instrument's copied packet.
        """
        rows, length = self._packets[instruments, :width], self._length[instruments]
        if width == _PREFIX_BYTES:
            rows[np.arange(width) >= _QUOTE_BYTES[length][:, None]] = 0
        kept = self._batch_of(number)
        for source in np.unique(kept[kept >= 0]).tolist():
            these = np.flatnonzero(kept == source)
            batch, places = self._kept[source], number[these] - self._firsts[source]
            rows[these] = _padded(batch, places, width)
            length[these] = batch.length[places]
        return rows, length

    def _batch_of(self, number: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Give in which of the kept batches packets are; below 0: in none."""
        return np.searchsorted(np.array(self._firsts, np.int64), number, side="right") - 1

    def _settle(self) -> None:
        order = np.argsort(self._last)
        bounds = np.searchsorted(self._last[order], [*self._firsts, self._next]).tolist()
        for source, batch in enumerate(self._kept):
            these = order[bounds[source] : bounds[source + 1]]
            if len(these):
                places = self._last[these] - self._firsts[source]
                self._packets[these] = _padded(batch, places, PACKET_BYTES)
                self._length[these] = batch.length[places]
        self._last[:] = _SETTLED
        self._kept, self._kept_bytes, self._firsts = [], 0, []


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
