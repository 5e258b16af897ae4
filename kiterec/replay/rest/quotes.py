"""`/quote`, `/quote/ohlc` and `/quote/ltp`: the last tick of each instrument in the vendor's shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kiterec.clock import IST, utc

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

LIMITS: Final[Mapping[str, int]] = {"": 500, "ohlc": 1_000, "ltp": 1_000}
"""How many instruments may be asked for at once, by what follows `/quote/`.

Source:
    https://kite.trade/docs/connect/v3/market-quotes/
"""


def shaped(which: str, tick: Mapping[str, Any], *, now_ns: int | None) -> dict[str, Any]:
    """Give a tick as one of the three answers has it.

    What the packet did not carry is 0, as the vendor writes it for what does not trade; the circuit limits
    are not on the wire and are 0 too.

    Args:
        which: what follows `/quote/`; empty for the whole quote.
        tick: a row of the tick table.
        now_ns: the replay's instant, the timestamp of a tick that carries none.
    """
    short = {"instrument_token": tick["instrument_token"], "last_price": tick["last_price"]}
    if which == "ltp":
        return short
    ohlc = {name: tick[name] or 0 for name in ("open", "high", "low", "close")}
    if which == "ohlc":
        return {**short, "ohlc": ohlc}
    now = None if now_ns is None else utc(now_ns)
    return {
        **short,
        "timestamp": wall_time(tick["exchange_timestamp"] or now),
        "last_trade_time": wall_time(tick["last_trade_time"]),
        "last_quantity": tick["last_traded_quantity"] or 0,
        "buy_quantity": tick["total_buy_quantity"] or 0,
        "sell_quantity": tick["total_sell_quantity"] or 0,
        "volume": tick["volume_traded"] or 0,
        "average_price": tick["average_traded_price"] or 0,
        "oi": tick["oi"] or 0,
        "oi_day_high": tick["oi_day_high"] or 0,
        "oi_day_low": tick["oi_day_low"] or 0,
        "net_change": tick["net_change"] or 0,
        "lower_circuit_limit": 0,
        "upper_circuit_limit": 0,
        "ohlc": ohlc,
        "depth": {side: _depth(tick, side) for side in ("buy", "sell")},
    }


def wall_time(at: datetime | None) -> str | None:
    """Give an instant as the vendor writes it: IST wall time without a zone."""
    return None if at is None else at.astimezone(IST).strftime("%Y-%m-%d %H:%M:%S")


def _depth(tick: Mapping[str, Any], side: str) -> list[dict[str, Any]]:
    prices, quantities, orders = (tick[f"{side}_{what}"] for what in ("price", "quantity", "orders"))
    if prices is None:
        return [{"price": 0, "quantity": 0, "orders": 0}] * 5
    return [
        {"price": price, "quantity": quantity, "orders": count}
        for price, quantity, count in zip(prices, quantities, orders, strict=True)
    ]
