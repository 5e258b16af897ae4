"""What the report shows, as small tables: whatever the recording's size, a chart gets a few hundred rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from kiterec.clock import NS_PER_MS, NS_PER_S
from kiterec.ticks.carry import Fold, in_batches
from kiterec.ticks.sessions import IST_NS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kiterec.recording import Recording
    from kiterec.store.summary import Summary

MAX_BINS: Final = 240
TOP: Final = 20
CANDLES_WITHOUT_A_CHOICE: Final = 3

LATENCY_BIN_MS: Final = 50
LATENCY_BIN_NS: Final = LATENCY_BIN_MS * NS_PER_MS
LATENCY_ENDS_NS: Final = (-NS_PER_S, 5 * NS_PER_S)
"""What lies outside is shown at these ends: snapshots are hours old."""

_STEPS_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 86_400)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """All tables of a report. Times are `ist`: milliseconds since the epoch of the wall clock in India.

    Attributes:
        summary: the recording in a few numbers.
        step_s: width of the bins of time.
        coverage: one row a connection: connection, ist, ist_end.
        gaps: one row a gap of a connection: connection, kind, ist, ist_end, seconds, reason.
        traffic: one row a bin and connection: ist, connection, frames_s, bytes_s.
        ticks: one row a bin and mode: ist, mode, ticks_s.
        mix: one row a mode and segment: mode, segment, ticks.
        top: one row of the busiest instruments: symbol, ticks, ticks_s.
        latency: one row a bin of latency: ms, ticks.
        latency_over_time: one row a bin of time and quantile: ist, quantile, ms.
        sizes: one row a connection and kind of size: connection, what, megabytes, ratio.
        candles: one row a candle: symbol, ist, ist_end, open, high, low, close, volume, complete.
        every: interval of the candles, as one writes it.
        candle_ms: the same in milliseconds.
        silent: the symbols that were asked for and have no tick.
    """

    summary: Summary
    step_s: int
    coverage: pl.DataFrame
    gaps: pl.DataFrame
    traffic: pl.DataFrame
    ticks: pl.DataFrame
    mix: pl.DataFrame
    top: pl.DataFrame
    latency: pl.DataFrame
    latency_over_time: pl.DataFrame
    sizes: pl.DataFrame
    candles: pl.DataFrame
    every: str
    candle_ms: int
    silent: list[str]


def measure(recording: Recording, symbols: Sequence[str | int] | None = None) -> Measures:
    """Aggregate a recording for its report; memory is bounded whatever its size.

    Args:
        recording: also one that is still being written.
        symbols: instruments whose candles are wanted; None for the busiest.

    Raises:
        SetupError: a symbol is unknown, or there is no dump to look it up in.
    """
    summary = recording.info().summary
    step_s = next((s for s in _STEPS_S if summary.span_s / s <= MAX_BINS), _STEPS_S[-1])
    counts, busiest, old = _counted(recording.ticks(), step_s)
    candle_s = max(step_s, 5)
    every = f"{candle_s}s" if candle_s < 60 else f"{candle_s // 60}m"
    chosen = list(symbols or []) or busiest["instrument_token"].head(CANDLES_WITHOUT_A_CHOICE).to_list()
    made = _candles(recording, chosen, every)
    return Measures(
        summary=summary,
        step_s=step_s,
        coverage=_coverage(summary),
        gaps=_gaps(recording, summary),
        traffic=_traffic(recording, step_s),
        ticks=_filled(
            counts.group_by("ist", pl.col("mode").cast(pl.String)).agg(
                (pl.col("ticks").sum() / step_s).alias("ticks_s")
            ),
            step_s,
            "mode",
        ),
        mix=counts.group_by(pl.col("mode", "segment").cast(pl.String))
        .agg(pl.col("ticks").sum())
        .sort("segment", "mode"),
        top=_with_symbols(busiest, recording)
        .with_columns((pl.col("ticks") / max(summary.span_s, 1)).alias("ticks_s"))
        .drop("instrument_token"),
        latency=old.group_by("ms").agg(pl.col("ticks").sum()).sort("ms"),
        latency_over_time=_quantiles(old),
        sizes=_sizes(summary),
        candles=made,
        every=every,
        candle_ms=candle_s * 1_000,
        silent=_silent(chosen, made, recording),
    )


def _wall_ms(time: pl.Expr) -> pl.Expr:
    return (time.cast(pl.Int64) + IST_NS) // NS_PER_MS


def _bin(step_s: int) -> pl.Expr:
    """Give the begin of the bin of `received_at`, counted from midnight in India."""
    wall = pl.col("received_at").cast(pl.Int64) + IST_NS
    return (wall // (step_s * NS_PER_S) * (step_s * NS_PER_S) // NS_PER_MS).alias("ist")


def _coverage(summary: Summary) -> pl.DataFrame:
    rows = [
        (one.connection, (one.begin_ns + IST_NS) // NS_PER_MS, (one.end_ns + IST_NS) // NS_PER_MS)
        for one in summary.connections
        if one.begin_ns is not None and one.end_ns is not None
    ]
    return pl.DataFrame(rows, {"connection": pl.String, "ist": pl.Int64, "ist_end": pl.Int64}, orient="row")


def _gaps(recording: Recording, summary: Summary) -> pl.DataFrame:
    """Give the gaps; one that is not over ends with the recording."""
    end = pl.col("end").fill_null(pl.lit(summary.end_ns, pl.Int64()).cast(pl.Datetime("ns", "UTC")))
    return recording.gaps(instruments=False).select(
        "connection",
        pl.col("kind").cast(pl.String),
        _wall_ms(pl.col("begin")).alias("ist"),
        _wall_ms(end).alias("ist_end"),
        ((end - pl.col("begin")).cast(pl.Int64) / NS_PER_S).alias("seconds"),
        "reason",
    )


def _traffic(recording: Recording, step_s: int) -> pl.DataFrame:
    size = pl.col("payload").bin.size()
    found = (
        recording.frames()
        .filter(size > 1)
        .group_by(_bin(step_s), pl.col("connection").cast(pl.String))
        .agg((pl.len() / step_s).alias("frames_s"), (size.sum() / step_s).alias("bytes_s"))
        .collect(engine="streaming")
    )
    return _filled(found, step_s, "connection")


def _filled(table: pl.DataFrame, step_s: int, name: str) -> pl.DataFrame:
    """Add the bins in which nothing came, as zeros."""
    if not table.height:
        return table
    step = step_s * 1_000
    first, last = table.select(pl.col("ist").min().alias("first"), pl.col("ist").max().alias("last")).row(0)
    bins = pl.select(pl.int_range(first, last + step, step, dtype=pl.Int64).alias("ist"))
    every = bins.join(table.select(pl.col(name).unique()), how="cross")
    return every.join(table, on=["ist", name], how="left").fill_null(0).sort("ist", name)


def _counted(ticks: pl.LazyFrame, step_s: int) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Count ticks in one pass: by time, mode and segment; of the busiest instruments; by time and latency."""
    kinds, tokens, ages = Fold(_summed), Fold(_summed), Fold(_summed)
    old = (pl.col("received_at") - pl.col("exchange_timestamp")).cast(pl.Int64).clip(*LATENCY_ENDS_NS)
    milliseconds = (old // LATENCY_BIN_NS * LATENCY_BIN_NS // NS_PER_MS).alias("ms")
    columns = ["received_at", "instrument_token", "mode", "segment", "exchange_timestamp"]
    for batch in in_batches(ticks.select(columns)):
        kinds.add(batch.group_by(_bin(step_s), pl.col("mode", "segment").cast(pl.String)).len("ticks"))
        tokens.add(batch.group_by("instrument_token").len("ticks"))
        stamped = batch.filter(pl.col("exchange_timestamp").is_not_null())
        ages.add(stamped.group_by(_bin(step_s), milliseconds).len("ticks"))
    busiest = _result(tokens, "instrument_token").sort("ticks", "instrument_token", descending=[True, False])
    return _result(kinds, "ist", "mode", "segment"), busiest.head(TOP), _result(ages, "ist", "ms")


def _summed(counts: pl.DataFrame) -> pl.DataFrame:
    keys = [name for name in counts.columns if name != "ticks"]
    return counts.group_by(keys).agg(pl.col("ticks").sum())


def _result(counts: Fold, *keys: str) -> pl.DataFrame:
    """Give what was counted; an empty table without any tick."""
    found = counts.result()
    if found is not None:
        return _summed(found)
    types = {"mode": pl.String(), "segment": pl.String()}
    return pl.DataFrame(schema={name: types.get(name, pl.Int64()) for name in keys} | {"ticks": pl.UInt32()})


def _with_symbols(table: pl.DataFrame, recording: Recording) -> pl.DataFrame:
    """Add the names of instruments; the token is the name where there is no other."""
    dump = recording.instruments()
    tokens = table["instrument_token"].to_list()
    names = [(dump.symbol_of(token) if dump is not None else None) or str(token) for token in tokens]
    return table.with_columns(pl.Series("symbol", names, pl.String()))


def _quantiles(counts: pl.DataFrame) -> pl.DataFrame:
    """Give the median and the 95 % quantile of each bin of time, to the width of a bin of latency."""
    ordered = counts.sort("ist", "ms").with_columns(
        (pl.col("ticks").cum_sum() / pl.col("ticks").sum()).over("ist").alias("part")
    )
    return pl.concat(
        ordered.filter(pl.col("part") >= part)
        .group_by("ist")
        .agg(pl.col("ms").min())
        .select("ist", pl.lit(name).alias("quantile"), "ms")
        for name, part in (("median", 0.5), ("95 %", 0.95))
    ).sort("ist", "quantile")


def _sizes(summary: Summary) -> pl.DataFrame:
    rows = [
        (one.connection, what, count / 1e6, one.wire_bytes / one.disk_bytes if one.disk_bytes else None)
        for one in summary.connections
        for what, count in (("received", one.wire_bytes), ("on disk", one.disk_bytes))
    ]
    schema = {"connection": pl.String, "what": pl.String, "megabytes": pl.Float64, "ratio": pl.Float64}
    return pl.DataFrame(rows, schema, orient="row")


def _candles(recording: Recording, symbols: Sequence[str | int], every: str) -> pl.DataFrame:
    made = recording.candles(every, symbols=symbols).collect()
    return _with_symbols(made, recording).select(
        "symbol",
        _wall_ms(pl.col("begin")).alias("ist"),
        _wall_ms(pl.col("end")).alias("ist_end"),
        pl.col("open", "high", "low", "close").cast(pl.Float64),
        "volume",
        "complete",
    )


def _silent(chosen: Sequence[str | int], made: pl.DataFrame, recording: Recording) -> list[str]:
    """Give the names of the chosen instruments that have no candle; patterns choose what there is."""
    there = set(made["symbol"])
    dump = recording.instruments()
    names = [
        dump.symbol_of(int(one)) or str(one) if dump is not None and str(one).isdecimal() else str(one)
        for one in chosen
    ]
    return [name for name in names if "*" not in name and name not in there]
