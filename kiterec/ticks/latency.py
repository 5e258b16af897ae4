"""How old a tick was when it came."""

from __future__ import annotations

import polars as pl


def latency(ticks: pl.LazyFrame) -> pl.LazyFrame:
    """Give the time between the exchange's stamp and our receiving, of each tick that has a stamp.

    Shape:
        One row a full packet, in the order of the tick table: seq, packet, connection, instrument_token,
        segment, received_at, exchange_timestamp, latency.

    Units:
        `latency` is a duration in nanoseconds. The exchange's stamp is cut to whole seconds, so ticks that
        need no time at all show up to 1 s, 0.5 s on average; differences between medians are real. It is
        negative where the host's clock is behind. A snapshot (after a subscribe or a reconnect) shows how
        long ago its instrument last changed, not how long it travelled.

    Args:
        ticks: the tick table, or some of its rows.
    """
    return ticks.filter(pl.col("exchange_timestamp").is_not_null()).select(
        "seq",
        "packet",
        "connection",
        "instrument_token",
        "segment",
        "received_at",
        "exchange_timestamp",
        (pl.col("received_at") - pl.col("exchange_timestamp")).alias("latency"),
    )
