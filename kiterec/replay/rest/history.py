"""`/instruments/historical/…`: an instrument's candles in the vendor's shape."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from kiterec.clock import IST, NS_PER_S
from kiterec.ticks.sessions import OUTSIDE, SESSIONS, Calendar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kiterec.ticks.sessions import Session

INTERVALS: Final[Mapping[str, int]] = {
    "minute": 1, "3minute": 3, "5minute": 5, "10minute": 10, "15minute": 15, "30minute": 30, "60minute": 60,
    "day": 1_440,
}  # fmt: skip
"""Minutes, by the vendor's words.

Source:
    https://kite.trade/docs/connect/v3/historical/
"""

DAYS: Final[Mapping[str, int]] = {
    "minute": 60, "3minute": 100, "5minute": 100, "10minute": 100, "15minute": 200,
    "30minute": 200, "60minute": 400, "day": 2_000,
}  # fmt: skip
"""How many days may be asked for at once, by interval: what users of the vendor's API report."""

_MINUTE_NS: Final = 60 * NS_PER_S


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
    minutes: pl.DataFrame, interval: str, *, begin: datetime, end: datetime, with_oi: bool,
    sessions: Mapping[str, Sequence[Session]] = SESSIONS,
) -> list[list[Any]]:  # fmt: skip
    """Give the candles of an instrument.

    Shape:
        One list a candle: time, open, high, low, close, volume and, if asked for, open interest. The last
        candle is as far as the replay is. Instruments without volume have 0. A day is one candle, of its
        midnight, with the prices of its trading hours where there are any.

    Args:
        minutes: the instrument's candles of a minute, as `CandleLog` gives them.
        interval: one of `INTERVALS`.
        begin: no candle that begins before; of days, none before its date.
        end: nor after.
        with_oi: with open interest.
        sessions: hours by exchange segment.
    """
    if interval == "day":
        found, begin = _whole_days(minutes), begin.replace(hour=0, minute=0, second=0)
    else:
        found = _joined(minutes, INTERVALS[interval], Calendar(sessions))
    kept = found.filter(pl.col("begin").is_between(begin, end)).sort("begin")
    return [
        [
            row["begin"].astimezone(IST).strftime("%Y-%m-%dT%H:%M:%S%z"),
            row["open"], row["high"], row["low"], row["close"], row["volume"] or 0,
            *([row["oi"] or 0] if with_oi else []),
        ]
        for row in kept.iter_rows(named=True)
    ]  # fmt: skip


def _joined(minutes: pl.DataFrame, every: int, calendar: Calendar) -> pl.DataFrame:
    """Make candles of so many minutes, counted from the begin of their session."""
    begin = minutes["begin"].cast(pl.Int64).to_numpy()
    placed = calendar.place(minutes["segment"].cast(pl.String), begin)
    begin = begin - (begin - placed.begin_ns) % (every * _MINUTE_NS)
    table = minutes.with_columns(pl.Series("begin", begin).cast(minutes.schema["begin"]))
    everything = pl.lit(value=True)
    return table.group_by("begin", "session", maintain_order=True).agg(_candle(everything))


def _candle(counted: pl.Expr) -> list[pl.Expr]:
    """Make one candle of several in their order; prices are those of the counted ones."""
    return [
        pl.col("open").filter(counted).first(),
        pl.col("high").filter(counted).max(),
        pl.col("low").filter(counted).min(),
        pl.col("close").filter(counted).last(),
        pl.col("volume").sum(),
        pl.col("oi").drop_nulls().last(),
    ]


def _whole_days(minutes: pl.DataFrame) -> pl.DataFrame:
    """Make one candle of a day's sessions; what was said before they opened is no price of it."""
    trades = ~pl.col("session").cast(pl.String).is_in(["pre_open", OUTSIDE])
    counted = trades | ~trades.any()
    days = minutes.with_columns(_midnight(pl.col("begin")))
    return days.group_by("begin", maintain_order=True).agg(_candle(counted))


def _midnight(at: pl.Expr) -> pl.Expr:
    """Give the begin of the day, IST, of UTC instants."""
    ahead = IST.utcoffset(None)
    return (at + ahead).dt.truncate("1d") - ahead
