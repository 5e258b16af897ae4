"""A row of `kiterec.decode` as each of the vendor's clients says the same packet.

Where they differ from `kiterec.decode`, and from each other:

- Python reads prices unsigned, so a negative price is 2^32 wire units too high. JavaScript reads everything
  signed, quantities too.
- A time of 0 is 1970-01-01 in Python, null in JavaScript, null for us. Python's times are naive and local
  (its judge runs with TZ=UTC), JavaScript's are `Date`s; ours are UTC instants.
- `change` is percent in both, worked out from the two prices, and 0 for an instrument without a close.
- JavaScript does not know segment 12 (NCO) and divides its prices by 100 instead of 10,000.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from kiterec.wire.packets import DEPTH_FIELDS, DEPTH_LEVELS
from tests.judges.judged import INDEX_SEGMENT, divisor

if TYPE_CHECKING:
    from collections.abc import Callable

    Reading = Callable[[dict[str, Any]], dict[str, Any]]

_OHLC = ("open", "high", "low", "close")
_QUANTITIES = ("volume_traded", "last_traded_quantity", "total_buy_quantity", "total_sell_quantity")
_INTEREST = ("oi", "oi_day_high", "oi_day_low")
_NCO = 12


def as_python(row: dict[str, Any]) -> dict[str, Any]:
    """Give a tick of `kiteconnect` from PyPI."""
    unit = divisor(row["instrument_token"])

    def price(value: float) -> float:
        return value if value >= 0 else (round(value * unit) + (1 << 32)) / unit

    def time(instant: datetime | None) -> str:
        return (instant.replace(tzinfo=None) if instant else datetime(1970, 1, 1)).isoformat()

    return _tick(row, price=price, quantity=lambda value: value, time=time)


def as_js(row: dict[str, Any]) -> dict[str, Any]:
    """Give a tick of `kiteconnect` from npm, as JSON."""
    unit = divisor(row["instrument_token"])
    theirs = 100 if row["instrument_token"] & 0xFF == _NCO else unit

    def time(instant: datetime | None) -> str | None:
        return f"{instant:%Y-%m-%dT%H:%M:%S}.000Z" if instant else None

    return _tick(
        row,
        price=lambda value: round(value * unit) / theirs,
        quantity=lambda value: value if value < 1 << 31 else value - (1 << 32),
        time=time,
    )


def _tick(
    row: dict[str, Any],
    *,
    price: Callable[[float], float],
    quantity: Callable[[int], int],
    time: Callable[[datetime | None], str | None],
) -> dict[str, Any]:
    index = row["instrument_token"] & 0xFF == INDEX_SEGMENT
    tick = {name: row[name] for name in ("tradable", "mode", "instrument_token")}
    tick["last_price"] = price(row["last_price"])
    if row["mode"] == "ltp":
        return tick
    tick["ohlc"] = {name: price(row[name]) for name in _OHLC}
    close = tick["ohlc"]["close"]
    tick["change"] = (tick["last_price"] - close) * 100 / close if close else 0
    full = row["mode"] == "full"
    if full:
        tick["exchange_timestamp"] = time(row["exchange_timestamp"])
    if index:
        return tick
    tick |= {name: quantity(row[name]) for name in _QUANTITIES + (_INTEREST if full else ())}
    tick["average_traded_price"] = price(row["average_traded_price"])
    if full:
        tick["last_trade_time"] = time(row["last_trade_time"])
        tick["depth"] = {side: _depth(row, side, price=price, quantity=quantity) for side in ("buy", "sell")}
    return tick


def _depth(
    row: dict[str, Any], side: str, *, price: Callable[[float], float], quantity: Callable[[int], int]
) -> list[dict[str, float]]:
    levels = [
        {field.name: row[f"{side}_{field.name}"][level] for field in DEPTH_FIELDS}
        for level in range(DEPTH_LEVELS)
    ]
    return [
        level | {"price": price(level["price"]), "quantity": quantity(level["quantity"])} for level in levels
    ]
