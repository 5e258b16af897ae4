"""Which stretches of which instruments were missed: gaps are of connections, candles of instruments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from kiterec.ticks.schema import INSTANT

if TYPE_CHECKING:
    from collections.abc import Iterable

MISSED_SCHEMA: Final = pl.Schema({"connection": pl.String(), "begin": INSTANT, "end": INSTANT})
"""What is asked of a table of gaps; a null `begin` or `end` is without end."""

_ALWAYS: Final = -(1 << 62), 1 << 62


def presence(ticks: pl.DataFrame) -> pl.DataFrame:
    """Give when each instrument was first and last heard on each connection, a row each."""
    received = pl.col("received_at").cast(INSTANT)
    return merge_presence(
        ticks.select(
            "instrument_token",
            pl.col("connection").cast(pl.String()),
            received.alias("first"),
            received.alias("last"),
        )
    )


def merge_presence(parts: pl.DataFrame) -> pl.DataFrame:
    """Give the presence of several batches as one."""
    return parts.group_by("instrument_token", "connection").agg(pl.col("first").min(), pl.col("last").max())


def beyond(connections: Iterable[str], begin_ns: int | None, end_ns: int | None) -> pl.DataFrame:
    """Give what is before and after a recording as gaps of its connections; None is no bound."""
    rows = [
        (name, *ends)
        for name in connections
        for ends, bound in (((None, begin_ns), begin_ns), ((end_ns, None), end_ns))
        if bound is not None
    ]
    plain = {"connection": pl.String(), "begin": pl.Int64(), "end": pl.Int64()}
    return pl.DataFrame(rows, plain, orient="row").cast(MISSED_SCHEMA)


def is_missed(stretches: pl.DataFrame, gaps: pl.DataFrame, heard: pl.DataFrame) -> pl.Series:
    """Tell for each stretch of an instrument whether a gap overlaps it.

    A gap of one connection is none for an instrument that another connection had before and after it, if
    that one has no gap of its own then.

    Args:
        stretches: one row a stretch: instrument_token, begin, end (half-open; nanoseconds since the epoch).
        gaps: as `MISSED_SCHEMA`; more columns are ignored.
        heard: as `presence` gives it.
    """
    lost = _lost(gaps, heard).sort("instrument_token", "gap_begin")
    # Of the gaps that begin before a stretch ends, the one that ends last decides.
    lost = lost.with_columns(pl.col("gap_end").cum_max().over("instrument_token"))
    found = (
        stretches.with_row_index()
        .sort("end")
        .join_asof(
            lost.sort("gap_begin"),
            left_on="end",
            right_on="gap_begin",
            by="instrument_token",
            strategy="backward",
            allow_exact_matches=False,
            check_sortedness=False,
        )
        .sort("index")
    )
    overlaps = pl.col("gap_end") > pl.col("begin")
    return found.select(overlaps.fill_null(value=False).alias("missed")).to_series()


def _lost(gaps: pl.DataFrame, heard: pl.DataFrame) -> pl.DataFrame:
    """Give one row a gap and instrument that no other connection covers."""
    ends = gaps.select(
        pl.col("connection").cast(pl.String()),
        pl.col("begin").cast(INSTANT).cast(pl.Int64).fill_null(_ALWAYS[0]).alias("gap_begin"),
        pl.col("end").cast(INSTANT).cast(pl.Int64).fill_null(_ALWAYS[1]).alias("gap_end"),
    ).with_row_index("gap")
    of_instruments = ends.join(heard.select("connection", "instrument_token"), on="connection")
    others = of_instruments.join(
        heard.select(
            "instrument_token",
            pl.col("connection").alias("other"),
            pl.col("first").cast(pl.Int64),
            pl.col("last").cast(pl.Int64),
        ),
        on="instrument_token",
    ).filter(
        pl.col("other") != pl.col("connection"),
        pl.col("first") <= pl.col("gap_begin"),
        pl.col("last") >= pl.col("gap_end"),
    )
    also_away = (
        others.join(ends, left_on="other", right_on="connection", suffix="_of_other")
        .filter(
            pl.col("gap_begin_of_other") < pl.col("gap_end"), pl.col("gap_end_of_other") > pl.col("gap_begin")
        )
        .select("gap", "instrument_token", "other")
    )
    covering = others.join(also_away, on=["gap", "instrument_token", "other"], how="anti")
    return of_instruments.join(covering, on=["gap", "instrument_token"], how="anti").select(
        "instrument_token", "gap_begin", "gap_end"
    )
