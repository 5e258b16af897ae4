"""What a recording looks like while it runs: a line a connection, and one about the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kiterec.amounts import seconds, size
from kiterec.cli.tables import Column, fit

if TYPE_CHECKING:
    from kiterec.record.status import RecordStatus

COLUMNS: Final = [
    Column("connection", left=True), Column("state", left=True), Column("frames/s", 3), Column("ticks/s", 2),
    Column("received", 1), Column("age", 4), Column("gaps", 5),
]  # fmt: skip


def live_text(status: RecordStatus, *, width: int) -> str:
    """Give the view as lines that fit the width, where a path or a reason allows it; nothing is cut.

    The last line is a short one: a terminal writes `^C` behind it.
    """
    rows = [
        {
            "connection": name,
            "state": it.state,
            "frames/s": f"{it.frames_per_s:.1f}",
            "ticks/s": f"{it.ticks_per_s:,.0f}",
            "received": size(it.received_bytes),
            "age": "" if it.age_s is None else seconds(it.age_s),
            "gaps": str(it.gaps),
        }
        for name, it in status.connections.items()
    ]
    disk = f"{seconds(status.elapsed_s)}, {size(status.disk_bytes)} on disk"
    if status.unwritten_bytes:
        disk += f", {size(status.unwritten_bytes)} to write"
    if status.left_s is not None:
        disk += f", {seconds(status.left_s)} left"
    return "\n".join([fit(rows, COLUMNS, width=width).text, str(status.path), *status.health.reasons, disk])
