"""What a recording holds, in a few lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kiterec.amounts import ist_instant, ist_time, seconds, size
from kiterec.cli.tables import Column, table
from kiterec.clock import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kiterec.store.summary import ConnectionSummary, Summary

COLUMNS: Final = [
    Column("connection", left=True), Column("frames"), Column("ticks"), Column("texts", 4),
    Column("on the wire", 1), Column("on disk", 2), Column("gaps"), Column("from", 5), Column("to", 6),
]  # fmt: skip

MAX_GAPS: Final = 10


def summary_text(summary: Summary, *, state: str | None = None) -> str:
    """Give the numbers of a recording and of its connections, and what is wrong with it. Times are IST.

    Args:
        summary: the numbers.
        state: how it is, where that is another word than its status.
    """
    total = {
        "connection": "all", "frames": f"{summary.frames:,}", "ticks": f"{summary.ticks:,}",
        "texts": f"{summary.texts:,}", "on the wire": size(summary.wire_bytes),
        "on disk": size(summary.disk_bytes), "gaps": f"{summary.gaps:,}",
    }  # fmt: skip
    lines = [
        f"{state or summary.status}, {seconds(summary.span_s)} {_begin(summary)}",
        table([*map(_cells, summary.connections), total], COLUMNS),
        *_troubles(summary),
    ]
    return "\n".join(lines)


def _begin(summary: Summary) -> str:
    return "" if summary.begin_ns is None else f"from {ist_instant(summary.begin_ns)} IST"


def _cells(it: ConnectionSummary) -> dict[str, str]:
    return {
        "connection": it.connection,
        "frames": f"{it.frames:,}",
        "ticks": f"{it.ticks:,}",
        "texts": f"{it.texts:,}",
        "on the wire": size(it.wire_bytes),
        "on disk": size(it.disk_bytes),
        "gaps": f"{len(it.gaps):,}",
        "from": "" if it.begin_ns is None else ist_time(it.begin_ns),
        "to": "" if it.end_ns is None else ist_time(it.end_ns),
    }


def _troubles(summary: Summary) -> Iterator[str]:
    gaps = [(it.connection, gap) for it in summary.connections for gap in it.gaps]
    for connection, gap in gaps[:MAX_GAPS]:
        missed = (gap.to_ns - gap.from_ns) / NS_PER_S
        yield f"gap: {connection}, {ist_instant(gap.from_ns)} IST, {seconds(missed)}: {gap.reason}"
    if len(gaps) > MAX_GAPS:
        yield f"and {len(gaps) - MAX_GAPS:,} gaps more; --json lists all"
    for damage in summary.damage:
        yield f"damaged: {damage.connection}, part {damage.number}, kept as {damage.kept_as}"
    yield from summary.problems
    yield from summary.notes
    if summary.lost_rows:
        yield f"{summary.lost_rows:,} rows that were received are not in the recording"
