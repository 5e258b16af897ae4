"""Candles from ticks: open, high, low, close, volume and open interest of intervals of a session."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import polars as pl

from kiterec.clock import NS_PER_MS, NS_PER_S
from kiterec.ticks.bounds import joined, split_predicate, time_bounds
from kiterec.ticks.carry import Fold, in_batches
from kiterec.ticks.lazy import first_rows, lazy_table
from kiterec.ticks.missed import is_missed, merge_presence, presence
from kiterec.ticks.schema import INSTANT
from kiterec.ticks.sessions import DAY_NS, SESSIONS, Calendar
from kiterec.ticks.volume import UNKNOWN, VolumeMeter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from kiterec.ticks.sessions import Session

By = Literal["received_at", "exchange_timestamp"]
"""Our own clock, which every tick has; or the exchange's, in whole seconds, which only full packets have."""

LEAD: Final = timedelta(minutes=5)
"""Ticks before the first interval that tell what its volume is counted from."""

LATE: Final = timedelta(seconds=5)
"""How long after an interval of the exchange's clock its last tick may come."""

RANGES: Final = 8
"""Of instruments; their candles are merged, and given, a range after the other: so little is there twice."""

FOLD_ROWS: Final = 1 << 16
"""Candles of a range that are gathered before it is worth to merge them."""

TICKS_AT_ONCE: Final = 1 << 16
"""Enough for vectors: in so many ticks of thousands of instruments there are nearly as many candles."""

_UNITS: Final = {
    "ms": NS_PER_MS, "s": NS_PER_S, "m": 60 * NS_PER_S, "h": 3_600 * NS_PER_S, "d": DAY_NS,
}  # fmt: skip
_KEYS: Final = ("instrument_token", "session", "begin")
_NEEDED: Final = (
    "connection",
    "received_at",
    "instrument_token",
    "segment",
    "last_price",
    "volume_traded",
    "oi",
)


def candles(
    ticks: pl.LazyFrame,
    every: str | timedelta = "1m",
    *,
    by: By = "received_at",
    gaps: pl.DataFrame | None = None,
    sessions: Mapping[str, Sequence[Session]] = SESSIONS,
) -> pl.LazyFrame:
    """Give the candles of ticks, made when they are collected.

    Shape:
        One row an instrument and interval that has a tick, by instrument_token and begin: instrument_token,
        segment, session, begin, end (UTC; half-open), open, high, low, close (as `last_price`), volume, oi
        (the last), ticks, complete.

        Intervals are counted from the begin of their session and end with it at the latest, so a candle never
        mixes the pre-open with the session; what is in no session is `outside`. An interval without a tick
        has no row. Open and close are the last prices of the first and the last tick in the order of arrival.

        `volume` is the rise of `volume_traded` since the instrument's tick before, on the same day (IST); see
        `VolumeMeter`. Null without a packet that carries it (indices, mode ltp).

        `complete` is false where a gap overlaps the interval, or the time since the tick that the volume is
        counted from; null when no gaps were given.

    Args:
        ticks: the tick table in its order, or some of it; also of many recordings, one after the other.
        every: `250ms`, `5s`, `1m`, `1h30m`, at most `1d`.
        by: the clock that says which interval a tick is in; ticks without that time are left out.
        gaps: what was missed, a row each: connection, begin, end; a null end is an open one.
        sessions: hours by exchange segment.

    Raises:
        ValueError: the interval, the clock or the sessions are impossible, or a column is missing.
    """
    every_ns = interval_ns(every)
    if by not in {"received_at", "exchange_timestamp"}:
        raise ValueError(f'by={by!r} is no clock; give "received_at" or "exchange_timestamp"')
    calendar = Calendar(sessions)
    given = ticks.collect_schema()
    needed = list(dict.fromkeys([*_NEEDED, by]))
    if missing := [name for name in needed if name not in given]:
        raise ValueError(f"candles need the columns {', '.join(needed)}; there is no {', '.join(missing)}")
    schema = _schema(given, calendar)

    def source(
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,  # noqa: ARG001 - what is left of a day is small
    ) -> Iterator[pl.DataFrame]:
        wanted = ticks.select(needed).filter(pl.col(by).is_not_null())
        for condition in split_predicate(predicate):
            if {"instrument_token", "segment"}.issuperset(condition.meta.root_names()):
                wanted = wanted.filter(condition)
        maker = _CandleMaker(every_ns, by, calendar)
        for batch in in_batches(wanted, rows=TICKS_AT_ONCE):
            maker.add(batch)
        for found in first_rows(_filtered(maker.candles(schema, gaps), predicate), n_rows):
            yield found if with_columns is None else found.select(with_columns)

    return lazy_table(source, schema, name="KITEREC CANDLES")


def _filtered(tables: Iterable[pl.DataFrame], predicate: pl.Expr | None) -> Iterator[pl.DataFrame]:
    conditions = split_predicate(predicate)
    for table in tables:
        yield table.filter(joined(conditions)) if conditions else table


def beginning_in(made: pl.LazyFrame, begin: datetime | None, end: datetime | None) -> pl.LazyFrame:
    """Give the candles that begin at or after one instant and before another; None is no bound.

    Raises:
        ValueError: a time without zone.
    """
    bounds = time_bounds(begin, end)
    if bounds.begin_ns is not None:
        made = made.filter(pl.col("begin") >= pl.lit(bounds.begin_ns).cast(INSTANT))
    if bounds.end_ns is not None:
        made = made.filter(pl.col("begin") < pl.lit(bounds.end_ns).cast(INSTANT))
    return made


def interval_ns(every: str | timedelta) -> int:
    """Give an interval in nanoseconds.

    Args:
        every: numbers with the units ms, s, m, h and d, such as `1m` or `1h30m`.

    Raises:
        ValueError: it is none, or not between 1 ms and a day.
    """
    if isinstance(every, timedelta):
        found = every // timedelta(microseconds=1) * 1_000
    else:
        parts = re.findall(r"(\d+)(ms|[smhd])", every)
        if not parts or "".join(number + unit for number, unit in parts) != every:
            raise ValueError(f"{every!r} is no interval; write it like 250ms, 5s, 1m, 1h30m or 1d")
        found = sum(int(number) * _UNITS[unit] for number, unit in parts)
    if not NS_PER_MS <= found <= DAY_NS:
        raise ValueError(f"candles of {every} are impossible; give 1 ms to 1 day")
    return found


def _schema(given: Mapping[str, pl.DataType], calendar: Calendar) -> pl.Schema:
    price = given["last_price"]
    return pl.Schema(
        {
            "instrument_token": given["instrument_token"],
            "segment": given["segment"],
            "session": calendar.dtype,
            "begin": INSTANT,
            "end": INSTANT,
            "open": price,
            "high": price,
            "low": price,
            "close": price,
            "volume": pl.Int64(),
            "oi": given["oi"],
            "ticks": pl.UInt32(),
            "complete": pl.Boolean(),
        }
    )


class _CandleMaker:
    """Gathers the candles of one table, a batch of ticks at a time."""

    def __init__(self, every_ns: int, by: By, calendar: Calendar) -> None:
        self._every_ns = every_ns
        self._by = by
        self._calendar = calendar
        self._volume = VolumeMeter()
        self._edges: NDArray[np.uint32] | None = None
        self._parts = [Fold(_merge, rows=FOLD_ROWS) for _ in range(RANGES)]
        self._heard = Fold(merge_presence)

    def add(self, ticks: pl.DataFrame) -> None:
        """Take the next ticks."""
        received_ns = ticks["received_at"].cast(pl.Int64).to_numpy()
        step, since = self._volume.steps(
            ticks["instrument_token"].cast(pl.UInt32).to_numpy(),
            received_ns,
            ticks["volume_traded"].cast(pl.Int64).fill_null(UNKNOWN).to_numpy(),
        )
        at_ns = ticks[self._by].cast(INSTANT).cast(pl.Int64).to_numpy()
        placed = self._calendar.place(ticks["segment"].cast(pl.String), at_ns)
        begin = at_ns - (at_ns - placed.begin_ns) % self._every_ns
        end = np.minimum(begin + self._every_ns, placed.end_ns)
        table = ticks.with_columns(
            placed.session,
            pl.Series("begin", begin).cast(INSTANT),
            pl.Series("end", end).cast(INSTANT),
            pl.Series("step", step),
            pl.Series("since", since),
        )
        step_known = pl.col("step").filter(pl.col("step") != UNKNOWN)
        price = pl.col("last_price")
        self._keep(
            table.group_by(_KEYS, maintain_order=True).agg(
                pl.col("segment", "end").first(),
                price.first().alias("open"), price.max().alias("high"),
                price.min().alias("low"), price.last().alias("close"),
                pl.when(step_known.len() > 0).then(step_known.sum()).alias("volume"),
                pl.col("oi").drop_nulls().last(),
                pl.len().alias("ticks"),
                pl.col("since").filter(pl.col("since") != UNKNOWN).min(),
            )
        )  # fmt: skip
        self._heard.add(presence(ticks))

    def _keep(self, made: pl.DataFrame) -> None:
        """Put the candles of a batch to those of their range of instruments."""
        tokens = made["instrument_token"].to_numpy()
        if self._edges is None:
            every = np.unique(tokens)
            self._edges = every[[every.size * number // RANGES for number in range(1, RANGES)]]
        owner = np.searchsorted(self._edges, tokens, side="right")
        for number, parts in enumerate(self._parts):
            mine = made.filter(owner == number)
            if mine.height:
                parts.add(mine)

    def candles(self, schema: pl.Schema, gaps: pl.DataFrame | None) -> Iterator[pl.DataFrame]:
        """Give the candles of all the ticks, those of some instruments at a time, and forget them."""
        heard = self._heard.result()
        while self._parts:
            found = self._parts.pop(0).result()
            if found is None or heard is None:
                continue
            found = found.sort("instrument_token", "begin", "session")
            complete = pl.lit(None, pl.Boolean()) if gaps is None else ~self._missed(found, gaps, heard)
            yield found.with_columns(complete.alias("complete")).select(
                pl.col(name).cast(kind) for name, kind in schema.items()
            )

    def _missed(self, found: pl.DataFrame, gaps: pl.DataFrame, heard: pl.DataFrame) -> pl.Series:
        """Tell which candles a gap overlaps."""
        # An exchange time is in whole seconds: what it says is up to a second before what it means.
        late_ns = NS_PER_S if self._by == "exchange_timestamp" else 0
        stretches = found.select(
            "instrument_token",
            pl.min_horizontal(pl.col("begin").cast(pl.Int64), "since").alias("begin"),
            pl.col("end").cast(pl.Int64) + late_ns,
        )
        first, last = found["instrument_token"][0], found["instrument_token"][-1]
        mine = heard.filter(pl.col("instrument_token").is_between(first, last))
        return is_missed(stretches, gaps, mine)


def _merge(parts: pl.DataFrame) -> pl.DataFrame:
    """Join the candles of several batches, given in the order of the batches."""
    volume = pl.col("volume").drop_nulls()
    return parts.group_by(_KEYS, maintain_order=True).agg(
        pl.col("segment", "end", "open").first(),
        pl.col("high").max(), pl.col("low").min(), pl.col("close").last(),
        pl.when(volume.len() > 0).then(volume.sum()).alias("volume"),
        pl.col("oi").drop_nulls().last(), pl.col("ticks").sum(), pl.col("since").min(),
    )  # fmt: skip
