"""Numbers about the feed: totals, and rates that fall to zero when nothing comes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

from kiterec.clock import NS_PER_S
from kiterec.feed.counters import Counters

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kiterec.feed.latency import LatencySummary
    from kiterec.feed.state import State

SHORT_WINDOW_S: Final = 1
LONG_WINDOW_S: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Per second, over the last second and the last minute.

    Attributes:
        frames_1s: binary messages, heartbeats included.
        packets_1s: that the frames declare.
        bytes_1s: of all messages.
        frames_60s: as frames_1s, over a minute; of a younger feed over its life.
        packets_60s: likewise.
        bytes_60s: likewise.
    """

    frames_1s: float = 0.0
    packets_1s: float = 0.0
    bytes_1s: float = 0.0
    frames_60s: float = 0.0
    packets_60s: float = 0.0
    bytes_60s: float = 0.0


class RateMeter:
    """Samples of the totals, one a second, from which rates are taken; costs nothing per frame."""

    def __init__(self) -> None:
        self._samples: deque[tuple[int, int, int, int]] = deque(maxlen=LONG_WINDOW_S + 2)

    def sample(self, monotonic_ns: int, counters: Counters) -> None:
        """Note the totals of now."""
        self._samples.append((monotonic_ns, counters.frames, counters.packets, counters.size))

    def rates(self) -> Rates:
        """Give the rates at the time of the last sample."""
        short, long = self._over(SHORT_WINDOW_S), self._over(LONG_WINDOW_S)
        return Rates(
            frames_1s=short[0],
            packets_1s=short[1],
            bytes_1s=short[2],
            frames_60s=long[0],
            packets_60s=long[1],
            bytes_60s=long[2],
        )

    def _over(self, window_s: int) -> tuple[float, float, float]:
        if len(self._samples) < 2:
            return 0.0, 0.0, 0.0
        last = self._samples[-1]
        # A sample may come a little late, so half a second of leeway finds the right one.
        oldest = last[0] - window_s * NS_PER_S - NS_PER_S // 2
        first = next(sample for sample in self._samples if sample[0] >= oldest)
        if first is last:
            first = self._samples[-2]
        seconds = max(last[0] - first[0], 1) / NS_PER_S
        return (last[1] - first[1]) / seconds, (last[2] - first[2]) / seconds, (last[3] - first[3]) / seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionStats:
    """One connection in numbers.

    Attributes:
        state: where it is in its life.
        epoch: successful connects so far.
        counters: totals since the start.
        rates: per second.
        instruments: that it should have.
        pending: of those, told to the server soon.
        last_heard_age_s: seconds since the last message of the open connection; None when it is not open.
    """

    state: State
    epoch: int
    counters: Counters
    rates: Rates
    instruments: int
    pending: int
    last_heard_age_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedStats:
    """The whole feed in numbers.

    Attributes:
        connections: by name.
        accounts: totals by account.
        total: of all connections.
        rates: of all connections.
        dropped: items that consumers lost because they were too slow.
        latency: of frames from the socket to the consumers.
    """

    connections: Mapping[str, ConnectionStats]
    accounts: Mapping[str, Counters]
    total: Counters
    rates: Rates
    dropped: int
    latency: LatencySummary


def add_counters(many: Iterable[Counters]) -> Counters:
    """Give the sums of each number."""
    total = Counters()
    for counters in many:
        for entry in fields(Counters):
            setattr(total, entry.name, getattr(total, entry.name) + getattr(counters, entry.name))
    return total


def add_rates(many: Iterable[Rates]) -> Rates:
    """Give the sums of each rate."""
    listed = list(many)
    return Rates(
        **{entry.name: sum(getattr(rates, entry.name) for rates in listed) for entry in fields(Rates)}
    )
