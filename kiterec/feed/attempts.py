"""Attempts to connect: what is told of each, and when the next one is due."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kiterec.clock import NS_PER_S
from kiterec.feed.events import Connecting, Refused, RetryIn, Stopped
from kiterec.feed.failure import FailureKind
from kiterec.feed.state import State

if TYPE_CHECKING:
    from kiterec.feed.backoff import Backoff
    from kiterec.feed.config import FeedConfig
    from kiterec.feed.events import FeedEvent, Instant
    from kiterec.feed.failure import Failure


class Verdict(NamedTuple):
    """What a failure leads to.

    Attributes:
        state: where the connection is now.
        due_ns: when the next attempt is, on the monotonic clock; None: never by itself.
        news: what is to be told.
    """

    state: State
    due_ns: int | None
    news: tuple[FeedEvent, ...]


class Attempts:
    """The attempts since the last connection that lived.

    Args:
        name: of the connection.
        backoff: the waits between attempts.
    """

    def __init__(self, name: str, config: FeedConfig, backoff: Backoff) -> None:
        self._name = name
        self._config = config
        self._backoff = backoff
        self._count = 0
        self._refusal: str | None = None  # already told

    def begin(self, epoch: int, at: Instant) -> list[FeedEvent]:
        """Count an attempt; give what is to be told of it."""
        self._count += 1
        if self._refusal is not None:  # a look whether there is another access token is no news
            return []
        return [Connecting(connection=self._name, at=at, epoch=epoch, attempt=self._count)]

    def opened(self) -> None:
        """Note that the last attempt succeeded."""
        self._refusal = None

    def begin_anew(self) -> None:
        """Let the next failure be the first: the connection lived, or the server is there."""
        self._backoff.reset()
        self._count = 0

    def take_token(self) -> None:
        """Note another access token: a refusal of it is news."""
        self._refusal = None
        self.begin_anew()

    def failed(self, failure: Failure, at: Instant, *, renewable: bool) -> Verdict:
        """Judge an attempt that failed.

        Args:
            failure: how.
            at: when.
            renewable: another access token may appear by itself.
        """
        if failure.kind in {FailureKind.CREDENTIALS, FailureKind.SAME_CREDENTIALS}:
            return self._refused(failure, at, renewable=renewable)
        self._refusal = None
        verdict = self.again(failure.reason, at)
        if failure.kind in {FailureKind.TOO_MANY, FailureKind.BAD_REQUEST}:
            return verdict._replace(news=(self._refused_event(failure, at), *verdict.news))
        return verdict

    def again(self, reason: str, at: Instant) -> Verdict:
        """Judge a connection that was lost, or an attempt that nothing is wrong with but its failure."""
        delay_s = self._backoff.next_s()
        limit = self._config.max_attempts
        if limit is not None and self._count >= limit:
            sentence = f"gave up after {limit} attempts in a row; the last one failed because {reason}"
            stopped = Stopped(connection=self._name, at=at, reason=sentence)
            return Verdict(State.GAVE_UP, None, (stopped,))
        retry = RetryIn(connection=self._name, at=at, delay_s=delay_s, attempt=self._count + 1, reason=reason)
        return Verdict(State.WAITING, at.monotonic_ns + int(delay_s * NS_PER_S), (retry,))

    def _refused(self, failure: Failure, at: Instant, *, renewable: bool) -> Verdict:
        self.begin_anew()  # the server is there: the next fault is the first
        news: tuple[FeedEvent, ...] = ()
        if self._refusal is None or failure.kind is FailureKind.CREDENTIALS:
            self._refusal = failure.reason
            news = (self._refused_event(failure, at),)
        wait_ns = int(self._config.backoff_max_s * NS_PER_S)
        return Verdict(State.REFUSED, at.monotonic_ns + wait_ns if renewable else None, news)

    def _refused_event(self, failure: Failure, at: Instant) -> Refused:
        return Refused(connection=self._name, at=at, status=failure.status, reason=failure.reason)
