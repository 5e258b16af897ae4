"""The last prices of a recording's busiest instruments, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kiterec.amounts import price
from kiterec.cli.tables import Column, table
from kiterec.ticks.last_prices import last_prices

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS: Final = [
    Column("instrument", left=True, least=16), Column("last price"), Column("change %"), Column("time (IST)"),
    Column("ticks", 1),
]  # fmt: skip


def prices_text(path: Path, *, limit: int) -> str:
    """Give a line for each of the busiest instruments, with prices in rupees."""
    frame = last_prices(path, limit)
    times = frame["received_at"].dt.convert_time_zone("Asia/Kolkata").dt.strftime("%H:%M:%S%.3f")
    rows = [
        {
            "instrument": row["symbol"] or str(row["instrument_token"]),
            "last price": price(row["last_price"], segment=row["segment"]),
            "change %": "" if row["change"] is None else f"{row['change']:+.2f}",
            "time (IST)": time,
            "ticks": f"{row['ticks']:,}",
        }
        for row, time in zip(frame.iter_rows(named=True), times, strict=True)
    ]
    return table(rows, COLUMNS)
