"""What was missed: from the last message before a loss until all that is wanted was told again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kiterec.feed.events import Gap

if TYPE_CHECKING:
    from kiterec.feed.events import Instant


@dataclass(slots=True)
class Outage:
    """The stretch that is not over yet. A first connect that takes its time is none; one that failed is.

    Attributes:
        since: its begin; None when all is well.
        reason: why it began; empty while nothing has failed.
    """

    since: Instant | None = None
    reason: str = ""

    def begin(self, since: Instant, reason: str = "") -> None:
        """Begin, unless it has begun: several failures in a row are one outage, with the first reason."""
        if self.since is None or (reason and not self.reason):
            self.since, self.reason = since, reason

    def blame(self, reason: str) -> None:
        """Give the reason of an outage that has none yet."""
        self.reason = self.reason or reason

    def end(self, connection: str, at: Instant) -> Gap | None:
        """End it: give the gap, or None when nothing was missed."""
        since, reason = self.since, self.reason
        self.since, self.reason = None, ""
        if since is None or not reason:
            return None
        return Gap(
            connection=connection,
            at=at,
            from_ns=since.received_at,
            to_ns=at.received_at,
            duration_ns=at.monotonic_ns - since.monotonic_ns,
            reason=reason,
        )
