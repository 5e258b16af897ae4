"""What a client gets of a timeline: its own instruments in its own modes, or one recorded connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from kiterec.replay.framing import CUT_LENGTH, join_packets
from kiterec.replay.instrument_index import UNKNOWN
from kiterec.replay.share import Share
from kiterec.replay.timeline import TimelineKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from kiterec.replay.market import Market, MarketBatch
    from kiterec.replay.subscriptions import Subscriptions


class View(Protocol):
    """Picks a client's share.

    Attributes:
        version: another number after each thing that changes what the client gets.
    """

    version: int

    def share(self, batch: MarketBatch, begin: int, end: int) -> Share:
        """Give what the client gets of the messages `begin` up to, without, `end`."""
        ...

    def loses(self, batch: MarketBatch, row: int) -> bool:
        """Tell whether the recorded disconnect of this row is the client's too."""
        ...


class ExactView:
    """A recorded connection, byte for byte, heartbeats and all, whatever the client asks."""

    __slots__ = ("_connection", "version")

    def __init__(self, connection: int) -> None:
        self.version = 0
        self._connection = connection

    def share(self, batch: MarketBatch, begin: int, end: int) -> Share:
        """Give the connection's messages of these rows."""
        source = batch.source
        kinds = source.kind[begin:end]
        mine = source.connection[begin:end] == self._connection
        frames = np.flatnonzero(mine & (kinds == TimelineKind.BINARY)) + begin
        texts = (np.flatnonzero(mine & (kinds == TimelineKind.TEXT)) + begin).tolist()
        return Share(batch, frames, {row: batch.message(row).decode(errors="replace") for row in texts})

    def loses(self, batch: MarketBatch, row: int) -> bool:
        """Tell whether it is this connection that was lost."""
        return int(batch.source.connection[row]) == self._connection


class SubscribedView:
    """What Kite would send for a client's subscriptions.

    The modes lie in an array over the market's instruments; it is made anew when the market shows new ones.
    """

    __slots__ = ("_everything", "_market", "_modes", "_subscriptions", "version")

    def __init__(self, market: Market, subscriptions: Subscriptions) -> None:
        self._market = market
        self._subscriptions = subscriptions
        self._modes = np.zeros(0, np.uint8)
        self._everything = 0
        self.version = 0
        self.refresh()

    def refresh(self) -> None:
        """Read the subscriptions again, after they or the market's instruments have changed."""
        self.version += 1
        modes = self._subscriptions.modes
        tokens = np.fromiter(modes.keys(), np.uint32, len(modes))
        bits = np.fromiter(modes.values(), np.uint8, len(modes))
        position = self._market.index.find(tokens)
        shown = position != UNKNOWN
        self._modes = np.zeros(len(self._market.index), np.uint8)
        self._modes[position[shown]] = bits[shown]
        first = int(self._modes[0]) if len(self._modes) else 0
        self._everything = first if (self._modes == first).all() else 0

    def share(self, batch: MarketBatch, begin: int, end: int) -> Share:
        """Give recorded frames untouched where all of them is wanted as recorded, rebuilt ones otherwise."""
        if len(self._modes) != len(self._market.index):
            self.refresh()
        packets = batch.packets
        if batch.fits(self._everything):
            share = self._market.everything(batch, begin, end)
            if share is not None:
                return share
        first, last = int(packets.begin[begin]), int(packets.begin[end])
        mode = self._modes[batch.instrument[first:last]]
        recorded = packets.length[first:last]
        length = CUT_LENGTH[mode, recorded]
        if (wanted := mode != 0)[length != recorded].any():
            wanted &= (mode & batch.sendable()[first:last]) != 0
        # Where nothing is cut, nobody has to know what changed.
        return _assemble(batch, begin, end, wanted, length)

    def loses(self, batch: MarketBatch, row: int) -> bool:
        """Tell whether the lost connection spoke for an instrument of the client."""
        lost = batch.lost.get(row)
        return lost is None or bool(self._modes[lost[lost < len(self._modes)]].any())

    def snapshot(self, tokens: Iterable[int]) -> bytes | None:
        """Give the state of these instruments now, in their modes; None when nothing is known of any."""
        modes = self._subscriptions.modes
        asked = np.array([token for token in tokens if token in modes], np.uint32)
        position = self._market.index.find(asked)
        bits = np.array([modes[token] for token in asked.tolist()], np.uint8)
        rows, recorded = self._market.last_packets(position[position != UNKNOWN])
        length = CUT_LENGTH[bits[position != UNKNOWN], recorded]
        known = np.flatnonzero(length)
        offset = known * rows.shape[1]
        frames = join_packets(rows.reshape(-1), offset, length[known], np.zeros(len(known), np.int64))
        return frames[0] if frames else None


def _assemble(
    batch: MarketBatch, begin: int, end: int, chosen: npt.NDArray[np.bool_], length: npt.NDArray[Any]
) -> Share:
    """Give texts, frames as recorded where all of a frame is chosen, and frames made of `chosen` packets."""
    packets = batch.packets
    counts = np.diff(packets.begin[begin : end + 1])
    made = batch.texts_in(begin, end)
    untouched = packets.intact[begin:end] & (counts > 0)
    first, last = int(packets.begin[begin]), int(packets.begin[end])
    message = packets.message[first:last] - begin
    as_recorded = chosen & (length == packets.length[first:last])
    if not as_recorded.all():
        untouched &= np.bincount(message[as_recorded], minlength=end - begin) == counts
    rebuilt = np.flatnonzero(chosen & ~untouched[message])
    if len(rebuilt):
        offset = packets.offset[first:last][rebuilt]
        frames = join_packets(packets.data, offset, length[rebuilt].astype(np.uint8), message[rebuilt])
        rows = (np.unique(message[rebuilt]) + begin).tolist()
        rebuilt_frames = dict(zip(rows, frames, strict=True))
        made = dict(sorted((made | rebuilt_frames).items())) if made else rebuilt_frames
    return Share(batch, np.flatnonzero(untouched) + begin, made)
