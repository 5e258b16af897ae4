"""Packets without decoding: a view reads a field at its offset when it is asked for it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple, overload

from kiterec.wire.frames import HEADER_BYTES
from kiterec.wire.packets import DEPTH_ENTRY_BYTES, DEPTH_LEVELS, LAYOUTS, Mode
from kiterec.wire.segments import SEGMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kiterec.wire.packets import PacketLayout
    from kiterec.wire.segments import SegmentTable

FULL_BYTES: Final = 184

_FORMATS: Final = {"i4": ">i", "u4": ">I", "u2": ">H"}
_READERS: Final = {
    length: {field.name: (struct.Struct(_FORMATS[field.type]), field.offset) for field in layout.fields}
    for length, layout in LAYOUTS.items()
}
_UINT16: Final = struct.Struct(">H")
_TOKEN: Final = struct.Struct(">I")
_DEPTH_ENTRY: Final = struct.Struct(">IiH")


class _Number:
    """A field of the layout table as a property: an integer of the wire, None where it is not there."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, view: None, owner: type) -> _Number: ...
    @overload
    def __get__(self, view: PacketView, owner: type) -> int | None: ...
    def __get__(self, view: PacketView | None, owner: type) -> _Number | int | None:
        return self if view is None else view.read(self._name)


class DepthEntry(NamedTuple):
    """One bid or offer: the price is the integer of the wire."""

    quantity: int
    price: int
    orders: int


class PacketView:
    """One packet inside its frame: nothing is copied or decoded until a field is read.

    Units: prices are integers of the wire, to be divided by `divisor`; times are UNIX seconds, 0 for none.
    None: the packet is of a mode (or of an index) that does not carry the field.

    Attributes:
        data: the packet's bytes, a view into the frame.
        connection: that it came on.
        received_at: of its frame, nanoseconds since the epoch.
    """

    __slots__ = ("_readers", "connection", "data", "received_at")

    def __init__(self, data: memoryview | bytes, *, connection: str = "", received_at: int = 0) -> None:
        self.data = memoryview(data)
        self.connection = connection
        self.received_at = received_at
        self._readers = _READERS.get(len(data), {})

    last_price = _Number()
    last_traded_quantity = _Number()
    average_traded_price = _Number()
    volume_traded = _Number()
    total_buy_quantity = _Number()
    total_sell_quantity = _Number()
    open = _Number()
    high = _Number()
    low = _Number()
    close = _Number()
    net_change = _Number()
    last_trade_time = _Number()
    oi = _Number()
    oi_day_high = _Number()
    oi_day_low = _Number()
    exchange_timestamp = _Number()

    def __len__(self) -> int:
        return len(self.data)

    def __bytes__(self) -> bytes:
        return bytes(self.data)

    def __repr__(self) -> str:
        name = "unknown" if self.layout is None else self.layout.name
        return f"PacketView({name}, instrument_token={self.instrument_token}, connection={self.connection!r})"

    @property
    def layout(self) -> PacketLayout | None:
        """Give the packet's layout; None for an unknown length."""
        return LAYOUTS.get(len(self.data))

    @property
    def mode(self) -> Mode | None:
        """Give the mode that the packet was sent in; None for an unknown length."""
        layout = self.layout
        return None if layout is None else layout.mode

    @property
    def instrument_token(self) -> int | None:
        """Give the instrument_token; None for a packet that is too short for one."""
        return _TOKEN.unpack_from(self.data)[0] if len(self.data) >= _TOKEN.size else None

    def read(self, name: str) -> int | None:
        """Give a field by the name that the layout table has for it."""
        reader = self._readers.get(name)
        if reader is None:
            return None
        number, offset = reader
        value: int = number.unpack_from(self.data, offset)[0]
        return value

    def divisor(self, segments: SegmentTable = SEGMENTS) -> int:
        """Give what the prices are to be divided by: 100 for NSE, 10,000,000 for CDS."""
        return segments.of(self.instrument_token or 0).divisor

    @property
    def bids(self) -> tuple[DepthEntry, ...]:
        """Give the five best bids; empty for a packet without depth."""
        return self._depth(0)

    @property
    def offers(self) -> tuple[DepthEntry, ...]:
        """Give the five best offers; empty for a packet without depth."""
        return self._depth(DEPTH_LEVELS)

    def depth_entry(self, position: int) -> memoryview:
        """Give the twelve bytes of one entry of the depth: 0 to 4 are bids, 5 to 9 offers.

        Raises:
            IndexError: the packet has no such entry.
        """
        layout = self.layout
        if layout is None or layout.depth_offset is None or not 0 <= position < 2 * DEPTH_LEVELS:
            raise IndexError(f"no depth entry {position} in a packet of {len(self.data)} bytes")
        start = layout.depth_offset + position * DEPTH_ENTRY_BYTES
        return self.data[start : start + DEPTH_ENTRY_BYTES]

    def _depth(self, first: int) -> tuple[DepthEntry, ...]:
        layout = self.layout
        if layout is None or layout.depth_offset is None:
            return ()
        starts = (layout.depth_offset + (first + level) * DEPTH_ENTRY_BYTES for level in range(DEPTH_LEVELS))
        return tuple(DepthEntry(*_DEPTH_ENTRY.unpack_from(self.data, start)) for start in starts)


def iter_packets(frame: bytes) -> Iterator[memoryview]:
    """Give each whole packet of a frame as a view into it; stops where the frame does not keep its word."""
    view, end = memoryview(frame), len(frame)
    if end < HEADER_BYTES:
        return
    read = _UINT16.unpack_from
    offset = HEADER_BYTES
    for _ in range(read(frame)[0]):
        start = offset + HEADER_BYTES
        if start > end:
            return
        offset = start + read(frame, offset)[0]
        if offset > end:
            return
        yield view[start:offset]
