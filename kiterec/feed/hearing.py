"""Whether a connection is silent: any message counts, our own pauses do not."""

from __future__ import annotations

from typing import Final

from kiterec.clock import NS_PER_S
from kiterec.feed.events import Instant

_LATE_NS: Final = NS_PER_S // 2


class Hearing:
    """The time since the last message of an open connection.

    Args:
        limit_ns: so long a silence is too long.

    Attributes:
        last: the last message of this epoch, or its start.
        held_since: when we stopped reading on purpose; None while we read.
    """

    def __init__(self, limit_ns: int) -> None:
        self.last = Instant(0, 0)
        self.held_since: Instant | None = None
        self._limit_ns = limit_ns
        self._listening_since = 0

    def restart(self, at: Instant) -> None:
        """Begin an epoch."""
        self.last = at
        self._listening_since = at.monotonic_ns

    def listen_again(self, at: Instant) -> None:
        """Count silence from now: before, it was our own fault that we heard nothing."""
        self._listening_since = at.monotonic_ns

    def woken(self, at: Instant, planned_ns: int | None) -> None:
        """Note a wake-up: when it is late, what came meanwhile still waits in the socket, unheard."""
        if planned_ns is not None and at.monotonic_ns - planned_ns > _LATE_NS:
            self.listen_again(at)

    @property
    def limit_at(self) -> int | None:
        """Give when silence will have lasted too long; None while we do not read."""
        return None if self.held_since else self._since_ns + self._limit_ns

    def silent_ns(self, at: Instant) -> int | None:
        """Give how long it has been silent, if that is too long."""
        silent = at.monotonic_ns - self._since_ns
        return silent if self.held_since is None and silent >= self._limit_ns else None

    @property
    def _since_ns(self) -> int:
        return max(self.last.monotonic_ns, self._listening_since)
