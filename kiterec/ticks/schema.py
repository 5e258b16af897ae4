"""The tick table as data: its columns, their types, units and meaning."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

import polars as pl

from kiterec.wire.packets import DEPTH_FIELDS, DEPTH_LEVELS, LAYOUTS, Mode
from kiterec.wire.segments import SEGMENTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kiterec.wire.segments import SegmentTable

Prices = Literal["float", "int"]
"""Rupees (the segment's currency), or the integers of the wire."""

Origin = Literal["transcript", "token", "length", "field", "depth", "derived"]

INSTANT: Final = pl.Datetime("ns", "UTC")
MODE: Final = pl.Enum([mode.value for mode in Mode])
SIDES: Final = ("buy", "sell")
"""The depth's two halves, in the order of the wire."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the tick table.

    Attributes:
        name: the vendor's word.
        unit: what a number in it counts; `price` follows the `prices` option.
        origin: what it is made of.
        meaning: one sentence, for the docs.
    """

    name: str
    unit: str
    origin: Origin
    meaning: str

    def dtype(self, prices: Prices, segments: SegmentTable = SEGMENTS) -> pl.DataType:
        """Give its type in the table."""
        if self.name == "segment":
            return segment_enum(segments)
        if self.name in _TYPES:
            return _TYPES[self.name]
        inner: pl.DataType = {
            "price": pl.Float64() if prices == "float" else pl.Int32(),
            "time": INSTANT,
            "count": pl.UInt16(),
        }.get(self.unit, pl.UInt32())
        if self.name == "net_change" and prices == "int":
            return pl.Int64()
        return pl.Array(inner, DEPTH_LEVELS) if self.origin == "depth" else inner

    def lengths(self) -> frozenset[int]:
        """Give the packet lengths whose rows can have a value."""
        return frozenset(length for length in LAYOUTS if self.name in _carried(length))


_TYPES: Final[dict[str, pl.DataType]] = {
    "seq": pl.UInt64(),
    "packet": pl.UInt16(),
    "received_at": INSTANT,
    "connection": pl.Categorical(),
    "mode": MODE,
    "tradable": pl.Boolean(),
    "change": pl.Float64(),
}

COLUMNS: Final = (
    Column("seq", "position", "transcript", "The frame's position in the recording, over all connections."),
    Column("packet", "position", "transcript", "The packet's position in its frame, from 0."),
    Column(
        "received_at", "time", "transcript", "Host wall clock, read as soon as the socket gave the frame."
    ),
    Column("connection", "name", "transcript", "The WebSocket slot that the frame came on."),
    Column("instrument_token", "token", "token", "The vendor's number of the instrument."),
    Column("segment", "name", "token", "The exchange segment: the token's low byte by name, or `unknown`."),
    Column("mode", "name", "length", "`ltp`, `quote` or `full`: what the packet's length says."),
    Column("tradable", "truth", "token", "False for the instruments of an index segment."),
    Column("price_divisor", "number", "token", "Wire price / price_divisor = rupees; only in `prices=int`."),
    Column("last_price", "price", "field", "Last traded price, or the index's value."),
    Column("last_traded_quantity", "quantity", "field", "Quantity of the last trade."),
    Column("average_traded_price", "price", "field", "Average price of the day's trades."),
    Column("volume_traded", "quantity", "field", "Quantity traded since the day began."),
    Column("total_buy_quantity", "quantity", "field", "Quantity of all open bids."),
    Column("total_sell_quantity", "quantity", "field", "Quantity of all open offers."),
    Column("open", "price", "field", "First price of the day."),
    Column("high", "price", "field", "Highest price of the day."),
    Column("low", "price", "field", "Lowest price of the day."),
    Column("close", "price", "field", "Close of the day before."),
    Column("change", "percent", "derived", "(last_price - close) * 100 / close; 0 where close is 0."),
    Column(
        "net_change",
        "price",
        "derived",
        "last_price - close; an index brings its own. Null for a tradable instrument whose close is 0.",
    ),
    Column("last_trade_time", "time", "field", "When it was last traded; whole seconds."),
    Column("oi", "quantity", "field", "Open interest."),
    Column("oi_day_high", "quantity", "field", "Highest open interest of the day."),
    Column("oi_day_low", "quantity", "field", "Lowest open interest of the day."),
    Column("exchange_timestamp", "time", "field", "When the exchange sent it; whole seconds."),
    *(
        Column(
            f"{side}_{field.name}", field.unit, "depth", f"{field.name.capitalize()} of the five best {what}."
        )
        for side, what in zip(SIDES, ("bids", "offers"), strict=True)
        for field in (DEPTH_FIELDS[1], DEPTH_FIELDS[0], DEPTH_FIELDS[2])
    ),
)
"""Every column, in the order of the table."""


def segment_enum(segments: SegmentTable = SEGMENTS) -> pl.Enum:
    """Give the type of the `segment` column: the names of a segment table, and `unknown`."""
    names = dict.fromkeys([*(segment.name for segment in segments.values()), "unknown"])
    return pl.Enum(list(names))


def tick_schema(prices: Prices = "float", *, segments: SegmentTable = SEGMENTS) -> pl.Schema:
    """Give the names and types of the tick table.

    Args:
        prices: `float` for rupees; `int` for the integers of the wire, with `price_divisor` beside them.
        segments: names of the exchange segments.

    Raises:
        ValueError: `prices` is neither.
    """
    return pl.Schema(column_types(prices, segments))


@lru_cache(maxsize=16)
def column_types(prices: Prices, segments: SegmentTable) -> Mapping[str, pl.DataType]:
    """Give the same, read-only and without making it anew for each batch."""
    if prices not in {"float", "int"}:
        raise ValueError(f'prices={prices!r} is unknown; give "float" or "int"')
    return MappingProxyType(
        {
            column.name: column.dtype(prices, segments)
            for column in COLUMNS
            if prices == "int" or column.name != "price_divisor"
        }
    )


TICK_SCHEMA: Final = tick_schema()


def check_columns(columns: Iterable[str] | None, schema: Mapping[str, pl.DataType]) -> list[str]:
    """Give the asked columns in the asked order; all of the schema for None.

    Raises:
        ValueError: a name is not a column, or comes twice.
    """
    if columns is None:
        return list(schema)
    asked = [columns] if isinstance(columns, str) else list(columns)
    unknown = [name for name in asked if name not in schema]
    if unknown:
        raise ValueError(f"no column {', '.join(map(repr, unknown))}; there are {', '.join(schema)}")
    if len(set(asked)) < len(asked):
        raise ValueError(f"a column is asked for twice: {', '.join(asked)}")
    return asked


def _carried(length: int) -> frozenset[str]:
    """Give the columns that a packet of this length fills."""
    layout = LAYOUTS[length]
    names = {column.name for column in COLUMNS if column.origin in {"transcript", "token", "length"}}
    names |= {field.name for field in layout.fields}
    if "close" in names:
        names |= {"change", "net_change"}
    if layout.depth_offset is not None:
        names |= {column.name for column in COLUMNS if column.origin == "depth"}
    return frozenset(names)
