"""How long rows waited for the disk: percentiles over the last ones, and the worst of all."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Final

from kiterec.clock import NS_PER_MS

_KEPT: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """A summary of latencies.

    Attributes:
        count: how many there were.
        p50_ms: the median of the last 4096; 0 when there was none.
        p99_ms: their 99th percentile.
        max_ms: the worst of all.
    """

    count: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0

    def fields(self) -> dict[str, float]:
        """Give the values by name, rounded to microseconds."""
        return {
            "count": self.count,
            "p50_ms": round(self.p50_ms, 3),
            "p99_ms": round(self.p99_ms, 3),
            "max_ms": round(self.max_ms, 3),
        }


class LatencyMeter:
    """Collects latencies in one thread and summarises them in any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: deque[int] = deque(maxlen=_KEPT)
        self._count = 0
        self._max_ns = 0

    def add(self, ns: int) -> None:
        """Note one latency."""
        with self._lock:
            self._last.append(ns)
            self._count += 1
            self._max_ns = max(self._max_ns, ns)

    def summary(self) -> Latency:
        """Summarise what was noted so far."""
        with self._lock:
            ordered = sorted(self._last)
            count, worst = self._count, self._max_ns
        if not ordered:
            return Latency()
        return Latency(
            count=count,
            p50_ms=ordered[len(ordered) // 2] / NS_PER_MS,
            p99_ms=ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] / NS_PER_MS,
            max_ms=worst / NS_PER_MS,
        )
