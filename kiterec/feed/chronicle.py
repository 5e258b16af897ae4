"""The story of the feed in the log, and what is the matter with each connection right now."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kiterec.clock import NS_PER_S
from kiterec.feed.events import Connected, Gap, Lost, Moved, Refused, RetryIn, Stopped

if TYPE_CHECKING:
    from kiterec.feed.events import FeedEvent

logger = logging.getLogger(__name__)


class Chronicle:
    """Logs the events that matter.

    Attributes:
        troubles: why a connection is not open, by name; a connection that works has none.
    """

    def __init__(self) -> None:
        self.troubles: dict[str, str] = {}

    def note(self, event: FeedEvent) -> None:
        """Take an event."""
        name = event.connection
        match event:
            case Connected(epoch=epoch):
                self.troubles.pop(name, None)
                logger.info("connection=%s connected epoch=%d", name, epoch)
            case Refused(status=None, reason=reason):
                logger.warning("connection=%s the server says: %s", name, reason)
            case Lost(wanted=True):
                logger.info("connection=%s closed", name)
            case Lost(reason=reason) | Refused(reason=reason):
                self.troubles[name] = reason
                logger.warning("connection=%s %s", name, reason)
            case RetryIn(reason=reason, delay_s=delay_s, attempt=attempt):
                self.troubles[name] = reason
                logger.debug("connection=%s attempt=%d in %.1f s: %s", name, attempt, delay_s, reason)
            case Stopped(reason=reason) if reason != "stopped":
                self.troubles[name] = reason
                logger.error("connection=%s %s", name, reason)
            case Gap(duration_ns=duration_ns, reason=reason):
                logger.warning("connection=%s gap_s=%.3f because %s", name, duration_ns / NS_PER_S, reason)
            case Moved(target=target, tokens=tokens, returned=returned):
                why = "back to" if returned else "to"
                logger.warning("connection=%s moved %d instruments %s %s", name, len(tokens), why, target)
            case _:
                logger.debug("connection=%s %s", name, type(event).__name__)
