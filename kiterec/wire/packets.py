"""The packet layouts as data: the length of a packet decides its fields."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from kiterec.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Mapping

FieldType = Literal["i4", "u4", "u2"]
Unit = Literal["token", "price", "quantity", "time", "count"]

DEPTH_LEVELS: Final = 5
"""Bids, and as many offers."""


class Mode(StrEnum):
    """How much of an instrument the server sends."""

    LTP = "ltp"
    QUOTE = "quote"
    FULL = "full"

    @property
    def rank(self) -> int:
        """Give 0, 1 or 2: a higher mode holds all of a lower one."""
        return _RANKS[self.value]


_RANKS: Final = {"ltp": 0, "quote": 1, "full": 2}


@dataclass(frozen=True, slots=True)
class Field:
    """One big-endian number of a packet.

    Attributes:
        name: as the tick table calls it.
        offset: bytes from the start of the packet (of the entry, for a depth field).
        type: `i4` signed and `u4` unsigned 32 bits, `u2` unsigned 16 bits.
        unit: `price` is divided by its segment's divisor; `time` is UNIX seconds UTC with 0 for none.
    """

    name: str
    offset: int
    type: FieldType
    unit: Unit

    @property
    def size(self) -> int:
        """Give its length in bytes."""
        return int(self.type[1])


@dataclass(frozen=True, slots=True)
class PacketLayout:
    """All that is known of packets of one length.

    Attributes:
        length: bytes, the key of the layout.
        name: unique among the layouts.
        mode: the mode that the server sends it in.
        index: an index's packet; None where the length does not tell (ltp).
        fields: in the order of their offsets, depth left out.
        depth_offset: where five bids and then five offers begin; None without depth.
    """

    length: int
    name: str
    mode: Mode
    index: bool | None
    fields: tuple[Field, ...]
    depth_offset: int | None = None


_LTP: Final = (Field("instrument_token", 0, "u4", "token"), Field("last_price", 4, "i4", "price"))

_QUOTE: Final = (
    *_LTP,
    Field("last_traded_quantity", 8, "u4", "quantity"),
    Field("average_traded_price", 12, "i4", "price"),
    Field("volume_traded", 16, "u4", "quantity"),
    Field("total_buy_quantity", 20, "u4", "quantity"),
    Field("total_sell_quantity", 24, "u4", "quantity"),
    # A tradable instrument has open-high-low-close; an index has high-low-open-close.
    Field("open", 28, "i4", "price"),
    Field("high", 32, "i4", "price"),
    Field("low", 36, "i4", "price"),
    Field("close", 40, "i4", "price"),
)

_FULL: Final = (
    *_QUOTE,
    Field("last_trade_time", 44, "u4", "time"),
    Field("oi", 48, "u4", "quantity"),
    Field("oi_day_high", 52, "u4", "quantity"),
    Field("oi_day_low", 56, "u4", "quantity"),
    Field("exchange_timestamp", 60, "u4", "time"),
)

_INDEX_QUOTE: Final = (
    *_LTP,
    Field("high", 8, "i4", "price"),
    Field("low", 12, "i4", "price"),
    Field("open", 16, "i4", "price"),
    Field("close", 20, "i4", "price"),
    Field("net_change", 24, "i4", "price"),
)

_INDEX_FULL: Final = (*_INDEX_QUOTE, Field("exchange_timestamp", 28, "u4", "time"))

DEPTH_FIELDS: Final = (
    Field("quantity", 0, "u4", "quantity"),
    Field("price", 4, "i4", "price"),
    Field("orders", 8, "u2", "count"),
)
"""One entry of the depth; two bytes of padding follow the last field."""

DEPTH_ENTRY_BYTES: Final = 12

LAYOUTS: Final[Mapping[int, PacketLayout]] = MappingProxyType(
    {
        layout.length: layout
        for layout in (
            PacketLayout(8, "ltp", Mode.LTP, None, _LTP),
            PacketLayout(28, "index quote", Mode.QUOTE, True, _INDEX_QUOTE),
            PacketLayout(32, "index full", Mode.FULL, True, _INDEX_FULL),
            PacketLayout(44, "quote", Mode.QUOTE, False, _QUOTE),
            PacketLayout(184, "full", Mode.FULL, False, _FULL, depth_offset=64),
        )
    }
)
"""The layouts by packet length. An unknown length is stepped over, counted and reported.

Source:
    https://kite.trade/docs/connect/v3/websocket/#message-structure
"""

MODE_LENGTH: Final[Mapping[tuple[int, Mode], int]] = MappingProxyType(
    {
        (layout.length, mode): lengths[min(mode.rank, layout.mode.rank)]
        for layout in LAYOUTS.values()
        for lengths in [(8, 28, 32) if layout.index else (8, 44, 184)]
        for mode in Mode
    }
)
"""The length of a packet in each mode: 184 → 44 → 8 and 32 → 28 → 8, never more than it has."""


def length_in_mode(length: int, mode: Mode) -> int:
    """Give the length of a packet after `cut_packet`.

    Raises:
        DecodeError: no layout has this length.
    """
    try:
        return MODE_LENGTH[length, mode]
    except KeyError:
        known = ", ".join(str(known) for known in LAYOUTS)
        raise DecodeError(f"a packet of {length:,} bytes has no layout; known lengths are {known}") from None


def cut_packet(packet: bytes, mode: Mode) -> bytes:
    """Give the packet as the server sends it in a mode: every lower mode is a byte prefix of the higher one.

    A packet of a lower mode than asked stays as it is.

    Raises:
        DecodeError: the packet's length is unknown.
    """
    return packet[: length_in_mode(len(packet), mode)]
