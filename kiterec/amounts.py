"""How sizes, counts, durations and instants are shown to people."""

from __future__ import annotations

from typing import Final

from kiterec.clock import NS_PER_S, ist

FINE: Final = frozenset({"CDS", "BCD", "NCO"})
"""Segments whose tick sizes have four decimals."""


def price(rupees: float | None, *, segment: str) -> str:
    """Show a price with the decimals of its exchange segment; None is empty."""
    return "" if rupees is None else f"{rupees:,.{4 if segment in FINE else 2}f}"


def size(count: float) -> str:
    """Show bytes in three digits and a decimal unit: `1.23 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}" if unit != "B" else f"{count:.0f} B"
        count /= 1_000
    return f"{count:,.3g} TB"


def counted(count: int, what: str) -> str:
    """Show a count with its noun: `1 warning`, `2,000 warnings`."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def seconds(duration_s: float) -> str:
    """Show a duration in its two largest units: `1h 05m`, `20.0s`."""
    if duration_s < 60:
        return f"{duration_s:.1f}s"
    minutes, rest = divmod(round(duration_s), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02}m"


def ist_time(ns: int) -> str:
    """Show an instant as the wall clock in India, to the millisecond: `09:15:00.250`."""
    return f"{ist(ns):%H:%M:%S}.{ns % NS_PER_S // 1_000_000:03}"


def ist_instant(ns: int) -> str:
    """Show an instant with its date: `2026-01-05 09:15:00.250`."""
    return f"{ist(ns):%Y-%m-%d} {ist_time(ns)}"
