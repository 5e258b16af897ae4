"""What was known at one instant: the last packet of each instrument."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from kiterec.ticks.bounds import time_bounds
from kiterec.ticks.lazy import lazy_table
from kiterec.ticks.schema import INSTANT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


def asof(ticks: pl.LazyFrame, time: datetime) -> pl.LazyFrame:
    """Give the last tick of each instrument that was received at or before a time.

    Shape:
        One row an instrument that had a tick by then, by instrument_token; the columns of the tick table. It
        is one packet as it came: where the last one was of a lower mode, the fields that it lacks are null.

    Args:
        ticks: the tick table of one recording, or some of its rows.
        time: with a zone.

    Raises:
        ValueError: the time has no zone.
    """
    until = pl.lit(time_bounds(None, time).end_ns, pl.Int64()).cast(INSTANT)
    known = ticks.filter(pl.col("received_at") <= until)
    place = pl.col("seq").cast(pl.UInt64) * 65_536 + pl.col("packet")

    def source(
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,  # noqa: ARG001 - there is a row an instrument
    ) -> Iterator[pl.DataFrame]:
        # Where they are is found first, so that only these packets are decoded whole.
        last = known.group_by("instrument_token").agg(place.max().alias("place")).collect(engine="streaming")
        found = known.filter(place.is_in(last["place"].implode())).collect(engine="streaming")
        found = found.sort("instrument_token")
        found = found if predicate is None else found.filter(predicate)
        found = found if n_rows is None else found.head(n_rows)
        yield found if with_columns is None else found.select(with_columns)

    return lazy_table(source, ticks.collect_schema(), name="KITEREC ASOF")
