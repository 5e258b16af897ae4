"""The last price of the instruments that a recording has most of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from kiterec.store.folder import open_folder
from kiterec.ticks.instruments import InstrumentDump
from kiterec.ticks.scan import scan_ticks

if TYPE_CHECKING:
    from pathlib import Path

    from kiterec.store.folder import RecordingFolder


def last_prices(recording: RecordingFolder | Path | str, limit: int = 10) -> pl.DataFrame:
    """Give the last prices of the busiest instruments.

    Shape:
        One row an instrument, busiest first: symbol (null without a dump), instrument_token, segment,
        last_price in rupees, change in percent (null where only ltp packets came), received_at, ticks.

    Args:
        recording: the folder, or what names it for `open_folder`.
        limit: instruments at most.

    Raises:
        ManifestError: there is no recording, or its format is newer.
    """
    folder = open_folder(recording)
    ticks = scan_ticks(folder).select("instrument_token", "segment", "last_price", "change", "received_at")
    last = (
        ticks.group_by("instrument_token", maintain_order=True)
        .agg(pl.all().exclude("change").last(), pl.col("change").drop_nulls().last(), pl.len().alias("ticks"))
        .sort("ticks", "instrument_token", descending=[True, False])
        .head(limit)
        .collect(engine="streaming")
    )
    names: dict[int, str | None] = {}
    if folder.instruments_path.is_file():
        dump = InstrumentDump.from_parquet(folder.instruments_path)
        names = {token: dump.symbol_of(token) for token in last.get_column("instrument_token")}
    symbols = [names.get(token) for token in last.get_column("instrument_token")]
    return last.select(
        pl.Series("symbol", symbols, pl.String()),
        "instrument_token",
        "segment",
        "last_price",
        "change",
        "received_at",
        "ticks",
    )
