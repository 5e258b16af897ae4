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

_PAIRS: Final = 1 << 18
"""Gaps times instruments, on each of their connections, that are judged at once."""


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
    ends = gaps.select(
        pl.col("connection").cast(pl.String()),
        pl.col("begin").cast(INSTANT).cast(pl.Int64).fill_null(_ALWAYS[0]).alias("gap_begin"),
        pl.col("end").cast(INSTANT).cast(pl.Int64).fill_null(_ALWAYS[1]).alias("gap_end"),
    ).with_row_index("gap")
    away_too = _away_too(ends, heard["connection"].unique())
    numbered = stretches.select("instrument_token", "begin", "end").with_row_index()
    tokens = heard["instrument_token"].unique().sort()
    # Many gaps of many instruments do not fit the memory, so only some instruments are judged at once.
    of_each = ends.height * heard.height // max(1, tokens.len())
    at_once = max(1, _PAIRS // max(1, of_each))
    parts = []
    for first in range(0, tokens.len(), at_once):
        some = tokens.slice(first, at_once).implode()
        lost = _lost(ends, away_too, heard.filter(pl.col("instrument_token").is_in(some)))
        mine = numbered.filter(pl.col("instrument_token").is_in(some))
        parts.append(mine.select("index", _overlapped(mine, lost, by="instrument_token")))
    judged = pl.concat([pl.DataFrame(schema={"index": pl.UInt32(), "missed": pl.Boolean()}), *parts])
    found = numbered.select("index").join(judged, on="index", how="left", maintain_order="left")
    return found["missed"].fill_null(value=False)


def _overlapped(stretches: pl.DataFrame, gaps: pl.DataFrame, *, by: str) -> pl.Series:
    """Tell for each stretch whether a gap of the same name or number overlaps it."""
    # Of the gaps that begin before a stretch ends, the one that ends last decides.
    latest = gaps.sort("gap_begin").with_columns(pl.col("gap_end").cum_max().over(by))
    found = (
        stretches.select(by, "begin", "end")
        .with_row_index("place")
        .sort("end")
        .join_asof(
            latest.select(by, "gap_begin", "gap_end"),
            left_on="end",
            right_on="gap_begin",
            by=by,
            strategy="backward",
            allow_exact_matches=False,
            check_sortedness=False,
        )
        .sort("place")
    )
    overlaps = pl.col("gap_end") > pl.col("begin")
    return found.select(overlaps.fill_null(value=False).alias("missed")).to_series()


def _away_too(ends: pl.DataFrame, connections: pl.Series) -> pl.DataFrame:
    """Give the other connections that have a gap of their own during each gap."""
    pairs = ends.join(connections.rename("other").to_frame(), how="cross")
    stretches = pairs.select(
        pl.col("other").alias("connection"),
        pl.col("gap_begin").alias("begin"),
        pl.col("gap_end").alias("end"),
    )
    return pairs.filter(_overlapped(stretches, ends, by="connection")).select("gap", "other")


def _lost(ends: pl.DataFrame, away_too: pl.DataFrame, heard: pl.DataFrame) -> pl.DataFrame:
    """Give one row a gap and instrument that no other connection covers."""
    of_instruments = ends.join(heard.select("connection", "instrument_token"), on="connection")
    covering = (
        of_instruments.join(
            heard.select(
                "instrument_token",
                pl.col("connection").alias("other"),
                pl.col("first").cast(pl.Int64),
                pl.col("last").cast(pl.Int64),
            ),
            on="instrument_token",
        )
        .filter(
            pl.col("other") != pl.col("connection"),
            pl.col("first") <= pl.col("gap_begin"),
            pl.col("last") >= pl.col("gap_end"),
        )
        .join(away_too, on=["gap", "other"], how="anti")
    )
    return of_instruments.join(covering, on=["gap", "instrument_token"], how="anti").select(
        "instrument_token", "gap_begin", "gap_end"
    )
