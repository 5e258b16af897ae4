"""The story of the feed in the log, and what is the matter with each connection right now."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

from kiterec.clock import NS_PER_S
from kiterec.errors import AuthError, ConnectionLostError, StaleFeedError, TooManyConnectionsError
from kiterec.feed.events import Connected, Connecting, Gap, Lost, Moved, Refused, RetryIn, Silent, Stopped
from kiterec.feed.subscriptions import account_of

if TYPE_CHECKING:
    from kiterec.errors import FeedError
    from kiterec.feed.events import FeedEvent

logger = logging.getLogger(__name__)


class Chronicle:
    """Logs the events that matter.

    The connections of an account mostly fail for the same reason: it is told once, until none of them has it.

    Attributes:
        troubles: why a connection is not open, by name; a connection that works has none.
    """

    def __init__(self) -> None:
        self.troubles: dict[str, str] = {}
        self._errors: dict[str, type[FeedError]] = {}
        self._told: dict[tuple[str, str], set[str]] = {}  # account and reason: the connections that have it
        self._opened: set[str] = set()

    def error(self, connection: str) -> FeedError:
        """Give what a connection failed with, as an error to be raised."""
        kind = self._errors.get(connection, ConnectionLostError)
        reason = self.troubles.get(connection, "it was given up")
        if kind is AuthError:
            return AuthError(f"account {account_of(connection)}: {reason}")
        return kind(f"{connection}: {reason}")

    def note(self, event: FeedEvent) -> None:
        """Take an event."""
        self._judge(event)
        name = event.connection
        match event:
            case Connected(epoch=epoch):
                self._works(name)
                logger.info("connection=%s connected epoch=%d", name, epoch)
            case Refused(status=None, reason=reason):
                logger.warning("connection=%s the server says: %s", name, reason)
            case Lost(wanted=True):
                logger.info("connection=%s closed", name)
            case Lost(reason=reason):
                self._is_news(name, reason)
                logger.warning("connection=%s %s", name, reason)
            case Refused(reason=reason, status=status):
                if status == HTTPStatus.FORBIDDEN:
                    self._forget_if_again(name, reason)
                level = logging.WARNING if self._is_news(name, reason) else logging.DEBUG
                logger.log(level, "connection=%s %s", name, reason)
            case RetryIn(reason=reason) if self._is_news(name, reason):
                logger.warning("connection=%s %s; trying again with back-off", name, reason)
            case RetryIn(reason=reason, delay_s=delay_s, attempt=attempt):
                logger.debug("connection=%s attempt=%d in %.1f s: %s", name, attempt, delay_s, reason)
            case Stopped(reason=reason) if reason != "stopped":
                self.troubles[name] = reason
                logger.error("connection=%s %s", name, reason)
            case Gap(duration_ns=duration_ns, reason=reason):
                # One that never opened has been told already, with the reason.
                level = logging.WARNING if name in self._opened else logging.DEBUG
                logger.log(level, "connection=%s gap_s=%.3f because %s", name, duration_ns / NS_PER_S, reason)
            case Moved(target=target, tokens=tokens, returned=returned):
                why = "back to" if returned else "to"
                logger.warning("connection=%s moved %d instruments %s %s", name, len(tokens), why, target)
            case _:
                logger.debug("connection=%s %s", name, type(event).__name__)

    def _works(self, name: str) -> None:
        """Forget what was the matter with a connection."""
        self._opened.add(name)
        self.troubles.pop(name, None)
        for key, having in list(self._told.items()):
            having.discard(name)
            if not having:
                del self._told[key]

    def _forget_if_again(self, name: str, reason: str) -> None:
        """Let a 403 be told again that a connection had before: it was another access token this time."""
        if name in self._told.get((account_of(name), reason), ()):
            del self._told[account_of(name), reason]

    def _is_news(self, name: str, reason: str) -> bool:
        """Note what is the matter with a connection; tell whether its account did not have that reason."""
        self.troubles[name] = reason
        having = self._told.setdefault((account_of(name), reason), set())
        first = not having
        having.add(name)
        return first

    def _judge(self, event: FeedEvent) -> None:
        match event:
            case Connecting() | Connected():
                self._errors.pop(event.connection, None)
            case Silent():
                self._errors[event.connection] = StaleFeedError
            case Refused(status=HTTPStatus.FORBIDDEN):
                self._errors[event.connection] = AuthError
            case Refused(status=HTTPStatus.TOO_MANY_REQUESTS):
                self._errors[event.connection] = TooManyConnectionsError
