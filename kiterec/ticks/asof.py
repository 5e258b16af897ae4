"""What was known at one instant: the last packet of each instrument."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from kiterec.clock import to_ns
from kiterec.ticks.schema import INSTANT

if TYPE_CHECKING:
    from datetime import datetime


def asof(ticks: pl.LazyFrame, time: datetime) -> pl.LazyFrame:
    """Give the last tick of each instrument that was received at or before a time.

    Shape:
        One row an instrument that had a tick by then, by instrument_token; the columns of the tick table. It
        is one packet as it came: where the last one was of a lower mode, the fields that it lacks are null.

    Args:
        ticks: the tick table, in its order.
        time: with a zone.

    Raises:
        ValueError: the time has no zone.
    """
    until = pl.lit(to_ns(time), pl.Int64()).cast(INSTANT)
    known = ticks.filter(pl.col("received_at") <= until)
    names = ticks.collect_schema().names()
    last = known.group_by("instrument_token", maintain_order=True).agg(
        pl.all().exclude("instrument_token").last()
    )
    return last.select(names).sort("instrument_token")
