"""What a recording looks like while it runs: a line a connection, and one about the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from kiterec.cli.amounts import seconds, size
from kiterec.cli.tables import Column, table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

COLUMNS: Final = [
    Column("connection", left=True), Column("state", left=True), Column("frames/s", 3), Column("ticks/s", 2),
    Column("received", 1), Column("age", 4), Column("gaps", 5),
]  # fmt: skip


class ConnectionView(NamedTuple):
    """One connection at this instant. Units: messages and packets a second; bytes; seconds.

    Attributes:
        age_s: since the last message; None when none has come.
    """

    name: str
    state: str
    frames_per_s: float
    ticks_per_s: float
    received_bytes: int
    age_s: float | None
    gaps: int


class RunView(NamedTuple):
    """The whole recording at this instant. Units: seconds; bytes.

    Attributes:
        disk_bytes: that its files have. unwritten_bytes: that are only in memory.
    """

    path: Path
    elapsed_s: float
    disk_bytes: int
    unwritten_bytes: int


def live_text(connections: Sequence[ConnectionView], run: RunView, *, width: int) -> str:
    """Give the view as lines that are at most `width` wide, where the path allows it; nothing is cut."""
    rows = [
        {
            "connection": it.name,
            "state": it.state,
            "frames/s": f"{it.frames_per_s:.1f}",
            "ticks/s": f"{it.ticks_per_s:,.0f}",
            "received": size(it.received_bytes),
            "age": "" if it.age_s is None else seconds(it.age_s),
            "gaps": str(it.gaps),
        }
        for it in connections
    ]
    disk = f"{seconds(run.elapsed_s)}, {size(run.disk_bytes)} on disk"
    if run.unwritten_bytes:
        disk += f", {size(run.unwritten_bytes)} unwritten"
    return "\n".join([table(rows, COLUMNS, width=width), disk, str(run.path)])
