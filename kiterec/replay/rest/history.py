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
from kiterec.ticks.sessions import SESSIONS

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

_COLUMNS: Final = (
    "connection", "received_at", "instrument_token", "segment", "last_price", "volume_traded", "oi",
)  # fmt: skip


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
        candle is as far as the replay is. Instruments without volume have 0.

    Args:
        timeline: what is served.
        token: the instrument.
        interval: one of `INTERVALS`.
        begin: no candle that begins before.
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
    kept = found.filter(pl.col("begin").is_between(begin, end)).sort("begin")
    return [
        [
            row["begin"].astimezone(IST).strftime("%Y-%m-%dT%H:%M:%S%z"),
            row["open"], row["high"], row["low"], row["close"], row["volume"] or 0,
            *([row["oi"] or 0] if with_oi else []),
        ]
        for row in kept.iter_rows(named=True)
    ]  # fmt: skip


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
