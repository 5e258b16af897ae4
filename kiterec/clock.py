"""The only reader of the host's clocks, and the zone that the exchanges live in."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, Protocol

IST: Final = timezone(timedelta(hours=5, minutes=30), "IST")
"""India has had one zone without daylight saving since 1945, so a fixed offset is exact."""

NS_PER_S: Final = 1_000_000_000
NS_PER_MS: Final = 1_000_000


class Clock(Protocol):
    """What kiterec asks of a clock; tests give one that they move themselves."""

    def now_ns(self) -> int:
        """Give the wall clock: nanoseconds since the UNIX epoch, UTC."""
        ...

    def monotonic_ns(self) -> int:
        """Give a clock that never goes back, in nanoseconds since an unknown start."""
        ...


class SystemClock:
    """The host's clocks."""

    now_ns = staticmethod(time.time_ns)
    monotonic_ns = staticmethod(time.monotonic_ns)


SYSTEM_CLOCK: Final[Clock] = SystemClock()


def utc(ns: int) -> datetime:
    """Give the UTC instant of nanoseconds since the epoch (microseconds are kept)."""
    return datetime.fromtimestamp(ns // NS_PER_S, UTC) + timedelta(microseconds=ns % NS_PER_S // 1_000)


def ist(ns: int) -> datetime:
    """Give the same instant as the wall clocks in India show it."""
    return utc(ns).astimezone(IST)


def to_ns(instant: datetime) -> int:
    """Give nanoseconds since the epoch of an aware datetime, without the rounding of `timestamp()`.

    Raises:
        ValueError: the datetime has no zone.
    """
    if instant.tzinfo is None:
        raise ValueError(f"{instant} has no time zone; give one, such as +05:30 for IST")
    since = instant - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * NS_PER_S + since.microseconds * 1_000
