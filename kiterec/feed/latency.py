"""How long frames take from the socket to a consumer: a histogram that costs a few additions per frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_FINE_BITS: Final = 3  # eight buckets for each doubling: a quantile is at most an eighth too high
_BUCKETS: Final = 64 << _FINE_BITS


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencySummary:
    """Receive-to-delivered latency, in milliseconds; quantiles are upper bounds of their bucket.

    Attributes:
        count: frames that were measured.
        p50_ms: half of them were faster; None without any.
        p99_ms: all but one in a hundred were faster; None without any.
        max_ms: the slowest; None without any.
    """

    count: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None


class Latency:
    """Counts durations by their size."""

    __slots__ = ("_counts", "_max_ns", "_total")

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self._total = 0
        self._max_ns = 0

    def add(self, duration_ns: int) -> None:
        """Count one duration."""
        self._max_ns = max(self._max_ns, duration_ns)
        self._total += 1
        shift = max(duration_ns, 1).bit_length() - _FINE_BITS - 1
        self._counts[((shift + 1) << _FINE_BITS) + (duration_ns >> shift) if shift >= 0 else duration_ns] += 1

    def merge(self, other: Latency) -> None:
        """Add what another one has counted."""
        self._counts = [mine + theirs for mine, theirs in zip(self._counts, other._counts, strict=True)]
        self._total += other._total
        self._max_ns = max(self._max_ns, other._max_ns)

    def summary(self) -> LatencySummary:
        """Give the quantiles."""
        if not self._total:
            return LatencySummary()
        return LatencySummary(
            count=self._total,
            p50_ms=self._quantile_ns(0.50) / 1e6,
            p99_ms=self._quantile_ns(0.99) / 1e6,
            max_ms=self._max_ns / 1e6,
        )

    def _quantile_ns(self, share: float) -> int:
        wanted, seen = share * self._total, 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if seen >= wanted:
                return min(_upper_ns(bucket), self._max_ns)
        return self._max_ns


def _upper_ns(bucket: int) -> int:
    """Give the end of a bucket, the opposite of the index in `add`."""
    shift = (bucket >> _FINE_BITS) - 2
    if shift < 0:
        return bucket
    return ((bucket - ((shift + 1) << _FINE_BITS)) + 1) << shift
