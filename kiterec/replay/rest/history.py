"""`/instruments/historical/…`: candles made from what the timeline has up to the replay's instant."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from kiterec.clock import IST
from kiterec.replay.timeline import TimelineKind
from kiterec.ticks.candles import candles
from kiterec.ticks.decode import Context, decode, decode_packets, read_tokens
from kiterec.ticks.find import find_packets
from kiterec.ticks.sessions import OUTSIDE, SESSIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kiterec.replay.timeline import Timeline
    from kiterec.ticks.sessions import Session

INTERVALS: Final[Mapping[str, str]] = {
    "minute": "1m", "3minute": "3m", "5minute": "5m", "10minute": "10m", "15minute": "15m",
    "30minute": "30m", "60minute": "1h", "day": "1d",
}  # fmt: skip
"""The vendor's words, and ours.

Source:
    https://kite.trade/docs/connect/v3/historical/
"""

DAYS: Final[Mapping[str, int]] = {
    "minute": 60, "3minute": 100, "5minute": 100, "10minute": 100, "15minute": 200,
    "30minute": 200, "60minute": 400, "day": 2_000,
}  # fmt: skip
"""How many days may be asked for at once, by interval: what users of the vendor's API report."""

_COLUMNS: Final = (
    "connection", "received_at", "instrument_token", "segment", "last_price", "volume_traded", "oi",
)  # fmt: skip


def asked_stretch(interval: str, begin: str, end: str) -> tuple[datetime, datetime]:
    """Read which candles are asked for.

    Raises:
        ValueError: nothing that the vendor answers; the text is the vendor's.
    """
    if interval not in INTERVALS:
        raise ValueError("invalid interval")
    first, last = read_when(begin), read_when(end)
    if first is None or last is None:
        raise ValueError(f"invalid {'from' if first is None else 'to'} date")
    if (last - first).days > DAYS[interval]:
        raise ValueError(f"interval exceeds max limit: {DAYS[interval]} days")
    return first, last


def read_when(text: str) -> datetime | None:
    """Read `yyyy-mm-dd` or `yyyy-mm-dd HH:MM:SS`, IST; None for anything else."""
    for form in ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d"):
        try:
            return datetime.strptime(text, form).replace(tzinfo=IST)
        except ValueError:
            continue
    return None


def history(
    timeline: Timeline, token: int, interval: str, *, begin: datetime, end: datetime,
    until_ns: int, start_ns: int, with_oi: bool, sessions: Mapping[str, Sequence[Session]] = SESSIONS,
) -> list[list[Any]]:  # fmt: skip
    """Give the candles of an instrument; reads the timeline from its start, so call it in a thread.

    Shape:
        One list a candle: time, open, high, low, close, volume and, if asked for, open interest. The last
        candle is as far as the replay is. Instruments without volume have 0. A day is one candle, of its
        midnight, with the prices of its trading hours where there are any.

    Args:
        timeline: what is served.
        token: the instrument.
        interval: one of `INTERVALS`.
        begin: no candle that begins before; of days, none before its date.
        end: nor after.
        until_ns: the position of the replay.
        start_ns: the wall clock at the timeline's start.
        with_oi: with open interest.
        sessions: hours by exchange segment.
    """
    ticks = pl.concat(
        [decode([], columns=_COLUMNS), *_ticks(timeline, token, until_ns=until_ns, start_ns=start_ns)]
    )
    found = candles(ticks.lazy(), INTERVALS[interval], sessions=sessions).collect()
    if interval == "day":
        found, begin = _whole_days(found), begin.replace(hour=0, minute=0, second=0)
    kept = found.filter(pl.col("begin").is_between(begin, end)).sort("begin")
    return [
        [
            row["begin"].astimezone(IST).strftime("%Y-%m-%dT%H:%M:%S%z"),
            row["open"], row["high"], row["low"], row["close"], row["volume"] or 0,
            *([row["oi"] or 0] if with_oi else []),
        ]
        for row in kept.iter_rows(named=True)
    ]  # fmt: skip


def _whole_days(found: pl.DataFrame) -> pl.DataFrame:
    """Make one candle of a day's sessions; what was said before they opened is no price of it."""
    trades = ~pl.col("session").cast(pl.String).is_in(["pre_open", OUTSIDE])
    counted = trades | ~trades.any()
    return (
        found.sort("begin")
        .with_columns(_midnight(pl.col("begin")))
        .group_by("begin", maintain_order=True)
        .agg(
            pl.col("open").filter(counted).first(),
            pl.col("high").filter(counted).max(),
            pl.col("low").filter(counted).min(),
            pl.col("close").filter(counted).last(),
            pl.col("volume").sum(),
            pl.col("oi").last(),
        )
    )


def _midnight(at: pl.Expr) -> pl.Expr:
    """Give the begin of the day, IST, of UTC instants."""
    ahead = IST.utcoffset(None)
    return (at + ahead).dt.truncate("1d") - ahead


def _ticks(timeline: Timeline, token: int, *, until_ns: int, start_ns: int) -> Iterator[pl.DataFrame]:
    batches = timeline.batches()
    try:
        for batch in batches:
            if len(batch) and int(batch.due_ns[0]) > until_ns:
                return
            due = (batch.kind == TimelineKind.BINARY) & (batch.due_ns <= until_ns)
            packets = find_packets(batch.payloads, binary=due).known()
            mine = packets.select(np.flatnonzero(read_tokens(packets) == token))
            if len(mine):
                yield decode_packets(mine, Context(received_at=start_ns + batch.due_ns), _COLUMNS)
    finally:
        if (close := getattr(batches, "close", None)) is not None:
            close()
