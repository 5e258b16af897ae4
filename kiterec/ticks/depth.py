"""The depth in long form: one row a level instead of arrays of five."""

from __future__ import annotations

from typing import Final

import polars as pl

from kiterec.ticks.schema import SIDES
from kiterec.wire.packets import DEPTH_LEVELS

SIDE: Final = pl.Enum(SIDES)
_KEYS: Final = ("seq", "packet", "received_at", "exchange_timestamp", "instrument_token")


def depth(ticks: pl.LazyFrame) -> pl.LazyFrame:
    """Give the levels of the depth of each tick that has one.

    Shape:
        One row a tick, side and level, in that order: seq, packet, received_at, exchange_timestamp,
        instrument_token, side (`buy` for bids, `sell` for offers), level (from 0, the best), price, quantity,
        orders. A level that nobody stands at (all its numbers are 0) has no row.

    Args:
        ticks: the tick table, or some of its rows.
    """

    def both(name: str) -> pl.Expr:
        return pl.concat_list(*(pl.col(f"{side}_{name}").arr.to_list() for side in SIDES)).alias(name)

    sides = [side for side in SIDES for _ in range(DEPTH_LEVELS)]
    levels = [level for _ in SIDES for level in range(DEPTH_LEVELS)]
    return (
        ticks.filter(pl.col("buy_price").is_not_null())
        .select(
            *_KEYS,
            pl.lit(pl.Series([sides], dtype=pl.List(SIDE))).first().alias("side"),
            pl.lit(pl.Series([levels], dtype=pl.List(pl.UInt8()))).first().alias("level"),
            both("price"),
            both("quantity"),
            both("orders"),
        )
        .explode("side", "level", "price", "quantity", "orders")
        .filter((pl.col("quantity") > 0) | (pl.col("orders") > 0) | (pl.col("price") != 0))
    )
