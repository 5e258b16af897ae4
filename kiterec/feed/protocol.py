"""The life of one connection without any I/O: events and times go in, actions come out.

The shell calls `handle` for each event, and does the actions that it gives, in their order. For each message
it calls `heard`, which is cheap and gives nothing. After `WaitUntil` it sends `Wake` at that time (earlier
does no harm). Nothing here knows a socket, a clock or a secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kiterec.clock import NS_PER_S
from kiterec.feed.events import (
    Connected,
    Connecting,
    Held,
    Instant,
    Lost,
    Refused,
    RetryIn,
    Silent,
    Stopped,
    Subscribed,
)
from kiterec.feed.failure import FailureKind, of_network
from kiterec.feed.hearing import Hearing
from kiterec.feed.outage import Outage
from kiterec.feed.state import NO_CLOSE_FRAME, NORMAL_CLOSE, State
from kiterec.feed.steps import (
    Abort,
    Action,
    Changed,
    Close,
    Connect,
    ConnectFailed,
    Ended,
    Event,
    Hold,
    NewToken,
    Opened,
    RefusedText,
    Release,
    Report,
    Send,
    Start,
    Stop,
    WaitUntil,
    Wake,
)
from kiterec.feed.telling import Telling

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kiterec.feed.backoff import Backoff
    from kiterec.feed.config import FeedConfig
    from kiterec.feed.failure import Failure
    from kiterec.wire.packets import Mode


class ConnectionProtocol:
    """The life of one connection.

    Args:
        name: of the connection, such as main-0.
        wanted: instrument → mode, as it should be; read anew at each `Changed` and each connect.
        backoff: the waits between attempts.
        renewable: see there.

    Attributes:
        state: where it is.
        epoch: successful connects so far.
        renewable: another access token may appear without `NewToken`, so that a refused one is no end.
    """

    def __init__(
        self,
        name: str,
        config: FeedConfig,
        wanted: Mapping[int, Mode],
        *,
        backoff: Backoff,
        renewable: bool = False,
    ) -> None:
        self.name = name
        self.state = State.IDLE
        self.epoch = 0
        self._config = config
        self._wanted = wanted
        self._backoff = backoff
        self.renewable = renewable
        self._hearing = Hearing(int(config.silence_limit_s * NS_PER_S))
        self._outage = Outage()
        self._telling = Telling(config.subscribe_chunk, pause_ns=int(config.subscribe_interval_s * NS_PER_S))
        self._deadline: int | None = None
        self._opened_at = 0
        self._told_once = False  # in this epoch
        self._attempts = 0  # since the last connection that lived
        self._refusal: str | None = None  # already reported
        self._handlers: dict[type, Callable[..., list[Action]]] = {
            Start: self._on_start,
            Wake: self._on_wake,
            Opened: self._on_opened,
            ConnectFailed: self._on_connect_failed,
            Ended: self._on_ended,
            RefusedText: self._on_refused_text,
            Changed: self._on_changed,
            Hold: self._on_hold,
            Release: self._on_release,
            NewToken: self._on_new_token,
            Stop: self._on_stop,
        }

    @property
    def pending(self) -> int:
        """Count the instruments whose wish has not been told yet."""
        return self._telling.pending

    @property
    def hopeless(self) -> bool:
        """Tell whether nothing comes any more unless somebody helps."""
        return self.state in {State.STOPPED, State.GAVE_UP} or (
            self.state is State.REFUSED and not self.renewable
        )

    def heard(self, received_at: int, monotonic_ns: int) -> None:
        """Note a message of any kind."""
        self._hearing.last = Instant(received_at, monotonic_ns)

    @property
    def last_heard(self) -> Instant:
        """Give the last message of this epoch, or its start."""
        return self._hearing.last

    def handle(self, event: Event, at: Instant) -> list[Action]:
        """Give what is to be done about an event, in order."""
        return self._handlers[type(event)](event, at)

    # --- connecting ---

    def _on_start(self, _: Start, at: Instant) -> list[Action]:
        return self._connect(at) if self.state is State.IDLE else []

    def _connect(self, at: Instant) -> list[Action]:
        self.state = State.CONNECTING
        self._outage.begin(at)
        self._deadline = at.monotonic_ns + int(self._config.connect_timeout_s * NS_PER_S)
        self._attempts += 1
        connecting = Connecting(connection=self.name, at=at, epoch=self.epoch + 1, attempt=self._attempts)
        quiet = self._refusal is not None  # a look whether there is another access token is no news
        return [*([] if quiet else [Report(connecting)]), Connect(), WaitUntil(self._deadline)]

    def _on_opened(self, _: Opened, at: Instant) -> list[Action]:
        if self.state is not State.CONNECTING:
            return []
        self.state = State.OPEN
        self.epoch += 1
        self._hearing.restart(at)
        self._opened_at = at.monotonic_ns
        self._refusal = None
        self._told_once = False
        self._telling.restart(self._wanted)
        connected = Report(Connected(connection=self.name, at=at, epoch=self.epoch))
        return [connected, *self._tell(at), self._next_wake()]

    def _on_connect_failed(self, event: ConnectFailed, at: Instant) -> list[Action]:
        if self.state is not State.CONNECTING:
            return []
        failure = event.failure
        self._outage.blame(failure.reason)
        if failure.kind in {FailureKind.CREDENTIALS, FailureKind.SAME_CREDENTIALS}:
            return self._refuse(failure, at)
        self._refusal = None
        refused: list[Action] = []
        if failure.kind in {FailureKind.TOO_MANY, FailureKind.BAD_REQUEST}:
            event_ = Refused(connection=self.name, at=at, status=failure.status, reason=failure.reason)
            refused.append(Report(event_))
        return [*refused, *self._retry(failure.reason, at)]

    def _refuse(self, failure: Failure, at: Instant) -> list[Action]:
        self.state = State.REFUSED
        self._begin_anew()  # the server is there: the next fault is the first
        news: list[Action] = []
        if self._refusal is None or failure.kind is FailureKind.CREDENTIALS:
            self._refusal = failure.reason
            refused = Refused(connection=self.name, at=at, status=failure.status, reason=failure.reason)
            news.append(Report(refused))
        wait = int(self._config.backoff_max_s * NS_PER_S)
        self._deadline = at.monotonic_ns + wait if self.renewable else None
        return [*news, WaitUntil(self._deadline)]

    def _retry(self, reason: str, at: Instant) -> list[Action]:
        delay_s = self._backoff.next_s()
        limit = self._config.max_attempts
        if limit is not None and self._attempts >= limit:
            self.state = State.GAVE_UP
            self._deadline = None
            sentence = f"gave up after {limit} attempts in a row; the last one failed because {reason}"
            return [Report(Stopped(connection=self.name, at=at, reason=sentence)), WaitUntil(None)]
        self.state = State.WAITING
        self._deadline = at.monotonic_ns + int(delay_s * NS_PER_S)
        retry = RetryIn(
            connection=self.name, at=at, delay_s=delay_s, attempt=self._attempts + 1, reason=reason
        )
        return [Report(retry), WaitUntil(self._deadline)]

    def _on_new_token(self, _: NewToken, at: Instant) -> list[Action]:
        if self.state not in {State.REFUSED, State.GAVE_UP, State.WAITING}:
            return []
        self._refusal = None
        self._begin_anew()
        return self._connect(at)

    def _begin_anew(self) -> None:
        self._backoff.reset()
        self._attempts = 0

    # --- open ---

    def _on_changed(self, event: Changed, at: Instant) -> list[Action]:
        if self.state is not State.OPEN:
            return []  # all that is wanted is told after the connect
        self._telling.touch(event.tokens)
        return [*self._tell(at), self._next_wake()]

    def _tell(self, at: Instant) -> list[Action]:
        """Say what may be said now; the last chunk closes the gap."""
        sends: list[Action] = [Send(text) for text in self._telling.speak(self._wanted, at.monotonic_ns)]
        if self._telling.pending:
            return sends
        if sends or not self._told_once:
            sends.append(Report(Subscribed(connection=self.name, at=at, instruments=len(self._wanted))))
        self._told_once = True
        return [*sends, *self._end_gap(at)]

    def _end_gap(self, at: Instant) -> list[Action]:
        gap = self._outage.end(self.name, at)
        return [] if gap is None else [Report(gap)]

    def _on_refused_text(self, event: RefusedText, at: Instant) -> list[Action]:
        return [Report(Refused(connection=self.name, at=at, status=None, reason=event.words))]

    def _on_hold(self, _: Hold, at: Instant) -> list[Action]:
        if self._hearing.held_since is not None:
            return []
        self._hearing.held_since = at
        return [self._next_wake()] if self.state is State.OPEN else []

    def _on_release(self, _: Release, at: Instant) -> list[Action]:
        since, self._hearing.held_since = self._hearing.held_since, None
        if since is None:
            return []
        held = Held(connection=self.name, at=at, from_ns=since.received_at, to_ns=at.received_at)
        if self.state is not State.OPEN:
            return [Report(held)]
        self._hearing.listen_again(at)
        return [Report(held), self._next_wake()]

    # --- time ---

    def _next_wake(self) -> WaitUntil:
        times = [time for time in (self._hearing.limit_at, self._telling.due_ns) if time is not None]
        self._deadline = min(times, default=None)
        return WaitUntil(self._deadline)

    def _on_wake(self, _: Wake, at: Instant) -> list[Action]:
        if self.state is State.OPEN:
            return self._on_wake_open(at)
        if self._deadline is None or at.monotonic_ns < self._deadline:
            return [WaitUntil(self._deadline)]
        if self.state is State.CONNECTING:
            reason = f"the connect took longer than {self._config.connect_timeout_s:g} s"
            return [Abort(), *self._on_connect_failed(ConnectFailed(of_network(reason)), at)]
        if self.state in {State.WAITING, State.REFUSED}:
            return self._connect(at)
        if self.state is State.CLOSING:
            ended = Ended(NO_CLOSE_FRAME, "the server did not answer the close")
            return [Abort(), *self._on_ended(ended, at)]
        return [WaitUntil(None)]

    def _on_wake_open(self, at: Instant) -> list[Action]:
        self._hearing.woken(at, self._deadline)
        silent_ns = self._hearing.silent_ns(at)
        if silent_ns is not None:
            silent_s, limit_s = silent_ns / NS_PER_S, self._config.silence_limit_s
            silent = Silent(connection=self.name, at=at, silent_for_s=silent_s)
            reason = f"nothing was heard for {silent_s:.1f} s, the limit is {limit_s:g} s"
            return [Report(silent), Abort(), *self._on_ended(Ended(NO_CLOSE_FRAME, reason), at)]
        return [*(self._tell(at) if self._telling.pending else []), self._next_wake()]

    # --- the end ---

    def _on_ended(self, event: Ended, at: Instant) -> list[Action]:
        if self.state is State.CLOSING:
            answered = event.code == NORMAL_CLOSE
            ended = Ended(event.code, "stopped") if answered else event
            return [self._lost(ended, at, wanted=True), *self._stopped(at)]
        if self.state is not State.OPEN:
            return []
        lost = self._lost(event, at, wanted=False)
        self._outage.begin(self.last_heard, event.reason)
        # A server that accepts and hangs up is no working connection: only one that lived counts.
        lived_ns = self.last_heard.monotonic_ns - self._opened_at
        if lived_ns > self._config.backoff_initial_s * NS_PER_S:
            self._begin_anew()
        return [lost, *self._retry(event.reason, at)]

    def _lost(self, event: Ended, at: Instant, *, wanted: bool) -> Report:
        return Report(Lost(connection=self.name, at=at, code=event.code, reason=event.reason, wanted=wanted))

    def _on_stop(self, _: Stop, at: Instant) -> list[Action]:
        if self.state in {State.STOPPED, State.CLOSING}:
            return []
        if self.state is State.OPEN:
            self.state = State.CLOSING
            self._deadline = at.monotonic_ns + int(self._config.close_timeout_s * NS_PER_S)
            return [Close(), WaitUntil(self._deadline)]
        abort: list[Action] = [Abort()] if self.state is State.CONNECTING else []
        return [*abort, *self._stopped(at)]

    def _stopped(self, at: Instant) -> list[Action]:
        self.state = State.STOPPED
        self._deadline = None
        gap = self._end_gap(at)  # it was never closed: it ends where the recording ends
        return [*gap, Report(Stopped(connection=self.name, at=at, reason="stopped")), WaitUntil(None)]
