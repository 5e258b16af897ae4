"""Streams of something more than frames: tick tables, full packets, the last packet of each instrument."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Self

from kiterec.feed.streams import DEFAULT_SIZE, Frame, LeftAtTheEnd
from kiterec.feed.views import FULL_BYTES, PacketView, iter_packets
from kiterec.wire.frames import scan_frame
from kiterec.wire.packets import LAYOUTS
from kiterec.wire.transcript import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import polars as pl

    from kiterec.feed.counters import Counters
    from kiterec.feed.streams import Stream
    from kiterec.wire.transcript import Row

    Decoder = Callable[[Sequence[bytes], Sequence[int]], pl.DataFrame]

_TOKEN_BYTES = 4


def decode_frames(payloads: Sequence[bytes], received_at: Sequence[int]) -> pl.DataFrame:
    """Decode with kiterec's own decoder, which is loaded at the first use."""
    from kiterec.ticks.decode import decode

    return decode(payloads, received_at=received_at)


@dataclass(frozen=True, slots=True)
class TickBatch:
    """The ticks of frames that one connection sent.

    Attributes:
        connection: that they came on.
        frames: how many.
        table: the tick table, in the order of the frames; `seq` is the frame's position in this batch.
    """

    connection: str
    frames: int
    table: pl.DataFrame


class _Reader(LeftAtTheEnd):
    """What the special streams share: they stand before a stream of frames, and leave with it."""

    def __init__(self, stream: Stream[Frame]) -> None:
        self._stream = stream

    @property
    def dropped(self) -> int:
        """Count the frames that this consumer lost because it was too slow."""
        return self._stream.dropped

    def close(self) -> None:
        """Leave: nothing more is kept for this consumer."""
        self._stream.close()

    def __aiter__(self) -> Self:
        return self


class TickStream(_Reader):
    """Tick tables: all frames that are waiting are decoded at once, so a late consumer catches up quickly."""

    def __init__(
        self, stream: Stream[Frame], decoder: Decoder, counters: Callable[[str], Counters | None]
    ) -> None:
        super().__init__(stream)
        self._decoder = decoder
        self._counters = counters
        self._ready: deque[TickBatch] = deque()

    async def __anext__(self) -> TickBatch:
        while not self._ready:
            frames = await self._stream.batch()
            if not frames:
                raise StopAsyncIteration
            for connection, group in groupby(frames, key=lambda frame: frame.connection):
                binary = [frame for frame in group if frame.kind is Kind.BINARY and len(frame.payload) > 1]
                if binary:
                    self._ready.append(self._decode(connection, binary))
        return self._ready.popleft()

    def _decode(self, connection: str, frames: list[Frame]) -> TickBatch:
        payloads = [frame.payload for frame in frames]
        table = self._decoder(payloads, [frame.received_at for frame in frames])
        counters = self._counters(connection)
        if counters is not None:
            counters.ticks += table.height
            missing = sum((p[0] << 8) | p[1] for p in payloads) - table.height
            if missing:
                counters.undecoded += missing
                _examine(payloads, table, counters)
        return TickBatch(connection, len(frames), table)


def _examine(payloads: list[bytes], table: pl.DataFrame, counters: Counters) -> None:
    """Count why some frames gave fewer ticks than they declare; only those are looked into."""
    ticks = dict(table["seq"].value_counts().rows()) if "seq" in table.columns else {}
    for position, payload in enumerate(payloads):
        if ticks.get(position, 0) == (payload[0] << 8) | payload[1]:
            continue
        scan = scan_frame(payload)
        unknown = sum(length not in LAYOUTS for _, length in scan.packets)
        counters.unknown_packets += unknown
        counters.decode_errors += len(scan.problems) > unknown


class PacketStream(_Reader):
    """Every packet of one length of every frame, as views into the frames."""

    def __init__(self, stream: Stream[Frame], length: int | None = FULL_BYTES) -> None:
        super().__init__(stream)
        self._length = length
        self._ready: deque[PacketView] = deque()

    async def __anext__(self) -> PacketView:
        while not self._ready:
            frame = await anext(self._stream)
            self._ready.extend(self._views(frame))
        return self._ready.popleft()

    async def batch(self, limit: int = DEFAULT_SIZE) -> list[PacketView]:
        """Wait for a packet, and give those that are there, up to a limit; empty only at the end."""
        try:
            views = [await anext(self)]
        except StopAsyncIteration:
            return []
        while self._ready and len(views) < limit:
            views.append(self._ready.popleft())
        return views

    def _views(self, frame: Frame) -> list[PacketView]:
        if frame.kind is not Kind.BINARY:
            return []
        return [
            PacketView(data, connection=frame.connection, received_at=frame.received_at)
            for data in iter_packets(frame.payload)
            if self._length is None or len(data) == self._length
        ]


class LastPackets:
    """The last packet of each instrument, copied out of its frame; costs a step of Python for each packet."""

    def __init__(self) -> None:
        self._packets: dict[bytes, tuple[bytes, str, int]] = {}

    def take(self, connection: str, row: Row) -> None:
        """Take a received row."""
        if row.kind is not Kind.BINARY:
            return
        for data in iter_packets(row.payload):
            if len(data) >= _TOKEN_BYTES:
                self._packets[bytes(data[:_TOKEN_BYTES])] = (bytes(data), connection, row.received_at)

    def of(self, token: int) -> PacketView | None:
        """Give the last packet of an instrument; None before the first."""
        found = self._packets.get(token.to_bytes(_TOKEN_BYTES, "big"))
        if found is None:
            return None
        data, connection, received_at = found
        return PacketView(data, connection=connection, received_at=received_at)

    def all(self) -> dict[int, PacketView]:
        """Give the last packet of every instrument that was seen, by instrument_token."""
        return {
            int.from_bytes(key, "big"): PacketView(data, connection=connection, received_at=received_at)
            for key, (data, connection, received_at) in self._packets.items()
        }


class SeenBefore:
    """Knows the last order postbacks of each account: every connection of an account gets each of them.

    Args:
        limit: postbacks that are remembered.
    """

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._seen: dict[tuple[Any, ...], None] = {}

    def __call__(self, *key: Any) -> bool:
        """Tell whether this was asked before, and remember it."""
        if key in self._seen:
            return True
        self._seen[key] = None
        if len(self._seen) > self._limit:
            del self._seen[next(iter(self._seen))]
        return False
